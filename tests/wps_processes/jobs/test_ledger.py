import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress

import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from benchmarks.served import DEADLINE, until
from wps_processes.errors import Busy
from wps_processes.jobs.dispatcher import Dispatcher
from wps_processes.jobs.ledger import ATTEMPTS, Job, Limits, Sought
from wps_processes.runners.forkserver import PROGRAM, ForkServer
from wps_processes.runners.local import ProcessRunner

EXTRACT = {"scene": "shared/scene.tif", "labels": "home/labels.gpkg"}


def job(user="anna", **values):
    given = {"user": user, "folder": user, "groups": [], "administrator": False,
             "operation": "extract-samples", "inputs": EXTRACT, "request": "{}"}  # fmt: skip
    return Job(**(given | values))


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def place(request, tmp_path):
    """Where the ledger lies: every test is for both."""
    if request.param == "SQLite":
        return tmp_path / "jobs.sqlite"
    return request.getfixturevalue("postgresql").database()


@pytest.fixture
def ledger(opened):
    return opened()


def test_a_job_is_found_by_another_process(ledger, place):
    accepted = job()
    ledger.add(accepted)
    code = (
        "import sys; from wps_processes.jobs.ledger import Ledger;"
        "print(Ledger(sys.argv[1]).get(sys.argv[2]).state)"
    )
    url = place if isinstance(place, str) else f"sqlite:///{place}"
    arguments = [sys.executable, "-c", code, url, accepted.id]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout == "accepted\n"


def at(minute, second=0.0):
    return f"2026-11-30T12:{minute:02}:{second:09.6f}Z"


def test_jobs_are_found_by_state_operation_time_and_how_long_they_took(ledger):
    done = {"state": "successful", "started": at(0), "finished": at(1, 30.5)}
    jobs = {
        "echo": job(operation="echo", created=at(0), **done),
        "long": job(created=at(1), **done | {"finished": at(50)}),
        "waits": job(created=at(2)),
        "runs": job(created=at(3), state="running", started=at(0)),
        "others": job("boris", created=at(4), **done),
    }
    for each in jobs.values():
        ledger.add(each)

    def found(limit=100, offset=0, **sought):
        ids = {each.id: name for name, each in jobs.items()}
        return [ids[each.id] for each in ledger.found("anna", Sought(**sought), limit, offset)]

    assert found() == ["runs", "waits", "long", "echo"]
    assert found(1, 1) == ["waits"]
    assert found(states=("accepted", "running")) == ["runs", "waits"]
    assert found(operations=("echo", "nothing")) == ["echo"]
    assert found(since=at(1), until=at(2)) == ["waits", "long"]
    assert found(least=90.4, most=90.6) == ["echo"]
    assert found(least=91) == ["runs", "long"]  # one that runs computes until now
    assert found(most=2_999, states=("successful",)) == ["echo"]
    assert found(least=0, limit=1) == ["runs"]


def test_first_come_first_served_within_a_user_fair_between_users(ledger):
    many = [job("anna") for _ in range(5)]
    for each in many:
        ledger.add(each)
    late = job("boris")
    ledger.add(late)
    assert [ledger.position(each) for each in (*many, late)] == [1, 3, 4, 5, 6, 2]
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
    assert not ledger.succeed(each, {})
    assert not ledger.fail(each, "late")
    assert ledger.get(each.id).state == "dismissed"


def test_who_lost_a_job_changes_nothing_of_it(ledger, opened):
    ledger.add(job())
    lost = ledger.claim()
    abandoned = opened().unclean()
    assert [each.id for each in abandoned] == [lost.id]
    takers = [opened(), opened()]
    taken = [taker.take_over(abandoned[0]) for taker in takers]
    assert taken[0].holder == takers[0].holder
    assert taken[1] is None
    assert not ledger.holds(lost)
    assert not ledger.started(lost, 1, 1.0)
    assert not ledger.progress(lost, 50, "late")
    assert not ledger.succeed(lost, {})
    assert not ledger.fail(lost, "late")
    assert not ledger.requeue(lost)
    assert not ledger.mark_clean(lost)
    assert ledger.get(lost.id) == taken[0]
    assert takers[0].requeue(taken[0])
    again = ledger.claim()  # the same service, but another attempt
    assert not ledger.succeed(lost, {})
    assert ledger.succeed(again, {})


