"""Finished jobs slow nothing: what is asked again and again is answered by an index, unsorted."""

from itertools import product

import pytest
from sqlalchemy import event

from tests.wps_processes.jobs.test_ledger import job
from wps_processes.jobs.ledger import Ledger, now


@pytest.fixture
def explained(tmp_path):
    """A function from a question to a ledger to how SQLite looks for each answer."""
    ledger = Ledger(tmp_path / "jobs.sqlite")
    ledger.add(job(id="1"))

    def explain(ask):
        asked = []

        def keep(connection, cursor, statement, parameters, context, many):
            asked.append((statement, parameters))

        event.listen(ledger._engine, "before_cursor_execute", keep)
        ask(ledger)
        event.remove(ledger._engine, "before_cursor_execute", keep)
        with ledger._engine.connect() as connection:
            plans = [
                connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
                for statement, parameters in asked
                if not statement.startswith("PRAGMA")
            ]
        assert plans
        return [step.detail for plan in plans for step in plan]

    yield explain
    ledger.close()


@pytest.mark.parametrize(("user", "state"), list(product(["anna", None], ["failed", None])))
def test_a_list_of_jobs_is_read_in_its_order(explained, user, state):
    def ask(ledger):
        if user is None:
            ledger.of_everybody(20, 9_000, state)
        else:
            ledger.of_user(user, 20, 9_000, state)

    (step,) = explained(ask)
    assert "USING INDEX jobs_by_" in step


@pytest.mark.parametrize(
    "ask",
    [
        lambda ledger: ledger.add(job(id="2")),
        lambda ledger: ledger.claim(),
        lambda ledger: ledger.get("1"),
        lambda ledger: ledger.position(ledger.get("1")),
        lambda ledger: ledger.unclean(),
        lambda ledger: ledger.queue(now()),
        lambda ledger: ledger.dismiss("1"),
    ],
    ids=["add", "claim", "get", "position", "unclean", "queue", "dismiss"],
)
def test_nothing_asked_of_a_job_reads_all_jobs(explained, ask):
    scans = [step for step in explained(ask) if step.startswith("SCAN jobs")]
    assert set(scans) <= {"SCAN jobs USING INDEX jobs_left"}  # which holds what runs, and no more
