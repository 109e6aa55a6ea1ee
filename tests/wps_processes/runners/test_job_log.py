"""What a job prints reaches its log, bounded, whatever becomes of the log."""

import os
from threading import Thread

import pytest

from wps_processes.runners.job_log import FIRST, LAST, keep, kept, kept_by_a_process

LINE = b"warned of this block once more\n"


def kept_of(printed, tmp_path, **how):
    """Return what a log keeps of what is printed."""
    source, sink = os.pipe()
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    keeper = Thread(target=keep, args=(source, log), kwargs=how)
    keeper.start()
    with os.fdopen(sink, "wb") as file:
        file.write(printed)
    keeper.join()
    os.close(source)
    os.close(log)
    return (tmp_path / "log").read_bytes()


@pytest.mark.parametrize("size", [0, 5, 10, 14, 15])
def test_what_fits_is_kept_as_it_is(tmp_path, size):
    printed = bytes(range(65, 65 + size))
    assert kept_of(printed, tmp_path, first=10, last=5) == printed


def test_of_more_the_beginning_and_the_end_are_kept(tmp_path):
    printed = b"began " + b"x" * 1_000_000 + b" ended"
    log = kept_of(printed, tmp_path, first=6, last=6)
    left_out = len(printed) - 12
    assert log == b"began \n... %d bytes are left out here ...\n ended" % left_out


def test_what_cannot_be_written_holds_up_nobody():
    with open("/dev/full", "wb", buffering=0) as full, kept(full.fileno()) as sink:  # noqa: PTH123
        assert sum(os.write(sink, LINE) for _ in range(10_000)) == 10_000 * len(LINE)


def test_a_process_keeps_the_log_of_a_pod(tmp_path):
    with (tmp_path / "log").open("ab") as log:
        sink, keeper = kept_by_a_process(log.fileno())
    with os.fdopen(sink, "wb") as file:
        for _ in range((FIRST + 3 * LAST) // len(LINE)):
            file.write(LINE)
    assert os.waitstatus_to_exitcode(os.waitpid(keeper, 0)[1]) == 0
    said = (tmp_path / "log").read_bytes()
    assert FIRST + LAST < len(said) < FIRST + LAST + 100
    assert said.count(b"are left out here") == 1
