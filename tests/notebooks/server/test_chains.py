"""Steps that led to a map, read off the jobs, and done again on another scene."""

import threading
import time

import pytest

from landcover.errors import InputError
from sample_map.server.chains import Chains, chain_to, on_scene, scenes_of, steps_in
from sample_map.server.jobs import Unanswered

SECONDS = 20.0


def job(id: str, operation: str, inputs: dict, outputs: dict, state: str = "successful") -> dict:
    written = {n: {"name": f"home/jobs/{id}/{file}", "value": None} for n, file in outputs.items()}
    return {
        "id": id, "operation": operation, "state": state, "inputs": inputs, "outputs": written,
        "error": None, "message": "",
    }  # fmt: skip


JOBS = {
    "cut": job(
        "cut", "extract-samples",
        {"scene": "home/a.tif", "labels": "home/l.geojson", "seed": 3, "mask": None},
        {"samples": "samples", "counts": "counts.csv"},
    ),
    "thin": job(
        "thin", "balance-samples", {"samples": ["home/jobs/cut/samples"]},
        {"selection": "selection.csv"},
    ),
    "train": job(
        "train", "train-classifier",
        {"samples": ["home/jobs/cut/samples"], "selection": "home/jobs/thin/selection.csv"},
        {"model": "model.onnx"},
    ),
    "map": job(
        "map", "classify-scene", {"scene": "home/a.tif", "model": ["home/jobs/train/model.onnx"]},
        {"map": "map.tif"},
    ),
    "bands": job("bands", "derive-bands", {"scene": "home/a.tif"}, {"scene": "scene.tif"}),
    "map of bands": job(
        "map of bands", "classify-scene",
        {"scene": "home/jobs/bands/scene.tif", "model": ["home/m.onnx"]}, {"map": "map.tif"},
    ),
    "stack": job(
        "stack", "stack-scenes", {"scenes": ["home/a.tif", "home/b.tif"]}, {"scene": "scene.tif"}
    ),
}  # fmt: skip


def known(id: str) -> dict:
    if id not in JOBS:
        raise InputError(f"there is no job {id}")
    return JOBS[id]


def told(id: str, train: bool = True) -> list[dict]:
    return [step.to_json() for step in chain_to(known(id), known, train)]


def test_steps_stand_in_the_order_in_which_they_can_be_done():
    assert told("map") == [
        {
            "operation": "extract-samples",
            "inputs": {"scene": "home/a.tif", "labels": "home/l.geojson", "seed": 3},
        },
        {
            "operation": "balance-samples",
            "inputs": {"samples": [{"step": 0, "output": "samples"}]},
        },
        {
            "operation": "train-classifier",
            "inputs": {
                "samples": [{"step": 0, "output": "samples"}],
                "selection": {"step": 1, "output": "selection"},
            },
        },
        {
            "operation": "classify-scene",
            "inputs": {"scene": "home/a.tif", "model": [{"step": 2, "output": "model"}]},
        },
    ]


def test_model_is_kept_unless_it_is_to_be_trained_anew():
    model = ["home/jobs/train/model.onnx"]
    assert told("map", train=False) == [
        {"operation": "classify-scene", "inputs": {"scene": "home/a.tif", "model": model}}
    ]
    assert [step["operation"] for step in told("map of bands", train=False)] == [
        "derive-bands",
        "classify-scene",
    ]


def test_output_of_a_forgotten_job_is_a_file_as_any_other():
    last = job("x", "assess-quality", {"map": "home/jobs/gone/map.tif"}, {})
    (step,) = chain_to(last, known, True)
    assert step.inputs == {"map": "home/jobs/gone/map.tif"}


def test_other_scene_stands_wherever_the_chain_named_its_own():
    steps = on_scene(chain_to(known("map"), known, True), "home/b.tif")
    assert [step.inputs.get("scene") for step in steps] == ["home/b.tif", None, None, "home/b.tif"]
    assert steps[0].inputs["labels"] == "home/l.geojson"
    bands, classified = on_scene(chain_to(known("map of bands"), known, True), "home/b.tif")
    assert bands.inputs["scene"] == "home/b.tif"
    assert classified.to_json()["inputs"]["scene"] == {"step": 0, "output": "scene"}


def test_chain_of_several_scenes_is_refused():
    steps = chain_to(known("stack"), known, True)
    assert scenes_of(steps) == ("home/a.tif", "home/b.tif")
    with pytest.raises(InputError, match="begin with 2 scenes"):
        on_scene(steps, "home/c.tif")


def test_failed_job_is_not_done_again():
    with pytest.raises(InputError, match="did not succeed"):
        chain_to(JOBS["map"] | {"state": "failed"}, known, True)


