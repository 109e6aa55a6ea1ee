"""Versions as files: the GeoJSON that people draw in, and GeoPackage for other programs."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from landcover.errors import InputError
from landcover.io.files.atomic import written_beside
from landcover.io.files.plain_files import read_plain_file
from landcover.io.gdal_drivers import load_pyogrio
from landcover.io.legend import Legend
from landcover.io.vector_formats.features import WGS84
from landcover.samples.versions.ledger import Records
from landcover.samples.versions.manifest import Manifest
from landcover.samples.versions.record import Record
from landcover.strict_json import loads

ENDINGS = (".geojson", ".gpkg")
_MOST_BYTES = 512 << 20


@dataclass(frozen=True)
class Drawn:
    """What a GeoJSON file of samples holds.

    Attributes:
        records: by id.
        legend: its classes; None if it brings none.
        base: number of the version that it was exported from; None if it was not.
        version: SHA-256 of that version; empty if it was not.
    """

    records: Records
    legend: Legend | None
    base: int | None
    version: str = ""


def read_drawn(path: Path) -> Drawn:
    """Read a GeoJSON file as the map in the notebook writes it, or `write_version`.

    Raises:
        InputError: it holds no samples, one is damaged, or an id stands twice.
    """
    found = _parsed(path)
    try:
        records = [Record.from_feature(feature) for feature in found["features"]]
        legend = found.get("legend")
        return Drawn(
            _by_id(records),
            Legend.from_list(sorted(legend, key=lambda e: e["code"])) if legend else None,
            *_base_of(found.get("ledger")),
        )
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path.name} holds no samples, it needs GeoJSON features") from error


def _parsed(path: Path) -> dict[str, Any]:
    content = read_plain_file(path, _MOST_BYTES)
    try:
        found = loads(content.decode("utf-8-sig"))
    except ValueError as error:
        raise InputError(f"{path.name} is no JSON: {error}") from error
    if not isinstance(found, dict) or not isinstance(found.get("features"), list):
        raise InputError(f"{path.name} holds no samples, it needs GeoJSON features")
    if found.get("crs"):
        raise InputError(
            f"{path.name} names a coordinate system, samples are in degrees: import it instead"
        )
    return found


def _base_of(ledger: Any) -> tuple[int | None, str]:
    number = ledger.get("number") if isinstance(ledger, dict) else None
    known = type(number) is int and number > 0
    return (number, str(ledger.get("version"))) if known else (None, "")


def _by_id(records: Sequence[Record]) -> Records:
    found = {record.id: record for record in records}
    if len(found) < len(records):
        raise InputError("an id stands twice, each sample needs its own")
    return found


def write_version(path: Path, manifest: Manifest, records: Records) -> None:
    """Write a version as GeoJSON or GeoPackage, by the ending; the same bytes each time.

    Rejected samples are left out of a GeoPackage, which is what is trained on; the GeoJSON, which
    people go on drawing in, holds all.

    Raises:
        InputError: the ending is another one, or nothing is left to write.
        Unwritable: the disk is full or read-only.
    """
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"{path.name} ends in neither {' nor '.join(ENDINGS)}")
    if path.suffix.lower() == ".geojson":
        return _write_geojson(path, manifest, records.values())
    used = [record for record in records.values() if record.review != "rejected"]
    if not used:
        raise InputError(f"version {manifest.number} holds no sample to write")
    return _write_geopackage(path, used)


def _write_geojson(path: Path, manifest: Manifest, records: Collection[Record]) -> None:
    head: dict[str, Any] = {
        "type": "FeatureCollection",
        "name": path.stem,
        "ledger": {"number": manifest.number, "version": manifest.sha256},
    }
    head |= {"legend": list(manifest.legend)} if manifest.legend else {}
    lines = ",\n".join(_line(record.to_feature()) for record in records)
    opening = json.dumps(head, ensure_ascii=False)[:-1]
    with written_beside(path) as beside, beside.open("x", encoding="utf-8") as file:
        file.write(f'{opening},\n"features": [\n{lines}\n]}}\n')


def _line(feature: Mapping[str, Any]) -> str:
    return json.dumps(feature, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _write_geopackage(path: Path, records: Sequence[Record]) -> None:
    from landcover.io.vector import undated

    pyogrio = load_pyogrio()
    names = [field.name for field in fields(Record) if field.name != "wkb"]
    columns: list[np.ndarray] = [
        np.array([getattr(r, name) for r in records], _dtype(name)) for name in names
    ]
    with written_beside(path) as beside, undated():
        pyogrio.raw.write(
            beside,
            geometry=shapely.to_wkb(shapely.from_wkb([record.wkb for record in records])),
            field_data=columns,
            fields=[{"class_name": "class"}.get(name, name) for name in names],
            geometry_type="Unknown",
            crs=WGS84,
            driver="GPKG",
            layer=path.stem,
        )


def _dtype(name: str) -> type:
    return np.int32 if name == "version" else object
