"""Samples of others: files of any format that labels may have become a version with provenance.

What lies in `incoming/` is data and nothing else: it is read, never run, moved or deleted.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import numpy as np
import pyproj
import shapely

from landcover.errors import InputError, LandcoverError
from landcover.io.gdal_drivers import SHAPEFILE_PARTS
from landcover.io.records.digests import sha256_of_path
from landcover.io.vector_formats.features import WGS84
from landcover.io.vector_formats.formats import GEOTIFF, need_labels
from landcover.progress import remark
from landcover.samples.versions.ledger import Committed, Ledger
from landcover.samples.versions.record import Record, need_drawable, wkb_of

INCOMING = "incoming"
_SAID = ("author", "image", "drawn")
"""Attributes that are taken over, where a file has them."""


@dataclass(frozen=True)
class Refused:
    """A file that was not imported, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class Imported:
    """What became of an import.

    Attributes:
        committed: the version; the newest one if nothing was new; None if there is none.
        samples: new ones, by the name of their file.
        refused: files that stay as they are.
    """

    committed: Committed | None
    samples: Mapping[str, int]
    refused: tuple[Refused, ...]


def waiting(ledger: Ledger) -> list[Path]:
    """Return the files in `incoming/`, sorted; of a Shapefile its .shp alone."""
    folder = ledger.folder / INCOMING
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in found if not path.name.startswith(".") and not _is_part(path)]


def _is_part(path: Path) -> bool:
    return path.suffix.lower() in SHAPEFILE_PARTS and path.with_suffix(".shp").is_file()


def import_files(
    ledger: Ledger,
    files: Sequence[Path],
    class_field: str,
    author: str,
    source: str = "",
    layer: str = "",
) -> Imported:
    """Commit the samples of files of others as one version.

    A sample is known by its class and outline: what the ledger holds or has removed is not
    imported again.

    Args:
        ledger: to commit to.
        files: as labels may be, but no rasters.
        class_field: the attribute that holds the class.
        author: who imports.
        source: where the files are from, in words.
        layer: of files that hold several.

    Raises:
        InputError: there is no file, or none that can be read.
        Unwritable: the disk is full or read-only.
    """
    if not files:
        raise InputError(f"{ledger.folder.name}/{INCOMING} holds no file to import")
    read: dict[str, list[Record]] = {}
    refused = []
    for path in files:
        try:
            read[path.name] = _read(path, class_field, source, layer)
        except LandcoverError as error:
            refused.append(Refused(path.name, str(error)))
    if not read:
        raise InputError("; ".join(r.reason for r in refused))
    new = _new(ledger, read)
    records = {record.id: record for found in new.values() for record in found}
    message = f"import of {', '.join(read)}" + (f" from {source}" if source else "")
    committed = ledger.commit(records.values(), (), author, message=message) if records else None
    counts = {name: len(found) for name, found in new.items()}
    return Imported(committed, counts, tuple(refused))


def _new(ledger: Ledger, read: Mapping[str, Sequence[Record]]) -> dict[str, list[Record]]:
    """Return the records of each file that nobody had before, each once."""
    known: set[str] = set()
    if ledger.last:
        head = ledger.manifest(ledger.last)
        known = ledger.records(head).keys() | set(head.removed)
    found = {}
    for name, records in read.items():
        new = {record.id: record for record in records if record.id not in known}
        if len(new) < len(records):
            remark(f"{len(records) - len(new)} samples of {name} are known already")
        known |= new.keys()
        found[name] = list(new.values())
    return found


def _read(path: Path, class_field: str, source: str, layer: str) -> list[Record]:
    if path.is_symlink() or not path.is_file():
        raise InputError(f"{path.name} is no plain file, it needs to be one")
    format_ = need_labels(path)
    if format_ == GEOTIFF:
        raise InputError(
            f"{path.name} is a raster, versions hold polygons: polygonize-map makes some"
        )
    from landcover.io.vector import read_columns, read_features

    crs, shapes, names = read_features(path, format_, class_field, layer)
    columns = read_columns(path, format_, _SAID, layer)
    shapes = _in_degrees(shapes, crs, path.name)
    origin = f"{path.name}, sha256 {sha256_of_path(path)}"
    origin += f", from {source}" if source else ""
    _remark_on_unlabelled(names, path.name)
    return list(_records(shapes, names, columns, origin, path.name))


def _in_degrees(shapes: np.ndarray, crs: str, name: str) -> np.ndarray:
    if not crs:
        raise InputError(
            f"{name} has a scene's coordinates and does not say of which system, it needs "
            "columns lon and lat"
        )
    flat = shapely.force_2d(shapes)
    if pyproj.CRS.from_user_input(crs).equals(WGS84, ignore_axis_order=True):
        return np.asarray(flat)
    to_degrees = pyproj.Transformer.from_crs(crs, WGS84, always_xy=True)
    return np.asarray(shapely.transform(flat, to_degrees.transform, interleaved=False))


def _records(
    shapes: np.ndarray,
    names: Sequence[str],
    columns: Mapping[str, np.ndarray],
    origin: str,
    file: str,
) -> Iterator[Record]:
    for number, (shape, name) in enumerate(zip(shapes, names, strict=True)):
        if not name:
            continue
        try:
            wkb = wkb_of(need_drawable(shape))
        except InputError as error:
            raise InputError(f"{file}: feature {number + 1} {error}") from error
        said: dict[str, Any] = {key: _text(values[number]) for key, values in columns.items()}
        id_ = str(uuid5(NAMESPACE_OID, f"{name} {wkb.hex()}"))
        yield Record(id_, name, wkb, source=f"{origin}, feature {number + 1}", **said)


def _text(value: object) -> str:
    missing = value is None or value != value or str(value) == "NaT"
    return "" if missing else str(value)


def _remark_on_unlabelled(names: Collection[str], file: str) -> None:
    without = sum(not name for name in names)
    if without:
        remark(f"{without} features of {file} have no class and are not imported")
