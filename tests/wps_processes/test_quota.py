"""Whoever has used up their room starts no more jobs, and is told how much it is."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from pywps.exceptions import NotEnoughStorage

from benchmarks.served import DEADLINE
from landcover.storage.usage import measure
from wps_processes import quota
from wps_processes.quota import Quota

MIB = 1 << 20
CALL = {"scene": "shared/scene.tif", "labels": "home/labels.gpkg"}


@pytest.fixture
def fill(tmp_path):
    """Let a user's files take so many MiB more."""

    def write(user: str, mib: int) -> None:
        folder = tmp_path / "storage" / "users" / user
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "big.bin").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, mib * MIB)

    return write


def test_call_over_the_quota_is_refused_with_both_figures(start, fill):
    wps = start(home_quota=5 * MIB)
    fill("anna", 6)
    answer = wps.execute("extract-samples", asynchronous=True, **CALL)
    assert "NotEnoughStorage" in answer.text
    assert "your files take 6." in answer.text
    assert " MiB of 5.0 MiB" in answer.text
    assert wps.jobs() == []


def test_quota_binds_each_user_alone(start, fill):
    wps = start(home_quota=5 * MIB)
    fill("boris", 6)
    wps.execute("extract-samples", asynchronous=True, **CALL)
    assert len(wps.jobs()) == 1


def test_without_a_quota_nothing_is_measured(start, fill, monkeypatch):
    monkeypatch.setattr(quota, "measure", None)
    wps = start()
    wps.execute("extract-samples", asynchronous=True, **CALL)
    assert len(wps.jobs()) == 1


def test_room_that_was_freed_counts_after_a_minute(tmp_path, fill, monkeypatch):
    moment = 100.0
    monkeypatch.setattr(quota.time, "monotonic", lambda: moment)
    fill("anna", 6)
    limited = Quota(tmp_path / "storage", 5 * MIB)
    with pytest.raises(NotEnoughStorage):
        limited.check("anna")
    (tmp_path / "storage/users/anna/big.bin").unlink()
    with pytest.raises(NotEnoughStorage):
        limited.check("anna")
    moment += 61
    limited.check("anna")


def test_while_one_call_measures_others_take_the_last_figure(tmp_path, fill, monkeypatch):
    moment, begun, go_on = 100.0, threading.Event(), threading.Event()
    monkeypatch.setattr(quota.time, "monotonic", lambda: moment)
    fill("anna", 6)
    limited = Quota(tmp_path / "storage", 10 * MIB)
    limited.check("anna")
    moment += 61

    def slowly(*given, **how):
        begun.set()
        assert go_on.wait(DEADLINE)
        return measure(*given, **how)

    monkeypatch.setattr(quota, "measure", slowly)
    (tmp_path / "storage/users/anna/big.bin").rename(tmp_path / "storage/users/anna/bigger.bin")
    fill("anna", 6)
    with ThreadPoolExecutor(1) as other:
        measuring = other.submit(limited.check, "anna")
        assert begun.wait(DEADLINE)
        limited.check("anna")  # would hang until the other has measured
        go_on.set()
        with pytest.raises(NotEnoughStorage):
            measuring.result()
    with pytest.raises(NotEnoughStorage):
        limited.check("anna")


def test_user_without_a_folder_has_used_nothing(tmp_path):
    Quota(tmp_path / "storage", 1).check("anna")
