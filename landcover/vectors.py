"""Vector files: features with a class are read, points are written.

Opened only after a look at their first bytes (`labels.sniff`), and never so that a file makes GDAL
open another one or ask the network.
"""

import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely

from landcover.drivers import VECTOR, load_pyogrio
from landcover.errors import InputError
from landcover.writing import written_beside

pyogrio = load_pyogrio()


def read_features(
    path: Path, expected: str, class_field: str
) -> tuple[str, np.ndarray, list[str]]:
    """Read the features of a file.

    Args:
        path: the file.
        expected: the driver that must open it, one of `drivers.VECTOR`.
        class_field: the attribute that holds the class.

    Returns:
        The CRS, shapely geometries (N,), and the class of each as text.

    Raises:
        InputError: the file, its CRS or the field do not do, or a feature lacks geometry or class.
    """
    if expected == "GeoJSON":
        _check_geojson(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of GDAL, on what is checked below
            layers = pyogrio.list_layers(path)[:, 0].tolist()
            if len(layers) > 1:
                raise InputError(
                    f"{path.name} holds the layers {', '.join(layers)}, it needs to hold one"
                )
            info = pyogrio.read_info(path)
            if info["driver"] != expected or expected not in VECTOR:
                needed = ", ".join(VECTOR)
                raise InputError(f"{path.name} is {info['driver']}, needs one of {needed}")
            if class_field not in info["fields"]:
                has = ", ".join(info["fields"]) or "none"
                raise InputError(f"{path.name} has no field {class_field}, its fields are {has}")
            meta, _, wkb, (values,) = pyogrio.raw.read(path, columns=[class_field])
        geometries = shapely.from_wkb(wkb)
    except (pyogrio.errors.CRSError, pyogrio._err.CPLE_BaseError) as error:
        raise InputError(f"{path.name} has a coordinate system that nobody knows") from error
    except InputError:
        raise
    except Exception as error:  # on a damaged file pyogrio raises whatever comes of it
        raise InputError(f"{path.name} cannot be read as {expected}, it may be damaged") from error
    if not meta["crs"]:
        raise InputError(f"{path.name} has no coordinate system, it needs one: assign it in QGIS")
    if geometries.size == 0 or shapely.is_empty(geometries).all() or (geometries == None).all():  # noqa: E711
        raise InputError(f"{path.name} holds no feature")
    for number, geometry in enumerate(geometries, 1):
        if geometry is None:
            raise InputError(
                f"{path.name}: feature {number} has no geometry, delete it or draw one"
            )
    names = [_class_name(value, path.name, number) for number, value in enumerate(values, 1)]
    return meta["crs"], geometries, names


def _check_geojson(path: Path) -> None:
    """Refuse a GeoJSON whose coordinate system is not one that everybody knows by name.

    GDAL takes an unknown name for degrees, and asks the network for one that is an address.
    """

    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for key, value in pairs:
            if key == "crs" and value is not None:
                _check_named_crs(value, path.name)
        # what has been checked is forgotten: the whole file is not held
        return {key: value for key, value in pairs if key in ("type", "properties", "name")}

    try:
        with path.open(encoding="utf-8-sig") as file:
            json.load(file, object_pairs_hook=check)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name} cannot be read as GeoJSON, it may be damaged") from error


def _check_named_crs(described: Any, file: str) -> None:
    properties = described.get("properties") if isinstance(described, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    known = isinstance(name, str) and re.fullmatch(
        r"(urn:(x-)?ogc:def:crs:|EPSG:|OGC:|https?://www\.opengis\.net/def/crs/)[\w.:/-]{1,80}",
        name,
    )
    try:
        if not known or described.get("type") != "name":
            raise pyproj.exceptions.CRSError("no name of a coordinate system")
        pyproj.CRS.from_user_input(name)
    except pyproj.exceptions.CRSError as error:
        raise InputError(
            f"{file} has a coordinate system that nobody knows, it needs one as EPSG:4326"
        ) from error


def _class_name(value: object, file: str, number: int) -> str:
    missing = value is None or (isinstance(value, float | np.floating) and np.isnan(value))
    name = "" if missing else str(value).strip()
    if not name:
        raise InputError(f"{file}: feature {number} has no class, delete it or give it one")
    return name.removesuffix(".0") if isinstance(value, float | np.floating) else name


def write_points(
    target: Path, points: np.ndarray, crs: str, fields: Sequence[tuple[str, np.ndarray]]
) -> None:
    """Write a GeoPackage of points (N,) with fields of N values each, beside `target`."""
    names, values = zip(*fields, strict=True)
    with written_beside(target) as beside:
        pyogrio.raw.write(
            beside,
            geometry=shapely.to_wkb(points),
            field_data=list(values),
            fields=list(names),
            geometry_type="Point",
            crs=crs,
            driver="GPKG",
            layer=target.stem,
        )
