"""Labels: polygons or points with a class, or a raster of class codes, seen on a scene's grid.

Read by extraction and by quality control alike, so that a training pixel and a reference
pixel follow one rule: a pixel belongs to a polygon if its centre lies inside; a pixel under
polygons of different classes belongs to none.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import pyproj
import shapely
from rasterio.enums import MaskFlags
from rasterio.features import rasterize
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.files.paths import AnyPath
from landcover.io.legend import MAX_CODE, NODATA, Legend, is_bare, is_whole_number
from landcover.io.raster import (
    Grid,
    legend_of,
    on_grid,
    open_raster,
    parts_of,
    read_valid,
    windows_of,
)
from landcover.io.vector_formats.formats import GEOTIFF, need_labels
from landcover.progress import remark

NO_FEATURE = -1
_CONFLICT = MAX_CODE + 1
_NAMED = 6
"""Values that a remark lists."""


@dataclass(frozen=True)
class Labelled:
    """The labels of one window.

    Attributes:
        codes: uint8 (H, W); 0 where nothing is labelled.
        features: int32 (H, W), index of the source feature among those with a class; -1 for
            rasters and where unlabelled.
        conflicts: pixels left out because polygons of different classes cover them.
        zeros: pixels of code 0 in a raster that declares another nodata, so that 0 seems to be a
            class there.
    """

    codes: np.ndarray
    features: np.ndarray
    conflicts: int
    zeros: int = 0


class Labels(Protocol):
    """What extraction and quality control ask of labels."""

    @property
    def legend(self) -> Legend:
        """The classes the codes mean."""

    @property
    def outside(self) -> int:
        """The number of features that lie outside the grid altogether."""

    @property
    def unlabelled(self) -> tuple[int, ...]:
        """The indexes, in the file, of the features without a class."""

    @property
    def given(self) -> int:
        """The number of features with a class, on the grid or not; 0 for rasters."""

    @property
    def reached(self) -> np.ndarray:
        """The indexes, among those with a class, of the features that lie on the grid."""

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
        features: int32 (N,), index of the source feature among those with a class.
        outside: number of points outside the grid.
        unlabelled: indexes, in the file, of the features without a class.
        given: number of features with a class.
    """

    legend: Legend
    rows: np.ndarray
    columns: np.ndarray
    codes: np.ndarray
    features: np.ndarray

    outside: int = 0
    unlabelled: tuple[int, ...] = ()
    given: int = 0

    @property
    def reached(self) -> np.ndarray:
        """The indexes of the features that have a point on the grid."""
        return np.unique(self.features)

    def read(self, window: Window) -> Labelled:
        """Return the labels of a window; of points of different classes on a pixel, none."""
        codes = np.zeros((window.height, window.width), np.uint8)
        features = np.full(codes.shape, NO_FEATURE, np.int32)
        which = self.touching(window)
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
        which = self.touching(window)
        at = (self.rows[which] - window.row_off, self.columns[which] - window.col_off)
        alone = self.read(window).codes[at] != 0
        which = which[alone]
        points = (self.features[which], self.rows[which], self.columns[which], self.codes[which])
        return np.stack(points, axis=1).astype(np.int32), int((~alone).sum())

    def touching(self, window: Window) -> np.ndarray:
        """Return the indexes of the points that lie in a window, ascending."""
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
        unlabelled: indexes, in the file, of the features without a class.
    """

    legend: Legend
    grid: Grid
    geometries: np.ndarray
    codes: np.ndarray
    unlabelled: tuple[int, ...] = ()

    def read(self, window: Window) -> Labelled:
        """Return the labels of a window."""
        codes = np.zeros((window.height, window.width), np.uint8)
        touching = self.touching(window)
        if not touching.size:
            return Labelled(codes, np.broadcast_to(np.int32(NO_FEATURE), codes.shape), 0)
        features = self._burn(touching, touching, window, NO_FEATURE, np.int32)
        if not self._contested[touching].any():
            labelled = features != NO_FEATURE
            codes[labelled] = self.codes[features[labelled]]
            return Labelled(codes, features, 0)
        for code in np.unique(self.codes[touching]):
            of_class = touching[self.codes[touching] == code]
            inside = self._burn(of_class, np.ones(of_class.size), window, 0, np.uint8) == 1
            codes[inside] = np.where(codes[inside] == 0, code, _CONFLICT)
        return _without_conflicts(codes, features)

    def touching(self, window: Window) -> np.ndarray:
        """Return the indexes of the polygons that may lie in a window, ascending."""
        return np.sort(self._tree.query(self._outline(window)))

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
        return self.given - len(self.reached)

    @property
    def given(self) -> int:
        """The number of polygons."""
        return len(self.geometries)

    @cached_property
    def reached(self) -> np.ndarray:
        """The indexes of the polygons that lie on the grid, by their bounds."""
        whole = Window(0, 0, self.grid.width, self.grid.height)
        return np.asarray(self._tree.query(self._outline(whole)))

    def without_centre(self, seen: np.ndarray) -> np.ndarray:
        """Return the indexes of the polygons on the grid that no pixel centre lies in.

        Args:
            seen: bool (N,), polygons that are known to hold one.
        """
        unseen = np.sort(self.reached[~seen[self.reached]])
        around = self._windows_around(unseen)
        return np.array(
            [
                index
                for index, window in zip(unseen.tolist(), around, strict=True)
                if not self._holds_centre(index, window)
            ],
            np.int64,
        )

    def _windows_around(self, which: np.ndarray) -> list[Window]:
        """Return the windows of the pixels whose centres lie within the bounds of polygons."""
        corners = shapely.bounds(self.geometries[which])[:, [0, 1, 0, 3, 2, 1, 2, 3]]
        columns, rows = ~self.grid.transform @ (corners[:, ::2], corners[:, 1::2])
        sides = []
        for at, side in ((columns, self.grid.width), (rows, self.grid.height)):
            first = np.clip(np.ceil(at.min(axis=1) - 0.500001), 0, side).astype(int)
            last = np.clip(np.floor(at.max(axis=1) - 0.499999) + 1, first, side).astype(int)
            sides.append((first.tolist(), (last - first).tolist()))
        (lefts, widths), (tops, heights) = sides
        return [Window(*each) for each in zip(lefts, tops, widths, heights, strict=True)]

    def _holds_centre(self, index: int, around: Window) -> bool:
        return any(
            self._burn(np.array([index]), np.ones(1), part, 0, np.uint8).any()
            for part in parts_of(around)
        )

    @cached_property
    def _contested(self) -> np.ndarray:
        """Bool (N,): whether a polygon meets one of another class: a pixel may have two."""
        one, other = self._tree.query(self.geometries, predicate="intersects")
        contested = np.zeros(len(self.geometries), bool)
        contested[one[self.codes[one] != self.codes[other]]] = True
        return contested

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.geometries)


@dataclass(frozen=True)
class Codes:
    """A label raster, brought to the grid.

    Attributes:
        legend: the classes.
        dataset: the raster on the grid.
        code_of: uint8 (256,), the legend's code for each code of the raster, 0 for those that the
            raster's own legend does not name.
        zero_is_lost: whether the raster declares its unlabelled pixels otherwise than by 0.
    """

    legend: Legend
    dataset: DatasetReader
    code_of: np.ndarray
    zero_is_lost: bool = False
    outside: int = 0
    unlabelled: tuple[int, ...] = ()
    given: int = 0

    @property
    def reached(self) -> np.ndarray:
        """None: a raster has no features."""
        return np.zeros(0, np.int64)

    def read(self, window: Window) -> Labelled:
        """Return the labels of a window; nodata and 0 are none."""
        (values,), valid = read_valid(self.dataset, window, [1])
        name = Path(self.dataset.name).name
        own = whole_codes(values, valid, name, "a label raster")
        codes = self.code_of[own]
        strange = own[(codes == 0) & (own != 0)]
        if strange.size:
            raise InputError(f"{name} holds code {strange[0]}, which its legend does not name")
        zeros = np.count_nonzero(valid & (values == 0)) if self.zero_is_lost else 0
        none = np.broadcast_to(np.int32(NO_FEATURE), codes.shape)
        return Labelled(codes, none, 0, int(zeros))


def whole_codes(values: np.ndarray, valid: np.ndarray, name: str, what: str) -> np.ndarray:
    """Return codes of any number type as uint8; 0 where they are invalid or nodata.

    Args:
        values: (H, W), whole numbers 0..255 where they are valid.
        valid: bool (H, W).
        name: of the file.
        what: the file is, such as `a map`.

    Raises:
        InputError: a valid value is no code.
    """
    if values.dtype != np.uint8:
        wrong = valid & ~((values >= 0) & (values <= NODATA))
        if np.issubdtype(values.dtype, np.floating):
            wrong |= valid & (np.floor(values) != values)
        if wrong.any():
            raise InputError(
                f"{name} holds {values[wrong][0]}, {what} needs whole codes 1 to {MAX_CODE}: "
                "is it a scene?"
            )
    return np.where(valid & (values != NODATA), values, 0).astype(np.uint8, copy=False)


@contextmanager
def open_labels(
    path: AnyPath,
    class_field: str,
    grid: Grid,
    legend: Legend | None = None,
    layer: str = "",
    partly: bool = False,
) -> Iterator[Labels]:
    """Open labels of any kind and CRS, as they lie on a grid.

    Args:
        path: GeoJSON, GeoPackage, Shapefile, FlatGeobuf, or a GeoTIFF of codes.
        class_field: the attribute of a vector that holds the class.
        grid: the grid of the scene or map.
        legend: from before; its classes keep their codes and colours, and those that it lacks are
            added. By default a raster keeps its own legend, and a vector gets a new one.
        layer: of a vector that holds several.
        partly: leave features without a class out instead of refusing them.

    Raises:
        InputError: the file, its CRS, its geometries, the field or the layer is invalid.
    """
    kind = need_labels(Path(path))
    if kind == GEOTIFF:
        if layer:
            raise InputError(f"{Path(path).name} is a raster, it has no layer {layer}")
        with open_raster(path) as dataset, on_grid(dataset, grid) as moved:
            need_one_band(dataset, "a label raster")
            known, code_of = _joined(legend, raster_legend(dataset))
            yield Codes(known, moved, code_of, _declares_other_than_zero(dataset))
    else:
        yield _labels_of(Path(path), kind, class_field, grid, legend, layer, partly)


def _joined(legend: Legend | None, own: Legend) -> tuple[Legend, np.ndarray]:
    """Return a legend with the classes of a raster's own, and uint8 (256,), its code of each.

    Classes meet by name; those that have none but their code, by code.
    """
    joint, code_of = legend or Legend(()), np.zeros(256, np.uint8)
    for entry in own.classes:
        code = joint.code_of_name(entry.name)
        if code is None and is_bare(entry) and joint.at(entry.code) is not None:
            code = entry.code
        if code is None:
            joint, code = joint.including(entry)
        code_of[entry.code] = code
    return joint, code_of


def _declares_other_than_zero(dataset: DatasetReader) -> bool:
    flags = dataset.mask_flag_enums[0]
    return MaskFlags.all_valid not in flags and dataset.nodata != 0


def _labels_of(
    path: Path,
    expected: str,
    class_field: str,
    grid: Grid,
    known: Legend | None,
    layer: str,
    partly: bool,
) -> Polygons | Points:
    from landcover.io.vector import read_features

    source_crs, geometries, names = read_features(path, expected, class_field, layer)
    return labels_of_features(geometries, names, source_crs, grid, path.name, known, partly)


def labels_of_features(
    geometries: np.ndarray,
    names: Sequence[str],
    source: str,
    grid: Grid,
    file: str,
    known: Legend | None = None,
    partly: bool = False,
) -> Polygons | Points:
    """Return features as they lie on a grid, as `open_labels` does those of a file.

    Args:
        geometries: shapely polygons or points (N,).
        names: the class of each; empty where nobody said.
        source: their CRS as pyproj takes it, or "".
        grid: of the scene or map.
        file: where they come from, for people.
        known: classes that keep their codes and colours.
        partly: leave features without a class out instead of refusing them.

    Raises:
        InputError: a geometry is neither polygon nor point, no feature has a class, or they
            cannot be brought to the grid.
    """
    _check_kinds(geometries, file)
    unlabelled = tuple(index for index, name in enumerate(names) if not name)
    _check_unlabelled(unlabelled, len(names), partly, file)
    values = [name for name in names if name]
    geometries = np.delete(geometries, unlabelled) if unlabelled else geometries
    legend = (known or Legend(())).with_values(values)
    by_name = legend.match(sorted(set(values)))
    _remark_on_numbers(by_name, known, file)
    _remark_on_alike(Counter(values), known, file)
    codes = np.array([by_name[value] for value in values], np.uint8)
    geometries = to_crs_of(grid, geometries, source, file)
    kinds = shapely.get_dimensions(geometries)
    if not kinds.any():
        return replace(_points(legend, grid, geometries, codes), unlabelled=unlabelled)
    geometries[kinds == 0] = _as_pixels(geometries[kinds == 0], grid)
    return Polygons(legend, grid, geometries, codes, unlabelled)


def _check_kinds(geometries: np.ndarray, file: str) -> None:
    if (shapely.get_type_id(geometries) == shapely.GeometryType.GEOMETRYCOLLECTION).any():
        raise InputError(
            f"{file} holds a collection of geometries, it needs polygons or points: in QGIS, "
            "Extract by geometry type parts them"
        )
    lines = np.flatnonzero(shapely.get_dimensions(geometries) == 1)
    if lines.size:
        raise InputError(
            f"{file}: feature {lines[0] + 1} is a line, which covers no pixel; labels are "
            "polygons or points: buffer lines in QGIS"
        )


def _as_pixels(points: np.ndarray, grid: Grid) -> np.ndarray:
    """Return for each point or multipoint a polygon that holds the centres of its pixels alone."""
    coordinates, owners = shapely.get_coordinates(points, return_index=True)
    columns, rows = np.floor(~grid.transform @ (coordinates[:, 0], coordinates[:, 1]))
    inner = shapely.box(columns + 0.25, rows + 0.25, columns + 0.75, rows + 0.75)
    squares = shapely.transform(inner, lambda at: np.column_stack(grid.transform @ at.T))
    return np.asarray(shapely.multipolygons(squares, indices=owners))


def _check_unlabelled(which: Sequence[int], of_all: int, partly: bool, file: str) -> None:
    if which and not partly:
        raise InputError(f"{file}: feature {which[0] + 1} has no class, delete it or give it one")
    if len(which) == of_all:
        raise InputError(f"{file}: feature 1 has no class, nor has any other: label some")


def _remark_on_numbers(by_name: Mapping[str, int], known: Legend | None, file: str) -> None:
    """Remark on whole numbers that had to change, as no code can be 0 or above 254."""
    moved = [
        f"{value} became {code}"
        for value, code in by_name.items()
        if is_whole_number(value) and int(value) != code
        and (known is None or known.code_of_name(value) is None)
    ]  # fmt: skip
    if moved:
        more = f" and {len(moved) - _NAMED} more" if len(moved) > _NAMED else ""
        remark(
            f"numbers of classes in {file} that are no codes from 1 to {MAX_CODE} got free ones: "
            f"{', '.join(moved[:_NAMED])}{more}"
        )


def _remark_on_alike(counts: Mapping[str, int], known: Legend | None, file: str) -> None:
    """Name the classes that differ only in ways that one hardly sees."""
    groups: dict[str, list[str]] = {}
    for name in sorted({*counts, *(known.names if known else ())}):
        groups.setdefault(" ".join(_composed(name).casefold().split()), []).append(name)
    for names in groups.values():
        if len(names) > 1 and any(name in counts for name in names):
            listed = ", ".join(_counted(name, counts.get(name, 0)) for name in names)
            remark(
                f"classes of {file} that differ in case, blanks or how letters are composed are "
                f"kept apart: {listed}; name them alike if they are one"
            )


def _counted(name: str, features: int) -> str:
    how = "" if name == _composed(name) else ", in decomposed letters"
    return f"{name} ({features} feature{'' if features == 1 else 's'}{how})"


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def to_crs_of(grid: Grid, geometries: np.ndarray, source: str, file: str) -> np.ndarray:
    """Reproject features to the CRS of a grid; without a source CRS they are taken to be in it.

    Args:
        grid: of the scene or map.
        geometries: shapely points or polygons (N,).
        source: their CRS as pyproj takes it, or "".
        file: name of their file.

    Raises:
        InputError: they cannot be brought there, or seem to have their coordinates exchanged.
    """
    if not source:
        remark(f"x and y of {file} were taken to be in the scene's system, {grid.crs.to_string()}")
    try:
        target = pyproj.CRS.from_wkt(grid.crs.to_wkt())
        origin = pyproj.CRS.from_user_input(source) if source else target
        transformer = pyproj.Transformer.from_crs(origin, target, always_xy=True)
    except (pyproj.exceptions.CRSError, pyproj.exceptions.ProjError) as error:
        raise InputError(
            f"{file} cannot be brought from its coordinate system to that of the scene: one of "
            "them is tied to no place on the Earth; assign the right one in QGIS"
        ) from error
    flat = shapely.force_2d(geometries)
    moved = _moved(flat, transformer)
    if not _meets(moved, grid):
        _check_exchanged(flat, transformer, origin, grid, file)
    if not np.isfinite(shapely.get_coordinates(moved)).all():
        raise InputError(f"{file} has coordinates that do not exist in the scene's system")
    if grid.crs.is_geographic:
        for kind in np.unique(shapely.get_dimensions(moved)):
            of_kind = shapely.get_dimensions(moved) == kind
            moved[of_kind] = turned(moved[of_kind], grid)
    return moved


def _moved(geometries: np.ndarray, transformer: pyproj.Transformer) -> np.ndarray:
    def move(coordinates: np.ndarray) -> np.ndarray:
        return np.column_stack(transformer.transform(coordinates[:, 0], coordinates[:, 1]))

    return np.asarray(shapely.transform(geometries, move))


def _meets(geometries: np.ndarray, grid: Grid) -> bool:
    """Return whether the bounds of a geometry overlap a grid."""
    bounds = shapely.bounds(geometries)
    corners = bounds[np.isfinite(bounds).all(axis=1)][:, [0, 1, 0, 3, 2, 1, 2, 3]]
    columns, rows = ~grid.transform @ (corners[:, ::2], corners[:, 1::2])
    across = (columns.max(axis=1) >= 0) & (columns.min(axis=1) <= grid.width)
    return bool((across & (rows.max(axis=1) >= 0) & (rows.min(axis=1) <= grid.height)).any())


def _check_exchanged(
    geometries: np.ndarray,
    transformer: pyproj.Transformer,
    origin: pyproj.CRS,
    grid: Grid,
    file: str,
) -> None:
    """Refuse features that would lie in the scene with x and y exchanged or in another unit."""
    exchanged = shapely.transform(geometries, lambda at: at[:, ::-1])
    if _meets(_moved(exchanged, transformer), grid):
        raise InputError(
            f"{file} lies in the scene only with its coordinates exchanged: it has latitude or "
            "northing first, it needs longitude or easting first"
        )
    if not origin.is_projected:
        if grid.crs.is_projected and _meets(geometries, grid):
            raise InputError(
                f"{file} lies in the scene only if its coordinates are in the scene's system, "
                f"{grid.crs.to_string()}, while it says they are degrees: declare the system, "
                "GeoJSON without crs is in degrees"
            )
        return
    as_degrees = pyproj.Transformer.from_crs("EPSG:4326", grid.crs.to_wkt(), always_xy=True)
    for degrees in (geometries, exchanged):
        if _meets(_moved(degrees, as_degrees), grid):
            raise InputError(
                f"{file} lies in the scene only if its coordinates are degrees, while its system "
                f"is {origin.name}: declare EPSG:4326, in a table by the columns "
                "lon and lat"
            )


def turned(geometries: np.ndarray, grid: Grid) -> np.ndarray:
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
        given=len(geometries),
    )


def need_one_band(dataset: DatasetReader, what: str) -> None:
    """Refuse a picture of several bands as `what`."""
    if dataset.count != 1:
        name = Path(dataset.name).name
        raise InputError(f"{name} has {dataset.count} bands, {what} needs one")


def raster_legend(dataset: DatasetReader, what: str = "a label raster") -> Legend:
    """Return the legend of a raster of codes: its own, else one of the codes that occur.

    Args:
        dataset: the raster.
        what: it is, such as `a map`.
    """
    own = legend_of(dataset)
    if own is not None:
        return own
    name = Path(dataset.name).name
    found = np.zeros(256, np.int64)
    for window in windows_of(dataset):
        (band,), valid = read_valid(dataset, window, [1])
        found += np.bincount(whole_codes(band, valid, name, what).ravel(), minlength=256)
    found[0] = 0
    if not found.any():
        raise InputError(f"{name} holds no labelled pixel")
    return Legend.of_codes(np.flatnonzero(found).tolist())


def _without_conflicts(codes: np.ndarray, features: np.ndarray) -> Labelled:
    conflict = codes == _CONFLICT
    codes[conflict] = 0
    features = np.where(codes == 0, NO_FEATURE, features).astype(np.int32)
    return Labelled(codes, features, int(conflict.sum()))
