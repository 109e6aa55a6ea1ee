"""The log of what the hub starts."""

import subprocess
import sys

from benchmarks.served import until
from hub.local.logs import bounded_log


def test_a_log_that_is_written_for_ever_stays_bounded(tmp_path):
    log = tmp_path / "hub.log"
    log.write_text("the start before\n")
    endless = "while True: print('the same again' * 100, flush=True)"
    with bounded_log(log, most=100_000) as file:
        assert (tmp_path / "hub.log.1").read_text() == "the start before\n"
        writer = subprocess.Popen([sys.executable, "-c", endless], stdout=file)
        try:
            until(lambda: "again" in (tmp_path / "hub.log.1").read_text())
        finally:
            writer.kill()
            writer.wait()
        until(lambda: log.stat().st_size <= 100_000)
    assert (tmp_path / "hub.log.1").stat().st_size <= 100_000
    assert b"\0" not in log.read_bytes()  # the writer goes on where the log ends
