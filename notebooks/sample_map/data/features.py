"""Samples and changes of samples: the values that everything else here passes on.

A change says what a sample was and what it became. It is what the journal keeps, what is undone,
and what is merged with the work of others: it fits wherever the sample still is what it was.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from uuid import NAMESPACE_OID, uuid4, uuid5

import geopandas
import numpy as np
import shapely
from pyproj import Transformer
from shapely.geometry import mapping, shape
from shapely.geometry.base import BaseGeometry

from landcover.errors import InputError

Geometry = Mapping[str, Any]
Feature = Mapping[str, Any]

CRS = "EPSG:4326"
COLUMNS = ("id", "class", "geometry", "author", "image", "drawn", "version")
SHAPES = ("Point", "MultiPoint", "Polygon", "MultiPolygon")
OWN = ("id", "class", "author", "image", "drawn", "version", "editor", "rival")
_EQUAL_AREA = "EPSG:6933"


@dataclass(frozen=True)
class Sample:
    """One labelled place.

    Attributes:
        id: a random UUID, kept whatever is changed.
        class_name: a class of the legend; empty if nobody said.
        geometry: GeoJSON geometry in degrees, longitude first, one of SHAPES.
        author: hub name of who drew it.
        image: storage name of the scene it was drawn on.
        drawn: when, RFC 3339 in UTC.
        version: counts the changes, from 1.
        editor: hub name of who changed it last; empty if nobody did.
        rival: id of the sample that somebody else made of the same one at the same time.
        more: other properties that a file from elsewhere brought.
    """

    id: str
    class_name: str
    geometry: Geometry
    author: str
    image: str
    drawn: str
    version: int = 1
    editor: str = ""
    rival: str = ""
    more: Mapping[str, Any] | None = None

    @classmethod
    def new(
        cls,
        class_name: str,
        geometry: Geometry,
        author: str,
        image: str,
        more: Mapping[str, Any] | None = None,
    ) -> "Sample":
        """Make a sample that was drawn just now, or was drawn elsewhere and brings `more`.

        Raises:
            InputError: the outline has no area, or crosses itself.
        """
        drawn = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        outline = checked(geometry)
        return cls(str(uuid4()), class_name, outline, author, image, drawn, more=more or None)

    @classmethod
    def from_feature(cls, feature: Feature) -> "Sample":
        """Read a GeoJSON feature; one that was made elsewhere may lack all but its shape.

        Raises:
            InputError: it is no feature, or its shape is none of SHAPES.
        """
        found = feature.get("properties") or {}
        geometry = feature.get("geometry") or {}
        if geometry.get("type") not in SHAPES:
            raise InputError(
                f"a sample has the shape {geometry.get('type') or 'nothing'}, "
                f"needs {' or '.join(SHAPES)}"
            )
        sample = cls(
            id=str(found.get("id") or _id_from(feature)),
            class_name=_text(found.get("class")),
            geometry=geometry,
            author=_text(found.get("author")),
            image=_text(found.get("image")),
            drawn=_text(found.get("drawn")),
            version=int(found.get("version") or 1),
            editor=_text(found.get("editor")),
            rival=_text(found.get("rival")),
            more={k: v for k, v in found.items() if k not in OWN} or None,
        )
        _ = sample.shape  # coordinates that do not fit say so here, not in the middle of drawing
        return sample

    def to_feature(self) -> dict[str, Any]:
        """Return the GeoJSON feature that is saved."""
        told = {"editor": self.editor, "rival": self.rival}
        return {
            "type": "Feature",
            "id": self.id,
            "geometry": self.geometry,
            "properties": {
                "id": self.id,
                "class": self.class_name,
                "author": self.author,
                "image": self.image,
                "drawn": self.drawn,
                "version": self.version,
                **{name: value for name, value in told.items() if value},
                **(self.more or {}),
            },
        }

    @cached_property
    def line(self) -> str:
        """The feature as one line of JSON."""
        return json.dumps(
            self.to_feature(), ensure_ascii=False, allow_nan=False, separators=(",", ":")
        )

    @cached_property
    def shape(self) -> BaseGeometry:
        """The geometry for shapely, in degrees."""
        return shape(self.geometry)

    @cached_property
    def area(self) -> float:
        """Area in square metres; 0 for points."""
        return areas_of([self])[0]

    def edited(self, editor: str, **values: Any) -> "Sample":
        """Return the next version, with some attributes changed."""
        after = replace(self, version=self.version + 1, editor=editor, **values)
        if after.geometry is self.geometry:  # of thousands that get another class
            known = {k: v for k, v in self.__dict__.items() if k in ("shape", "area")}
            after.__dict__.update(known)
        return after

    def renamed(self) -> "Sample":
        """Return the same under an id of its own."""
        return replace(self, id=str(uuid4()))


@dataclass(frozen=True)
class Change:
    """What a sample was and what it became; None where there was none, or is none any more."""

    before: Sample | None
    after: Sample | None

    @property
    def id(self) -> str:
        """The id of the sample."""
        sample = self.after or self.before
        assert sample is not None
        return sample.id

    def then(self, later: "Change") -> "Change":
        """Return both changes of one sample as one."""
        return Change(self.before, later.after)

    def to_json(self) -> dict[str, Any]:
        """Return the form that the journal keeps."""
        return {
            "before": self.before and self.before.to_feature(),
            "after": self.after and self.after.to_feature(),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Change":
        """Read what `to_json` wrote."""
        before, after = found["before"], found["after"]
        return cls(
            before and Sample.from_feature(before),
            after and Sample.from_feature(after),
        )


def checked(geometry: Geometry) -> Geometry:
    """Return a geometry as it is kept: plain lists and numbers, outlines that enclose an area.

    Raises:
        InputError: it encloses no area, or crosses itself.
    """
    if geometry.get("type") not in SHAPES:
        raise InputError(
            f"a sample is drawn as {geometry.get('type')}, needs {' or '.join(SHAPES)}"
        )
    return geometry_of(shape(geometry))


def geometry_of(drawn: BaseGeometry) -> Geometry:
    """Return a shapely geometry as GeoJSON.

    Raises:
        InputError: it encloses no area, or crosses itself.
    """
    if drawn.is_empty or ("Polygon" in drawn.geom_type and drawn.convex_hull.area == 0):
        raise InputError("the outline encloses no area")
    if not drawn.is_valid:
        raise InputError("the outline crosses itself, draw it without crossing")
    plain: Geometry = json.loads(json.dumps(mapping(drawn)))
    return plain


def areas_of(samples: Sequence[Sample]) -> list[float]:
    """Return the area of each sample in square metres; it is kept for `Sample.area`."""
    if not samples:
        return []
    shapes = np.array([sample.shape for sample in samples], dtype=object)
    to_metres = Transformer.from_crs(CRS, _EQUAL_AREA, always_xy=True)
    metres = shapely.transform(shapes, lambda xy: np.column_stack(to_metres.transform(*xy.T)))
    areas = [float(area) for area in shapely.area(metres)]
    for sample, area in zip(samples, areas, strict=True):
        sample.__dict__["area"] = area
    return areas


def count_classes(samples: Iterable[Sample]) -> dict[str, int]:
    """Count the samples of each class."""
    return dict(Counter(sample.class_name for sample in samples))


def sum_areas(samples: Iterable[Sample]) -> dict[str, float]:
    """Add up the areas of each class, in square metres."""
    samples = list(samples)
    areas_of([sample for sample in samples if "area" not in sample.__dict__])
    sums: dict[str, float] = {}
    for sample in samples:
        sums[sample.class_name] = sums.get(sample.class_name, 0.0) + sample.area
    return sums


def to_frame(samples: Sequence[Sample]) -> geopandas.GeoDataFrame:
    """Return the samples as a table: COLUMNS, then the columns that others brought."""
    rows = [_row(sample) for sample in samples]
    table = {name: [row[i] for row in rows] for i, name in enumerate(COLUMNS)}
    brought = dict.fromkeys(name for sample in samples for name in sample.more or {})
    for name in brought:
        table[name] = [(sample.more or {}).get(name) for sample in samples]
    return geopandas.GeoDataFrame(table, geometry="geometry", crs=CRS)


def _row(sample: Sample) -> tuple[Any, ...]:
    return (
        sample.id,
        sample.class_name,
        sample.shape,
        sample.author,
        sample.image,
        sample.drawn,
        sample.version,
    )


def _id_from(feature: Feature) -> str:
    """Name a feature that has no id, the same one each time it is read."""
    content = json.dumps(feature, sort_keys=True).encode()
    return str(uuid5(NAMESPACE_OID, hashlib.sha256(content).hexdigest()))


def _text(value: Any) -> str:
    return "" if value is None else str(value)
