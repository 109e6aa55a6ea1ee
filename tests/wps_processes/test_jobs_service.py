"""What callers may do with jobs, without any protocol."""

import sqlite3
import threading

import pytest
from sqlalchemy.exc import OperationalError

from benchmarks.served import DEADLINE, until
from landcover.operations import OPERATIONS, by_identifier
from wps_processes.caller import Caller
from wps_processes.errors import (
    Busy,
    InvalidInput,
    JobFailed,
    JobOver,
    MissingInput,
    NoSuchJob,
    NoSuchOperation,
    NoSuchOutput,
    OutputTooLarge,
    QuotaReached,
    TookTooLong,
    Unavailable,
)
from wps_processes.jobs.ledger import Limits
from wps_processes.jobs_service import OutputValue, check_inputs

ANNA, BORIS = Caller("anna"), Caller("boris")
EXTRACT = {"scene": "shared/scene.tif", "labels": "home/labels.gpkg"}


def service_of(wps):
    return wps.client.application.jobs


@pytest.fixture
def jobs(start):
    """A jobs service that starts none."""
    return service_of(start(running=False, sync_seconds=0.1))


@pytest.fixture
def extract(jobs):
    return jobs.operation("extract-samples")


def test_every_operation_is_published_in_order(jobs):
    assert list(jobs.operations) == [*(each.identifier for each in OPERATIONS), "echo"]
    with pytest.raises(NoSuchOperation, match="there is no process dig"):
        jobs.operation("dig")


def test_a_job_that_asks_for_a_gpu_is_taken_only_where_there_is_one(start):
    asked = {"samples": ["shared"], "method": "unet", "options": '{"device": "gpu"}'}
    jobs = service_of(start(running=False))
    train = jobs.operation("train-classifier")
    with pytest.raises(InvalidInput, match="have none here: leave out the option device") as no:
        jobs.submit(train, asked, ANNA)
    assert no.value.input == "options"
    assert jobs.jobs("anna") == []
    jobs.submit(train, asked | {"options": '{"device": "cpu"}'}, ANNA)
    with pytest.raises(InvalidInput, match="options has no member trees"):
        jobs.submit(train, asked | {"options": '{"trees": 1}'}, ANNA)
    jobs.has_gpus = True
    assert jobs.submit(train, asked, ANNA).operation == "train-classifier"


def test_a_job_runs_to_its_end_and_its_outputs_are_read(start):
    jobs = service_of(start())
    job = jobs.run(jobs.operation("extract-samples"), EXTRACT, ANNA)
    folder = f"home/jobs/{job.id}"
    assert jobs.outputs(job) == {
        "samples": OutputValue(name=f"{folder}/samples", file="samples"),
        "counts": OutputValue(name=f"{folder}/counts.csv", file="counts.csv"),
        "total": OutputValue(value=150),
    }
    assert jobs.value(job, "total") == 150
    content = jobs.read_output(job, "counts.csv", 1_000)
    assert content.startswith(b"class,code,samples")
    assert jobs.read_output(job, "counts.csv", len(content)) == content
    with pytest.raises(OutputTooLarge):
        jobs.read_output(job, "counts.csv", len(content) - 1)
    with pytest.raises(NoSuchOutput, match=f"samples is a folder: it lies in {folder}/samples"):
        jobs.open_output(job, "samples")
    with pytest.raises(NoSuchOutput):
        jobs.open_output(job, "../../labels.gpkg/..")
    with pytest.raises(JobOver, match="the job is successful already"):
        jobs.dismiss(job.id, ANNA)


def test_a_failed_job_has_no_value(start):
    jobs = service_of(start())
    job = jobs.run(jobs.operation("extract-samples"), EXTRACT | {"class_field": "kind"}, ANNA)
    with pytest.raises(JobFailed, match="has no field kind"):
        jobs.value(job, "total")


def test_a_job_is_its_owner_s_alone(jobs, extract):
    job = jobs.submit(extract, EXTRACT, ANNA)
    assert jobs.job(job.id, ANNA).state == "accepted"
    for refused in (jobs.job, jobs.dismiss):
        with pytest.raises(NoSuchJob):
            refused(job.id, BORIS)
    assert jobs.jobs("boris") == []
    assert [each.id for each in jobs.jobs(None)] == [job.id]
    over = jobs.dismiss(job.id, Caller("root", administrator=True))
    assert over.message == "dismissed by the administrator root"


def test_an_input_that_is_not_there_is_named(jobs, extract):
    with pytest.raises(InvalidInput, match=r"no home/none\.gpkg") as refused:
        jobs.submit(extract, EXTRACT | {"labels": "home/none.gpkg"}, ANNA)
    assert refused.value.input == "labels"
    assert jobs.jobs("anna") == []


