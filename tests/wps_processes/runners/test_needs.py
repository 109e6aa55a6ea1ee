"""What one machine grants a job: its time, memory and GPUs, and how much it may print."""

import os
import re
from contextlib import contextmanager, suppress
from threading import Event

import psutil
import pytest

from benchmarks.served import DEADLINE
from landcover.operation import Needs
from tests.wps_processes.jobs.test_ledger import job
from wps_processes.runners.job_log import FIRST, LAST
from wps_processes.runners.memory import granted_mib, used_by_group
from wps_processes.runners.needs import MARGIN_MIB, needed_by


def ended(wps, identifier, **inputs):
    wps.execute(identifier, asynchronous=True, **inputs)
    return wps.dispatcher.wait(wps.jobs()[0]["id"], DEADLINE)


@pytest.mark.parametrize(("seconds", "longest"), [(1, None), (3_600, 1), (1, 3_600)])
def test_a_job_that_takes_longer_than_it_may_is_ended_and_leaves_nothing(made, seconds, longest):
    wps = made(longest_seconds=longest)
    over = ended(wps, "wait-for-ever", seconds=seconds)
    assert over.state == "failed"
    assert over.error == (
        "wait-for-ever was not over after 1 second, the longest that it may compute here, and "
        "was ended: give it less to do, or ask an administrator"
    )
    folder = wps.root / f"users/anna/jobs/{over.id}"
    assert [path.name for path in folder.iterdir()] == ["job.log"]
    assert wps.ledger.get(over.id).pid is None
    assert ended(wps, "make-remarks").state == "successful"  # its processor is free again


class Dripping:
    """Fetches from a Nextcloud that never comes to an end."""

    def __init__(self, root):
        self._drop = Event()

    @contextmanager
    def fetched(self, job, ledger, is_over):
        while not is_over(job, ledger):
            self._drop.wait(0.01)
        yield {}


def test_a_job_whose_files_come_drop_by_drop_is_ended_too(made):
    over = ended(made(fetcher=Dripping, longest_seconds=1), "make-remarks")
    assert (over.state, over.error.split(",")[0]) == (
        "failed", "make-remarks was not over after 1 second"
    )  # fmt: skip


def test_a_setting_only_lowers_the_time_of_a_job(made):
    made()
    each = job(operation="wait-for-ever", inputs={"seconds": 60})
    assert needed_by(each).seconds == 60
    assert needed_by(each, 30).seconds == 30
    assert needed_by(each, 90).seconds == 60


@pytest.mark.parametrize(("gpus", "devices"), [(0, ""), (1, "2,5")])
def test_a_job_that_needs_no_gpu_sees_none(made, made_forks, monkeypatch, gpus, devices):
    monkeypatch.setitem(made_forks._environment, "CUDA_VISIBLE_DEVICES", "2,5")
    made_forks.close()  # it starts again when it is needed
    wps = made(has_gpus=True)
    assert ended(wps, "look-for-gpus", gpus=gpus).outputs == {"devices": devices}
    made_forks.close()


def test_a_job_that_takes_more_memory_than_it_may_is_ended_and_leaves_nothing(made):
    wps = made()
    over = ended(wps, "take-memory", mib=1_200)
    assert over.state == "failed"
    used = re.fullmatch(
        r"the job needed more memory than the 576 MiB that it may take here, it had "
        r"(\d+) MiB: take a smaller part .*, or ask an administrator",
        over.error,
    )
    assert 576 < int(used[1]) < 1_200
    assert over.remarks == ["taking memory"]
    folder = wps.root / f"users/anna/jobs/{over.id}"
    assert [path.name for path in folder.iterdir()] == ["job.log"]
    assert ended(wps, "take-memory", mib=64).state == "successful"


def test_memory_that_is_refused_at_once_is_told_too(made):
    over = ended(made(), "take-memory", mib=9_000, at_once="true")
    assert over.error.startswith("the job needed more memory than the 576 MiB that it may take")
    assert "it asked for more and had" in over.error


def test_memory_of_all_processes_of_a_job_counts(made):
    over = ended(made(), "take-memory", mib=240, helpers=2)
    assert over.error.startswith("the job needed more memory than the 576 MiB that it may take")


def test_pages_that_processes_share_count_once():
    ours = os.getpgid(0)
    held = b"x" * (64 << 20)
    alone = used_by_group(ours)
    ready, wait = os.pipe(), os.pipe()
    forked = os.fork()
    if not forked:
        os.close(wait[1])
        os.write(ready[1], b"x")
        os.read(wait[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    try:
        assert used_by_group(ours) < alone + len(held) // 2
        assert used_by_group(ours, beyond=1 << 40) > alone + len(held) // 2  # by the faster way
    finally:
        for end in (*ready, *wait):
            os.close(end)
        os.waitpid(forked, 0)


def test_a_machine_with_less_memory_grants_no_more_than_it_has(monkeypatch, tmp_path):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr("wps_processes.runners.memory._CGROUP", limit)
    assert granted_mib(Needs(memory_mib=64)) == 64 + MARGIN_MIB
    limit.write_text(f"{256 << 20}\n")
    assert granted_mib(Needs(memory_mib=64)) == 256
    limit.write_text("max\n")
    assert granted_mib(Needs(memory_mib=64)) == 64 + MARGIN_MIB


def test_a_machine_with_more_memory_grants_a_job_its_share(monkeypatch, tmp_path):
    limit = tmp_path / "memory.max"
    limit.write_text(f"{2_000 << 20}\n")
    monkeypatch.setattr("wps_processes.runners.memory._CGROUP", limit)
    assert granted_mib(Needs(memory_mib=64), at_once=2) == 800
    assert granted_mib(Needs(memory_mib=64), at_once=20) == 64 + MARGIN_MIB
    assert granted_mib(Needs(memory_mib=4_000), at_once=1) == 2_000


def test_what_a_job_forked_does_not_outlive_it(made):
    over = ended(made(), "leave-somebody")
    with suppress(psutil.NoSuchProcess):
        psutil.Process(over.outputs["count"]).wait(DEADLINE)


def test_a_log_keeps_the_beginning_and_the_end_of_what_a_job_prints(made):
    wps = made()
    over = ended(wps, "print-much", mib=32)
    log = wps.root / f"users/anna/jobs/{over.id}/job.log"
    assert over.state == "successful"
    assert FIRST + LAST < log.stat().st_size < FIRST + LAST + 100
    lines = log.read_text().splitlines()
    assert "print-much" in lines[0]
    assert lines[-1].endswith(" done")
    assert sum("bytes are left out here" in line for line in lines) == 1
