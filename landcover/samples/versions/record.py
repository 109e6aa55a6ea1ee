"""A training polygon or point as a version holds it, and as GeoJSON writes it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import shapely

from landcover.errors import InputError
from landcover.io.records.digests import sha256_of_json
from landcover.strict_json import loads

OWN = ("id", "class", "author", "image", "drawn", "version", "editor", "rival", "source",
       "review", "validated_by", "comments")  # fmt: skip
"""Properties of a feature; all others go along as `more`."""

REVIEWS = ("", "accepted", "rejected")
_SHAPES = ("Point", "MultiPoint", "Polygon", "MultiPolygon")
_LONGEST = 128
"""Characters of an id."""
_MOST_TEXT = 65_536
"""Characters of any other text."""
_MOST_VERSION = 2**31 - 1


@dataclass(frozen=True)
class Record:
    """One training polygon or point.

    Attributes:
        id: stays, whatever is changed.
        class_name: its class; empty if nobody said.
        wkb: the geometry in degrees, longitude first, as little-endian WKB.
        author: who drew it.
        image: storage name of the scene that it was drawn on.
        drawn: when, RFC 3339 in UTC; empty if unknown.
        version: counts the changes, from 1.
        editor: who changed it last; empty if nobody did.
        rival: id of the one that somebody else made of it at the same time.
        source: of an imported one, which feature of which file it was.
        review: one of REVIEWS.
        validated_by: who accepted or rejected it.
        comments: JSON of any form, as text; empty if there are none.
        more: JSON object of other properties, as text; empty if there are none.
    """

    id: str
    class_name: str
    wkb: bytes
    author: str = ""
    image: str = ""
    drawn: str = ""
    version: int = 1
    editor: str = ""
    rival: str = ""
    source: str = ""
    review: str = ""
    validated_by: str = ""
    comments: str = ""
    more: str = ""

    def __post_init__(self) -> None:
        """Refuse values that no record can have.

        Raises:
            InputError: a text is too long, a number too large, or a review unknown.
        """
        if not 0 < len(self.id) <= _LONGEST:
            raise InputError(f"an id has {len(self.id)} characters, it needs 1 to {_LONGEST}")
        texts = (getattr(self, field.name) for field in fields(self) if field.type is str)
        if any(len(text) > _MOST_TEXT for text in texts):
            raise InputError(f"{self.id} has a text of more than {_MOST_TEXT} characters")
        if not 1 <= self.version <= _MOST_VERSION:
            raise InputError(f"{self.id} has the version {self.version}, it needs one from 1")
        if self.review not in REVIEWS:
            raise InputError(
                f"{self.id} has the review {self.review}, it needs accepted or rejected"
            )
        _need_json(self.comments, (str, list, dict), f"the comments of {self.id}")
        _need_json(self.more, (dict,), f"other properties of {self.id}")

    @classmethod
    def from_feature(cls, feature: Any) -> "Record":
        """Read a GeoJSON feature.

        Raises:
            InputError: it is no feature, or its geometry is damaged or none of points, polygons.
        """
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            raise InputError("it needs a list of GeoJSON features, and one is something else")
        found = feature.get("properties") or {}
        if not isinstance(found, dict):
            raise InputError("the properties of a feature are no JSON object")
        return cls(
            id=_text(found.get("id")) or _id_of(feature),
            class_name=_text(found.get("class")),
            wkb=wkb_of(_shape_of(feature.get("geometry"))),
            version=_version(found.get("version")),
            **{name: _text(found.get(name)) for name in OWN if name not in _READ_OTHERWISE},
            comments=_json(found.get("comments")),
            more=_json({k: v for k, v in found.items() if k not in OWN}),
        )

    def to_feature(self) -> dict[str, Any]:
        """Return the GeoJSON feature; what is empty is left out."""
        return {
            "type": "Feature",
            "id": self.id,
            "geometry": json.loads(shapely.to_geojson(self.geometry)),
            "properties": {name: value for name, value in self._properties() if value != ""},
        }

    def _properties(self) -> list[tuple[str, Any]]:
        known = [(name, getattr(self, _ATTRIBUTES.get(name, name))) for name in OWN[:-1]]
        comments = json.loads(self.comments) if self.comments else ""
        more: Mapping[str, Any] = json.loads(self.more) if self.more else {}
        return [*known, ("comments", comments), *more.items()]

    @property
    def geometry(self) -> shapely.Geometry:
        """The geometry in degrees."""
        return shapely.from_wkb(self.wkb)

    def as_rival(self) -> "Record":
        """Return the same beside the one that it contradicts, under an id of its own.

        The id follows from what it says, so that a second attempt adds nothing.
        """
        content = repr(self).encode().hex()
        return replace(self, id=str(uuid5(NAMESPACE_OID, content)), rival=self.id)


_ATTRIBUTES = {"class": "class_name"}
_READ_OTHERWISE = ("id", "class", "version", "comments")


def wkb_of(geometry: shapely.Geometry) -> bytes:
    """Return a geometry's WKB, in two dimensions, the same on every machine."""
    flat = shapely.force_2d(geometry)
    return bytes(shapely.to_wkb(flat, byte_order=1))


def need_drawable(geometry: shapely.Geometry | None) -> shapely.Geometry:
    """Return a geometry that a training polygon or point can have.

    Raises:
        InputError: it is missing, of another kind, outlined wrongly or not in degrees.
    """
    if geometry is None or shapely.is_empty(geometry):
        raise InputError("has no geometry, delete it or draw one")
    if geometry.geom_type not in _SHAPES:
        raise InputError(f"is a {geometry.geom_type}, it needs to be a point or a polygon")
    if not shapely.is_valid(geometry):
        raise InputError(f"is drawn wrongly: {shapely.is_valid_reason(geometry)}")
    left, bottom, right, top = shapely.bounds(geometry)
    if not (-180 <= left <= right <= 180 and -90 <= bottom <= top <= 90):
        raise InputError("does not lie on the Earth, are its coordinates degrees?")
    return geometry


def _shape_of(geometry: Any) -> shapely.Geometry:
    try:
        shape = None if geometry is None else shapely.from_geojson(json.dumps(geometry))
    except (shapely.GEOSException, TypeError, ValueError) as error:
        raise InputError("a feature has a geometry that is no GeoJSON") from error
    try:
        return need_drawable(shape)
    except InputError as error:
        raise InputError(f"a feature {error}") from error


def _id_of(feature: Mapping[str, Any]) -> str:
    """Name a feature that has no id, the same one each time it is read."""
    given = feature.get("id")
    if given not in (None, ""):
        return _text(given)
    return str(uuid5(NAMESPACE_OID, sha256_of_json(feature)))


def _need_json(text: str, kinds: tuple[type, ...], what: str) -> None:
    try:
        is_right = not text or isinstance(loads(text), kinds)
    except ValueError:
        is_right = False
    if not is_right:
        raise InputError(f"{what} are no JSON that a sample can have")


def _text(value: Any) -> str:
    if isinstance(value, dict | list):
        raise InputError("a property of a feature is a list or an object, it needs to be a text")
    return "" if value is None else str(value)


def _version(value: Any) -> int:
    if value is None:
        return 1
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"a feature has the version {value}, it needs a whole number from 1")
    return value


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True) if value else ""
