"""A map as polygons, for those who work with vectors."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import shapely
from rasterio.features import shapes
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.files.paths import AnyPath
from landcover.io.polygon_file import writing_polygons
from landcover.io.raster import Grid, parts_of
from landcover.maps.ground import HECTARE, Ground
from landcover.maps.opened import OpenMap, open_map
from landcover.maps.sieve import Reader, sieved
from landcover.maps.styles import vector_qml, vector_sld
from landcover.operation import GPKG, MapFile, Range
from landcover.progress import report_progress

_TILE = 1024
_ONE_SIZE = 64
"""Side of a polygon, in pixels, up to which the size of one pixel is that of all."""
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
    measure = _Measure(opened)
    names = np.full(256, "", object)
    for entry in opened.legend.classes:
        names[entry.code] = entry.name
    with writing_polygons(target, opened.grid.crs.to_wkt(), *styles) as writer:
        for found, codes in patches:
            fields = (
                ("class", names[codes]),
                ("code", codes.astype(np.int32)),
                ("hectares", measure.hectares(found)),
            )
            writer.write(_placed(found, opened.grid), fields)
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
    rings: list[list[tuple[float, float]]] = []
    of_polygon: list[int] = []
    of_code: list[float] = []
    for outline, code in shapes(codes, mask=codes != 0, connectivity=4):
        rings += outline["coordinates"]
        of_polygon += [len(of_code)] * len(outline["coordinates"])
        of_code.append(code)
    lengths = [len(ring) for ring in rings]
    corners = np.array([corner for ring in rings for corner in ring], float).reshape(-1, 2)
    corners += (window.col_off, window.row_off)
    of_ring = np.repeat(np.arange(len(rings)), lengths)
    closed = shapely.linearrings(corners, indices=of_ring)
    polygons = shapely.polygons(closed, indices=np.array(of_polygon, int))
    return np.asarray(polygons, object), np.array(of_code, np.uint8)


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


class _Measure:
    """Hectares of polygons in columns and rows of a map."""

    def __init__(self, opened: OpenMap) -> None:
        ground = Ground.under(opened.dataset)
        self._ground, self._grid = ground, opened.grid
        blocks = list(ground.blocks())
        self._rows = np.array(sorted({window.row_off for window, _ in blocks}))
        self._columns = np.array(sorted({window.col_off for window, _ in blocks}))
        areas = [area for _, area in blocks]
        self._areas = np.reshape(areas, (len(self._rows), len(self._columns)))
        opened.remark_on_no_place(areas)

    def hectares(self, found: np.ndarray) -> np.ndarray:
        """Return the area on the ellipsoid, float (N,).

        A polygon within a block or two has pixels of one size; others are measured as they lie.
        """
        left, top, right, bottom = shapely.bounds(found).T
        row = np.searchsorted(self._rows, top, "right") - 1
        column = np.searchsorted(self._columns, left, "right") - 1
        metres: np.ndarray = shapely.area(found) * self._areas[row, column]
        if np.isnan(metres).all():
            return metres
        wide = np.maximum(right - left, bottom - top) > _ONE_SIZE
        placed = _placed(found[wide], self._grid)
        metres[wide] = shapely.area(self._ground.in_equal_area(placed))
        return np.asarray(metres / HECTARE)
