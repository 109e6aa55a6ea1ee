"""The steps that led to a result, as data, and the same steps again on another scene.

A chain is read off the jobs themselves: an input that is an output of a job makes that job an
earlier step. So it is known whoever started the jobs, and from where.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any
from uuid import uuid4

from landcover.errors import InputError, LandcoverError
from sample_map.server.jobs import ENDED, Job, Jobs, Unanswered, operation_of

MOST_STEPS, MOST_RUNNING, REMEMBERED = 30, 50, 5
_LOOK = 1.0  # seconds between two looks at a job
_PATIENCE = 600.0  # seconds without an answer of the WPS, after which a chain fails
_SCENES = ("scene", "scenes", "source")  # inputs that name what is mapped


@dataclass(frozen=True)
class Reference:
    """An input that is what an earlier step of the chain wrote."""

    step: int
    output: str


@dataclass(frozen=True)
class Step:
    """One operation of a chain.

    Attributes:
        operation: identifier.
        inputs: values by name; storage names, or references to earlier steps.
    """

    operation: str
    inputs: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return {operation, inputs}; a reference is {step, output}, steps count from 0."""
        return {"operation": self.operation, "inputs": _each(self.inputs, _as_json)}


def chain_to(job: Job, job_of: Callable[[str], Job], train: bool) -> tuple[Step, ...]:
    """Return the steps that led to a job, in an order in which they can be done again.

    Args:
        job: the last step.
        job_of: gives a job by its id, or raises InputError where it is known no more; then what
            it wrote is taken as it is.
        train: whether the steps that led to a model belong to it; else models stay as they are.

    Raises:
        InputError: the chain is longer than MOST_STEPS, or a step did not succeed.
    """
    return tuple(_Reader(job_of, train).read(job).values())


class _Reader:
    """Walks from a job to those whose outputs it read."""

    def __init__(self, job_of: Callable[[str], Job], train: bool) -> None:
        self._job_of, self._train = job_of, train
        self._steps: dict[str, Step] = {}  # by job

    def read(self, job: Job) -> dict[str, Step]:
        """Add the steps to a job, and the job's own."""
        if job["state"] != "successful":
            raise InputError(f"{job['operation']} did not succeed, it cannot be done again")
        models = {i.name for i in operation_of(job["operation"]).inputs if ".onnx" in i.endings}
        kept = set() if self._train else models
        inputs = {
            name: value if name in kept else _map_value(value, self._traced)
            for name, value in job["inputs"].items()
            if value is not None
        }
        if len(self._steps) >= MOST_STEPS:
            raise InputError(f"more than {MOST_STEPS} steps led to this, it is not done again")
        self._steps[job["id"]] = Step(job["operation"], inputs)
        return self._steps

    def _traced(self, value: Any) -> Any:
        """Return a reference in place of what a known job wrote."""
        parts = PurePosixPath(value).parts if isinstance(value, str) else ()
        if len(parts) != 4 or parts[:2] != ("home", "jobs"):
            return value
        try:
            job = self._job_of(parts[2])
        except InputError:
            return value  # forgotten after some weeks; the file is there
        output = next((n for n, o in job["outputs"].items() if o["name"] == value), None)
        if output is None:
            return value
        if job["id"] not in self._steps:
            self.read(job)
        return Reference(list(self._steps).index(job["id"]), output)


def steps_in(listed: Any) -> tuple[Step, ...]:
    """Read steps as `Step.to_json` writes them.

    Raises:
        InputError: they are none or too many, name no operation or an input that it has not, or
            refer to what is no output of an earlier step.
    """
    if not isinstance(listed, list) or not 0 < len(listed) <= MOST_STEPS:
        raise InputError(f"a chain is a list of 1 to {MOST_STEPS} steps")
    steps: list[Step] = []
    for one in listed:
        steps.append(_step_in(one, steps))
    return tuple(steps)


def _step_in(one: Any, before: Sequence[Step]) -> Step:
    if not isinstance(one, dict) or not isinstance(one.get("inputs"), dict):
        raise InputError("a step is an object of operation and inputs")
    operation = operation_of(str(one.get("operation")))
    known = {given.name for given in operation.inputs}
    if unknown := set(one["inputs"]) - known:
        raise InputError(f"{operation.identifier} has no input {sorted(unknown)[0]}")
    read = partial(_reference_in, before=before)
    return Step(operation.identifier, _each(one["inputs"], read))


def _reference_in(value: Any, before: Sequence[Step]) -> Any:
    if not isinstance(value, dict):
        return value
    step, output = value.get("step"), str(value.get("output"))
    if type(step) is not int or not 0 <= step < len(before):
        raise InputError(f"a reference names step {step}, which is no earlier one")
    outputs = {one.name for one in operation_of(before[step].operation).outputs}
    if output not in outputs:
        raise InputError(f"{before[step].operation} has no output {output}")
    return Reference(step, output)


def scenes_of(steps: Iterable[Step]) -> tuple[str, ...]:
    """Return the storage names of the scenes with which a chain begins."""
    found: dict[str, None] = {}
    for step in steps:
        for name in _SCENES:
            value = step.inputs.get(name)
            many = value if isinstance(value, list) else [value]
            found |= dict.fromkeys(one for one in many if isinstance(one, str) and one)
    return tuple(found)


