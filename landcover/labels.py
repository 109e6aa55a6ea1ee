"""Labels: polygons or points with a class, or a raster of class codes, seen on a scene's grid.

Read by extraction and by quality control alike, so that a training pixel and a reference
pixel follow one rule: a pixel belongs to a polygon if its centre lies inside; a pixel under
polygons of different classes belongs to none.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import pyproj
import shapely
from rasterio.features import rasterize
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.legend import MAX_CODE, NODATA, Legend
from landcover.operation import AnyPath
from landcover.rasters import Grid, legend_of, on_grid, open_raster, read_valid, windows_of

NO_FEATURE = -1
_CONFLICT = MAX_CODE + 1


@dataclass(frozen=True)
class Labelled:
    """The labels of one window.

    Attributes:
        codes: uint8 (H, W); 0 where nothing is labelled.
        features: int32 (H, W), index of the source feature; -1 for rasters and where unlabelled.
        conflicts: pixels left out because polygons of different classes cover them.
    """

    codes: np.ndarray
    features: np.ndarray
    conflicts: int


class Labels(Protocol):
    """What extraction and quality control ask of labels."""

    @property
    def legend(self) -> Legend:
        """The classes the codes mean."""

    @property
    def outside(self) -> int:
        """The number of features that lie outside the grid altogether."""

    def read(self, window: Window) -> Labelled:
        """Return the labels of a window of the grid they were opened on."""


@dataclass(frozen=True)
class Points:
    """Labelled points on a grid; several may fall on one pixel.

    Attributes:
        legend: the classes that occur.
        rows: int64 (N,).
        columns: int64 (N,).
        codes: uint8 (N,).
        features: int32 (N,), index of the source feature.
        outside: number of points outside the grid.
    """

    legend: Legend
    rows: np.ndarray
    columns: np.ndarray
    codes: np.ndarray
    features: np.ndarray

    outside: int = 0

    def read(self, window: Window) -> Labelled:
        """Return the labels of a window; of points of different classes on a pixel, none."""
        codes = np.zeros((window.height, window.width), np.uint8)
        features = np.full(codes.shape, NO_FEATURE, np.int32)
        which = self._which(window)
        at = (self.rows[which] - window.row_off, self.columns[which] - window.col_off)
        codes[at], features[at] = self.codes[which], self.features[which]
        other = codes[at] != self.codes[which]
        codes[at[0][other], at[1][other]] = _CONFLICT
        return _without_conflicts(codes, features)

    def inside(self, window: Window) -> tuple[np.ndarray, int]:
        """Return the points of a window and how many are left out.

        Returns:
            int32 (n, 4) of feature, row, column and code; and the number of points that share a
            pixel with a point of another class.
        """
        which = self._which(window)
        at = (self.rows[which] - window.row_off, self.columns[which] - window.col_off)
        alone = self.read(window).codes[at] != 0
        which = which[alone]
        points = (self.features[which], self.rows[which], self.columns[which], self.codes[which])
        return np.stack(points, axis=1).astype(np.int32), int((~alone).sum())

    def _which(self, window: Window) -> np.ndarray:
        rows, columns = self.rows - window.row_off, self.columns - window.col_off
        inside = (rows >= 0) & (rows < window.height) & (columns >= 0) & (columns < window.width)
        return np.flatnonzero(inside)


@dataclass(frozen=True)
class Polygons:
    """Labelled polygons, in the CRS of the grid.

    Attributes:
        legend: the classes that occur.
        grid: the grid they are seen on.
        geometries: shapely polygons (N,).
        codes: uint8 (N,).
    """

    legend: Legend
    grid: Grid
    geometries: np.ndarray
    codes: np.ndarray

    def read(self, window: Window) -> Labelled:
        """Return the labels of a window."""
        codes = np.zeros((window.height, window.width), np.uint8)
        touching = np.sort(self._tree.query(self._outline(window)))
        if not touching.size:
            return Labelled(codes, np.broadcast_to(np.int32(NO_FEATURE), codes.shape), 0)
        features = self._burn(touching, touching, window, NO_FEATURE, np.int32)
        for code in np.unique(self.codes[touching]):
            of_class = touching[self.codes[touching] == code]
            inside = self._burn(of_class, np.ones(of_class.size), window, 0, np.uint8) == 1
            codes[inside] = np.where(codes[inside] == 0, code, _CONFLICT)
        return _without_conflicts(codes, features)

    def _burn(
        self, which: np.ndarray, values: np.ndarray, window: Window, fill: int, dtype: type
    ) -> np.ndarray:
        shapes = zip(self.geometries[which], values.tolist(), strict=True)
        return np.asarray(
            rasterize(
                shapes,
                out_shape=(window.height, window.width),
                fill=fill,
                transform=self.grid.transform_of(window),
                dtype=dtype,
            )
        )

    def _outline(self, window: Window) -> shapely.Polygon:
        transform = self.grid.transform_of(window)
        corners = ((0, 0), (window.width, 0), (window.width, window.height), (0, window.height))
        return shapely.Polygon([transform @ corner for corner in corners])

    @cached_property
    def outside(self) -> int:
        """The number of polygons that lie outside the grid altogether."""
        whole = Window(0, 0, self.grid.width, self.grid.height)
        return len(self.geometries) - len(self._tree.query(self._outline(whole)))

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.geometries)


@dataclass(frozen=True)
class Codes:
    """A label raster, brought to the grid."""

    legend: Legend
    dataset: DatasetReader
    outside: int = 0

    def read(self, window: Window) -> Labelled:
        """Return the labels of a window; nodata, 0 and codes outside the legend are none."""
        (values,), valid = read_valid(self.dataset, window, [1])
        valid &= (values != 0) & (values != NODATA)
        legend = self.legend.codes
        if values.dtype == np.uint8 and legend == tuple(range(1, len(legend) + 1)):
            known = values <= len(legend)  # much the fastest
        else:
            known = np.isin(values, legend)
        strange = values[valid & ~known]
        if strange.size:
            raise InputError(
                f"{Path(self.dataset.name).name} holds code {strange[0]}, which its legend does "
                "not name"
            )
        codes = np.where(valid, values, 0)
        none = np.broadcast_to(np.int32(NO_FEATURE), codes.shape)
        return Labelled(codes.astype(np.uint8, copy=False), none, 0)


@contextmanager
def open_labels(
    path: AnyPath, class_field: str, grid: Grid, legend: Legend | None = None
) -> Iterator[Labels]:
    """Open labels of any kind and CRS, as they lie on a grid.

    Args:
        path: GeoJSON, GeoPackage, Shapefile, FlatGeobuf, or a GeoTIFF of codes.
        class_field: the attribute of a vector that holds the class.
        grid: the grid of the scene or map.
        legend: the legend whose names or codes the classes are, extended by those it lacks; new
            by default.

    Raises:
        InputError: the file, its CRS, its geometries or the field do not do.
    """
    kind = sniff(Path(path))
    if kind == RASTER_KIND:
        with open_raster(path) as dataset, on_grid(dataset, grid) as moved:
            need_one_band(dataset, "a label raster")
            yield Codes(raster_legend(dataset), moved)
    else:
        yield _labels_of(Path(path), kind, class_field, grid, legend)


RASTER_KIND = "GeoTIFF"
_Format = Literal["GeoTIFF", "GeoJSON", "GPKG", "ESRI Shapefile", "FlatGeobuf"]


def sniff(path: Path) -> _Format:
    """Tell the format by the first bytes: GDAL must not choose a driver by itself."""
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise InputError(f"{path.name} is no file, it needs to be one")
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}") from error
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "GeoTIFF"
    if head.startswith(b"SQLite format 3\0"):
        return "GPKG"
    if head.startswith(b"fgb"):
        return "FlatGeobuf"
    if head.startswith(b"\x00\x00\x27\x0a"):
        return "ESRI Shapefile"
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return "GeoJSON"
    raise InputError(
        f"{path.name} is no GeoJSON, GeoPackage, Shapefile, FlatGeobuf or GeoTIFF, it needs to be"
    )


def _labels_of(
    path: Path, expected: str, class_field: str, grid: Grid, legend: Legend | None
) -> Polygons | Points:
    from landcover.vectors import read_features

    source_crs, geometries, values = read_features(path, expected, class_field)
    legend = legend.extended(values) if legend else Legend.of(values)
    by_name = legend.match(sorted(set(values)))
    codes = np.array([by_name[value] for value in values], np.uint8)
    geometries = _to_crs(geometries, source_crs, grid, path.name)
    if (shapely.get_type_id(geometries) == shapely.GeometryType.GEOMETRYCOLLECTION).any():
        raise InputError(
            f"{path.name} holds a collection of geometries, it needs polygons or points"
        )
    kinds = set(shapely.get_dimensions(geometries))
    if kinds == {2}:
        return Polygons(legend, grid, geometries, codes)
    if kinds == {0}:
        return _points(legend, grid, geometries, codes)
    raise InputError(f"{path.name} mixes kinds of geometry, it needs polygons or points alone")


def _to_crs(geometries: np.ndarray, source: str, grid: Grid, file: str) -> np.ndarray:
    try:
        target = pyproj.CRS.from_wkt(grid.crs.to_wkt())
        transformer = pyproj.Transformer.from_crs(source, target, always_xy=True)
    except (pyproj.exceptions.CRSError, pyproj.exceptions.ProjError) as error:
        raise InputError(
            f"{file} cannot be brought from its coordinate system to that of the scene"
        ) from error

    def move(coordinates: np.ndarray) -> np.ndarray:
        return np.column_stack(transformer.transform(coordinates[:, 0], coordinates[:, 1]))

    moved = np.asarray(shapely.transform(shapely.force_2d(geometries), move))
    if not np.isfinite(shapely.get_coordinates(moved)).all():
        raise InputError(f"{file} has coordinates that do not exist in the scene's system")
    return _turned(moved, grid) if grid.crs.is_geographic else moved


def _turned(geometries: np.ndarray, grid: Grid) -> np.ndarray:
    """Move each part by whole turns towards the grid: 181 degrees east are 179 degrees west."""
    middle, _ = grid.transform @ (grid.width / 2, grid.height / 2)
    parts, owners = shapely.get_parts(geometries, return_index=True)
    bounds = shapely.bounds(parts)
    turns = 360 * np.round((middle - (bounds[:, 0] + bounds[:, 2]) / 2) / 360)
    if not turns.any():
        return geometries
    _, of_part = shapely.get_coordinates(parts, return_index=True)
    coordinates = shapely.get_coordinates(parts)
    coordinates[:, 0] += turns[of_part]
    parts = shapely.set_coordinates(parts, coordinates)
    if set(shapely.get_dimensions(parts)) == {0}:
        return np.asarray(shapely.multipoints(parts, indices=owners))
    return np.asarray(shapely.multipolygons(parts, indices=owners))


def _points(legend: Legend, grid: Grid, geometries: np.ndarray, codes: np.ndarray) -> Points:
    coordinates, owners = shapely.get_coordinates(geometries, return_index=True)
    columns, rows = ~grid.transform @ (coordinates[:, 0], coordinates[:, 1])
    rows, columns = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
    inside = (rows >= 0) & (rows < grid.height) & (columns >= 0) & (columns < grid.width)
    return Points(
        legend,
        rows[inside],
        columns[inside],
        codes[owners[inside]],
        owners[inside].astype(np.int32),
        outside=int((~inside).sum()),
    )


def need_one_band(dataset: DatasetReader, what: str) -> None:
    """Refuse a picture of several bands as `what`."""
    if dataset.count != 1:
        name = Path(dataset.name).name
        raise InputError(f"{name} has {dataset.count} bands, {what} needs one")


def raster_legend(dataset: DatasetReader) -> Legend:
    """Return the legend of a label raster: its own, else one of the codes that occur."""
    own = legend_of(dataset)
    if own is not None:
        return own
    found: set[int] = set()
    for window in windows_of(dataset):
        (band,), valid = read_valid(dataset, window, [1])
        values = np.unique(band[valid])
        if (values % 1).any() or (values < 0).any() or (values > NODATA).any():
            raise InputError(
                f"{Path(dataset.name).name} holds {values[-1]}, a label raster needs whole codes "
                f"1 to {MAX_CODE}"
            )
        found.update(values.astype(int).tolist())
    found -= {0, NODATA}
    if not found:
        raise InputError(f"{Path(dataset.name).name} holds no labelled pixel")
    return Legend.of_codes(found)


def _without_conflicts(codes: np.ndarray, features: np.ndarray) -> Labelled:
    conflict = codes == _CONFLICT
    codes[conflict] = 0
    features = np.where(codes == 0, NO_FEATURE, features).astype(np.int32)
    return Labelled(codes, features, int(conflict.sum()))
