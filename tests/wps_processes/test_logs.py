"""What the service logs when it has too much to say."""

import logging

import pytest

from wps_processes import logs


@pytest.fixture
def logger():
    """A logger, and the records that come through."""
    heard = []
    handler = logging.Handler()
    handler.emit = heard.append
    handler.addFilter(logs.RepetitionFilter())
    made = logging.Logger("made")
    made.addHandler(handler)
    return made, heard


def test_a_fault_that_repeats_itself_is_counted(logger, monkeypatch):
    made, heard = logger
    clock = [1000.0]
    monkeypatch.setattr("wps_processes.logs.time.monotonic", lambda: clock[0])
    for number in range(10_000):
        made.error("fault %s", number)
        clock[0] += 1e-3
    assert len(heard) == logs.MOST
    clock[0] += logs.SECONDS
    for _ in range(2):
        made.error("fault")  # another line of code
    assert len(heard) == logs.MOST + 2


def test_whoever_reads_the_log_learns_how_much_was_left_out(logger, monkeypatch):
    made, heard = logger
    clock = [1000.0]
    monkeypatch.setattr("wps_processes.logs.time.monotonic", lambda: clock[0])
    for number in range(logs.MOST + 6):
        clock[0] += logs.SECONDS if number == logs.MOST + 5 else 0
        made.warning("fault")
    assert heard[-1].left_out == 5


def test_the_acts_of_users_are_all_logged(logger):
    made, heard = logger
    for _ in range(1_000):
        made.info("job accepted")
    assert len(heard) == 1_000
