"""A median composite of a season, against a loop over blocks with numpy's nanmedian."""

import tempfile
from pathlib import Path

import numpy as np
import rasterio

from benchmarks import made
from benchmarks.measure import LANDCOVER, PEERS, Row, compare

DATES, BANDS = 12, 4
SIDE = 1536
NODATA = 0


def rows(side: int) -> list[Row]:
    """Compose 12 dates of 4 bands, about 40 % of each under cloud; every pixel must be equal."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenes = [_date(folder, number, side or SIDE) for number in range(DATES)]
        ours = (*LANDCOVER, "compose-scenes", "--scenes", *scenes, "--workdir", folder / "ours")
        loop = (*PEERS, "nanmedian_loop", folder / "loop.tif", *scenes)

        def gate() -> str:
            with (
                rasterio.open(folder / "ours/scene.tif") as one,
                rasterio.open(folder / "loop.tif") as other,
            ):
                bands = [*range(1, BANDS + 1)]
                for _, window in one.block_windows(1):
                    first, second = (each.read(bands, window=window) for each in (one, other))
                    if not np.array_equal(first, second, equal_nan=True):
                        raise SystemExit("the composites differ")
            return f"{BANDS * (side or SIDE) ** 2:,} medians equal to the bit"

        what = f"compose-scenes, {DATES} dates of {BANDS} bands, {side or SIDE}²"
        return compare(what, ours, {"rasterio and np.nanmedian by blocks": loop}, gate)


def _date(folder: Path, number: int, side: int) -> Path:
    """Write a date: fields, noise and clouds, which are nodata."""
    rng = np.random.default_rng(number)
    path = folder / f"{number}.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=BANDS, width=side, height=side, dtype="uint16",
        crs=made.CRS, transform=made.TRANSFORM, tiled=True, blockxsize=made.BLOCK,
        blockysize=made.BLOCK, compress="deflate", predictor=2, nodata=NODATA,
    ) as dataset:  # fmt: skip
        dataset.update_tags(DATE=f"2023-{number + 1:02}-15", SCALE="0.0001", OFFSET="0")
        for _, window in dataset.block_windows(1):
            shape = (window.height, window.width)
            coarse = rng.normal(2500, 500, (BANDS, made.BLOCK // 16, made.BLOCK // 16))
            fields = np.kron(coarse, np.ones((1, 16, 16)))[:, : shape[0], : shape[1]]
            noisy = (fields + rng.normal(0, 60, fields.shape)).clip(1, 10_000)
            clouds = np.kron(rng.random((made.BLOCK // 64,) * 2), np.ones((64, 64))) < 0.4
            noisy[:, clouds[: shape[0], : shape[1]]] = NODATA
            dataset.write(noisy.astype(np.uint16), window=window)
    return path
