"""Vector files: features with a class are read, points are written.

Opened only after a look at their first bytes (`formats.need_labels`), and never so that a file
makes GDAL open another one or ask the network.
"""

import json
import re
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyproj
import shapely

from landcover.errors import InputError
from landcover.io.files.atomic import written_beside
from landcover.io.gdal_drivers import VECTOR, load_pyogrio
from landcover.io.records.run_record import recipe_tag
from landcover.io.vector_formats.features import WGS84, Features
from landcover.io.vector_formats.formats import CSV, GPX, KML, SHAPEFILE, ZIP, need_labels
from landcover.io.vector_formats.point_tables import read_table
from landcover.io.vector_formats.shapefile_parts import AS_BYTES, decoded, need_parts, part_of
from landcover.io.vector_formats.xml_features import read_gpx, read_kml
from landcover.io.vector_formats.zipped import unpacked

pyogrio = load_pyogrio()
_NO_DATE = "1970-01-01T00:00:00.000Z"
_MOST_ENTRIES = 10_000
_ORDINARY_TRIGGERS = ("gpkg_", "rtree_", "trigger_insert_feature_count_",
                      "trigger_delete_feature_count_")  # fmt: skip
"""Of the standard and of GDAL, which keep indexes and counts; reading starts none of them."""

_ORDINARY_TABLE = re.compile(
    r"CREATE\s+(TABLE\b|VIRTUAL\s+TABLE\s+(\"[^\"]*\"|'[^']*'|\w+)\s+USING\s+\"?rtree\b)",
    re.IGNORECASE,
)


def read_features(
    path: Path, expected: str, class_field: str, layer: str = ""
) -> tuple[str, np.ndarray, list[str]]:
    """Read the features of a file.

    Args:
        path: the file.
        expected: its format, as `formats.need_labels` found it.
        class_field: the attribute that holds the class.
        layer: name of the layer; by default the only one with geometries. Of a KML a folder, of a
            zip a file in it.

    Returns:
        The CRS, "" for that of the scene, shapely geometries (N,), and the class of each as text,
        empty where it has none.

    Raises:
        InputError: the file, its CRS or the field are invalid, or a feature lacks a geometry.
    """
    found = _read(path, expected, [class_field], layer)
    _need_features(found, path)
    if class_field not in found.columns:
        has = ", ".join(found.fields) or "none"
        raise InputError(f"{path.name} has no field {class_field}, its fields are {has}")
    _need_shapes(found, path)
    return found.crs, found.geometries, [_class_name(v) for v in found.columns[class_field]]


def read_shapes(path: Path, expected: str, layer: str = "") -> tuple[str, np.ndarray]:
    """Read the geometries of a file, and no attributes.

    Args:
        path: the file.
        expected: its format, as `formats.need_labels` found it.
        layer: name of the layer, as `read_features` takes it.

    Returns:
        The CRS, "" for that of the scene, and shapely geometries (N,).

    Raises:
        InputError: the file or its CRS are invalid, or a feature lacks a geometry.
    """
    found = _read(path, expected, [], layer)
    _need_features(found, path)
    _need_shapes(found, path)
    return found.crs, found.geometries


def _need_features(found: Features, path: Path) -> None:
    if found.geometries.size == 0:
        raise InputError(f"{path.name} holds no feature")


def _need_shapes(found: Features, path: Path) -> None:
    missing = np.flatnonzero((found.geometries == None) | shapely.is_empty(found.geometries))  # noqa: E711
    if len(missing) == found.geometries.size:
        raise InputError(f"{path.name} holds no feature with a geometry")
    if missing.size:
        raise InputError(
            f"{path.name}: feature {missing[0] + 1} has no geometry, delete it or draw one"
        )


def read_columns(
    path: Path, expected: str, names: Sequence[str], layer: str = ""
) -> Mapping[str, np.ndarray]:
    """Read attributes of all features of a file.

    Args:
        path: the file.
        expected: its format, as `formats.need_labels` found it.
        names: of the attributes.
        layer: name of the layer, as `read_features` takes it.

    Returns:
        The values (N,) of each attribute that the file has.

    Raises:
        InputError: the file is invalid.
    """
    return _read(path, expected, names, layer, shapes=False).columns


