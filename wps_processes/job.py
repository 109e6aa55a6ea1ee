"""What the process of one job does: hear its orders, keep to its user's folders, compute, and say.

It is told what to do in one line of JSON, and says in such lines how far it is and how it ended.
"""

import json
import math
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from socket import socket
from typing import Any, TextIO

import joblib

from landcover import drivers
from landcover.errors import LandcoverError
from landcover.operation import Operation
from landcover.operations import by_identifier
from landcover.progress import progress_to
from landcover.storage import Storage
from landcover.writing import draft_name
from wps_processes.job_folder import LOG, name_of
from wps_processes.sandbox import confine

_IMPORTED_IN_ADVANCE = (
    "landcover.operations",
    "matplotlib.figure",
    "pycm",
    "sklearn.cluster",
    "sklearn.decomposition",
    "sklearn.ensemble",
    "sklearn.mixture",
    "sklearn.model_selection",
)
OUR_FAULT = "the operation failed by our fault, its log says more: {log}"
SECONDS_BETWEEN_REPORTS = 0.2


class Voice:
    """Speaks to the service, not more often than somebody could read, and to the log."""

    def __init__(self, stream: TextIO) -> None:
        """Speak on a stream of lines."""
        self._stream = stream
        self._spoke, self._logged = 0.0, -1

    def progress(self, fraction: float, sentence: str) -> None:
        """Say how far the job is."""
        percent = int(fraction * 100)
        if time.monotonic() - self._spoke >= SECONDS_BETWEEN_REPORTS:
            self.say(progress=percent, message=sentence)
            self._spoke = time.monotonic()
        if percent > self._logged:  # a hundred lines at most
            self._logged = percent
            log(f"{percent:3} % {sentence}")

    def say(self, **message: Any) -> None:
        """Say anything."""
        self._stream.write(json.dumps(message) + "\n")
        self._stream.flush()


def main(conversation: socket) -> int:
    """Run the one job that is ordered there and return the exit status."""
    with conversation.makefile("rw", encoding="utf-8", newline="\n") as stream:
        voice = Voice(stream)
        orders = stream.readline()
        if not orders:
            return 1  # the service is gone
        return obey(json.loads(orders), voice)


def obey(request: Mapping[str, Any], voice: Voice) -> int:
    """Run the job that is ordered, say how it ended, and return the exit status."""
    log(f"{request['operation']} {json.dumps(request['inputs'], ensure_ascii=False)}")
    try:
        with progress_to(voice.progress):
            outputs = _run(request)
        log("done")
        voice.say(outputs=outputs)
    except LandcoverError as error:
        log(str(error))
        voice.say(error=str(error))
    except BaseException:
        traceback.print_exc()
        voice.say(error=OUR_FAULT.format(log=f"{name_of(request['id'])}/{LOG}"))
        return 1
    return 0


def prepare() -> None:
    """Do once what every job needs, before it is confined: imports, and what starts programs."""
    drivers.restrict_process()
    drivers.load_pyogrio()
    for name in _IMPORTED_IN_ADVANCE:
        import_module(name)
    joblib.cpu_count(only_physical_cores=True)  # asks a program, and jobs may start none


def log(sentence: str) -> None:
    """Write a line into the log."""
    print(timed(sentence), file=sys.stderr, flush=True)


def timed(sentence: str) -> str:
    """Return a line of the log, with the time in UTC."""
    return f"{datetime.now(UTC):%H:%M:%S} {sentence}"


def storage_in(request: Mapping[str, Any]) -> Storage:
    """Return what the owner of a job sees of the storage."""
    return Storage(
        Path(request["root"]),
        request["folder"],
        tuple(request["groups"]),
        request["administrator"],
    )


def _run(request: Mapping[str, Any]) -> dict[str, Any]:
    """Run the operation and return its outputs, written ones as storage names."""
    operation = by_identifier(request["operation"])
    storage = storage_in(request)
    folder = name_of(request["id"])
    # the folder's descriptor, not its name: a link put in its place changes nothing
    workdir = Path(f"/proc/self/fd/{storage.make_folder(folder)}")
    confine(readable=storage.roots(), writable=[workdir])
    with ExitStack() as stack:
        # a name that the runner tidies away if this process is killed
        stack.enter_context(_temporary_files_in(workdir / draft_name("temporary")))
        inputs = _open_inputs(operation, request["inputs"], request["fetched"], storage, stack)
        outputs = operation(inputs, workdir)
    return {
        declared.name: f"{folder}/{declared.filename}"
        if declared.is_path
        else _plain(outputs[declared.name])
        for declared in operation.outputs
    }


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Let all temporary files be made in a folder of its own."""
    folder.mkdir(mode=0o700)
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = None
        shutil.rmtree(folder)


def _open_inputs(
    operation: Operation,
    inputs: Mapping[str, Any],
    fetched: Mapping[str, str],
    storage: Storage,
    stack: ExitStack,
) -> dict[str, Any]:
    """Return the inputs as the operation takes them; what was fetched has another name by now."""
    names = {i.name for i in operation.inputs if i.is_path}
    return {
        name: stack.enter_context(storage.readable(fetched.get(value, value)))
        if name in names
        else value
        for name, value in inputs.items()
    }


def _plain(value: Any) -> Any:
    """Return a value for JSON, which has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
