"""Tidy a map: small patches go to what surrounds them."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import numpy as np
import rasterio
from rasterio.features import sieve
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.files.paths import AnyPath
from landcover.io.gdal_drivers import RASTER, RASTER_ENV
from landcover.io.geotiff.cog import writing_cog
from landcover.io.legend import NODATA
from landcover.maps.opened import OpenMap, open_map
from landcover.operation import MapFile, MapTIFF, Range
from landcover.progress import remark, report_progress

_BLOCK = 1024
_LARGEST_WINDOW = 101
"""Side of the largest square whose majority is taken."""

Reader = Callable[[Window], np.ndarray]
"""Returns codes, uint8 (H, W), 0 where nothing is classified."""


@dataclass(frozen=True)
class SievedMap:
    """A map without its smallest patches.

    Attributes:
        map: the map, on the grid and with the legend of the one given.
        changed: share of the classified pixels that have another class now.
    """

    map: MapTIFF
    changed: Annotated[float, Range(0, 1)]


def sieve_map(
    map: MapFile,
    pixels: Annotated[int, Range(0, 1_000_000)] = 4,
    method: Literal["sieve", "majority"] = "sieve",
    hectares: Annotated[float, Range(0)] = 0,
    neighbours: Literal["4", "8"] = "4",
    workdir: AnyPath = "",
) -> SievedMap:
    """Give small patches of a map to what surrounds them.

    Pixels that are not classified stay so, and give nobody a class. Accuracy and areas of the
    tidied map are its own: assess it anew.

    Args:
        map: a classified scene, of this or another program.
        pixels: by sieve patches of fewer pixels become part of their largest neighbour, and those
            without a neighbour that is large enough stay; by majority each pixel becomes what most
            pixels are in the smallest square of odd side that holds so many, 3 by 3 for 4 to 9,
            and keeps its class where it is among the most frequent.
        method: sieve keeps the outlines of what is large (GDAL's algorithm), majority smooths
            outlines too.
        hectares: in place of pixels, the smallest area that is kept; 0 leaves it to pixels.
        neighbours: by sieve, 8 where pixels that touch at a corner are one patch as well.
        workdir: folder to write to.

    Raises:
        InputError: it is no map, or the smallest area is larger than the map.
    """
    target = Path(workdir) / "map.tif"
    with open_map(map) as opened:
        least = _in_pixels(opened, hectares) if hectares else pixels
        if method == "majority":
            changed = _write(opened, target, _majority(opened, _side_of(least)))
        else:
            with sieved(opened, least, int(neighbours), Path(workdir)) as read:
                changed = _write(opened, target, read)
    return SievedMap(target, changed)


def _in_pixels(opened: OpenMap, hectares: float) -> int:
    """Return how many pixels of the map's middle make up an area, rounded up."""
    from landcover.maps.ground import HECTARE, Ground

    areas = [area for _, area in Ground.under(opened.dataset).blocks()]
    middle = areas[len(areas) // 2]
    if not math.isfinite(middle):
        raise InputError(f"{opened.file} has no place on the ground, say pixels, not hectares")
    if max(areas) > 1.1 * min(areas):
        remark(
            f"pixels of {opened.file} are from {min(areas):.0f} to {max(areas):.0f} square metres "
            f"large: {hectares} hectares were taken in its middle"
        )
    least = math.ceil(hectares * HECTARE / middle - 1e-9)
    if least > opened.grid.pixels:
        raise InputError(f"hectares is {hectares}, more than the whole of {opened.file}")
    return least


@contextmanager
def sieved(opened: OpenMap, least: int, neighbours: int, folder: Path) -> Iterator[Reader]:
    """Yield what reads the sieved codes; they lie in a file, memory holds the patches alone."""
    with TemporaryDirectory(dir=folder, prefix=".sieve.") as scratch:
        plain = Path(scratch, "codes.tif")
        _write_plain(opened, plain)
        shape = (opened.grid.height, opened.grid.width)
        codes = np.memmap(Path(scratch, "sieved"), np.uint8, "w+", shape=shape)
        report_progress(0.3, "joining small patches with their neighbours")
        with rasterio.open(plain, driver=RASTER) as dataset:
            band = rasterio.band(dataset, 1)
            if least > 1:
                sieve(band, least, out=codes, mask=band, connectivity=neighbours)
            else:
                codes[:] = dataset.read(1)
        yield lambda window: np.asarray(codes[window.toslices()])


def _write_plain(opened: OpenMap, target: Path) -> None:
    grid = opened.grid
    with (
        rasterio.Env(**RASTER_ENV),
        rasterio.open(
            target, "w", driver=RASTER, width=grid.width, height=grid.height, count=1,
            dtype="uint8", crs=grid.crs, transform=grid.transform, BIGTIFF="IF_SAFER",
        ) as plain,
    ):  # fmt: skip
        for window in grid.windows(_BLOCK, _BLOCK):
            report_progress(0.3 * window.row_off / grid.height, "reading the map")
            plain.write(opened.read(window), 1, window=window)


def _side_of(least: int) -> int:
    """Return the side of the smallest square of odd side that holds so many pixels.

    >>> [_side_of(pixels) for pixels in (0, 1, 4, 9, 10, 25)]
    [1, 1, 3, 3, 5, 5]
    """
    side = math.ceil(math.sqrt(max(1, least)))
    side += 1 - side % 2
    if side > _LARGEST_WINDOW:
        raise InputError(
            f"the majority of {side} by {side} pixels was asked for, at most {_LARGEST_WINDOW} "
            f"by {_LARGEST_WINDOW} is taken: use method sieve"
        )
    return side


def _majority(opened: OpenMap, side: int) -> Reader:
    halo = side // 2
    grid = opened.grid

    def read(window: Window) -> np.ndarray:
        top, left = max(0, window.row_off - halo), max(0, window.col_off - halo)
        bottom = min(grid.height, window.row_off + window.height + halo)
        right = min(grid.width, window.col_off + window.width + halo)
        codes = opened.read(Window(left, top, right - left, bottom - top))
        rows, columns = window.row_off - top, window.col_off - left
        inner = np.s_[rows : rows + window.height, columns : columns + window.width]
        return most_frequent(codes, side)[inner]

    return read


def most_frequent(codes: np.ndarray, side: int) -> np.ndarray:
    """Return the most frequent code around each pixel, uint8 (H, W).

    Of equally frequent ones the pixel's own is taken, else the lowest; 0 stays and counts for
    nothing, nor does what lies beyond the edges.

    Args:
        codes: uint8 (H, W), 0 where nothing is classified.
        side: odd, of the square around each pixel.
    """
    best, own = (np.zeros(codes.shape, np.uint16) for _ in range(2))
    found = np.zeros(codes.shape, np.uint8)
    for code in np.flatnonzero(np.bincount(codes.ravel(), minlength=256)).tolist():
        if code:
            is_code = codes == code
            count = _sum_around(is_code, side)
            np.copyto(own, count, where=is_code)
            np.copyto(found, np.uint8(code), where=count > best)
            np.maximum(best, count, out=best)
    np.copyto(found, codes, where=(own == best) | (codes == 0))
    return found


def _sum_around(marked: np.ndarray, side: int) -> np.ndarray:
    """Return how many pixels of the square around each are marked, unsigned (H, W)."""
    total: np.ndarray = np.pad(marked, side // 2).astype(
        np.uint8 if side * side < 256 else np.uint16
    )
    height, width = marked.shape
    rows = total[:height].copy()
    for shift in range(1, side):
        rows += total[shift : shift + height]
    columns = rows[:, :width].copy()
    for shift in range(1, side):
        columns += rows[:, shift : shift + width]
    return columns


def _write(opened: OpenMap, target: Path, read: Reader) -> float:
    """Write the tidied map; return the share of classified pixels that changed."""
    changed = classified = 0
    with writing_cog(target, opened.grid, "class", opened.legend, opened.tags()) as writer:
        for window in opened.grid.windows(_BLOCK, _BLOCK):
            report_progress(0.6 + 0.4 * window.row_off / opened.grid.height, "writing the map")
            before, after = opened.read(window), read(window)
            changed += int(np.count_nonzero(before != after))
            classified += int(np.count_nonzero(before))
            writer.write(np.where(after == 0, NODATA, after).astype(np.uint8), window)
        if not classified:
            raise InputError(f"{opened.file} holds no classified pixel")
    return changed / classified