def on_scene(steps: Sequence[Step], scene: str) -> tuple[Step, ...]:
    """Return the chain with another scene in the place of its own.

    Raises:
        InputError: it begins with several scenes or none: which one to replace is open.
    """
    scenes = scenes_of(steps)
    if len(scenes) != 1:
        raise InputError(
            f"these steps begin with {len(scenes)} scenes, they can be done again with one only"
        )
    (own,) = scenes

    def replaced(value: Any) -> Any:
        return scene if value == own else value

    return tuple(replace(step, inputs=_each(step.inputs, replaced)) for step in steps)


@dataclass
class Chain:
    """Steps that are being done one after the other.

    Attributes:
        jobs: ids, of the steps that were started.
        state: running, successful, failed or dismissed.
    """

    scene: str
    steps: tuple[Step, ...]
    id: str = field(default_factory=lambda: str(uuid4()))
    jobs: list[str] = field(default_factory=list)
    state: str = "running"
    message: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return what the panel is told."""
        names = [step.operation for step in self.steps]
        told = ("id", "scene", "jobs", "state", "message")
        return {"steps": names} | {key: getattr(self, key) for key in told}


class Chains:
    """Runs chains in threads of their own; they end with this server."""

    def __init__(self, jobs: Jobs) -> None:
        """Begin with none."""
        self._jobs = jobs
        self._chains: dict[str, Chain] = {}
        self._lock = threading.Lock()  # between what starts a step and what ends its chain

    def to_json(self) -> list[dict[str, Any]]:
        """Return the chains, the newest first."""
        return [chain.to_json() for chain in reversed(tuple(self._chains.values()))]

    def start(self, job_id: str, scenes: Sequence[str], train: bool) -> list[str]:
        """Do what led to a job again with other scenes, each in a chain of its own.

        Raises:
            InputError: there is no scene, or too many run already, or the chain has not one scene.
        """
        steps = self.steps(job_id, train)
        chains = [Chain(scene, on_scene(steps, scene)) for scene in dict.fromkeys(scenes)]
        if not chains:
            raise InputError("name a scene to do this again on")
        return self._start(chains)

    def begin(self, steps: Sequence[Step]) -> list[str]:
        """Do steps that nobody has done yet.

        Raises:
            InputError: too many chains run already.
        """
        return self._start([Chain(", ".join(scenes_of(steps)), tuple(steps))])

    def _start(self, chains: Sequence[Chain]) -> list[str]:
        running = sum(chain.state == "running" for chain in self._chains.values())
        if running + len(chains) > MOST_RUNNING:
            raise InputError(f"{running} chains run, at most {MOST_RUNNING} do at a time")
        for chain in chains:
            self._chains[chain.id] = chain
            threading.Thread(target=self._run, args=[chain], daemon=True).start()
        self._forget()
        return [chain.id for chain in chains]

    def steps(self, job_id: str, train: bool) -> tuple[Step, ...]:
        """Return the chain that led to a job."""
        return chain_to(self._jobs.job(job_id), self._jobs.job, train)

    def stop(self, id: str) -> None:
        """End a chain, and dismiss the job that it waits for.

        Raises:
            InputError: there is no such chain.
        """
        if (chain := self._chains.get(id)) is None:
            raise InputError("this chain is known no more")
        with self._lock:
            self._end(chain, "dismissed")
        if chain.jobs and self._jobs.job(chain.jobs[-1])["state"] not in ENDED:
            self._jobs.dismiss(chain.jobs[-1])

    def _run(self, chain: Chain) -> None:
        done: list[Job] = []
        try:
            for step in chain.steps:
                inputs = _each(step.inputs, lambda value: _resolved(value, done))
                self._begin(chain, step.operation, inputs)
                done.append(self._ended(chain.jobs[-1]))
        except LandcoverError as error:
            self._end(chain, "failed", str(error))
        else:
            self._end(chain, "successful")

    def _begin(self, chain: Chain, operation: str, inputs: dict[str, Any]) -> None:
        """Start the next job, unless the chain was ended, be it in this moment."""
        with self._lock:
            if chain.state != "running":
                raise InputError("ended by its owner")
            chain.jobs.append(self._jobs.start(operation, inputs))

    def _ended(self, job_id: str) -> Job:
        """Wait until a job has ended well, and return it."""
        heard = time.monotonic()
        while True:
            try:
                job = self._jobs.job(job_id)
                heard = time.monotonic()
            except Unanswered:
                if time.monotonic() - heard > _PATIENCE:
                    raise
            else:
                if job["state"] == "successful":
                    return job
                if job["state"] in ENDED:
                    reason = job["error"] or job["message"] or job["state"]
                    raise LandcoverError(f"{job['operation']}: {reason}")
            time.sleep(_LOOK)

    def _end(self, chain: Chain, state: str, message: str = "") -> None:
        if chain.state == "running":
            chain.state, chain.message = state, message

    def _forget(self) -> None:
        """Keep the latest of those that have ended."""
        ended = [id for id, chain in self._chains.items() if chain.state != "running"]
        for id in ended[:-REMEMBERED]:
            del self._chains[id]


def _each(inputs: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    return {name: _map_value(value, change) for name, value in inputs.items()}


def _map_value(value: Any, change: Callable[[Any], Any]) -> Any:
    return [change(one) for one in value] if isinstance(value, list) else change(value)


def _as_json(value: Any) -> Any:
    if isinstance(value, Reference):
        return {"step": value.step, "output": value.output}
    return value


def _resolved(value: Any, done: Sequence[Job]) -> Any:
    if not isinstance(value, Reference):
        return value
    job = done[value.step]
    if value.output not in job["outputs"]:
        raise LandcoverError(f"{job['operation']} wrote no {value.output} this time")
    return job["outputs"][value.output]["name"]
