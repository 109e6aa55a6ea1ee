"""Cut outlines: in two along a line, or a hole into one."""

from shapely.geometry import LineString, MultiPolygon, Polygon, shape
from shapely.geometry.base import BaseGeometry
from shapely.ops import split

from landcover.errors import InputError
from sample_map.data.features import Geometry, geometry_of


def split_along(geometry: Geometry, line: Geometry) -> tuple[Geometry, ...]:
    """Cut an outline along a line.

    Args:
        geometry: a polygon, or several; holes stay holes.
        line: a GeoJSON LineString that crosses it from side to side.

    Returns:
        The pieces, at least two, the largest first; parts that the line does not cross stay with
        the largest.

    Raises:
        InputError: the line does not cut it, or it is a point.
    """
    parts = _polygons(shape(geometry))
    blade = LineString(line["coordinates"])
    whole, pieces = [], []
    for part in parts:
        cut = _polygons(split(part, blade))
        (whole if len(cut) < 2 else pieces).extend(cut)
    if not pieces:
        raise InputError("the line does not cut the sample, draw it from side to side")
    pieces.sort(key=lambda piece: piece.area, reverse=True)
    first = MultiPolygon([pieces[0], *whole]) if whole else pieces[0]
    return tuple(geometry_of(piece) for piece in (first, *pieces[1:]))


def cut_out(geometry: Geometry, hole: Geometry) -> Geometry:
    """Take an area out of an outline.

    Raises:
        InputError: the area does not touch it, holds all of it, or it is a point.
    """
    whole = MultiPolygon(_polygons(shape(geometry)))
    left = whole.difference(shape(hole))
    if left.is_empty:
        raise InputError("nothing of the sample would be left, delete it instead")
    if left.area == whole.area:
        raise InputError("the area lies beside the sample, nothing was cut out")
    parts = _polygons(left)
    return geometry_of(parts[0] if len(parts) == 1 else MultiPolygon(parts))


def _polygons(drawn: BaseGeometry) -> list[Polygon]:
    if isinstance(drawn, Polygon):
        return [drawn]
    parts = [part for part in getattr(drawn, "geoms", ()) if isinstance(part, Polygon)]
    if not parts:
        raise InputError("a point cannot be cut")
    return parts
