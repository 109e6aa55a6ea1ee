"""The process of one job: `python -m wps_processes.job`, told what to do on standard input.

Says on standard output, in lines of JSON, how far it is and how it ended. Standard error is the
job's log. Ends when its standard input closes: then the service is gone.
"""

import json
import math
import os
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from landcover.drivers import restrict_process
from landcover.errors import LandcoverError
from landcover.operation import Operation
from landcover.operations import by_identifier
from landcover.progress import progress_to
from landcover.storage import Storage

OUR_FAULT = "the operation failed by our fault, its log says more: home/jobs/{id}/job.log"
SECONDS_BETWEEN_REPORTS = 0.2


class Voice:
    """Speaks to the service, not more often than somebody could read."""

    def __init__(self, stream: TextIO) -> None:
        """Speak on a stream of lines."""
        self._stream = stream
        self._spoke = 0.0

    def progress(self, fraction: float, sentence: str) -> None:
        """Say how far the job is."""
        if time.monotonic() - self._spoke >= SECONDS_BETWEEN_REPORTS:
            self.say(progress=int(fraction * 100), message=sentence)
            self._spoke = time.monotonic()

    def say(self, **message: Any) -> None:
        """Say anything."""
        self._stream.write(json.dumps(message) + "\n")
        self._stream.flush()


def main() -> int:
    """Run the one job and return the exit status."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)  # what libraries print belongs to the log
        voice = Voice(answers)
        request = json.loads(sys.stdin.readline())
        threading.Thread(target=_end_with_the_service, daemon=True).start()
        try:
            restrict_process()
            with progress_to(voice.progress):
                voice.say(outputs=_run(request))
        except LandcoverError as error:
            print(error, file=sys.stderr)
            voice.say(error=str(error))
        except BaseException:
            traceback.print_exc()
            voice.say(error=OUR_FAULT.format(id=request["id"]))
            raise
    return 0


def _run(request: Mapping[str, Any]) -> dict[str, Any]:
    """Run the operation and return its outputs, written ones as storage names."""
    operation = by_identifier(request["operation"])
    storage = Storage(
        Path(request["root"]),
        request["folder"],
        tuple(request["groups"]),
        request["administrator"],
    )
    folder = f"home/jobs/{request['id']}"
    workdir = storage.make_folder(folder)
    with ExitStack() as stack:
        inputs = _open_inputs(operation, request["inputs"], storage, stack)
        # the folder's descriptor, not its name: a link put in its place changes nothing
        outputs = operation(inputs, Path(f"/proc/self/fd/{workdir}"))
    return {
        declared.name: f"{folder}/{declared.filename}"
        if declared.kind in ("file", "folder")
        else _plain(outputs[declared.name])
        for declared in operation.outputs
    }


def _open_inputs(
    operation: Operation, inputs: Mapping[str, Any], storage: Storage, stack: ExitStack
) -> dict[str, Any]:
    names = {i.name for i in operation.inputs if i.kind in ("file", "folder")}
    return {
        name: stack.enter_context(storage.readable(value)) if name in names else value
        for name, value in inputs.items()
    }


def _plain(value: Any) -> Any:
    """Return a value for JSON, which has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _end_with_the_service() -> None:
    while os.read(0, 1024):  # not sys.stdin: a lock held there would crash an orderly end
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
