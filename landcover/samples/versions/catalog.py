"""Which sets of training samples there are, with counts by class, date and place."""

import math
import os
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely

from landcover.errors import InputError
from landcover.progress import remark
from landcover.samples.versions.exchange import read_drawn
from landcover.samples.versions.ledger import VERSIONS, Ledger
from landcover.samples.versions.manifest import name_of
from landcover.samples.versions.record import Record

DRAWN = "samples"
"""The map in the notebook saves what is drawn in a folder of this name."""
_DEEPEST = 8
_MOST_FOLDERS = 20_000


@dataclass(frozen=True)
class SampleSet:
    """A ledger, of which the newest version counts, or a file that people draw in.

    Attributes:
        path: of the ledger's folder or of the file.
        kind: `ledger` or `drawn`.
        number: of the version; 0 of a file.
        version: SHA-256 of its manifest; empty of a file.
        samples: in it.
        bounds: west, south, east and north in degrees; None if it is empty.
        classes: samples by class.
        months: samples by the month in which they were drawn, as 2026-05; "" is unknown.
        places: samples by the square of one degree that they lie in, as N52E105, named by its
            southwestern corner.
        authors: samples by author.
        images: samples by the scene that they were drawn on.
        reviews: samples by review; "" is none.
    """

    path: Path
    kind: str
    number: int
    version: str
    samples: int
    bounds: tuple[float, float, float, float] | None
    classes: dict[str, int]
    months: dict[str, int]
    places: dict[str, int]
    authors: dict[str, int]
    images: dict[str, int]
    reviews: dict[str, int]


def find_sets(root: Path) -> list[SampleSet]:
    """Return all sets of samples below a folder, sorted by path; links are not followed.

    What cannot be read is left out with a remark.

    Raises:
        InputError: there is no such folder.
    """
    if not root.is_dir():
        raise InputError(f"{root} is no folder")
    found = []
    for path in _candidates(root):
        try:
            found.append(_set_of(path))
        except InputError as error:
            remark(f"not in the catalogue: {error}")
    return sorted(found, key=lambda one: one.path)


def _candidates(root: Path) -> Iterator[Path]:
    """Yield folders of ledgers, and files in folders called `samples`."""
    for count, (name, folders, files) in enumerate(os.walk(root)):
        folder = Path(name)
        if count >= _MOST_FOLDERS:
            remark(f"{root.name} has more than {_MOST_FOLDERS:,} folders, the others are left out")
            return
        is_ledger = (folder / VERSIONS / name_of(1)).is_file()
        deep = len(folder.relative_to(root).parts) >= _DEEPEST
        folders[:] = [] if is_ledger or deep else [f for f in folders if not f.startswith(".")]
        if is_ledger:
            yield folder
        if folder.name == DRAWN:
            yield from (folder / f for f in files if f.endswith(".geojson") and f[0] != ".")


def _set_of(path: Path) -> SampleSet:
    if path.is_symlink():
        raise InputError(f"{path.name} is a link")
    if path.is_file():
        return _counted(path, "drawn", 0, "", read_drawn(path).records.values())
    ledger = Ledger(path)
    manifest = ledger.manifest(ledger.last)
    records = ledger.records(manifest).values()
    return _counted(path, "ledger", manifest.number, manifest.sha256, records)


def _counted(
    path: Path, kind: str, number: int, version: str, records: Collection[Record]
) -> SampleSet:
    shapes = np.array(shapely.from_wkb([record.wkb for record in records]), object)
    bounds = shapely.total_bounds(shapes).tolist() if len(records) else None
    return SampleSet(
        path=path,
        kind=kind,
        number=number,
        version=version,
        samples=len(records),
        bounds=bounds,
        classes=_by(record.class_name for record in records),
        months=_by(record.drawn[:7] for record in records),
        places=_by(map(_square, *shapely.get_coordinates(shapely.centroid(shapes)).T)),
        authors=_by(record.author for record in records),
        images=_by(record.image for record in records),
        reviews=_by(record.review for record in records),
    )


def _by(values: Iterator[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _square(longitude: float, latitude: float) -> str:
    """Return the name of a square of one degree.

    >>> _square(105.9, 52.1), _square(-0.5, -0.5)
    ('N52E105', 'S01W001')
    """
    east, north = math.floor(longitude), math.floor(latitude)
    return f"{'SN'[north >= 0]}{abs(north):02}{'WE'[east >= 0]}{abs(east):03}"