def test_a_service_that_died_takes_its_jobs_up_again(start, ledger):
    ledger.add(job())
    each = ledger.claim()
    leftover = subprocess.Popen(["sleep", "600"], start_new_session=True)
    ledger.started(each, leftover.pid, psutil.Process(leftover.pid).create_time())
    wps = start()
    over = wps.dispatcher.wait(each.id, DEADLINE)
    assert (over.state, over.attempt) == ("successful", 2)
    assert leftover.wait(DEADLINE) is not None


def test_a_process_that_only_has_the_number_is_left_alone(start, ledger):
    ledger.add(job())
    each = ledger.claim()
    other = subprocess.Popen(["sleep", "600"], start_new_session=True)
    ledger.started(each, other.pid, 12345.0)
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
    assert "lost the process of this job 3 times" in ledger.get(each.id).error


class Killed(ProcessRunner):
    """Kills each job's process as soon as there is one."""

    number: int

    def run(self, job, ledger):
        noted = ledger.started

        def kill(job, pid, process_started):
            noted(job, pid, process_started)
            os.kill(pid, self.number)

        ledger.started = kill
        return super().run(job, ledger)


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGKILL, "memory was full"), (signal.SIGSEGV, "crashed with signal SIGSEGV")],
)
def test_a_killed_job_fails_alone_and_in_words(start, number, words):
    wps = start(runner=type("KilledSo", (Killed,), {"number": number}))
    answer = wps.execute("extract-samples", **EXTRACT)
    assert words in answer.get_data(as_text=True)
    assert [each["state"] for each in wps.jobs()] == ["failed"]
    assert wps.get(service="WPS", request="GetCapabilities").status_code == 200


class Slow(ProcessRunner):
    """Says when a job's process runs, and holds it until it is killed."""

    def __init__(self, root, forks):
        super().__init__(root, forks)
        self.began = threading.Event()

    def run(self, job, ledger):
        noted = ledger.started

        def hold(job, pid, process_started):
            os.kill(pid, signal.SIGSTOP)
            noted(job, pid, process_started)
            self.began.set()

        ledger.started = hold
        return super().run(job, ledger)


def test_dismissing_a_running_job_kills_its_process(start):
    wps = start(runner=Slow)
    wps.execute("extract-samples", asynchronous=True, **EXTRACT)
    assert wps.runner.began.wait(DEADLINE)
    (running,) = wps.ledger.of_user("anna", state="running")
    process = psutil.Process(running.pid)
    header = {"Authorization": "token anna"}
    answer = wps.client.delete(f"/services/wps/jobs/{running.id}", headers=header)
    assert (answer.status_code, answer.get_json()["state"]) == (200, "dismissed")
    assert psutil.wait_procs([process], timeout=DEADLINE)[1] == []
    again = wps.client.delete(f"/services/wps/jobs/{running.id}", headers=header)
    assert again.status_code == 409
    assert not (wps.root / f"users/anna/jobs/{running.id}/samples").exists()


def test_stopping_the_service_leaves_jobs_for_the_next_start(start, opened, forks):
    wps = start(runner=Slow)
    wps.execute("extract-samples", asynchronous=True, **EXTRACT)
    assert wps.runner.began.wait(DEADLINE)
    (running,) = wps.ledger.of_user("anna", state="running")
    process = psutil.Process(running.pid)
    wps.dispatcher.stop()
    assert psutil.wait_procs([process], timeout=DEADLINE)[1] == []
    assert wps.ledger.get(running.id).state == "running"
    second = Dispatcher(opened(), ProcessRunner(wps.root, forks), 1)
    second.start()
    try:
        assert second.wait(running.id, DEADLINE).state == "successful"
    finally:
        second.stop()


