"""Parts: GeoParquet files of records, named by the SHA-256 of their bytes and never changed.

Written with the metadata of GeoParquet 1.1, so that QGIS, DuckDB and geopandas read them.
Source: geoparquet.org/releases/v1.1.0.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import shapely

from landcover.errors import InputError
from landcover.io.files.plain_files import read_plain_file
from landcover.samples.versions.placing import place_once
from landcover.samples.versions.record import Record, need_drawable

MOST_RECORDS = 2_000_000
"""Of a part, and of a version."""
_MOST_BYTES = 256 << 20
_MOST_READ = 1 << 30
"""Bytes of a part's values: a small file may hold one long text a million times."""
_BATCH = 4096
_GEOMETRY = "geometry"


def pyarrow() -> Any:
    """Return pyarrow with its reader of Parquet, loaded with the first part.

    Raises:
        InputError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise InputError(
            "versions of samples are GeoParquet, for which pyarrow is not installed: "
            "pip install -c constraints.txt -e .[versions] installs it"
        ) from error
    return pyarrow


def write_part(folder: Path, records: Sequence[Record]) -> str:
    """Write records to a folder of parts.

    Returns:
        The SHA-256 of the file, which is its name; equal records are one file.
    """
    content = _encoded(records)
    digest = hashlib.sha256(content).hexdigest()
    target = folder / f"{digest}.parquet"
    if not place_once(target, content) and _digest_of(target) != digest:
        raise InputError(
            f"{target.name} in {folder.name} is damaged, and these samples belong there: delete it"
        )
    return digest


def read_part(folder: Path, digest: str) -> list[Record]:
    """Read a part.

    Raises:
        InputError: it is missing, damaged, larger than it may be, or no part.
    """
    path = folder / f"{digest}.parquet"
    content = read_plain_file(path, _MOST_BYTES)
    if hashlib.sha256(content).hexdigest() != digest:
        raise InputError(f"{path.name} is not what was written, take it from a backup")
    try:
        return _decoded(content)
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error
    except (pyarrow().ArrowException, OSError, shapely.GEOSException, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} is no GeoParquet of samples") from error


def _digest_of(path: Path) -> str:
    return hashlib.sha256(read_plain_file(path, _MOST_BYTES)).hexdigest()


def _encoded(records: Sequence[Record]) -> bytes:
    columns = {
        _column(field.name): [getattr(record, field.name) for record in records]
        for field in fields(Record)
    }
    table = pyarrow().table(columns, schema=_schema())
    kinds = sorted({shapely.from_wkb(wkb).geom_type for wkb in columns[_GEOMETRY]})
    geo = {
        "version": "1.1.0",
        "primary_column": _GEOMETRY,
        "columns": {_GEOMETRY: {"encoding": "WKB", "geometry_types": kinds}},
    }  # without a CRS it is degrees, longitude first
    table = table.replace_schema_metadata({"geo": json.dumps(geo, sort_keys=True)})
    file = io.BytesIO()
    pyarrow().parquet.write_table(table, file, compression="zstd")
    return file.getvalue()


def _schema() -> Any:
    arrow = pyarrow()
    kinds: dict[Any, Any] = {str: arrow.string(), int: arrow.int32(), bytes: arrow.binary()}
    return arrow.schema(
        [arrow.field(_column(f.name), kinds[f.type], nullable=False) for f in fields(Record)]
    )


def _column(attribute: str) -> str:
    return {"class_name": "class", "wkb": _GEOMETRY}.get(attribute, attribute)


def _decoded(content: bytes) -> list[Record]:
    arrow = pyarrow()
    file = arrow.parquet.ParquetFile(arrow.BufferReader(content))
    if not file.schema_arrow.remove_metadata().equals(_schema()):
        raise InputError("it has other columns than samples have")
    if file.metadata.num_rows > MOST_RECORDS:
        raise InputError(f"it holds more than {MOST_RECORDS:,} samples")
    records: list[Record] = []
    room = _MOST_READ
    for batch in file.iter_batches(_BATCH):
        room -= batch.nbytes
        if room < 0:
            raise InputError(f"its values have more than {_MOST_READ:,} bytes")
        rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
        records += [Record(*row) for row in rows]
    _need_drawable(records)
    return records


def _need_drawable(records: Sequence[Record]) -> None:
    shapes = shapely.from_wkb([record.wkb for record in records])
    for record, shape in zip(records, shapes, strict=True):
        try:
            need_drawable(shape)
        except InputError as error:
            raise InputError(f"the sample {record.id} {error}") from error
