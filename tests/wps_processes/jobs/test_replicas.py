"""Several services that share the jobs of one PostgreSQL."""

import threading
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from benchmarks.served import DEADLINE, until
from tests.wps_processes.jobs.test_ledger import EXTRACT, Slow, job
from wps_processes.errors import Busy
from wps_processes.jobs.ledger import Limits, Outcome

SHORT = 1.2
LONG = 600.0


@pytest.fixture
def place(postgresql):
    """Where the ledger lies: in a database of its own."""
    return postgresql.database()


@pytest.fixture
def alter(postgresql, place):
    """A function that changes the database behind the services' backs."""
    name = place.split("@/")[1].split("?")[0]

    def execute(statement):
        with postgresql.connected(name) as connection:
            connection.execute(statement)

    return execute


def everywhere(ledgers, task, times):
    """Do something so many times at each ledger, all at once; return what came of it."""
    with ThreadPoolExecutor(times * len(ledgers)) as threads:
        return list(threads.map(task, list(ledgers) * times))


def running(wps):
    (job,) = wps.ledger.of_user("anna", state="running")
    return job


def test_many_services_open_a_new_database_at_once(opened):
    with ThreadPoolExecutor(4) as threads:
        ledgers = list(threads.map(lambda _: opened(), range(4)))
    ledgers[0].add(job())
    assert ledgers[3].claim().holder == ledgers[3].holder


def test_the_last_place_is_given_by_one_service(opened):
    def add(ledger):
        try:
            ledger.add(job(), Limits(per_user=5))
        except Busy:
            return 0
        return 1

    assert sum(everywhere([opened(), opened()], add, 10)) == 5


def test_each_job_is_claimed_by_one_service_in_fair_turns(opened):
    ledgers = [opened(), opened()]
    for user in ("anna", "boris", "clara"):
        for _ in range(8):
            ledgers[0].add(job(user))
    first = everywhere(ledgers, lambda ledger: ledger.claim(), 3)
    assert sorted(each.user for each in first) == [
        "anna",
        "anna",
        "boris",
        "boris",
        "clara",
        "clara",
    ]
    rest = everywhere(ledgers, lambda ledger: ledger.claim(), 9)
    assert len({each.id for each in first + rest}) == 24
    assert {each.holder for each in first + rest} == {ledger.holder for ledger in ledgers}


def test_a_pause_is_for_all_services(opened):
    one, other = opened(), opened()
    one.add(job())
    one.pause()
    assert other.is_paused
    assert other.claim() is None
    other.resume()
    assert one.claim() is not None


def test_a_call_is_answered_by_one_service_when_another_has_computed(start):
    asked, computing = start(running=False), start()
    answer = asked.execute("extract-samples", **EXTRACT)
    assert b"ProcessSucceeded" in answer.data
    (over,) = asked.ledger.of_user("anna")
    assert over.holder == computing.ledger.holder


def test_a_job_dismissed_at_one_service_ends_at_another(start):
    asked, computing = start(running=False), start(runner=Slow, lease_seconds=SHORT)
    asked.execute("extract-samples", asynchronous=True, **EXTRACT)
    assert computing.runner.began.wait(DEADLINE)
    dismissed = running(asked)
    process = psutil.Process(dismissed.pid)
    header = {"Authorization": "token anna"}
    answer = asked.client.delete(f"/services/wps/jobs/{dismissed.id}", headers=header)
    assert answer.get_json()["state"] == "dismissed"
    assert psutil.wait_procs([process], timeout=DEADLINE)[1] == []
    until(lambda: asked.ledger.get(dismissed.id).pid is None)  # all is tidied
    assert asked.ledger.get(dismissed.id).state == "dismissed"


def test_jobs_of_a_dead_service_are_taken_up_when_its_lease_is_over(start, opened, alter):
    dead = opened(lease_seconds=LONG)
    dead.join()
    dead.add(job())
    claimed = dead.claim()
    assert opened().unclean() == []
    alive = start(lease_seconds=SHORT)
    assert alive.ledger.get(claimed.id) == claimed
    alter(f"UPDATE replicas SET alive_until = 0 WHERE holder = '{dead.holder}'")
    over = alive.dispatcher.wait(claimed.id, DEADLINE)
    assert (over.state, over.attempt, over.holder) == ("successful", 2, alive.ledger.holder)