def test_a_service_with_no_free_processor_stops_at_once(start):
    wps = start(runner=Slow, at_once=1)
    wps.execute("extract-samples", asynchronous=True, **EXTRACT)
    assert wps.runner.began.wait(DEADLINE)
    stopping = threading.Thread(target=wps.dispatcher.stop, daemon=True)
    stopping.start()
    stopping.join(DEADLINE)
    stopped = not stopping.is_alive()
    wps.runner.stop_all()  # else a failure here would hang the fixture too
    assert stopped


def test_one_user_does_not_hold_all_processors(start):
    wps = start(runner=Slow, at_once=3)

    def running(user):
        return len(wps.ledger.of_user(user, state="running"))

    for _ in range(4):
        wps.dispatcher.submit(job())
    until(lambda: running("anna") == 2)
    wps.dispatcher.submit(job("boris"))
    until(lambda: running("boris") == 1)
    assert running("anna") == 2


def test_a_users_job_waits_for_another_of_its_own_while_others_are_served(ledger):
    for user in ("anna", "anna", "boris"):
        ledger.add(job(user))
    ledger.join(most_of_user=1)
    assert [ledger.claim().user for _ in range(2)] == ["anna", "boris"]
    assert ledger.claim() is None
    ledger.join(most_of_user=2)
    assert ledger.claim().user == "anna"


class Broken(ProcessRunner):
    """Has a fault of its own with the first job."""

    def __init__(self, root, forks):
        super().__init__(root, forks)
        self._broken = True

    def run(self, job, ledger):
        if self._broken:
            self._broken = False
            raise RuntimeError("a fault of the service")
        return super().run(job, ledger)


def test_a_fault_of_the_runner_leaves_no_job_running_for_ever(start):
    wps = start(runner=Broken, at_once=1)
    answer = wps.execute("extract-samples", **EXTRACT)
    assert "by our fault" in answer.get_data(as_text=True)
    wps.execute("extract-samples", **EXTRACT)
    assert [each["state"] for each in wps.jobs()] == ["successful", "failed"]


def test_a_ledger_that_fails_once_does_not_end_the_dispatcher(start, monkeypatch):
    monkeypatch.setattr("wps_processes.jobs.dispatcher.IDLE_SECONDS", 0.1)
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


def test_a_job_sees_none_of_the_services_secrets(start):
    wps = start(runner=Slow)
    wps.execute("extract-samples", asynchronous=True, **EXTRACT)
    assert wps.runner.began.wait(DEADLINE)
    (running,) = wps.ledger.of_user("anna", state="running")
    process = psutil.Process(running.pid)
    seen = process.environ()
    assert {"JUPYTERHUB_API_TOKEN", "GEOPORTAL_LEDGER"}.isdisjoint(seen)
    assert "secret" not in " ".join(process.cmdline())
    wps.dispatcher.dismiss(running.id, "enough")


def test_a_failed_job_leaves_its_log_and_no_half_file(start, tmp_path):
    wps = start(running=False)
    failing = job(inputs=EXTRACT | {"class_field": "none"})
    folder = wps.root / "users/anna/jobs" / failing.id
    (folder / ".0123abcd-samples").mkdir(parents=True)
    (folder / "samples").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / ".4567abcd-samples").symlink_to(elsewhere)
    records = ("run.json", "run.extract-samples.json")
    hidden = (".map.tif.tiles", ".0123abcd-map.tif", ".hidden")
    for name in (*hidden, "notes.txt", "counts.csv", *records):
        (folder / name).write_text("x")
    wps.dispatcher.start()
    wps.dispatcher.submit(failing)
    assert wps.dispatcher.wait(failing.id, DEADLINE).state == "failed"
    wps.dispatcher.stop()
    assert {path.name for path in folder.iterdir()} == {"job.log", ".hidden", "notes.txt"}
    assert elsewhere.is_dir()


