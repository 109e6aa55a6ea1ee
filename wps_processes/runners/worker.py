"""What the process of one job does: hear its orders, keep to its user's folders, compute, and say.

It is told what to do in one line of JSON, and says in such lines how far it is and how it ended.
"""

import json
import math
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from socket import socket
from typing import Any, TextIO

import joblib
from threadpoolctl import threadpool_limits

from landcover.cpus import cores
from landcover.disk import why_unwritable
from landcover.errors import LandcoverError
from landcover.executors.parts import Share, ShareSealed, carried_by
from landcover.executors.workers import ForkedWorkers
from landcover.io import gdal_drivers
from landcover.io.files.atomic import draft_name
from landcover.io.records.run_record import instruction_set, libraries
from landcover.operation import Needs, Operation
from landcover.progress import collecting_notes, progress_to
from landcover.storage import Storage
from wps_processes.jobs.folder import LOG, name_of
from wps_processes.jobs.published import by_identifier
from wps_processes.runners.memory import bound_data, reserved_mib
from wps_processes.runners.messages import LESS_MEMORY, too_large
from wps_processes.runners.sandbox import confine

_IMPORTED_IN_ADVANCE = (
    "landcover.operations",
    "matplotlib.figure",
    "onnx",
    "onnxruntime",
    "pycm",
    "sklearn.cluster",
    "sklearn.decomposition",
    "sklearn.ensemble",
    "sklearn.mixture",
    "sklearn.model_selection",
)
OUR_FAULT = "the operation failed by our fault, its log says more: {log}"
SECONDS_BETWEEN_REPORTS = 0.2


class Reporter:
    """Speaks to the service, not more often than somebody could read, and to the log."""

    def __init__(self, stream: TextIO) -> None:
        """Speak on a stream of lines."""
        self._stream = stream
        self._spoke, self._logged = 0.0, -1
        self.remarks: list[str] = []

    def progress(self, fraction: float, sentence: str) -> None:
        """Send the progress."""
        percent = int(fraction * 100)
        if time.monotonic() - self._spoke >= SECONDS_BETWEEN_REPORTS:
            self.say(progress=percent, message=sentence)
            self._spoke = time.monotonic()
        if percent > self._logged:  # a hundred lines at most
            self._logged = percent
            log(f"{percent:3} % {sentence}")

    def remark(self, sentence: str) -> None:
        """Send a remark, with all remarks so far."""
        self.remarks.append(sentence)
        log(f"remark: {sentence}")
        self.say(remarks=self.remarks)

    def say(self, **message: Any) -> None:
        """Send a message."""
        self._stream.write(json.dumps(message) + "\n")
        self._stream.flush()


def main(conversation: socket) -> int:
    """Run the one job that is ordered there and return the exit status."""
    with conversation.makefile("rw", encoding="utf-8", newline="\n") as stream:
        reporter = Reporter(stream)
        orders = stream.readline()
        if not orders:
            return 1  # the service is gone
        return execute(json.loads(orders), reporter)


def execute(request: Mapping[str, Any], reporter: Reporter) -> int:
    """Run the job that is ordered, say how it ended, and return the exit status."""
    log(f"{request['operation']} {json.dumps(request['inputs'], ensure_ascii=False)}")
    try:
        with progress_to(reporter.progress):
            outputs = _run(request, reporter)
        log("done")
        reporter.say(outputs=outputs, remarks=reporter.remarks)
    except LandcoverError as error:
        log(str(error))
        reporter.say(error=str(error), remarks=reporter.remarks)
    except MemoryError as error:
        log(f"{type(error).__name__}: {error}")
        if not request.get("share"):  # a part is tried again, by another pod
            reporter.say(error=_too_large(request.get("memory_mib")), remarks=reporter.remarks)
        return 1
    except BaseException as error:
        with suppress(OSError):  # of a full disk
            traceback.print_exc()
        ours = OUR_FAULT.format(log=f"{name_of(request['id'])}/{LOG}")
        fault = why_unwritable(error, Path(request["root"])) or ours
        if not request.get("share"):
            reporter.say(error=fault, remarks=reporter.remarks)
        return 1
    return 0


