"""The run records of jobs, and that a job run twice writes the same bytes."""

import hashlib
import json

import pytest

from landcover.io.records.digests import sha256_of_json
from tests.wps_processes.jobs.test_ledger import EXTRACT
from wps_processes.jobs.folder import LOG

OF_THE_RUN = ("run", LOG)
"""What files begin with that may hold users and times."""


@pytest.fixture
def wps(start):
    return start(sync_seconds=120)


def run(wps, operation, **inputs):
    """Run a job; return its id and its folder."""
    answer = wps.execute(operation, **inputs)
    assert b"ProcessSucceeded" in answer.data, answer.text
    (job, *_) = wps.jobs()
    return job["id"], wps.root / f"users/anna/jobs/{job['id']}"


def written(folder):
    """Return the content of what the operation wrote, by name below the job's folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        if not path.name.startswith(OF_THE_RUN)
    }


def test_jobs_run_twice_write_the_same_bytes_and_no_user_or_time(wps):
    inputs = EXTRACT
    for operation in ("extract-samples", "train-classifier", "classify-scene"):
        (job, folder), (_, again) = (run(wps, operation, **inputs) for _ in range(2))
        once = written(folder)
        assert once == written(again) != {}
        record = json.loads((folder / "run.json").read_text())
        day_and_hour = record["run"]["started"][:13]
        told = ("anna", "/proc/", "-temporary", job, day_and_hour)
        found = [(name, each) for name, content in once.items() for each in told
                 if each.encode() in content]  # fmt: skip
        assert found == []
        if operation == "extract-samples":
            inputs = {"samples": f"home/jobs/{job}/samples"}
        elif operation == "train-classifier":
            report = json.loads(once["report.json"])
            assert report["recipe"] == sha256_of_json(record["recipe"])
            inputs = {"scene": "shared/scene.tif", "model": f"home/jobs/{job}/model.onnx"}


def test_a_record_names_the_jobs_owner_and_files_of_the_storage(wps):
    job, folder = run(wps, "extract-samples", **EXTRACT)
    text = (folder / "run.json").read_text()
    assert (folder / "run.extract-samples.json").read_text() == text
    record = json.loads(text)
    files = EXTRACT | {"scene": [EXTRACT["scene"]]}  # which may be several
    assert (record["run"]["user"], record["run"]["files"]) == ("anna", files)
    scene = (wps.root / "shared/scene.tif").read_bytes()
    assert record["recipe"]["inputs"]["scene"] == [hashlib.sha256(scene).hexdigest()]
    assert wps.get(f"outputs/{job}/run.json").get_json() == record


def test_a_list_stands_in_the_record_as_a_list(made):
    wps = made()
    for name in "ab":
        (wps.root / f"users/anna/{name}.csv").write_text(name)
    tables = ["home/b.csv", "home/a.csv"]
    _, folder = run(wps, "join-tables", tables=tables)
    record = json.loads((folder / "run.join-tables.json").read_text())
    assert record["run"]["files"] == {"tables": tables}
    digests = [hashlib.sha256(name.encode()).hexdigest() for name in "ba"]
    assert record["recipe"]["inputs"] == {"tables": digests}


def test_a_classifier_is_trained_on_several_folders(wps):
    folders = []
    for seed, size in (("1", "40"), ("2", "30")):
        job, _ = run(wps, "extract-samples", **EXTRACT, seed=seed, max_per_class=size)
        folders.append(f"home/jobs/{job}/samples")
    _, folder = run(wps, "train-classifier", samples=folders)
    record = json.loads((folder / "run.json").read_text())
    assert record["run"]["files"] == {"samples": folders}
    assert wps.jobs()[0]["inputs"]["samples"] == folders
    twice = wps.execute("train-classifier", samples=[folders[0]] * 2)
    assert b'locator="samples"' in twice.data