def test_jobs_of_a_service_that_ends_orderly_are_taken_up_at_once(start):
    ending, staying = start(runner=Slow, lease_seconds=LONG), start(False, lease_seconds=SHORT)
    staying.dispatcher.submit(job())
    assert ending.runner.began.wait(DEADLINE)
    left = running(staying)
    ending.dispatcher.stop()
    staying.dispatcher.start()
    try:
        over = staying.dispatcher.wait(left.id, DEADLINE)
    finally:
        staying.dispatcher.stop()
    assert (over.state, over.attempt) == ("successful", 2)


def test_a_service_that_hangs_loses_its_job_and_ends_its_process(start, alter, monkeypatch):
    hanging = start(runner=Slow, lease_seconds=SHORT)
    monkeypatch.setattr(hanging.ledger, "renew", lambda: None)
    hanging.dispatcher.submit(job())
    assert hanging.runner.began.wait(DEADLINE)
    hanging.dispatcher.pause("a test")  # it takes no more
    lost = running(hanging)
    process = psutil.Process(lost.pid)
    alter("UPDATE replicas SET alive_until = 0")
    other = start(False, lease_seconds=LONG)
    other.ledger.join()
    (abandoned,) = other.ledger.unclean()
    held = other.ledger.take_over(abandoned)
    assert psutil.wait_procs([process], timeout=DEADLINE)[1] == []
    assert other.ledger.get(lost.id) == held
    assert other.ledger.succeed(held, {})


def test_a_service_that_gets_its_lost_job_again_computes_it_once(start, opened):
    wps = start(runner=Slow, lease_seconds=LONG)
    wps.dispatcher.submit(job())
    assert wps.runner.began.wait(DEADLINE)
    first = running(wps)
    process = psutil.Process(first.pid)
    wps.runner.began.clear()
    other = opened()
    other.requeue(other.take_over(first))
    assert wps.runner.began.wait(DEADLINE)
    assert psutil.wait_procs([process], timeout=DEADLINE)[1] == []
    second = running(wps)
    assert (second.attempt, second.holder) == (2, wps.ledger.holder)
    assert psutil.pid_exists(second.pid)
    wps.dispatcher.dismiss(second.id, "enough")


class Elsewhere:
    """Where jobs go on when the service has died."""

    resumes = True

    def __init__(self, root, forks):
        self.stopped = threading.Event()

    def run(self, job, ledger):
        if job.attempt > 1:
            return Outcome(error="begun anew")
        ledger.progress(job, 99, "found again")
        return Outcome(outputs={})

    def stop(self, job_id):
        self.stopped.set()

    def stop_all(self):
        pass

    def clean_up(self, job, ledger):
        ledger.mark_clean(job)


def test_a_job_that_goes_on_without_its_service_is_seen_through(start, opened):
    dead = opened()
    jobs = [job() for _ in range(3)]  # more than the service runs at once
    for each in jobs:
        dead.add(each)
        dead.claim()
    wps = start(runner=Elsewhere, at_once=2)
    ends = [wps.dispatcher.wait(each.id, DEADLINE) for each in jobs]
    assert {(end.state, end.attempt, end.holder) for end in ends} == {
        ("successful", 1, wps.ledger.holder)
    }
    # and no processor is lost or won by it
    ends = [wps.dispatcher.wait(submitted(wps), DEADLINE) for _ in range(3)]
    assert {end.state for end in ends} == {"successful"}


def submitted(wps):
    each = job()
    wps.dispatcher.submit(each)
    return each.id


def test_a_database_that_is_away_is_no_fault_of_the_caller(start, alter):
    wps = start(running=False)
    alter("ALTER TABLE jobs RENAME TO away")
    for path in ("jobs", "status/1.xml"):
        answer = wps.get(path)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
        assert b"try again later" in answer.data
        assert b"SELECT" not in answer.data
    assert wps.get("health").status_code == 503  # nothing can be served ...
    assert wps.get("health/live").status_code == 200  # ... and to start anew would not help
    alter("ALTER TABLE away RENAME TO jobs")
    assert wps.get("health").status_code == 200
    assert wps.jobs() == []


def test_a_database_that_cuts_everybody_off_loses_nothing(start, alter):
    wps = start(at_once=1, lease_seconds=SHORT)
    jobs = [submitted(wps) for _ in range(6)]
    for number in range(1, 6):
        wps.dispatcher.wait(jobs[number - 1], DEADLINE)
        alter("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
              "WHERE application_name = 'geoportal-wps'")  # fmt: skip
    until(lambda: wps.ledger.get(jobs[-1]).is_over)
    assert [wps.ledger.get(each).state for each in jobs] == ["successful"] * 6
