import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest
from sqlalchemy.exc import OperationalError

from wps_processes.jobs import ATTEMPTS, Job, Ledger, to_request
from wps_processes.runners import Dispatcher, ProcessRunner

EXTRACT = {"scene": "shared/scene.tif", "labels": "home/labels.gpkg"}


def job(user="anna", **values):
    given = {"user": user, "folder": user, "groups": [], "administrator": False,
             "operation": "extract-samples", "inputs": EXTRACT, "request": "{}"}  # fmt: skip
    return Job(**(given | values))


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "jobs.sqlite")


def test_a_job_is_found_by_another_process(ledger, tmp_path):
    accepted = job()
    ledger.add(accepted)
    code = (
        "import sys; from pathlib import Path; from wps_processes.jobs import Ledger;"
        "print(Ledger(Path(sys.argv[1])).get(sys.argv[2]).state)"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "jobs.sqlite"), accepted.id]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout == "accepted\n"


def test_first_come_first_served_within_a_user_fair_between_users(ledger):
    many = [job("anna") for _ in range(5)]
    for each in many:
        ledger.add(each)
    late = job("boris")
    ledger.add(late)
    assert [ledger.position(each) for each in many] == [1, 2, 3, 4, 5]
    claimed = [ledger.claim() for _ in range(4)]
    assert [each.id for each in claimed] == [many[0].id, late.id, many[1].id, many[2].id]


def test_a_job_is_claimed_once(ledger):
    ids = set()
    for _ in range(30):
        each = job()
        ids.add(each.id)
        ledger.add(each)
    claimed, lock = [], threading.Lock()

    def claim_all():
        while (each := ledger.claim()) is not None:
            with lock:
                claimed.append(each.id)

    threads = [threading.Thread(target=claim_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(set(claimed)) == 30
    assert set(claimed) == ids


def test_what_is_over_does_not_change(ledger):
    each = job()
    ledger.add(each)
    assert ledger.dismiss(each.id)
    assert not ledger.dismiss(each.id)
    assert not ledger.succeed(each.id, {})
    assert not ledger.fail(each.id, "late")
    assert ledger.get(each.id).state == "dismissed"


def test_a_service_that_died_takes_its_jobs_up_again(start, ledger):
    each = job()
    ledger.add(each)
    ledger.claim()
    leftover = subprocess.Popen(["sleep", "600"], start_new_session=True)
    ledger.started(each.id, leftover.pid, psutil.Process(leftover.pid).create_time())
    wps = start()
    over = wps.dispatcher.wait(each.id, 60)
    assert (over.state, over.attempt) == ("successful", 2)
    assert leftover.wait(10) == -signal.SIGKILL


def test_a_process_that_only_has_the_number_is_left_alone(start, ledger):
    each = job()
    ledger.add(each)
    ledger.claim()
    other = subprocess.Popen(["sleep", "600"], start_new_session=True)
    ledger.started(each.id, other.pid, 12345.0)
    start()
    assert other.poll() is None
    other.kill()
    other.wait()


def test_a_job_that_dies_with_every_service_is_given_up(ledger):
    each = job()
    ledger.add(each)
    for _ in range(ATTEMPTS):
        ledger.requeue(ledger.claim())
    assert ledger.get(each.id).state == "failed"
    assert "stopped 3 times" in ledger.get(each.id).error


class Killed(ProcessRunner):
    """Kills each job's process as soon as there is one."""

    def __init__(self, root, number):
        super().__init__(root)
        self._number = number

    def run(self, job, ledger):
        noted = ledger.started

        def kill(job_id, pid, process_started):
            noted(job_id, pid, process_started)
            os.kill(pid, self._number)

        ledger.started = kill
        super().run(job, ledger)


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGKILL, "memory was full"), (signal.SIGSEGV, "crashed with signal SIGSEGV")],
)
def test_a_killed_job_fails_alone_and_in_words(start, tmp_path, number, words):
    wps = start(runner=Killed(tmp_path / "storage", number))
    answer = wps.execute("extract-samples", **EXTRACT)
    assert words in answer.get_data(as_text=True)
    assert [each["state"] for each in wps.jobs()] == ["failed"]
    assert wps.get(service="WPS", request="GetCapabilities").status_code == 200


class Slow(ProcessRunner):
    """Says when a job's process runs, and holds it until it is killed."""

    def __init__(self, root):
        super().__init__(root)
        self.began = threading.Event()

    def run(self, job, ledger):
        noted = ledger.started

        def hold(job_id, pid, process_started):
            os.kill(pid, signal.SIGSTOP)
            noted(job_id, pid, process_started)
            self.began.set()

        ledger.started = hold
        super().run(job, ledger)


