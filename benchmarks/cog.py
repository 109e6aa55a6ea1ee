"""A class raster as a cloud-optimized GeoTIFF, against a plain GeoTIFF and GDAL's COG driver."""

import sys
import tempfile
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.io import DatasetReader, DatasetWriter
from rasterio.windows import Window

from benchmarks import made
from benchmarks.measure import Row, compare

COMMANDS = (sys.executable, "-m", "benchmarks.cog")


def rows(side: int) -> list[Row]:
    """Write the same map from memory in three ways; every pixel must be equal.

    The map has fields of 32 pixels and a tenth of all pixels is wrong.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _, source, _ = made.map_and_references(folder, side)

        def command(way: str) -> tuple[str | Path, ...]:
            return (*COMMANDS, way, source, folder / f"{way}.tif")

        def gate() -> str:
            paths = [folder / f"{way}.tif" for way in WAYS]
            if not _equal(paths):
                raise SystemExit("the rasters differ")
            ours, plain, theirs = (path.stat().st_size / 2**20 for path in paths)
            return f"{side**2:,} pixels equal; {ours:.1f}, {plain:.1f}, {theirs:.1f} MiB"

        peers = {
            "plain GeoTIFF, no overviews": command("plain"),
            "GeoTIFF, then GDAL's COG driver": command("driver"),
        }
        return compare(f"class raster as COG, {side}²", command("ours"), peers, gate)


def ours(source: DatasetReader, target: Path) -> None:
    """Write it as classify-scene does."""
    from landcover.io.geotiff.cog import writing_cog
    from landcover.io.raster import Grid, legend_of

    with writing_cog(target, Grid.of(source), "class", legend_of(source)) as writer:
        for window, codes in _blocks(source):
            writer.write(codes, window)


def plain(source: DatasetReader, target: Path) -> None:
    """Write it with rasterio, tiled, deflate at GDAL's level."""
    with _plain(source, target) as dataset:
        for window, codes in _blocks(source):
            dataset.write(codes, 1, window=window)


def driver(source: DatasetReader, target: Path) -> None:
    """Write it with rasterio, then copy it to the COG driver with overviews of the mode."""
    first = target.with_suffix(".plain.tif")
    plain(source, first)
    rasterio.shutil.copy(
        first, target, driver="COG", COMPRESS="DEFLATE", OVERVIEW_RESAMPLING="mode"
    )


WAYS = {way.__name__: way for way in (ours, plain, driver)}


def _blocks(source: DatasetReader) -> list[tuple[Window, np.ndarray]]:
    """Return every block of a small part of the map over and over: decoding is not measured."""
    windows = [window for _, window in source.block_windows(1)]
    some = [source.read(1, window=window) for window in windows[:8]]
    full = [codes for codes in some if codes.shape == (made.BLOCK, made.BLOCK)]
    return [
        (window, full[number % len(full)][: window.height, : window.width])
        for number, window in enumerate(windows)
    ]


def _plain(source: DatasetReader, target: Path) -> DatasetWriter:
    return rasterio.open(
        target, "w", driver="GTiff", dtype="uint8", count=1, width=source.width,
        height=source.height, crs=source.crs, transform=source.transform, nodata=255, tiled=True,
        blockxsize=made.BLOCK, blockysize=made.BLOCK, compress="deflate", BIGTIFF="IF_SAFER",
    )  # fmt: skip


def _equal(paths: list[Path]) -> bool:
    first, *others = [rasterio.open(path) for path in paths]
    return all(
        np.array_equal(first.read(1, window=window), other.read(1, window=window))
        for _, window in first.block_windows(1)
        for other in others
    )


if __name__ == "__main__":
    with rasterio.Env(GDAL_CACHEMAX=64 * 2**20), rasterio.open(sys.argv[2]) as opened:
        WAYS[sys.argv[1]](opened, Path(sys.argv[3]))