def _read(
    path: Path, expected: str, names: Sequence[str], layer: str, shapes: bool = True
) -> Features:
    """Read attributes, and geometries where they are asked for, by the reader of a format."""
    if expected == ZIP:
        with unpacked(path, layer) as main:
            return _read(main, need_labels(main), names, "", shapes)
    if expected == KML:
        return Features.of_records(WGS84, *read_kml(path, layer), names)
    if layer and expected in (GPX, CSV):
        raise InputError(f"{path.name} is {expected}, it has no layer {layer}")
    if expected == GPX:
        return Features.of_records(WGS84, *read_gpx(path), names)
    if expected == CSV:
        return Features.of_records(*read_table(path), names)
    return _read_by_gdal(path, expected, names, layer, shapes)


def _read_by_gdal(
    path: Path, expected: str, names: Sequence[str], layer: str, shapes: bool
) -> Features:
    bytewise: dict[str, Any] = {}
    if expected == SHAPEFILE:
        need_parts(path)
        bytewise = {"encoding": AS_BYTES}
    with _reading(path, expected):
        layer, raw = _checked_layer(path, expected, layer, **bytewise)
        fields = decoded(raw, path).tolist() if bytewise else raw
        wanted = [raw[fields.index(name)] for name in names if name in fields]
        if not wanted and not shapes:  # pyogrio reads no features without anything of them
            return Features("", np.empty(0, object), tuple(fields), {})
        meta, _, wkb, values = pyogrio.raw.read(
            path, layer=layer, columns=wanted, read_geometry=shapes, **bytewise
        )
        geometries = shapely.from_wkb(wkb) if shapes else np.empty(0, object)
        columns = [decoded(v, path) if bytewise else v for v in values]
    if shapes and not meta["crs"]:
        raise InputError(_without_crs(path, expected))
    read = [fields[raw.index(name)] for name in meta["fields"]]
    return Features(meta["crs"], geometries, tuple(fields), dict(zip(read, columns, strict=True)))


def _without_crs(path: Path, expected: str) -> str:
    if expected == SHAPEFILE and part_of(path, ".prj") is None:
        return f"{path.name} has no coordinate system, as {path.stem}.prj is not beside it"
    return f"{path.name} has no coordinate system, it needs one: assign it in QGIS"


