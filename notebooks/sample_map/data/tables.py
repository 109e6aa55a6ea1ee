"""Samples that were drawn elsewhere: tables of features with classes."""

import json
from collections.abc import Iterable
from typing import Any

import geopandas
from pandas import isna as is_missing
from shapely.geometry import mapping

from landcover.errors import InputError
from landcover.io.legend import Legend
from sample_map.data.features import CRS, OWN, Sample


def samples_of(
    frame: geopandas.GeoDataFrame, class_field: str, known: Legend, author: str, image: str
) -> tuple[tuple[Sample, ...], Legend]:
    """Return the samples that a table holds, and the legend that names their classes.

    Args:
        frame: polygons or points in any CRS; other columns are kept.
        class_field: the column with the class names; a sample without one has an empty name.
        known: the legend so far; an empty one takes the classes over.
        author: who drew them.
        image: storage name of the scene that they are drawn on.

    Raises:
        InputError: there is no such column, no CRS, no such class, a feature without geometry, or
            an outline is invalid.
    """
    if class_field not in frame or frame.crs is None:
        raise InputError(f"the samples to add need a column {class_field} and a CRS")
    legend = known if known.classes else Legend.of_values(_given_names(frame[class_field]))
    classes = _classes_of(frame, class_field, legend)
    outlines = frame.to_crs(CRS).geometry
    features = zip(classes, outlines, _brought(frame, class_field), strict=True)
    samples = tuple(
        _sample(number, name, mapping(shape), author, image, more)
        for number, (name, shape, more) in enumerate(features, 1)
    )
    return samples, legend


def _classes_of(frame: geopandas.GeoDataFrame, field: str, legend: Legend) -> list[str]:
    """Return the class of each feature as the legend spells it, empty if it has none."""
    names = dict(zip(legend.codes, legend.names, strict=True))
    classes = []
    for number, (value, shape) in enumerate(zip(frame[field], frame.geometry, strict=True), 1):
        if shape is None or shape.is_empty:
            raise InputError(f"feature {number} has no geometry, delete it or draw one")
        name = _class_name(value)
        code = legend.code_of_name(name) if name else None
        if name and code is None:
            raise InputError(
                f"there is no class {name} in the legend, add it there first: it has "
                f"{', '.join(legend.names)}"
            )
        classes.append(names[code] if code is not None else "")
    return classes


def _sample(number: int, *described: Any) -> Sample:
    try:
        return Sample.new(*described)
    except InputError as error:
        raise InputError(f"feature {number}: {error}") from error


def _class_name(value: Any) -> str:
    return "" if is_missing(value) else str(value).strip()


def _given_names(column: Iterable[Any]) -> set[str]:
    return {_class_name(value) for value in column} - {""}


def _brought(frame: geopandas.GeoDataFrame, class_field: str) -> list[dict[str, Any]]:
    """Return the other columns of each feature, as JSON values; one of our names gets a prefix."""
    table = frame.drop(columns=[class_field, frame.geometry.name])
    table = table.rename(columns={name: f"source_{name}" for name in OWN})
    if table.columns.empty:
        return [{} for _ in range(len(table))]
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records", date_format="iso"))
    return [{k: v for k, v in row.items() if v is not None} for row in rows]