def _too_large(memory_mib: int | None) -> str:
    if memory_mib is None:
        return f"the job asked for more memory than there is: {LESS_MEMORY}"
    return too_large(memory_mib, reserved_mib(), asked=True)


def prepare() -> None:
    """Do once what every job needs, before it is confined: imports, and what starts programs."""
    gdal_drivers.restrict_process()
    gdal_drivers.load_pyogrio()
    for name in _IMPORTED_IN_ADVANCE:
        import_module(name)
    instruction_set()
    libraries()
    joblib.cpu_count(only_physical_cores=True)  # asks a program, and jobs may start none


def log(sentence: str) -> None:
    """Write a line into the log; on a full disk it is lost."""
    with suppress(OSError):
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


def _run(request: Mapping[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Run the operation and return its outputs, written ones as storage names."""
    operation = by_identifier(request["operation"])
    storage = storage_in(request)
    folder = name_of(request["id"])
    if not request["gpus"]:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # read when CUDA is first used, in here
    memory_mib = request.get("memory_mib")
    if memory_mib and not request["gpus"]:
        bound_data(memory_mib)
    # the folder's descriptor, not its name: a link put in its place changes nothing
    workdir = Path(f"/proc/self/fd/{storage.make_folder(folder)}")
    walls = confine(storage.roots(), [workdir], gpus=bool(request["gpus"]))
    log(f"confined: {walls}")
    threadpool_limits(cores(), user_api="blas")  # a pod began with one
    with ExitStack() as stack:
        # a name that the runner tidies away if this process is killed
        stack.enter_context(_temporary_files_in(workdir / draft_name("temporary")))
        inputs = _open_inputs(operation, request["inputs"], request["fetched"], storage, stack)
        if share := request.get("share"):
            _seal(operation, inputs, workdir, Share(*share))
            return {}
        # after the inputs, which they read too, and before anything is computed
        stack.enter_context(_workers(operation.needs(request["inputs"])))
        done = operation.run(
            inputs,
            workdir,
            user=request["user"],
            names=_names_of_files(operation, request["inputs"]),
            on_remark=reporter.remark,
        )
    for further in done.remarks[len(reporter.remarks) :]:  # how many are not listed
        reporter.remark(further)
    return {
        declared.name: f"{folder}/{declared.filename}"
        if declared.is_path
        else _plain(done.outputs[declared.name])
        for declared in operation.outputs
        if declared.name in done.outputs
    }


def _seal(operation: Operation, inputs: Mapping[str, Any], workdir: Path, share: Share) -> None:
    """Compute a share of the parts; remarks and outputs come from whoever joins them."""
    checked = operation.check(inputs)
    with collecting_notes(lambda sentence: None), carried_by(share), suppress(ShareSealed):
        operation.function(**checked, workdir=workdir)


@contextmanager
def _workers(needs: Needs) -> Iterator[None]:
    """Let worker processes compute the parts of the job, where it is granted several cores."""
    count = min(needs.cores, cores())
    if not needs.workers or count < 2:
        yield
        return
    log(f"parts are computed by {count} processes")
    with ForkedWorkers(count, own_sessions=False) as workers, carried_by(workers):
        yield


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Redirect temporary files to a folder of its own."""
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
    opened = dict(inputs)
    for declared in operation.inputs:
        names = declared.paths_in(inputs.get(declared.name))
        paths = [stack.enter_context(storage.readable(fetched.get(name, name))) for name in names]
        if paths:
            opened[declared.name] = paths if declared.many else paths[0]
    return opened


def _names_of_files(operation: Operation, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the storage names that the inputs hold, by input."""
    return {i.name: inputs[i.name] for i in operation.inputs if i.paths_in(inputs.get(i.name))}


def _plain(value: Any) -> Any:
    """Return a value for JSON, which has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