def test_over_the_quota_no_job_is_made(start):
    jobs = service_of(start(running=False, home_quota=1))
    with pytest.raises(QuotaReached):
        jobs.submit(jobs.operation("extract-samples"), EXTRACT, ANNA)


def test_over_a_limit_a_caller_is_told_when_to_try_again(start):
    jobs = service_of(start(running=False, limits=Limits(per_user=1)))
    extract = jobs.operation("extract-samples")
    jobs.submit(extract, EXTRACT, ANNA)
    with pytest.raises(Busy, match="1 of your jobs") as refused:
        jobs.submit(extract, EXTRACT, ANNA)
    assert refused.value.retry_seconds > 0


def test_a_call_that_takes_too_long_is_dismissed(jobs, extract):
    with pytest.raises(TookTooLong, match=r"did not end within 0\.1 seconds"):
        jobs.run(extract, EXTRACT, ANNA)
    assert [job.state for job in jobs.jobs("anna")] == ["dismissed"]


def test_a_call_whose_job_was_dismissed_meanwhile_says_so(start):
    jobs, ends = service_of(start(running=False, sync_seconds=DEADLINE)), []
    extract = jobs.operation("extract-samples")
    waiting = threading.Thread(target=lambda: ends.append(jobs.run(extract, EXTRACT, ANNA)))
    waiting.start()
    (job,) = until(lambda: jobs.jobs("anna"))
    jobs.dismiss(job.id, ANNA)
    waiting.join(DEADLINE)
    assert [(end.state, end.message) for end in ends] == [("dismissed", "dismissed by its owner")]


def test_a_ledger_that_is_away_is_unavailable(jobs, extract, monkeypatch):
    def away(*given):
        raise OperationalError("SELECT", {}, OSError("disk is full"))

    job = jobs.submit(extract, EXTRACT, ANNA)
    for name in ("add", "get", "of_user", "of_everybody", "position"):
        monkeypatch.setattr(jobs.ledger, name, away)
    calls = [
        lambda: jobs.submit(extract, EXTRACT, ANNA),
        lambda: jobs.job(job.id, ANNA),
        lambda: jobs.jobs("anna"),
        lambda: jobs.jobs(None),
        lambda: jobs.position(job),
        lambda: jobs.dismiss(job.id, ANNA),
    ]
    for call in calls:
        with pytest.raises(Unavailable, match="try again later") as refused:
            call()
        assert "SELECT" not in str(refused.value)


def test_inputs_are_checked_into_the_operation_s_types(extract):
    checked = check_inputs(extract, EXTRACT | {"chip_size": "3", "masks": "true"})
    defaults = {i.name: i.default for i in extract.inputs if i.default is not None}
    several = {"scene": [EXTRACT["scene"]], "chip_size": 3, "masks": True}
    assert checked == defaults | EXTRACT | several
    assert isinstance(checked["masks"], bool)


@pytest.mark.parametrize(
    ("inputs", "kind", "name"),
    [
        ({"labels": "home/labels.gpkg"}, MissingInput, "scene"),
        (EXTRACT | {"chip_size": "many"}, InvalidInput, "chip_size"),
        (EXTRACT | {"colour": "red"}, InvalidInput, "colour"),
    ],
)
def test_an_invalid_input_is_named(extract, inputs, kind, name):
    with pytest.raises(InvalidInput) as refused:
        check_inputs(extract, inputs)
    assert (type(refused.value), refused.value.input) == (kind, name)


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        ({"options": '{"tree": 1}'}, "options"),
        ({"options": "{"}, "options"),
        ({"options": '{"rounds": 5}'}, "options"),  # of the other method
        ({"start": "home/model.onnx"}, "start"),
    ],
)
def test_inputs_that_depend_on_one_another_are_checked_before_a_job_is_made(inputs, name):
    train = by_identifier("train-classifier")
    with pytest.raises(InvalidInput) as refused:
        check_inputs(train, {"samples": ["home/samples"]} | inputs)
    assert refused.value.input == name
    boosting = {"method": "gradient-boosting", "options": '{"rounds": 5}'}
    checked = check_inputs(train, {"samples": ["home/samples"]} | boosting)
    assert checked["options"] == '{"rounds": 5}'  # as it was given


def test_a_full_disk_is_said_where_a_job_cannot_be_written(jobs, extract, monkeypatch):
    def full(*given):
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise OperationalError("INSERT", {}, error)

    monkeypatch.setattr(jobs.ledger, "add", full)
    with pytest.raises(Unavailable, match="the disk of the service is full"):
        jobs.submit(extract, EXTRACT, ANNA)
