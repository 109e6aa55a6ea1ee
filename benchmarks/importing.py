"""A Sentinel-2 product on one grid as COG, against rasterio band by band, and decoding alone."""

import sys
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.windows import Window

from benchmarks.measure import LANDCOVER, Row, compare

COMMANDS = (sys.executable, "-m", "benchmarks.importing")
SIZES = {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "B05": 20, "B8A": 20, "B11": 20, "B12": 20,
         "B01": 60}  # fmt: skip
BLOCK = 1024


def rows(side: int) -> list[Row]:
    """Import a made product of level 2A in three ways; every pixel must be equal.

    Args:
        side: pixels of 10 m along a side; a multiple of 6 is taken.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        side -= side % 6
        safe = make_product(folder, side)
        out = folder / "out"
        peers = {
            "rasterio: read, repeat, write GeoTIFF": (*COMMANDS, "plain", safe, folder / "p.tif"),
            "the same, then GDAL's COG driver": (*COMMANDS, "cog", safe, folder / "c.tif"),
            "floor: decode": (*COMMANDS, "floor", safe, folder / "f"),
        }
        ours = (
            *LANDCOVER, "import-scene", "--source", safe, "--bands", ",".join(SIZES),
            "--workdir", out,
        )  # fmt: skip

        def gate() -> str:
            _need_equal(out / "scene.tif", folder / "p.tif")
            mib = sum(path.stat().st_size for path in safe.rglob("*.jp2")) / 2**20
            pixels = side**2 * len(SIZES) * 2 / 2**20
            return f"{mib:.0f} MiB of JP2, {pixels:.0f} MiB of pixels equal"

        return compare(f"import-scene, Sentinel-2 L2A, {side}², 9 bands", ours, peers, gate)


def make_product(folder: Path, side: int) -> Path:
    """Write a SAFE folder of fields and noise; images of level 2A have tiles of 1024 pixels."""
    name = "S2B_MSIL2A_20230801T101559_N0509_R065_T33UUU_20230801T134500"
    safe = folder / f"{name}.SAFE"
    images = []
    for number, (band, size) in enumerate(SIZES.items()):
        image = f"GRANULE/G/IMG_DATA/R{size}m/T33UUU_20230801T101559_{band}_{size}m"
        _write_image(safe / f"{image}.jp2", side * 10 // size, size, number)
        images.append(image)
    offsets = "".join(f'<BOA_ADD_OFFSET band_id="{i}">-1000</BOA_ADD_OFFSET>' for i in range(13))
    files = "".join(f"<IMAGE_FILE>{image}</IMAGE_FILE>" for image in images)
    (safe / "MTD_MSIL2A.xml").write_text(
        f"<User_Product><PROCESSING_BASELINE>05.09</PROCESSING_BASELINE>{files}"
        f"<BOA_QUANTIFICATION_VALUE>10000</BOA_QUANTIFICATION_VALUE>{offsets}"
        "<PRODUCT_START_TIME>2023-08-01T10:15:59.024Z</PRODUCT_START_TIME></User_Product>"
    )
    return safe


def _write_image(path: Path, side: int, size: int, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    fields = rng.integers(1200, 4000, (side // 40 + 1, side // 40 + 1))
    values = np.kron(fields, np.ones((40, 40), int))[:side, :side]
    values = (values + rng.normal(0, 40, values.shape)).astype(np.uint16)
    with rasterio.open(
        path, "w", driver="JP2OpenJPEG", width=side, height=side, count=1, dtype="uint16",
        crs="EPSG:32633", transform=rasterio.Affine(size, 0, 3e5, 0, -size, 59e5),
        QUALITY="100", REVERSIBLE="YES", blockxsize=BLOCK, blockysize=BLOCK,
    ) as dataset:  # fmt: skip
        dataset.write(values, 1)


def _images(safe: Path) -> list[Path]:
    return [next(safe.rglob(f"*_{band}_*.jp2")) for band in SIZES]


def plain(safe: Path, target: Path) -> None:
    """Bring all bands to 10 m by nearest neighbour, as gdal_translate does, window by window."""
    sources = [rasterio.open(path) for path in _images(safe)]
    first = sources[0]
    with rasterio.open(
        target, "w", driver="GTiff", dtype="uint16", count=len(sources), width=first.width,
        height=first.height, crs=first.crs, transform=first.transform, nodata=0, tiled=True,
        blockxsize=512, blockysize=512, compress="deflate", predictor=2, zlevel=1,
        interleave="band", BIGTIFF="IF_SAFER",
    ) as out:  # fmt: skip
        for number, source in enumerate(sources, 1):
            k = first.width // source.width
            step = 6 * BLOCK if k == 6 else 2 * BLOCK  # whole blocks of its own
            for top in range(0, first.height, step):
                height = min(step, first.height - top)
                own = Window(0, top // k, source.width, height // k)
                shape = (height, first.width)
                values = source.read(1, window=own, out_shape=shape, resampling=Resampling.nearest)
                out.write(values, number, window=Window(0, top, first.width, height))


def cog(safe: Path, target: Path) -> None:
    """Do the same, then copy it to a COG with overviews."""
    import rasterio.shutil

    first = target.with_suffix(".plain.tif")
    plain(safe, first)
    rasterio.shutil.copy(
        first, target, driver="COG", COMPRESS="DEFLATE", LEVEL=1, PREDICTOR=2,
        OVERVIEW_RESAMPLING="average", BIGTIFF="IF_SAFER",
    )  # fmt: skip


def floor(safe: Path, target: Path) -> None:
    """Decode every block once."""
    for path in _images(safe):
        with rasterio.open(path) as source:
            for _, window in source.block_windows(1):
                source.read(1, window=window)


WAYS = {way.__name__: way for way in (plain, cog, floor)}


def _need_equal(ours: Path, theirs: Path) -> None:
    with rasterio.open(ours) as first, rasterio.open(theirs) as second:
        for _, window in first.block_windows(1):
            if not np.array_equal(first.read(window=window), second.read(window=window)):
                raise SystemExit("the scenes differ")


if __name__ == "__main__":
    if sys.argv[1] == "rows":
        for row in rows(int(sys.argv[2])):
            print(row, flush=True)
    else:
        with rasterio.Env(GDAL_CACHEMAX=64 * 2**20):
            WAYS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
