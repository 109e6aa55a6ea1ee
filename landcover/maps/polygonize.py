"""A map as polygons, for those who work with vectors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import shapely
from rasterio.features import shapes
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.legend import Legend
from landcover.io.paths import AnyPath
from landcover.io.polygon_file import writing_polygons
from landcover.io.raster import Grid, parts_of
from landcover.maps.ground import HECTARE, Ground
from landcover.maps.opened import OpenMap, open_map
from landcover.maps.sieve import Reader, sieved
from landcover.maps.styles import vector_qml, vector_sld
from landcover.operation import GPKG, MapFile, Range
from landcover.progress import report_progress

_TILE = 2048
_MOST_CORNERS = 20_000_000
"""Corners of a map whose outlines are simplified: that needs all of them at once."""


@dataclass(frozen=True)
class MapPolygons:
    """A map as polygons.

    Attributes:
        polygons: a polygon for each patch with class, code and hectares on the ellipsoid; with a
            style that QGIS draws it by.
        count: number of polygons.
    """

    polygons: GPKG
    count: int


def polygonize_map(
    map: MapFile,
    pixels: Annotated[int, Range(0, 1_000_000)] = 1,
    simplify: Annotated[float, Range(0, 1000)] = 0,
    workdir: AnyPath = "",
) -> MapPolygons:
    """Turn a map into polygons: pixels of one class that share an edge are one.

    What is not classified becomes no polygon. Polygons meet without gap or overlap, simplified or
    not.

    Args:
        map: a classified scene, of this or another program.
        pixels: patches of fewer become part of their largest neighbour first, as sieve-map does.
        simplify: by how many pixels outlines may be moved to be smoother; 0 keeps the pixels'
            edges.
        workdir: folder to write to.

    Raises:
        InputError: it is no map, it holds no classified pixel, or its outlines have too many
            corners to be simplified.
    """
    target = Path(workdir) / "polygons.gpkg"
    with open_map(map) as opened:
        if pixels > 1:
            with sieved(opened, pixels, 4, Path(workdir)) as read:
                count = _write(opened, read, simplify, target)
        else:
            count = _write(opened, opened.read, simplify, target)
    return MapPolygons(target, count)


def _write(opened: OpenMap, read: Reader, simplify: float, target: Path) -> int:
    patches = patches_of(opened.grid, read)
    if simplify:
        patches = _simplified(patches, simplify, opened.file)
    styles = vector_qml(opened.legend, "class"), vector_sld(opened.legend, "class", target.stem)
    with writing_polygons(target, opened.grid.crs.to_wkt(), *styles) as writer:
        for shapes_, codes in patches:
            placed = _placed(shapes_, opened.grid)
            writer.write(placed, _fields(placed, codes, opened.legend, opened.grid))
        if not writer.count:
            raise InputError(f"{opened.file} holds no classified pixel")
    return writer.count


def patches_of(grid: Grid, read: Reader) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the patches of a map, tile by tile; those across tiles come last, put together.

    Memory holds one tile, and what reaches over the edge of a tile.

    Yields:
        Shapely polygons (N,) in columns and rows of the map, and their codes, uint8 (N,).
    """
    held: list[tuple[np.ndarray, np.ndarray]] = []
    for window in parts_of(Window(0, 0, grid.width, grid.height), _TILE, _TILE):
        report_progress(0.8 * window.row_off / grid.height, "drawing outlines")
        found, codes = _of_tile(read(window), window)
        across = _reaches_over(found, window, grid)
        held.append((found[across], codes[across]))
        if not across.all():
            yield found[~across], codes[~across]
    parts, codes = (np.concatenate(each) for each in zip(*held, strict=True))
    for code in np.unique(codes).tolist():
        whole = shapely.get_parts(shapely.union_all(parts[codes == code]))
        # what is left of the tiles' edges are corners within straight lines
        yield shapely.simplify(whole, 0), np.full(len(whole), code, np.uint8)


def _of_tile(codes: np.ndarray, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Return the polygons of a tile in columns and rows of the map, and their codes."""
    outlines, of_code = [], []
    for outline, code in shapes(codes, mask=codes != 0, connectivity=4):
        shell, *holes = outline["coordinates"]
        outlines.append(shapely.Polygon(shell, holes))
        of_code.append(code)
    moved = shapely.transform(
        np.array(outlines, object), lambda at: np.add(at, (window.col_off, window.row_off))
    )
    return moved, np.array(of_code, np.uint8)


def _reaches_over(found: np.ndarray, window: Window, grid: Grid) -> np.ndarray:
    """Return which polygons touch an edge of the tile that is none of the map, bool (N,)."""
    left, top, right, bottom = shapely.bounds(found).reshape(-1, 4).T
    end = window.col_off + window.width, window.row_off + window.height
    beside = (left == window.col_off) & (window.col_off > 0) | (right == end[0]) & (
        end[0] < grid.width
    )
    above = (top == window.row_off) & (window.row_off > 0) | (bottom == end[1]) & (
        end[1] < grid.height
    )
    return np.asarray(beside | above)


def _simplified(
    patches: Iterator[tuple[np.ndarray, np.ndarray]], by: float, file: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield all patches with smoother outlines that still meet (Visvalingam and Whyatt 1993)."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    corners = 0
    for shapes_, codes in patches:
        # each pixel's corner becomes one of every polygon there, so that neighbours stay so
        found.append((shapely.segmentize(shapes_, 1), codes))
        corners += int(shapely.get_num_coordinates(found[-1][0]).sum())
        if corners > _MOST_CORNERS:
            raise InputError(
                f"the outlines of {file} have more than {_MOST_CORNERS:,} corners, too "
                "many to be simplified: keep larger patches only (pixels), or take simplify 0",
                "simplify",
            )
    shapes_, codes = (np.concatenate(each) for each in zip(*found, strict=True))
    smooth = shapely.coverage_simplify(shapes_, by)
    parts, of = shapely.get_parts(smooth, return_index=True)
    yield parts, codes[of]


def _placed(found: np.ndarray, grid: Grid) -> np.ndarray:
    return np.asarray(
        shapely.transform(found, lambda at: np.column_stack(grid.transform @ tuple(at.T)))
    )


def _fields(
    placed: np.ndarray, codes: np.ndarray, legend: Legend, grid: Grid
) -> Sequence[tuple[str, np.ndarray]]:
    name = {entry.code: entry.name for entry in legend.classes}
    names = np.array([name[code] for code in codes.tolist()], object)
    return (
        ("class", names),
        ("code", codes.astype(np.int32)),
        ("hectares", _hectares(placed, grid)),
    )


def _hectares(placed: np.ndarray, grid: Grid) -> np.ndarray:
    """Return the area of each polygon on the ellipsoid, float (N,)."""
    moved = Ground(grid.crs, grid.transform, grid.width, grid.height).in_equal_area(placed)
    return np.asarray(shapely.area(moved) / HECTARE)
