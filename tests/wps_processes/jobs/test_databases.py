"""Where the ledger lies, and what of it may be seen."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys

import pytest

from benchmarks.served import Served, stand_in_hub
from hub.local.machine import free_port
from tests.wps_processes.jobs.test_ledger import job
from wps_processes.jobs import databases
from wps_processes.jobs.databases import LedgerRefused
from wps_processes.jobs.ledger import Ledger

# as the first version made it
FIRST_SCHEMA = """
CREATE TABLE jobs (
    id VARCHAR(36) NOT NULL, user VARCHAR(255) NOT NULL, folder VARCHAR(255) NOT NULL,
    groups JSON NOT NULL, administrator INTEGER NOT NULL, operation VARCHAR(64) NOT NULL,
    inputs JSON NOT NULL, request TEXT NOT NULL, state VARCHAR(16) NOT NULL,
    progress INTEGER NOT NULL, message TEXT NOT NULL, attempt INTEGER NOT NULL, pid INTEGER,
    process_started FLOAT, created VARCHAR(32) NOT NULL, started VARCHAR(32),
    finished VARCHAR(32), outputs JSON, error TEXT, PRIMARY KEY (id)
);
CREATE INDEX ix_jobs_user ON jobs (user);
CREATE TABLE switches (name VARCHAR(32) NOT NULL, PRIMARY KEY (name));
INSERT INTO jobs VALUES
    ('1', 'anna', 'anna', '[]', 0, 'extract-samples',
     '{"scene": "shared/scene.tif", "labels": "home/labels.gpkg"}', '{}', 'running', 40, 'cutting',
     1, NULL, NULL, '2026-01-01T00:00:00.000000Z', '2026-01-01T00:00:01.000000Z', NULL, 'null',
     NULL),
    ('2', 'boris', 'boris', '["ice"]', 0, 'extract-samples', '{}', '{}', 'successful', 100, 'done',
     1, NULL, NULL, '2026-01-01T00:00:00.000000Z', '2026-01-01T00:00:01.000000Z',
     '2999-01-01T00:00:02.000000Z', '{"total": 5}', NULL);
"""


def test_a_ledger_of_the_first_version_is_kept_and_its_jobs_go_on(start, place):
    with sqlite3.connect(place) as connection:
        connection.executescript(FIRST_SCHEMA)
    connection.close()
    wps = start()
    over = wps.dispatcher.wait("1", 60)
    assert (over.state, over.attempt, over.holder) == ("successful", 2, wps.ledger.holder)
    (other,) = wps.ledger.of_user("boris")
    assert (other.state, other.outputs, other.holder) == ("successful", {"total": 5}, None)
    Ledger(place).close()  # once more changes nothing
    assert len(wps.ledger.of_everybody()) == 2


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("anna:secret@db/jobs", "no URL"),
        ("postgresql://anna:secret@db:port/jobs", "no URL"),
        ("mysql://anna:secret@db/jobs?password=secret", "is mysql://anna:***@db/jobs: needed"),
        ("postgresql+psycopg2://anna:secret@db/jobs", "postgresql+psycopg2://anna:***@db/jobs"),
        ("sqlite://", "is sqlite://: needed"),
        ("postgresql://anna:secret@127.0.0.1:1/jobs?password=secret", "refused"),
    ],
)
def test_a_ledger_that_cannot_be_opened_is_named_without_its_password(url, words):
    with pytest.raises(LedgerRefused) as refused:
        Ledger(url)
    assert words in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_service_without_its_ledger_says_so_in_one_line(tmp_path):
    secret = tmp_path / "url"
    secret.write_text(f"postgresql://anna:secret@127.0.0.1:{free_port()}/jobs\n")
    environment = os.environ | {
        "GEOPORTAL_STATE": str(tmp_path),
        "GEOPORTAL_LEDGER_FILE": str(secret),
        "JUPYTERHUB_SERVICE_PREFIX": "/services/wps/",
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{free_port()}",
    }
    command = [sys.executable, "-m", "wps_processes"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert "postgresql+psycopg://anna:***@127.0.0.1" in ended.stderr
    assert "secret" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_sqlite_file_is_of_one_service(opened, monkeypatch):
    monkeypatch.setattr(databases, "_SECONDS_TO_END", 0.0)
    first, second = opened(), opened()
    first.join()
    with pytest.raises(LedgerRefused, match=r"another service runs the jobs of .*jobs\.sqlite"):
        second.join()
    second.add(job())  # who only reads and adds need not be alone
    first.leave()
    second.join()
    assert second.claim() is not None


def test_only_its_owner_reads_a_sqlite_file_whatever_the_umask(opened, place):
    before = os.umask(0)
    try:
        opened().join()
    finally:
        os.umask(before)
    for name in (place, place.with_name(f"{place.name}.lock")):
        assert stat.S_IMODE(name.stat().st_mode) == 0o600


@pytest.mark.e2e
def test_a_killed_service_starts_again_on_its_sqlite_file_at_once(tmp_path):
    with stand_in_hub() as hub:
        served = Served(tmp_path, hub)
        for _ in range(2):
            served.start()
            served.stop(signal.SIGKILL)
    assert b"another service" not in served.log.read_bytes()
