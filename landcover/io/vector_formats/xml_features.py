"""Features in XML: KML, as Google Earth writes it, and the waypoints of GPX.

GDAL reads neither here: its drivers follow links, and make a layer of each folder. Entities and
document types are refused, links are not followed, and the text is bounded.

Sources: OGC 12-007r2 (KML 2.3); topografix.com/GPX/1/1.
"""

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, iterparse

import shapely

from landcover.counts import counted
from landcover.errors import InputError
from landcover.io.files.plain_files import read_plain_file
from landcover.progress import remark

MAX_BYTES = 64 * 2**20
_MAX_DEPTH = 64
_ENCODING = re.compile(rb"""^<\?xml[^>]{0,100}encoding=["']([\w.-]{1,40})["']""")
Record = dict[str, str]


def read_kml(path: Path, folder: str = "") -> tuple[list[object], list[Record]]:
    """Read the placemarks of a KML.

    Args:
        path: of the file.
        folder: whose placemarks to read, with those of folders in it; by default all.

    Returns:
        A shapely geometry in degrees for each placemark, None where it has none; and its
        attributes: name, description, folder, and those of its ExtendedData.

    Raises:
        InputError: it is damaged, too large, or has a document type; there is no such folder.
    """
    geometries: list[object] = []
    records, links = [], 0
    others: set[str] = set()
    for element, within in _placemarks(path):
        if element is None:
            links += 1
        elif not folder or folder in within:
            geometries.append(_kml_geometry(element, path.name))
            records.append({"folder": within[-1] if within else ""} | _kml_attributes(element))
        else:
            others.update(within)
    if folder and not records:
        listed = ", ".join(sorted(others - {""})) or "none"
        raise InputError(f"{path.name} has no folder {folder} with placemarks, it has {listed}")
    if links:
        named = counted(links, "# other file|files, which was|were not read: save it with it|them")
        remark(f"{path.name} names {named}")
    return geometries, records


def _placemarks(path: Path) -> Iterator[tuple[Element | None, tuple[str, ...]]]:
    """Yield each placemark with the names of its folders, outermost first; None for a link."""
    folders: list[str] = []
    parents: list[str] = []
    for event, element in _events(path):
        tag = _local(element)
        if event == "start":
            parents.append(tag)
            folders += [""] if tag == "Folder" else []
            continue
        parents.pop()
        if tag == "name" and parents[-1:] == ["Folder"]:
            folders[-1] = (element.text or "").strip()
        elif tag == "Folder":
            folders.pop()
        elif tag == "NetworkLink":
            yield None, ()
        elif tag == "Placemark":
            yield element, tuple(folders)
            element.clear()


def read_gpx(path: Path) -> tuple[list[object], list[Record]]:
    """Read the waypoints of a GPX.

    Returns:
        A shapely point in degrees for each, and its attributes, such as name, type and sym.

    Raises:
        InputError: it is damaged, too large, has a document type, or holds tracks alone.
    """
    points: list[object] = []
    records, tracks = [], 0
    for event, element in _events(path):
        if event == "start":
            continue
        tag = _local(element)
        tracks += tag in ("trk", "rte")
        if tag == "wpt":
            pair = (element.get("lon", ""), element.get("lat", ""))
            points.append(shapely.Point(_numbers(pair, path.name)))
            records.append({_local(child): (child.text or "").strip() for child in element})
        if tag in ("wpt", "trk", "rte"):
            element.clear()
    if tracks and not points:
        raise InputError(f"{path.name} holds tracks or routes alone, labels need waypoints")
    if tracks:
        what, verb = counted(tracks, "# track|tracks or route|routes"), counted(tracks, "was|were")
        remark(f"{what} of {path.name} {verb} left out: labels are its waypoints")
    return points, records