class Service:
    """Jobs as the WPS has them: each ends as soon as it was looked at once."""

    def __init__(self, fails: str = "", holds: str = "") -> None:
        self.fails, self.holds = fails, holds
        self.started: list[tuple[str, dict]] = []
        self.dismissed: list[str] = []
        self.silent = 1
        self.waits = threading.Event()

    def start(self, operation: str, inputs: dict) -> str:
        self.started.append((operation, inputs))
        return f"new-{len(self.started)}"

    def job(self, id: str) -> dict:
        if not id.startswith("new-"):
            return known(id)
        if self.silent:
            self.silent -= 1
            raise Unanswered("the jobs service does not answer")
        operation, inputs = self.started[int(id.removeprefix("new-")) - 1]
        of_kind = next(one for one in JOBS.values() if one["operation"] == operation)
        files = {name: out["name"].split("/")[-1] for name, out in of_kind["outputs"].items()}
        if id in self.dismissed:
            return job(id, operation, inputs, {}, "dismissed")
        if operation == self.holds:
            self.waits.set()
            return job(id, operation, inputs, {}, "running")
        if operation == self.fails:
            return job(id, operation, inputs, {}, "failed") | {"error": "no class has samples"}
        return job(id, operation, inputs, files)

    def dismiss(self, id: str) -> dict:
        self.dismissed.append(id)
        return self.job(id)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sample_map.server.chains._LOOK", 0.01)


def ended(chains: Chains) -> dict:
    deadline = time.monotonic() + SECONDS
    while chains.to_json()[0]["state"] == "running":
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)
    return chains.to_json()[0]


def test_chain_gives_each_step_what_the_earlier_ones_wrote():
    service = Service()
    chains = Chains(service)  # type: ignore[arg-type]
    chains.start("map", ["home/b.tif", "home/b.tif"], train=True)
    assert ended(chains)["state"] == "successful"
    assert service.started == [
        (
            "extract-samples",
            {"scene": "home/b.tif", "labels": "home/l.geojson", "seed": 3},
        ),
        ("balance-samples", {"samples": ["home/jobs/new-1/samples"]}),
        (
            "train-classifier",
            {
                "samples": ["home/jobs/new-1/samples"],
                "selection": "home/jobs/new-2/selection.csv",
            },
        ),
        ("classify-scene", {"scene": "home/b.tif", "model": ["home/jobs/new-3/model.onnx"]}),
    ]


def test_chain_ends_with_the_step_that_fails_and_says_why():
    service = Service(fails="balance-samples")
    chains = Chains(service)  # type: ignore[arg-type]
    chains.start("map", ["home/b.tif"], train=True)
    found = ended(chains)
    assert (found["state"], found["message"]) == (
        "failed",
        "balance-samples: no class has samples",
    )
    assert len(service.started) == 2


def test_chain_that_is_ended_dismisses_its_job_and_starts_no_other():
    service = Service(holds="extract-samples")
    chains = Chains(service)  # type: ignore[arg-type]
    (id,) = chains.start("map", ["home/b.tif"], train=True)
    assert service.waits.wait(SECONDS)
    chains.stop(id)
    assert service.dismissed == ["new-1"]
    assert ended(chains)["state"] == "dismissed"
    assert len(service.started) == 1


@pytest.mark.parametrize("scenes", [[], [f"home/{n}.tif" for n in range(51)]])
def test_no_scene_and_too_many_are_refused(scenes):
    with pytest.raises(InputError, match=r"name a scene|at most 50"):
        Chains(Service()).start("map", scenes, train=False)  # type: ignore[arg-type]


def test_steps_that_nobody_has_done_yet_are_done():
    service = Service()
    chains = Chains(service)  # type: ignore[arg-type]
    chains.begin(steps_in(told("map")))
    found = ended(chains)
    assert (found["state"], found["scene"]) == ("successful", "home/a.tif")
    assert [operation for operation, _ in service.started] == [
        one["operation"] for one in told("map")
    ]
    assert service.started[-1][1]["model"] == ["home/jobs/new-3/model.onnx"]


def test_steps_are_read_as_they_are_told():
    assert [step.to_json() for step in steps_in(told("map"))] == told("map")


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ([], "1 to 30 steps"),
        ({}, "1 to 30 steps"),
        ([{"operation": "extract-samples", "inputs": {}}] * 31, "1 to 30 steps"),
        (["extract-samples"], "object of operation and inputs"),
        ([{"operation": "rm", "inputs": {}}], "no operation rm"),
        ([{"operation": "classify-scene", "inputs": {"sc": "home/a.tif"}}], "no input sc"),
        (
            [{"operation": "classify-scene", "inputs": {"model": {"step": 0, "output": "model"}}}],
            "step 0, which is no earlier one",
        ),
        (
            [*told("cut"), {"operation": "train-classifier",
                            "inputs": {"samples": [{"step": True, "output": "samples"}]}}],
            "step True",
        ),
        (
            [*told("cut"), {"operation": "train-classifier",
                            "inputs": {"samples": [{"step": 0, "output": "model"}]}}],
            "has no output model",
        ),
    ],
)  # fmt: skip
def test_steps_that_cannot_be_done_are_refused(steps, why):
    with pytest.raises(InputError, match=why):
        steps_in(steps)