def test_one_users_five_hundred_jobs_do_not_hold_up_anothers_first(ledger):
    for _ in range(500):
        ledger.add(job("anna"))
    ledger.claim()
    first, second = job("boris"), job("boris")
    ledger.add(first)
    ledger.add(second)
    assert (ledger.position(first), ledger.position(second)) == (1, 3)
    served = []
    for _ in range(4):  # on one processor: each is over before the next is taken
        claimed = ledger.claim()
        served.append(claimed.user)
        ledger.succeed(claimed, {})
    assert served[0] == "boris"
    assert served.count("boris") == 2


def test_users_take_turns_even_on_one_processor(ledger):
    for user in ("anna", "anna", "anna", "boris", "boris", "clara"):
        ledger.add(job(user))
    served = []
    while (claimed := ledger.claim()) is not None:
        served.append(claimed.user)
        ledger.succeed(claimed, {})
    assert served == ["anna", "boris", "clara", "anna", "boris", "anna"]


def test_limits_are_kept_and_named(ledger):
    limits = Limits(per_user=2, in_total=3)
    over = job("anna", state="failed")
    ledger.add(over, limits)
    for user in ("anna", "anna", "boris"):
        ledger.add(job(user), limits)
    with pytest.raises(Busy, match="2 of your jobs"):
        ledger.add(job("anna"), limits)
    with pytest.raises(Busy, match="3 jobs are waiting"):
        ledger.add(job("clara"), limits)
    assert len(ledger.of_everybody()) == 4


