"""What the service reads from its environment, and what it says of mistakes there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hub.services.quotas import quota_variables
from hub.services.wps import Wps
from landcover.storage.nextcloud.access import TOKEN_URL
from landcover.storage.nextcloud.connection import Timeouts
from landcover.storage.sharing import LINKS
from wps_processes.assembly import _have_gpus
from wps_processes.environment import SettingsError
from wps_processes.runners.kubernetes.settings import ClusterSettings
from wps_processes.settings import Settings, misspelled_settings

ROOT = Path(__file__).parents[2]
FOLDERS = ("benchmarks", "demo", "helm", "hub", "images", "landcover", "notebooks", "tests")
CLUSTER = {
    "GEOPORTAL_JOBS_RUN_IN": "kubernetes",
    "GEOPORTAL_JOB_IMAGE": "registry.example/wps:1",
    "GEOPORTAL_JOB_CLAIM": "geo-storage",
    "GEOPORTAL_JOB_NAMESPACE": "geo",
    "GEOPORTAL_JOB_REPORT_URL": "http://geoportal-wps:8000/services/wps/runs",
}


@pytest.fixture
def needed(tmp_path):
    """The variables that every service needs."""
    return {
        "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:8001",
        "JUPYTERHUB_SERVICE_PREFIX": "/services/wps/",
        "GEOPORTAL_STATE": str(tmp_path),
    }


def refused(environ):
    with pytest.raises(SettingsError) as error:
        Settings.from_environment(environ)
    return str(error.value)


def test_an_empty_variable_is_as_good_as_none(needed, tmp_path):
    empty = dict.fromkeys(Settings.variables(), "") | dict.fromkeys(
        ClusterSettings.variables(), ""
    )
    settings = Settings.from_environment(empty | needed)
    assert settings == Settings.from_environment(needed)
    assert settings.storage_root == tmp_path / "storage"
    assert settings.ledger_place == tmp_path / "jobs.sqlite"
    assert settings.jobs_at_once == os.cpu_count()
    assert (settings.jobs_run_in, settings.cluster) == ("processes", None)
    assert (settings.sync_seconds, settings.home_quota, settings.share_links) == (60, 0, "on")


def test_a_large_number_may_come_as_a_chart_writes_it(needed):
    settings = Settings.from_environment(needed | {"GEOPORTAL_JOBS_IN_TOTAL": "1e+06"})
    assert repr(settings.jobs_in_total) == "1000000"


@pytest.mark.parametrize(
    "value", ["vier", "0", "-1", "1.5", "nan", "inf", "1e400", "1" + "0" * 400]
)
def test_a_number_of_jobs_is_whole_and_finite(needed, value):
    sentence = refused(needed | {"GEOPORTAL_JOBS_AT_ONCE": value})
    assert sentence.startswith(f"GEOPORTAL_JOBS_AT_ONCE is {value[:80]}")
    assert sentence.endswith(", needs a whole number from 1 up to 10000")


@pytest.mark.parametrize(
    "name", ["SYNC_SECONDS", "JOBS_KEPT_DAYS", "LEASE_SECONDS", "NEXTCLOUD_SILENCE_SECONDS"]
)
@pytest.mark.parametrize("value", ["0", "-5", "nan", "inf", "1e400", "a minute"])
def test_a_time_is_positive_and_finite(needed, name, value):
    sentence = refused(needed | {f"GEOPORTAL_{name}": value})
    assert sentence.startswith(f"GEOPORTAL_{name} is {value}, needs a number over 0 up to ")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("GEOPORTAL_STATE", "", "is not set, needs the path of a folder that is there"),
        ("GEOPORTAL_STATE", "/nowhere", "is /nowhere, needs a folder that is there"),
        ("GEOPORTAL_JOBS_RUN_IN", "cloud", "is cloud, needs processes or kubernetes"),
        ("GEOPORTAL_SHARE_LINKS", "no", "is no, needs on or off"),
        ("GEOPORTAL_PUBLIC_URL", "maps.example.org", "is maps.example.org, needs an address such"),
        ("GEOPORTAL_HOME_QUOTA", "50G", "is 50G, needs a whole number from 0 up to"),
        ("JUPYTERHUB_SERVICE_URL", "http://127.0.0.1", "is http://127.0.0.1, needs an address"),
        ("JUPYTERHUB_SERVICE_PREFIX", "services", "is services, needs a path such as"),
        ("GEOPORTAL_LEDGER_FILE", "/nowhere", "is /nowhere, needs a readable file: No such file"),
        ("GEOPORTAL_LEDGER", "mysql://anna:secret@db/jobs", "the ledger is mysql://anna:***@db"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_variable(needed, name, value, sentence):
    said = refused(needed | {name: value})
    assert said.startswith(name)
    assert sentence in said
    assert "\n" not in said
    assert "secret" not in said


def test_services_that_share_a_ledger_need_one_key(needed, tmp_path):
    shared = needed | CLUSTER | {"GEOPORTAL_LEDGER": "postgresql://anna:secret@db/jobs"}
    assert refused(shared).startswith("GEOPORTAL_JOB_KEY_FILE is not set, needs")
    key = str(tmp_path / "jobs.key")
    settings = Settings.from_environment(shared | {"GEOPORTAL_JOB_KEY_FILE": key})
    assert settings.job_key_file == Path(key)
    assert settings.cluster.claim == "geo-storage"


def test_jobs_in_a_cluster_may_have_gpus_where_there_is_an_image_for_them(needed):
    image = {"GEOPORTAL_JOB_IMAGE_CUDA": "registry.example/wps-cuda:1"}
    found = [
        _have_gpus(Settings.from_environment(needed | CLUSTER | more)) for more in ({}, image)
    ]
    assert found == [False, True]


def test_jobs_in_a_cluster_need_an_image(needed):
    chosen = needed | CLUSTER
    del chosen["GEOPORTAL_JOB_IMAGE"]
    assert refused(chosen) == "GEOPORTAL_JOB_IMAGE is not set, needs the name of an image"
    chosen["GEOPORTAL_JOBS_RUN_IN"] = "processes"
    assert Settings.from_environment(chosen).cluster is None


def test_a_ledger_lies_in_one_place(needed, tmp_path):
    file = tmp_path / "url"
    file.write_text("postgresql://anna:secret@db/jobs\n")
    named = needed | {"GEOPORTAL_LEDGER_FILE": str(file)}
    place = Settings.from_environment(named).ledger_place
    assert place == "postgresql://anna:secret@db/jobs"
    assert "both set" in refused(named | {"GEOPORTAL_LEDGER": "sqlite:////tmp/x.sqlite"})
    file.write_text("\n")
    assert "needs a file that is not empty" in refused(named)


def test_the_hub_s_settings_are_the_service_s(needed):
    wps = Wps(public_url="https://maps.example.org", jobs_per_user=7, fetched_mib=5)
    given = needed | wps.environment | quota_variables("50G")
    settings = Settings.from_environment(given)
    assert settings.public_url == "https://maps.example.org"
    assert (settings.jobs_per_user, settings.fetched_mib) == (7, 5)
    assert settings.home_quota == 50 * 2**30
    assert {name for name in given if name not in Settings.variables()} == set()


def test_the_library_s_variables_are_known_and_have_its_defaults(needed):
    assert {TOKEN_URL, LINKS} <= set(Settings.variables())
    silence = Settings.from_environment(needed).nextcloud_silence_seconds
    assert silence == Timeouts().silence == Timeouts.from_environment().silence


def test_the_readme_lists_every_variable():
    lines = (ROOT / "wps_processes" / "README.md").read_text().splitlines()
    listed = [line for line in lines if re.match(r"\| `(GEOPORTAL|JUPYTERHUB)_", line)]
    assert sorted(listed) == sorted(Settings.table() + ClusterSettings.table())


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("GEOPORTAL_JOBS_AT_ONE", "GEOPORTAL_JOBS_AT_ONCE"),
        ("GEOPORTAL_SYNC_SECOND", "GEOPORTAL_SYNC_SECONDS"),
        ("GEOPORTAL_JOB_IMAGE_CUDDA", "GEOPORTAL_JOB_IMAGE_CUDA"),
    ],
)
def test_a_variable_that_looks_misspelled_is_named(name, meant):
    assert misspelled_settings({name: "1"}) == [
        f"{name} is no setting and is ignored: {meant} may be meant"
    ]


def test_variables_of_others_are_no_slips():
    """Every variable that the geoportal knows anywhere, and those that Kubernetes makes."""
    named = set()
    for folder in FOLDERS:
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in (".py", ".yaml", ".md", "") and file.is_file():
                named |= set(re.findall(r"GEOPORTAL_[A-Z][A-Z_]*[A-Z]", file.read_text()))
    assert {"GEOPORTAL_IDLE_SECONDS", "GEOPORTAL_RUN_URL", "GEOPORTAL_PORT"} <= named
    misspelled_in_tests = {"GEOPORTAL_JOBS_AT_ONE", "GEOPORTAL_SYNC_SECOND", "GEOPORTAL_STROAGE"}
    misspelled_in_tests.add("GEOPORTAL_JOB_IMAGE_CUDDA")
    assert misspelled_settings(dict.fromkeys(named - misspelled_in_tests, "")) == []
    kubernetes = (
        "GEOPORTAL_JOBS_SERVICE_HOST", "GEOPORTAL_LEDGER_SERVICE_PORT", "GEOPORTAL_LEDGER_PORT",
        "GEOPORTAL_STATE_PORT_8000_TCP_ADDR", "GEOPORTAL_STORAGE_SERVICE_PORT_HTTP",
    )  # fmt: skip
    assert misspelled_settings(dict.fromkeys(kubernetes, "")) == []


def ended(module, environ):
    clean = {name: value for name, value in os.environ.items() if "GEOPORTAL_" not in name}
    return subprocess.run(
        [sys.executable, "-m", module], env=clean | environ, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip


def test_the_service_ends_with_one_sentence_and_status_2(needed):
    service = ended("wps_processes", needed | {"GEOPORTAL_JOBS_AT_ONCE": "vier"})
    assert service.stderr == (
        "GEOPORTAL_JOBS_AT_ONCE is vier, needs a whole number from 1 up to 10000\n"
    )
    assert (service.returncode, service.stdout) == (2, "")


def test_a_key_of_jobs_that_is_too_short_ends_the_service(needed, tmp_path):
    key = tmp_path / "jobs.key"
    key.write_text("short")
    service = ended("wps_processes", needed | CLUSTER | {"GEOPORTAL_JOB_KEY_FILE": str(key)})
    assert service.returncode == 2
    named, sentence = service.stderr.split(": ")  # a long path is shortened
    assert named.startswith(f"GEOPORTAL_JOB_KEY_FILE is {str(key)[:50]}")
    assert sentence == "the key of jobs' tokens has 5 bytes, needs 32\n"


def test_a_pod_that_was_told_nothing_ends_with_one_sentence():
    pod = ended(
        "wps_processes.runners.kubernetes.pod",
        {"GEOPORTAL_RUN_URL": "http://geoportal-wps:8000/x"},
    )
    assert pod.returncode == 2
    assert pod.stderr.startswith("GEOPORTAL_RUN_TOKEN is not set, needs")
    assert pod.stderr.count("\n") == 1