def test_dismissing_a_running_job_kills_its_process(start, tmp_path):
    runner = Slow(tmp_path / "storage")
    wps = start(runner=runner)
    wps.execute("extract-samples", asynchronous=True, **EXTRACT)
    assert runner.began.wait(30)
    (running,) = wps.ledger.running()
    process = psutil.Process(running.pid)
    header = {"Authorization": "token anna"}
    answer = wps.client.delete(f"/services/wps/jobs/{running.id}", headers=header)
    assert (answer.status_code, answer.get_json()["state"]) == (200, "dismissed")
    assert psutil.wait_procs([process], timeout=10)[1] == []
    again = wps.client.delete(f"/services/wps/jobs/{running.id}", headers=header)
    assert again.status_code == 409
    assert not (wps.root / f"users/anna/jobs/{running.id}/samples").exists()


def test_stopping_the_service_leaves_jobs_for_the_next_start(start, tmp_path):
    runner = Slow(tmp_path / "storage")
    wps = start(runner=runner)
    wps.execute("extract-samples", asynchronous=True, **EXTRACT)
    assert runner.began.wait(30)
    (running,) = wps.ledger.running()
    wps.dispatcher.stop()
    psutil.wait_procs([p for p in psutil.process_iter() if p.pid == running.pid], timeout=10)
    assert wps.ledger.get(running.id).state == "running"
    second = Dispatcher(Ledger(tmp_path / "jobs.sqlite"), ProcessRunner(tmp_path / "storage"), 1)
    second.start()
    try:
        assert second.wait(running.id, 60).state == "successful"
    finally:
        second.stop()


def test_a_service_with_no_free_processor_stops_at_once(start, tmp_path):
    runner = Slow(tmp_path / "storage")
    wps = start(runner=runner, at_once=1)
    wps.execute("extract-samples", asynchronous=True, **EXTRACT)
    assert runner.began.wait(30)
    stopping = threading.Thread(target=wps.dispatcher.stop, daemon=True)
    stopping.start()
    stopping.join(10)
    stopped = not stopping.is_alive()
    runner.stop_all()  # else a failure here would hang the fixture too
    assert stopped


class Broken(ProcessRunner):
    """Has a fault of its own with the first job."""

    def __init__(self, root):
        super().__init__(root)
        self._broken = True

    def run(self, job, ledger):
        if self._broken:
            self._broken = False
            raise RuntimeError("a fault of the service")
        super().run(job, ledger)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_the_runner_leaves_no_job_running_for_ever(start, tmp_path):
    wps = start(runner=Broken(tmp_path / "storage"), at_once=1)
    answer = wps.execute("extract-samples", **EXTRACT)
    assert "by our fault" in answer.get_data(as_text=True)
    wps.execute("extract-samples", **EXTRACT)
    assert [each["state"] for each in wps.jobs()] == ["successful", "failed"]


def test_a_ledger_that_fails_once_does_not_end_the_dispatcher(start, monkeypatch):
    monkeypatch.setattr("wps_processes.runners.IDLE_SECONDS", 0.1)
    wps = start(running=False)
    claim, failures = wps.ledger.claim, [OperationalError("", {}, OSError("disk is full"))]
    wps.ledger.claim = lambda: claim() if not failures else throw(failures.pop())
    wps.dispatcher.start()
    try:
        answer = wps.execute("extract-samples", **EXTRACT)
    finally:
        wps.dispatcher.stop()
    assert not failures
    assert b"ProcessSucceeded" in answer.data


def throw(error):
    raise error


def test_a_job_ends_when_its_service_is_gone(start, tmp_path):
    wps = start(running=False)
    process = subprocess.Popen(
        [sys.executable, "-m", "wps_processes.job"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    # it finds its orders, and behind them that nobody listens any more
    said, _ = process.communicate(to_request(job(), wps.root) + "\n", timeout=60)
    assert process.returncode == 1
    assert "outputs" not in said


def test_a_job_sees_none_of_the_services_secrets(start, monkeypatch, tmp_path):
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "secret")
    runner = Slow(tmp_path / "storage")
    wps = start(runner=runner)
    wps.execute("extract-samples", asynchronous=True, **EXTRACT)
    assert runner.began.wait(30)
    (running,) = wps.ledger.running()
    process = psutil.Process(running.pid)
    seen = process.environ()
    assert "JUPYTERHUB_API_TOKEN" not in seen
    assert "secret" not in " ".join(process.cmdline())
    wps.dispatcher.dismiss(running.id, "enough")


def test_a_failed_job_leaves_its_log_and_no_half_file(ledger, tmp_path):
    failing = job()
    folder = tmp_path / "storage/users/anna/jobs" / failing.id
    (folder / ".0123abcd-samples").mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / ".4567abcd-samples").symlink_to(elsewhere)
    for name in (".map.tif.tiles", ".0123abcd-map.tif", ".hidden", "notes.txt"):
        (folder / name).write_text("x")
    ledger.add(failing)
    ProcessRunner(tmp_path / "storage").run(ledger.claim(), ledger)
    assert ledger.get(failing.id).state == "failed"
    assert {path.name for path in folder.iterdir()} == {"job.log", ".hidden", "notes.txt"}
    assert elsewhere.is_dir()