def test_the_last_place_is_given_once(ledger):
    taken, lock = [], threading.Lock()

    def add():
        try:
            ledger.add(job(), Limits(per_user=5))
        except Busy:
            return
        with lock:
            taken.append(1)

    threads = [threading.Thread(target=add) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 5


def test_a_paused_queue_keeps_its_jobs_also_over_a_restart(ledger, opened):
    ledger.add(job())
    ledger.pause()
    ledger.pause()
    again = opened()
    assert again.is_paused
    assert again.claim() is None
    again.resume()
    assert ledger.claim() is not None


def test_what_was_over_long_ago_is_forgotten_and_its_files_stay(start):
    wps = start()
    wps.execute("extract-samples", **EXTRACT)
    (recent,) = wps.ledger.of_user("anna")
    old = job(state="successful", finished="2020-01-01T00:00:00.000000Z")
    waiting = job("boris", created="2020-01-01T00:00:00.000000Z")
    for each in (old, waiting):
        wps.ledger.add(each)
    assert wps.ledger.forget("2020-06-01T00:00:00.000000Z") == 1
    assert wps.ledger.get(old.id) is None
    assert wps.ledger.get(waiting.id) is not None
    assert wps.ledger.forget(recent.finished + "Z") == 1
    assert (wps.root / "users/anna/jobs" / recent.id / "counts.csv").exists()


def test_a_job_for_which_no_process_can_be_started_is_tried_again(start, monkeypatch, tmp_path):
    monkeypatch.setattr("wps_processes.runners.local._SECONDS_TO_RECOVER", 0)
    deaths = tmp_path / "deaths"
    deaths.mkdir()
    for number in range(2):  # so often a fork server is tried for one attempt
        (deaths / str(number)).touch()
    dying = f'for each in {deaths}/*; do [ -e "$each" ] && rm "$each" && exit 1; done; exec "$@"'
    forks = ForkServer(os.environ, ("sh", "-c", dying, "sh", *PROGRAM))
    try:
        wps = start(runner=lambda root, _: ProcessRunner(root, forks))
        wps.execute("extract-samples", asynchronous=True, **EXTRACT)
        (job,) = wps.ledger.of_user("anna")
        over = wps.dispatcher.wait(job.id, DEADLINE)
        assert (over.state, over.attempt) == ("successful", 2)
    finally:
        forks.close()


def test_jobs_go_on_after_the_fork_server_was_killed(start):
    wps = start(runner=Slow)
    wps.execute("extract-samples", asynchronous=True, **EXTRACT)
    assert wps.runner.began.wait(DEADLINE)
    (running,) = wps.ledger.of_user("anna", state="running")
    process = psutil.Process(running.pid)
    wps.runner.began.clear()
    os.kill(process.ppid(), signal.SIGKILL)
    assert wps.runner.began.wait(DEADLINE)  # the kernel killed the job too, and it began again
    (again,) = wps.ledger.of_user("anna", state="running")
    assert (again.id, again.attempt) == (running.id, 2)
    assert psutil.wait_procs([process], timeout=DEADLINE)[1] == []
    assert wps.dispatcher.dismiss(again.id, "enough")


def test_a_job_dismissed_before_its_second_attempt_leaves_no_half_output(start, ledger, tmp_path):
    waiting = job()
    ledger.add(waiting)
    ledger.requeue(ledger.claim())
    wps = start(running=False)
    folder = tmp_path / "storage/users/anna/jobs" / waiting.id
    (folder / ".map.tif.tiles").mkdir(parents=True)
    (folder / "samples").mkdir()
    (folder / "job.log").write_text("x")
    assert wps.dispatcher.dismiss(waiting.id, "enough")
    until(lambda: [path.name for path in folder.iterdir()] == ["job.log"])


def test_a_second_attempt_removes_the_drafts_of_the_first(start, ledger, tmp_path):
    ledger.add(again := job())
    ledger.requeue(ledger.claim())
    folder = tmp_path / "storage/users/anna/jobs" / again.id
    (folder / ".0123abcd-temporary").mkdir(parents=True)
    (folder / ".map.tif.tiles").touch()
    wps = start()
    assert wps.dispatcher.wait(again.id, DEADLINE).state == "successful"
    left = {path.name for path in folder.iterdir()}
    records = {"run.json", "run.extract-samples.json"}
    assert left == {"job.log", "samples", "counts.csv", ".map.tif.tiles"} | records


def test_what_a_service_could_not_tidy_is_tidied_at_the_next_start(start, ledger, tmp_path):
    ledger.add(job())
    dismissed = ledger.claim()
    leftover = subprocess.Popen(["sleep", "600"], start_new_session=True)
    ledger.started(dismissed, leftover.pid, psutil.Process(leftover.pid).create_time())
    ledger.dismiss(dismissed.id)
    folder = tmp_path / "storage/users/anna/jobs" / dismissed.id
    (folder / "samples").mkdir(parents=True)
    start()
    assert leftover.wait(DEADLINE) is not None
    assert list(folder.iterdir()) == []
    assert ledger.get(dismissed.id).pid is None
    assert ledger.unclean() == []


def test_a_full_disk_at_a_jobs_end_delays_its_end(start, monkeypatch):
    monkeypatch.setattr("wps_processes.jobs.dispatcher.IDLE_SECONDS", 0.1)
    wps = start(running=False)
    succeed, fail = wps.ledger.succeed, wps.ledger.fail
    failures = [OperationalError("", {}, OSError("disk is full")) for _ in range(3)]
    for name, real in (("succeed", succeed), ("fail", fail)):
        setattr(
            wps.ledger, name,
            lambda *given, real=real: real(*given) if not failures else throw(failures.pop()),
        )  # fmt: skip
    wps.dispatcher.start()
    try:
        wps.execute("extract-samples", **EXTRACT)
    finally:
        wps.dispatcher.stop()
    (over,) = wps.ledger.of_user("anna")
    assert not failures
    assert over.state == "successful"


def test_a_sentence_that_is_no_text_is_kept_as_far_as_it_goes(ledger):
    ledger.add(job())
    running = ledger.claim()
    assert ledger.progress(running, 5, "half \0")
    assert ledger.fail(running, "no \ud800 text \0")
    assert ledger.get(running.id).error == "no ? text ?"


def test_remarks_are_those_of_one_attempt(ledger):
    ledger.add(job())
    first = ledger.claim()
    assert first.remarks == []
    assert ledger.remark(first, ["one"])
    assert ledger.remark(first, ["one", "two"])
    assert ledger.get(first.id).remarks == ["one", "two"]
    ledger.requeue(first)
    assert ledger.get(first.id).remarks == []
    assert not ledger.remark(first, ["late"])
    again = ledger.claim()
    ledger.remark(again, ["three"])
    assert ledger.succeed(again, {})
    assert ledger.get(again.id).remarks == ["three"]
    assert not ledger.remark(again, ["late"])


def test_an_end_brings_the_remarks_that_could_not_be_written_before(ledger):
    for end in (lambda each: ledger.succeed(each, {}, ["one"]),
                lambda each: ledger.fail(each, "bad", ["one"])):  # fmt: skip
        ledger.add(job())
        claimed = ledger.claim()
        assert end(claimed)
        assert ledger.get(claimed.id).remarks == ["one"]


def test_a_ledger_from_before_there_were_remarks_gains_them(opened):
    before = opened()
    before.add(job())
    with before._engine.begin() as connection:
        connection.execute(text("ALTER TABLE jobs DROP COLUMN remarks"))
    before.close()
    after = opened()
    claimed = after.claim()
    assert claimed.remarks == []
    assert after.remark(claimed, ["one"])
    assert after.get(claimed.id).remarks == ["one"]


NONSENSE = [
    b"no json\n", b"[1]\n", b'{"progress": "much", "message": "x"}\n', b"[" * 100_000 + b"\n",
    b'{"outputs": {"x": ["y"]}}\n', b"x" * (2 << 20), b'{"remarks": [1]}\n',
]  # fmt: skip


class Turned:
    """A fork server; what it forks says what a crafted file has made it say."""

    def __init__(self, forks, said):
        self._forks, self._said = forks, said

    def fork(self, log):
        forked = self._forks.fork(log)
        forked.conversation.close()
        forked.conversation, theirs = socket.socketpair()
        threading.Thread(target=self._say, args=(theirs,)).start()
        return forked

    def _say(self, theirs):
        with theirs, suppress(OSError):
            theirs.sendall(self._said)


@pytest.mark.parametrize("said", NONSENSE, ids=range(len(NONSENSE)))
def test_a_job_that_talks_nonsense_fails_alone(start, said):
    wps = start(runner=lambda root, forks: ProcessRunner(root, Turned(forks, said)))
    answer = wps.execute("extract-samples", **EXTRACT)
    assert "without a result" in answer.get_data(as_text=True)
    assert [each["state"] for each in wps.jobs()] == ["failed"]


def test_outputs_that_are_no_text_are_shown_as_far_as_they_go(start):
    outputs = {"samples": "half \ud800", "counts": "\0", "total": 1, "\udfff": "x"}
    said = json.dumps({"outputs": outputs}).encode() + b"\n"
    wps = start(runner=lambda root, forks: ProcessRunner(root, Turned(forks, said)))
    wps.execute("extract-samples", asynchronous=True, **EXTRACT)
    over = wps.dispatcher.wait(wps.jobs()[0]["id"], DEADLINE)
    assert over.outputs == {"samples": "half ?", "counts": "?", "total": 1, "?": "x"}
    assert wps.jobs()[0]["outputs"]["samples"]["value"] == "half ?"
    assert wps.get(f"status/{over.id}.xml").status_code == 200
    wps.client.set_cookie("session", "anna")
    page = wps.client.get(f"/services/wps/jobs/{over.id}.html", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert "half ?" in page.get_data(as_text=True)
