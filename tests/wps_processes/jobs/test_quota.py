"""Whoever has used up their room starts no more jobs, and is told how much it is."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.served import DEADLINE
from landcover.storage import usage
from wps_processes.errors import QuotaReached
from wps_processes.jobs import quota
from wps_processes.jobs.quota import Quota

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
    with pytest.raises(QuotaReached):
        limited.check("anna")
    (tmp_path / "storage/users/anna/big.bin").unlink()
    with pytest.raises(QuotaReached):
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
        return usage.measure(*given, **how)

    monkeypatch.setattr(quota, "measure", slowly)
    (tmp_path / "storage/users/anna/big.bin").rename(tmp_path / "storage/users/anna/bigger.bin")
    fill("anna", 6)
    with ThreadPoolExecutor(1) as other:
        measuring = other.submit(limited.check, "anna")
        assert begun.wait(DEADLINE)
        limited.check("anna")  # would hang until the other has measured
        go_on.set()
        with pytest.raises(QuotaReached):
            measuring.result()
    with pytest.raises(QuotaReached):
        limited.check("anna")


def test_user_without_a_folder_has_used_nothing(tmp_path):
    Quota(tmp_path / "storage", 1).check("anna")


def test_what_cannot_be_counted_is_full(tmp_path, fill, monkeypatch):
    def measure_few(folder, **bounds):
        return usage.measure(folder, most_entries=3, **bounds)

    monkeypatch.setattr(quota, "measure", measure_few)
    fill("anna", 1)
    limited = Quota(tmp_path / "storage", 5 * MIB)
    limited.check("anna")
    for name in "abc":
        (tmp_path / "storage/users/boris").mkdir(parents=True, exist_ok=True)
        (tmp_path / "storage/users/boris" / name).touch()
    limited.check("boris")
    fill("carla", 1)
    for name in "abc":
        (tmp_path / "storage/users/carla" / name).touch()
    with pytest.raises(QuotaReached) as refusal:
        limited.check("carla")
    assert "your files cannot be measured, needs no more than 500,000" in str(refusal.value)


def test_measurement_cut_short_counts_no_less_than_the_one_before(tmp_path, fill, monkeypatch):
    moment = 100.0
    monkeypatch.setattr(quota.time, "monotonic", lambda: moment)
    fill("anna", 6)
    limited = Quota(tmp_path / "storage", 5 * MIB)
    with pytest.raises(QuotaReached):
        limited.check("anna")
    moment += 61
    monkeypatch.setattr(quota, "_LOOK_SECONDS", -1.0)
    with pytest.raises(QuotaReached):
        limited.check("anna")