def _events(path: Path) -> Iterator[tuple[str, Element]]:
    text = _decoded(read_plain_file(path, MAX_BYTES), path.name)
    depth = 0
    try:
        for event, element in iterparse(io.StringIO(text), events=("start", "end")):
            depth += 1 if event == "start" else -1
            if depth > _MAX_DEPTH:
                raise InputError(f"{path.name} is nested deeper than {_MAX_DEPTH} elements")
            yield event, element
    except ParseError as error:
        raise InputError(f"{path.name} is damaged XML: {error}") from error


def _decoded(content: bytes, file: str) -> str:
    """Return the text of an XML file that has no document type: its entities could grow.

    Raises:
        InputError: its encoding is not what it says, or it has a document type.
    """
    declared = _ENCODING.match(content)
    encoding = declared[1].decode() if declared else "utf-8"
    try:
        text = content.decode("utf-8-sig" if encoding.lower() == "utf-8" else encoding)
    except (LookupError, UnicodeError) as error:
        raise InputError(f"{file} is not in {encoding}, save it in UTF-8") from error
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InputError(f"{file} has a document type, it needs to be without")
    return text


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _numbers(texts: tuple[str, ...], file: str) -> tuple[float, ...]:
    try:
        return tuple(float(text) for text in texts)
    except ValueError as error:
        raise InputError(
            f"{file} has the coordinates {', '.join(texts)}, needs numbers"
        ) from error


def _kml_attributes(placemark: Element) -> Record:
    found = {
        _local(child): (child.text or "").strip()
        for child in placemark if _local(child) in ("name", "description")
    }  # fmt: skip
    for element in placemark.iter():
        tag, name = _local(element), element.get("name", "")
        if tag == "SimpleData" and name:
            found[name] = (element.text or "").strip()
        elif tag == "Data" and name:
            values = [child.text or "" for child in element if _local(child) == "value"]
            found[name] = "".join(values).strip()
    return found


def _kml_geometry(placemark: Element, file: str) -> object:
    parts = list(_kml_parts(placemark, file))
    if len(parts) < 2:
        return parts[0] if parts else None
    kinds = {part.geom_type for part in parts}
    if kinds == {"Polygon"}:
        return shapely.MultiPolygon(parts)
    return shapely.MultiPoint(parts) if kinds == {"Point"} else shapely.GeometryCollection(parts)


def _kml_parts(element: Element, file: str) -> Iterator[shapely.Geometry]:
    for child in element:
        tag = _local(child)
        if tag == "MultiGeometry":
            yield from _kml_parts(child, file)
        elif tag == "Polygon":
            yield _kml_polygon(child, file)
        elif tag in ("Point", "LineString", "LinearRing"):
            kind = shapely.Point if tag == "Point" else shapely.LineString
            yield _made(kind, _kml_coordinates(child, file), file)


def _kml_polygon(polygon: Element, file: str) -> shapely.Geometry:
    outer: list[list[tuple[float, ...]]] = []
    inner: list[list[tuple[float, ...]]] = []
    for boundary in polygon:
        rings = {"outerBoundaryIs": outer, "innerBoundaryIs": inner}.get(_local(boundary))
        if rings is not None:
            rings += [_kml_coordinates(ring, file) for ring in boundary]
    if len(outer) != 1:
        raise InputError(f"{file} has a polygon with {len(outer)} outlines, it needs one")
    return _made(lambda outline: shapely.Polygon(outline, inner), outer[0], file)


def _kml_coordinates(element: Element, file: str) -> list[tuple[float, ...]]:
    text = "".join(child.text or "" for child in element if _local(child) == "coordinates")
    return [_numbers(tuple(each.split(",")[:2]), file) for each in text.split()]


def _made(
    kind: Callable[[list[tuple[float, ...]]], shapely.Geometry],
    coordinates: list[tuple[float, ...]],
    file: str,
) -> shapely.Geometry:
    try:
        return kind(coordinates)
    except (ValueError, TypeError, shapely.errors.GEOSException) as error:
        raise InputError(f"{file} has an outline of {len(coordinates)} points") from error
