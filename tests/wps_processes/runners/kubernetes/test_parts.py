"""Jobs whose parts are computed by several pods of a pretended cluster, and joined by one more."""

import numpy as np
import pytest
import requests

from benchmarks.served import until
from landcover.operations import by_identifier
from tests.scenes import write_raster
from tests.wps_processes.runners.kubernetes.test_runner import (  # noqa: F401
    KEY,
    cluster,
    hold,
    root,
    serve,
)
from wps_processes.runners.kubernetes import attempt
from wps_processes.runners.kubernetes.callbacks import RunTokens

pytestmark = pytest.mark.timeout(280)
SCENES = ["shared/april.tif", "shared/may.tif"]
INPUTS = {"scenes": SCENES}


@pytest.fixture
def submitted(serve, root, monkeypatch):  # noqa: F811
    """A service, and a job of two parts."""
    monkeypatch.setattr(attempt, "WORTH_PARTS", 1)
    for number, name in enumerate(SCENES):
        values = np.random.default_rng(number).integers(1, 4000, (2, 1100, 40)).astype(np.uint16)
        write_raster(root / name, values, names=("B03", "B04"), DATE=f"2023-0{number + 4}-01")
    service = serve(parts=2)
    return service, service.submit(INPUTS, operation="compose-scenes")


def pod_of(service, part, but=()):
    """Wait for the pod of a part that runs, and return its name."""

    def running():
        pods = service.cluster.find("pods")
        names = [p["metadata"]["name"] for p in pods if p["status"].get("phase") == "Running"]
        return next((n for n in names if f"-parts-{part}-" in n and n not in but), None)

    return until(running)


def test_pods_compute_the_parts_and_one_joins_them(submitted, root, hold, tmp_path):  # noqa: F811
    service, job = submitted
    service.says(job, "computing in parts, 0 of 2 done")
    (made,) = service.cluster.find("jobs")
    assert (made["spec"]["completions"], made["spec"]["backoffLimitPerIndex"]) == (2, 2)
    service.cluster.kill(pod_of(service, 1), "Error", 139)  # it is computed by another
    hold.unlink()
    over = service.over(job)
    assert (over.error, over.state) == (None, "successful")
    paths = [root / name for name in SCENES]
    here = by_identifier("compose-scenes").run({"scenes": paths}, tmp_path / "here").result.scene
    folder = root / f"users/anna/jobs/{job}"
    there = folder / "scene.tif"
    assert there.read_bytes()[-1000:] == here.read_bytes()[-1000:]
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    names = [one["metadata"]["name"] for one in service.cluster.find("jobs")]
    assert sorted(names) == [f"wps-{job}-1", f"wps-{job}-1-parts"]


def test_a_part_that_fails_three_times_ends_the_job_and_is_named(submitted, hold):  # noqa: F811
    service, job = submitted
    killed = set()
    for _ in range(3):
        name = pod_of(service, 1, but=killed)
        killed.add(name)
        service.cluster.kill(name, "Error", 139)
    over = service.over(job)
    assert over.error == (
        "part 2 of the job could not be computed, tried 3 times: the job crashed with signal 11, "
        "its log says more"
    )
    until(lambda: not service.cluster.find("jobs"))


def test_a_dismissed_job_leaves_no_part(submitted, hold):  # noqa: F811
    service, job = submitted
    pod_of(service, 0)
    assert service.dispatcher.dismiss(job, "dismissed by its owner")
    until(lambda: not service.cluster.find("jobs") and not service.cluster.find("pods"))


def test_the_token_of_a_part_is_good_for_that_part_alone(submitted, hold):  # noqa: F811
    service, job = submitted
    pod_of(service, 0)
    tokens, known = RunTokens(KEY), service.ledger.get(job)
    own = {"Authorization": f"Bearer {tokens.of(known, 1)}"}

    def status(method, part, word=None):
        address = f"{service.url}/{job}" + ("" if part is None else f"?part={part}")
        return requests.request(method, address, headers=own, json=word, timeout=30).status_code

    assert [status("GET", part) for part in (1, 0, None, "x")] == [200, 401, 401, 400]
    assert status("POST", None, {"outputs": {"scene": "x"}, "remarks": []}) == 401
    assert status("POST", 1, {"outputs": {"scene": "x"}, "remarks": []}) == 204
    assert service.ledger.get(job).state == "running"
    assert status("POST", 1, {"error": "no band B04", "remarks": []}) == 204
    assert service.over(job).error == "no band B04"
