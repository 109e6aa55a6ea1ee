"""The run record: what a result was made of (its recipe), and how it came about (its run).

The recipe holds no time, user or file name, so two runs of one recipe on processors of one
instruction set give the same bytes. Written files carry its digest and nothing else of the
record. `run.json` and `run.OPERATION.json` in the folder hold both (contract, Files).
"""

import getpass
import math
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from landcover.cpus import cores
from landcover.io.files.atomic import write_json
from landcover.io.records.digests import sha256_of_json, sha256_of_path
from landcover.progress import Notes

DISTRIBUTION = "landcover-geoportal"
RECIPE_TAG = "LANDCOVER_RECIPE"
"""Of a GeoTIFF, GeoPackage, PNG or page that an operation wrote."""
RECIPE_KEY = "landcover.recipe"
"""Of the metadata of a model."""

Files = Mapping[str, Path | Sequence[Path]]


@dataclass(frozen=True)
class Recipe:
    """All that decides what an operation writes.

    Attributes:
        operation: its identifier.
        version: of the operation.
        files: the input files and folders by the input's name; lists where the input is one.
        options: all other inputs, but for the seed.
        seed: of whatever is random; None if nothing is.
        threads: that libraries may use.
    """

    operation: str
    version: str
    files: Files
    options: Mapping[str, Any]
    seed: int | None
    threads: int

    @classmethod
    def of(
        cls,
        operation: str,
        version: str,
        paths: Mapping[str, Sequence[Path]],
        lists: set[str],
        options: Mapping[str, Any],
        seed: int | None,
    ) -> "Recipe":
        """Describe a call; inputs that are not given take no part.

        Args:
            operation: its identifier.
            version: of the operation.
            paths: those of each input, as they were given.
            lists: names of the inputs that take several.
            options: all other inputs, but for the seed.
            seed: of whatever is random; None if nothing is.
        """
        files: dict[str, Path | Sequence[Path]] = {
            name: given if name in lists else given[0] for name, given in paths.items() if given
        }
        return cls(operation, version, files, options, seed, cores())

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """The SHA-256 of each input file or folder; a list of them where the input is a list.

        Raises:
            InputError: one cannot be read.
        """
        return {
            name: sha256_of_path(given)
            if isinstance(given, Path)
            else [*map(sha256_of_path, given)]
            for name, given in self.files.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form (contract, Files)."""
        return {
            "operation": self.operation,
            "version": self.version,
            "inputs": self.inputs,
            "options": dict(self.options),
            "seed": self.seed,
            "threads": self.threads,
            "cpu": instruction_set(),
            "code_version": metadata.version(DISTRIBUTION),
            "libraries": libraries(),
        }

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the recipe's canonical JSON, hexadecimal."""
        return sha256_of_json(self.to_dict())


@dataclass
class RunRecord:
    """The record of a run that goes on.

    Attributes:
        recipe: that is followed.
        names: by which people know the input files and folders, by the input's name.
        started: RFC 3339.
    """

    recipe: Recipe
    names: Mapping[str, Any]
    started: str = field(default_factory=lambda: _now())

    def write(
        self,
        workdir: Path,
        *,
        user: str | None,
        notes: Notes,
        written: Mapping[str, Path],
        figures: Mapping[str, float],
    ) -> None:
        """Write run.json and run.OPERATION.json into the folder of the outputs.

        Args:
            workdir: the folder.
            user: who ran it; the system's user if None.
            notes: remarks and metrics of the run.
            written: output files and folders by the output's name.
            figures: outputs that are numbers; each becomes a metric of step 0.
        """
        metrics = [asdict(metric) for metric in notes.metrics]
        metrics += [{"name": name, "step": 0, "value": value} for name, value in figures.items()
                    if math.isfinite(value)]  # fmt: skip
        run = {
            "user": system_user() if user is None else user,
            "started": self.started,
            "finished": _now(),
            "remarks": notes.remarks,
            "metrics": metrics,
            "files": {name: value for name, value in self.names.items() if value is not None},
            "outputs": {name: sha256_of_path(path) for name, path in written.items()},
            "written": sorted(path.name for path in written.values()),
        }
        for name in record_names(self.recipe.operation):
            write_json(workdir / name, {"recipe": self.recipe.to_dict(), "run": run})


_recording: ContextVar[RunRecord | None] = ContextVar("recording", default=None)


@contextmanager
def recording(recipe: Recipe, names: Mapping[str, Any]) -> Iterator[RunRecord]:
    """Tag everything written in the `with` block with the recipe's digest.

    Args:
        recipe: that is followed.
        names: by which people know the input files and folders, by the input's name.
    """
    record = RunRecord(recipe, names)
    token = _recording.set(record)
    try:
        yield record
    finally:
        _recording.reset(token)


def record_names(operation: str) -> tuple[str, str]:
    """Return the names of the files in which an operation's record stands."""
    return "run.json", f"run.{operation}.json"


@contextmanager
def made_without(*files: str, **options: Any) -> Iterator[None]:
    """Tag what is written in the `with` block as made without inputs that have no part in it.

    So it has the same bytes whatever these are: those of a run without the files, and with the
    options as they are by default.

    Args:
        files: names of inputs.
        options: defaults of others, by name.
    """
    record = _recording.get()
    if record is None:
        yield
        return
    recipe = replace(
        record.recipe,
        files={name: each for name, each in record.recipe.files.items() if name not in files},
        options={**record.recipe.options, **options},
    )
    token = _recording.set(replace(record, recipe=recipe))
    try:
        yield
    finally:
        _recording.reset(token)


def recipe_digest() -> str | None:
    """Return the digest of the recipe that is being followed; None outside a recorded run."""
    record = _recording.get()
    return None if record is None else record.recipe.digest


def input_name(name: str, path: str | os.PathLike[str]) -> str:
    """Return the path by which people know an input file; in a job it is a storage name."""
    return input_names(name, [path])[0]


def input_names(name: str, paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Return the paths by which people know the files of an input."""
    record = _recording.get()
    known = None if record is None else record.names.get(name)
    listed = known if isinstance(known, list | tuple) else paths if known is None else [known]
    return [each if isinstance(each, str) else str(Path(each).absolute()) for each in listed]


def input_digest(name: str, path: Path) -> Any:
    """Return the SHA-256 of an input, which the record of this run needs too."""
    return input_digests(name, [path])[0]


def input_digests(name: str, paths: Sequence[Path]) -> list[Any]:
    """Return the SHA-256 of each path of an input, which the record of this run needs too."""
    record = _recording.get()
    if record is not None and name in record.recipe.files:
        known = record.recipe.inputs[name]
        return known if isinstance(known, list) else [known]
    return [*map(sha256_of_path, paths)]


def recipe_tag() -> dict[str, str]:
    """Return the tag that says by which recipe a file was made; none outside a recorded run."""
    digest = recipe_digest()
    return {} if digest is None else {RECIPE_TAG: digest}


def with_recipe(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with the digest of the recipe by which it was made, if recorded."""
    digest = recipe_digest()
    return dict(value) if digest is None else {**value, "recipe": digest}


@cache
def instruction_set() -> str:
    """Return the processor's architecture and the vector instructions that numpy finds."""
    import numpy as np

    extensions: Any = np.show_config(mode="dicts")
    known = extensions["SIMD Extensions"]
    return " ".join([platform.machine(), *known.get("baseline", ()), *known.get("found", ())])


@cache
def libraries() -> dict[str, str]:
    """Return the versions of Python, GDAL and the libraries that `import landcover` needs."""
    import rasterio

    needed = [line for line in _metadata(DISTRIBUTION, "Requires-Dist") if "extra ==" not in line]
    names = [re.split(r"[^\w.-]", line)[0] for line in needed]
    found = {name: _metadata(name, "Version")[0] for name in names}
    return found | {"python": platform.python_version(), "gdal": rasterio.__gdal_version__}


def _metadata(distribution: str, field: str) -> list[str]:
    """Return the values of a field; importlib.metadata itself takes 5 ms for each package."""
    text = metadata.distribution(distribution).read_text("METADATA") or ""
    return re.findall(rf"^{field}: *(.+)$", text.partition("\n\n")[0], re.MULTILINE)


def system_user() -> str:
    """Return the name of the system's user, or the number where it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
