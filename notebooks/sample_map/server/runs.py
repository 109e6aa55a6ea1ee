"""What the panel asks to run operations: their descriptions, jobs, and chains of jobs.

GET    sample_map/operations        what there is to run, from the operations' own descriptions
GET    sample_map/names             files of the user that an operation could read
GET    sample_map/jobs              the latest jobs of the user (?limit=20), and the chains
POST   sample_map/jobs              {operation, inputs}: starts a job
DELETE sample_map/jobs/JOB          dismisses it
GET    sample_map/jobs/JOB/chain    the steps that led to it (?train=true: to its model too)
POST   sample_map/chains            {job, scenes, train}: the same steps on other scenes;
                                    {steps}: these, as a chain is told
DELETE sample_map/chains/CHAIN      ends it

Whatever changes something needs Jupyter's token against forged requests, as all its own calls.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from jupyter_server.base.handlers import APIHandler
from tornado.ioloop import IOLoop
from tornado.web import authenticated

from landcover.errors import InputError, LandcoverError

JOB = r"([0-9A-Za-z-]{1,64})"
_THREADS = 4  # that wait for answers of the WPS
_MOST_JOBS = 500  # told at a time

Json = dict[str, Any]


class Runs:
    """Answers in threads, because the WPS may take its time; imported when it is first asked."""

    def __init__(self) -> None:
        """Start no thread before it is needed."""
        self.threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="jobs")
        self._opened: tuple[Any, Any] | None = None

    def operations(self) -> Json:
        """Return what can be run, and whether it can be here."""
        from landcover.operations import OPERATIONS
        from sample_map.server.jobs import Jobs

        return {
            "operations": [_described(operation) for operation in OPERATIONS],
            "runs": Jobs.of_environment() is not None,
        }

    def names(self) -> Json:
        """Return storage names of files that some operation reads."""
        from landcover.operations import OPERATIONS
        from sample_map.server.names import names_at_home

        endings = {end for one in OPERATIONS for given in one.inputs for end in given.endings}
        return {"names": names_at_home(tuple(endings))}

    def latest(self, limit: str) -> Json:
        """Return the latest jobs, so many, and the chains."""
        jobs, chains = self._open()
        if not limit.isdecimal() or not 0 < int(limit[:9]) <= _MOST_JOBS:
            raise InputError(f"limit is {limit[:9]}, needs a number up to {_MOST_JOBS}")
        return {"jobs": jobs.latest(int(limit)), "chains": chains.to_json()}

    def start(self, asked: Json) -> Json:
        """Start a job."""
        return {"id": self._open()[0].start(str(asked["operation"]), dict(asked["inputs"]))}

    def dismiss(self, id: str) -> Json:
        """Dismiss a job."""
        return {"job": self._open()[0].dismiss(id)}

    def chain(self, id: str, train: bool) -> Json:
        """Return the steps that led to a job, and the scenes with which they begin."""
        from sample_map.server.chains import scenes_of

        steps = self._open()[1].steps(id, train)
        return {"steps": [step.to_json() for step in steps], "scenes": scenes_of(steps)}

    def begin_chain(self, asked: Json) -> Json:
        """Do steps, or those that led to a job again on other scenes."""
        if "steps" not in asked:
            return self._repeat(asked)
        from sample_map.server.chains import steps_in

        return {"chains": self._open()[1].begin(steps_in(asked["steps"]))}

    def _repeat(self, asked: Json) -> Json:
        scenes = [str(scene).strip() for scene in list(asked["scenes"])]
        named = [scene for scene in scenes if scene]
        started = self._open()[1].start(str(asked["job"]), named, bool(asked["train"]))
        return {"chains": started}

    def stop(self, id: str) -> Json:
        """End a chain."""
        self._open()[1].stop(id)
        return {}

    def _open(self) -> tuple[Any, Any]:
        """Return the jobs and the chains.

        Raises:
            InputError: there is no geoportal around this server.
        """
        from sample_map.server.chains import Chains
        from sample_map.server.jobs import Jobs

        if self._opened is None:
            if (jobs := Jobs.of_environment()) is None:
                raise InputError("there is no jobs service here: operations run in Python only")
            self._opened = jobs, Chains(jobs)
        return self._opened


def _described(operation: Any) -> Json:
    """Return what a form needs of an operation."""
    return {
        "identifier": operation.identifier,
        "title": operation.title,
        "inputs": [asdict(one) for one in operation.inputs],
        "outputs": [
            {"name": one.name, "file": one.filename if one.is_path else "", "kind": one.kind}
            for one in operation.outputs
        ],
    }


class RunsHandler(APIHandler):
    """Answers with JSON, or with 422 and a sentence."""

    def initialize(self, runs: Runs) -> None:
        """Take what answers."""
        self.runs = runs

    async def say(self, work: Callable[..., Json], *given: Any) -> None:
        """Answer with what a blocking call returns."""
        try:
            found = await IOLoop.current().run_in_executor(self.runs.threads, work, *given)
        except LandcoverError as error:
            self.set_status(422)
            found = {"message": str(error)}
        except (KeyError, TypeError, ValueError) as error:
            self.set_status(422)
            found = {"message": f"the server did not understand the panel: {error}"}
        self.set_header("Cache-Control", "no-store")
        self.finish(found)


class OperationsHandler(RunsHandler):
    """sample_map/operations."""

    @authenticated
    async def get(self) -> None:
        """Say what can be run."""
        await self.say(self.runs.operations)


class NamesHandler(RunsHandler):
    """sample_map/names."""

    @authenticated
    async def get(self) -> None:
        """Say which files there are."""
        await self.say(self.runs.names)


class JobsHandler(RunsHandler):
    """sample_map/jobs."""

    @authenticated
    async def get(self) -> None:
        """Say which jobs there are."""
        await self.say(self.runs.latest, self.get_query_argument("limit", "20"))

    @authenticated
    async def post(self) -> None:
        """Start one."""
        await self.say(self.runs.start, self.get_json_body() or {})


class JobHandler(RunsHandler):
    """sample_map/jobs/JOB."""

    @authenticated
    async def delete(self, id: str) -> None:
        """Dismiss it."""
        await self.say(self.runs.dismiss, id)


class StepsHandler(RunsHandler):
    """sample_map/jobs/JOB/chain."""

    @authenticated
    async def get(self, id: str) -> None:
        """Say which steps led to it."""
        await self.say(self.runs.chain, id, self.get_query_argument("train", "") == "true")


class ChainsHandler(RunsHandler):
    """sample_map/chains."""

    @authenticated
    async def post(self) -> None:
        """Do the steps that led to a job again."""
        await self.say(self.runs.begin_chain, self.get_json_body() or {})


class ChainHandler(RunsHandler):
    """sample_map/chains/CHAIN."""

    @authenticated
    async def delete(self, id: str) -> None:
        """End it."""
        await self.say(self.runs.stop, id)


HANDLERS: dict[str, type[RunsHandler]] = {
    "operations": OperationsHandler,
    "names": NamesHandler,
    "jobs": JobsHandler,
    f"jobs/{JOB}": JobHandler,
    f"jobs/{JOB}/chain": StepsHandler,
    "chains": ChainsHandler,
    f"chains/{JOB}": ChainHandler,
}
"""By what follows sample_map/ in an address."""
