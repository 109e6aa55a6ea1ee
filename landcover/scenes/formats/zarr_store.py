"""Zarr: a folder of chunks, whose metadata may refer to other places.

Sources: Zarr storage specification, versions 2 and 3; kerchunk, reference specification.
"""

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from landcover import strict_json
from landcover.errors import InputError
from landcover.io.files.plain_files import read_plain_file
from landcover.io.raster import MOST_BLOCK_MIB

MARKS = (".zgroup", ".zarray", ".zmetadata", "zarr.json")
"""Names of files by which a folder is known as Zarr."""
_METADATA = (*MARKS, ".zattrs")
_MOST_FILES = 200_000
_MOST_BYTES = 16 << 20
_CRS = re.compile(r"https?://(www\.)?opengis\.net/def/crs/.*|urn:ogc:def:crs:.*|EPSG:\d+")
_REMEDY = "write a Zarr of its own, as with xarray's to_zarr"


def need_own_content(folder: Path, name: str) -> None:
    """Refuse a store that refers to other places, or whose chunks would fill memory.

    Raises:
        InputError: it does so, holds a link, or its metadata are no JSON.
    """
    for path in _files(folder, name):
        if path.name in _METADATA:
            _check(_json(path), name)
        elif path.suffix in (".parq", ".json") and path.name != "zarr.json":
            raise InputError(
                f"{name} holds {path.name}, references to chunks in other files (kerchunk), "
                f"which are not followed: {_REMEDY}"
            )


def _files(folder: Path, name: str) -> Iterator[Path]:
    count = 0
    for within, folders, files in os.walk(folder):
        for each in (*folders, *files):
            path = Path(within, each)
            count += 1
            if count > _MOST_FILES:
                raise InputError(f"{name} holds more than {_MOST_FILES:,} files")
            if path.is_symlink():
                raise InputError(f"{name} holds the link {each}, which is not followed: {_REMEDY}")
        yield from (Path(within, each) for each in files)


def _json(path: Path) -> Any:
    try:
        return strict_json.loads(read_plain_file(path, _MOST_BYTES).decode())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name} of a Zarr is no JSON that can be read") from error


def _check(metadata: Any, name: str) -> None:
    if not isinstance(metadata, dict):
        raise InputError(f"{name} has metadata that are no JSON object")
    if "refs" in metadata or "record_size" in metadata or "templates" in metadata:
        raise InputError(
            f"{name} refers to chunks in other files (kerchunk), which are not followed: {_REMEDY}"
        )
    _check_chunks(metadata, name)
    for inner in metadata.get("metadata", {}).values() if "metadata" in metadata else ():
        if isinstance(inner, dict):
            _check_chunks(inner, name)
            _check_crs(inner, name)
    _check_crs(metadata.get("attributes", metadata), name)


def _check_chunks(metadata: dict[str, Any], name: str) -> None:
    grid = metadata.get("chunk_grid", {})
    told = metadata.get("chunks") or (
        grid.get("configuration", {}).get("chunk_shape") if isinstance(grid, dict) else None
    )
    if isinstance(told, list) and all(isinstance(side, int) for side in told):
        mib = math.prod(told) / 2**20
        if mib > MOST_BLOCK_MIB:  # of one byte a number, at least
            raise InputError(
                f"{name} is stored in chunks of {mib:.0f} million numbers, needs ones of at most "
                f"{MOST_BLOCK_MIB} MiB: write it anew in smaller chunks"
            )


def _check_crs(attributes: Any, name: str) -> None:
    told = attributes.get("_CRS") if isinstance(attributes, dict) else None
    url = told.get("url") if isinstance(told, dict) else None
    if url is not None and not _CRS.fullmatch(str(url)):
        raise InputError(
            f"{name} has its coordinate system at {url}, addresses are not asked: {_REMEDY}"
        )
