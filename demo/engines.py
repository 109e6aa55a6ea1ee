"""Two ways to run the same operations: in this process, or through a WPS."""

import sys
from pathlib import Path
from typing import Protocol
from urllib.parse import urljoin

import requests
from owslib.wps import ASYNC, WebProcessingService, WPSExecution

from demo.data import prepare
from landcover.errors import LandcoverError
from landcover.operations import by_identifier
from landcover.progress import progress_to

POLL_SECONDS = 1


class Engine(Protocol):
    """Runs operations; files go in and come out as names that the next step takes."""

    def run(self, identifier: str, **inputs: object) -> dict[str, str]:
        """Run one operation and return its outputs by name."""

    def local(self, name: str) -> Path:
        """Return a file's path on this machine, fetched if need be."""


class InProcess:
    """Runs operations here; names below shared/ are the demo data."""

    def __init__(self, target: Path) -> None:
        """Prepare the data and a folder per operation below `target`."""
        self._target = target
        prepare(target / "shared")

    def __str__(self) -> str:
        """Say how the demo runs."""
        return "in this process (no geoportal is running here)"

    def run(self, identifier: str, **inputs: object) -> dict[str, str]:
        """Run one operation."""
        operation = by_identifier(identifier)
        workdir = self._target / identifier
        paths = {i.name for i in operation.inputs if i.is_path}
        resolved = {
            name: self.local(str(value)) if name in paths else value
            for name, value in inputs.items()
        }
        with progress_to(lambda fraction, text: _show(identifier, fraction, text)):
            done = operation.run(
                resolved, workdir, on_remark=lambda said: _remark(identifier, said)
            )
        return {name: str(value) for name, value in done.outputs.items()}

    def local(self, name: str) -> Path:
        """Return a name's path."""
        return self._target / name if name.startswith("shared/") else Path(name)


class OverWps:
    """Runs operations on a geoportal, as any OGC client does."""

    def __init__(self, url: str, token: str, target: Path) -> None:
        """Connect to a WPS with a hub token."""
        self._url, self._target = url, target
        self._headers = {"Authorization": f"token {token}"}
        self._wps = WebProcessingService(url, headers=self._headers)
        self._hrefs: dict[str, str] = {}

    def __str__(self) -> str:
        """Say how the demo runs."""
        return f"through the WPS at {self._url}"

    def run(self, identifier: str, **inputs: object) -> dict[str, str]:
        """Run one operation asynchronously and wait for it."""
        process = self._wps.describeprocess(identifier)
        wanted = [(output.identifier, True) for output in process.processOutputs]
        execution = self._wps.execute(
            identifier,
            [(name, str(value)) for name, value in inputs.items()],
            output=wanted,
            mode=ASYNC,
        )
        while not execution.isComplete():
            execution.checkStatus(sleepSecs=POLL_SECONDS)
            _show(identifier, execution.percentCompleted / 100, execution.statusMessage or "")
        return self._outputs(execution)

    def local(self, name: str) -> Path:
        """Fetch an output; a scene below shared/ is prepared here, it is the same."""
        if name.startswith("shared/"):
            prepare(self._target / "shared")
            return self._target / name
        target = self._target / Path(name).name
        answer = requests.get(self._hrefs[name], headers=self._headers, timeout=60)
        answer.raise_for_status()
        target.write_bytes(answer.content)
        return target

    def _outputs(self, execution: WPSExecution) -> dict[str, str]:
        if not execution.isSucceded():
            raise LandcoverError("; ".join(error.text for error in execution.errors))
        outputs = {}
        for output in execution.processOutputs:
            if output.reference:
                name = "home/jobs/" + output.reference.split("/outputs/", 1)[1]
                self._hrefs[name] = urljoin(self._url, output.reference)
                outputs[output.identifier] = name
            else:
                outputs[output.identifier] = output.data[0]
        return outputs


def _remark(identifier: str, sentence: str) -> None:
    print(f"{identifier:<17} remark: {sentence}", file=sys.stderr)


def _show(identifier: str, fraction: float, text: str) -> None:
    print(f"{identifier:<17} {fraction:4.0%} {text}", file=sys.stderr)