@contextmanager
def _reading(path: Path, expected: str) -> Iterator[None]:
    """Turn what pyogrio raises on a damaged file into an InputError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of GDAL, on what is checked below
            yield
    except (pyogrio.errors.CRSError, pyogrio._err.CPLE_BaseError) as error:
        raise InputError(f"{path.name} has a coordinate system that nobody knows") from error
    except InputError:
        raise
    except Exception as error:  # on a damaged file pyogrio raises whatever comes of it
        raise InputError(f"{path.name} cannot be read as {expected}, it may be damaged") from error


def _checked_layer(
    path: Path, expected: str, wanted: str, **encoding: str
) -> tuple[str, list[str]]:
    """Return the layer to read, and its fields, of a file that the expected driver opens."""
    if expected == "GeoJSON":
        _check_geojson(path)
    if expected == "GPKG":
        _check_geopackage(path)
    layer = _layer_of(path, wanted)
    info = pyogrio.read_info(path, layer=layer, **encoding)
    if info["driver"] != expected or expected not in VECTOR:
        needed = ", ".join(VECTOR)
        raise InputError(f"{path.name} is {info['driver']}, needs one of {needed}")
    return layer, list(info["fields"])


def _layer_of(path: Path, wanted: str) -> str:
    """Return the layer to read. Tables without geometries, as QGIS keeps styles in, are none."""
    listed = pyogrio.list_layers(path).tolist()
    layers = [name for name, geometry in listed if geometry is not None] or [
        name for name, _ in listed
    ]
    if wanted and wanted not in layers:
        raise InputError(f"{path.name} has no layer {wanted}, it has {', '.join(layers)}")
    if not wanted and len(layers) > 1:
        raise InputError(
            f"{path.name} holds the layers {', '.join(layers)}: say with the input layer which "
            "one to read"
        )
    return wanted or str(layers[0])


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
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is not in UTF-8, as GeoJSON needs to be") from error
    except (ValueError, RecursionError) as error:
        if getattr(error, "msg", "") == "Extra data":
            raise InputError(
                f"{path.name} holds several JSON texts, as GeoJSON of a feature a line does: "
                f"ogr2ogr labels.gpkg GeoJSONSeq:{path.name}"
            ) from error
        raise InputError(f"{path.name} cannot be read as GeoJSON, it may be damaged") from error


def _check_geopackage(path: Path) -> None:
    """Refuse a GeoPackage that brings SQL of its own, which may compute for ever.

    Views and generated columns are computed while they are read, virtual tables by code of
    SQLite's extensions.
    """
    with closing(_opened_read_only(path)) as database:
        _check_contents(database, path.name)
        entries = database.execute(
            "SELECT type, name, sql FROM sqlite_master LIMIT ?", (_MOST_ENTRIES + 1,)
        ).fetchall()
        for type_, name, sql in entries:
            _check_entry(path.name, type_, str(name), sql or "")
        generated = database.execute(
            "SELECT m.name || '.' || c.name FROM sqlite_master m, pragma_table_xinfo(m.name) c "
            "WHERE m.type = 'table' AND c.hidden IN (2, 3) LIMIT 1"
        ).fetchone()
    if len(entries) > _MOST_ENTRIES:
        raise InputError(f"{path.name} holds more than {_MOST_ENTRIES} tables, views and triggers")
    if generated:
        _refuse_sql(path.name, f"the computed column {generated[0]}")


def _check_contents(database: sqlite3.Connection, file: str) -> None:
    """Refuse a GeoPackage of tiles, and a SQLite file that is no GeoPackage."""
    try:
        kinds = {kind for (kind,) in database.execute("SELECT data_type FROM gpkg_contents")}
    except sqlite3.DatabaseError as error:
        raise InputError(f"{file} is a SQLite file and no GeoPackage") from error
    if "features" not in kinds and "tiles" in kinds:
        raise InputError(
            f"{file} holds tiles, a raster, and no features: gdal_translate {file} labels.tif "
            "makes them labels if they are codes of classes"
        )


def _opened_read_only(path: Path) -> sqlite3.Connection:
    """Open it as GDAL does: one in WAL mode, in a folder that cannot be written, as immutable."""
    for how in ("mode=ro", "mode=ro&immutable=1"):
        database = sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True)
        database.text_factory = lambda text: text.decode(errors="replace")
        try:
            database.execute("SELECT 1 FROM sqlite_master")
        except sqlite3.OperationalError:
            database.close()
        else:
            return database
    raise InputError(f"{path.name} cannot be read as GPKG, it may be damaged")


def _check_entry(file: str, type_: str, name: str, sql: str) -> None:
    """Refuse what is neither a table with rows, nor an index, nor an ordinary trigger.

    A file may spell its SQL as it likes, so that a table is known by how it begins alone.
    """
    is_ordinary = type_ != "trigger" or name.lower().startswith(_ORDINARY_TRIGGERS)
    if type_ == "view" or not is_ordinary:
        _refuse_sql(file, f"the {type_} {name}")
    if type_ == "table" and not _ORDINARY_TABLE.match(sql):
        _refuse_sql(file, f"the virtual table {name}")


def _refuse_sql(file: str, what: str) -> None:
    raise InputError(
        f"{file} holds {what}, which is SQL and not read: export its layer to a new GeoPackage"
    )


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


def _class_name(value: object) -> str:
    if isinstance(value, np.ndarray | list | dict | bytes):
        raise InputError(
            "the field of the class holds lists or bytes, it needs one text or number"
        )
    missing = value is None or (isinstance(value, float | np.floating) and np.isnan(value))
    name = "" if missing else str(value).strip()
    return name.removesuffix(".0") if isinstance(value, float | np.floating) else name


def write_points(
    target: Path, points: np.ndarray, crs: str, fields: Sequence[tuple[str, np.ndarray]]
) -> None:
    """Write a GeoPackage of points (N,) with fields of N values each, beside `target`."""
    names, values = zip(*fields, strict=True)
    with written_beside(target) as beside, undated():
        pyogrio.raw.write(
            beside,
            geometry=shapely.to_wkb(points),
            field_data=list(values),
            fields=list(names),
            geometry_type="Point",
            crs=crs,
            driver="GPKG",
            layer=target.stem,
            dataset_metadata=recipe_tag(),
        )


@contextmanager
def undated() -> Iterator[None]:
    """Fix the time that GDAL writes into a GeoPackage, so that two runs give the same bytes."""
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _NO_DATE})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
