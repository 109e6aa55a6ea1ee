"""Made data whose size and structure are those of real work."""

import sqlite3
from pathlib import Path

import geopandas
import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window
from shapely.geometry import box

from landcover.io.legend import Legend
from landcover.io.raster import Grid
from landcover.models.file import QUANTILES, Card, CardBand, Model, save_model
from landcover.models.forest.ensemble import TreeEnsemble

CRS = "EPSG:32648"
TRANSFORM = Affine(10, 0, 500_000, 0, -10, 5_800_000)
BLOCK = 512
CLASSES = 8
POLYGONS = 480
"""About so many, however large the scene."""
BANDS = 10


def scene(path: Path, side: int) -> Path:
    """Write a scene of 10 bands, uint16: tiled, deflate with predictor, bands pixel by pixel."""
    rng = np.random.default_rng(0)
    with rasterio.open(
        path, "w", driver="GTiff", count=BANDS, width=side, height=side, dtype="uint16", crs=CRS,
        transform=TRANSFORM, tiled=True, blockxsize=BLOCK, blockysize=BLOCK, compress="deflate",
        predictor=2, interleave="pixel",
    ) as dataset:  # fmt: skip
        for _, window in dataset.block_windows(1):
            coarse = rng.normal(2500, 500, (BANDS, BLOCK // 16, BLOCK // 16))
            fields = np.kron(coarse, np.ones((1, 16, 16)))[:, : window.height, : window.width]
            noisy = fields + rng.normal(0, 60, fields.shape)
            dataset.write(noisy.clip(1, 10_000).astype(np.uint16), window=window)
    return path


def embedding(folder: Path, bands: int, side: int) -> tuple[Path, Path]:
    """Write fields of 16 x 16 pixels of eight classes in bands that mix eight hidden ones.

    As embeddings do: float32, no band alone means anything. A field in three has its polygon.
    """
    rng = np.random.default_rng(7)
    fields = rng.integers(0, CLASSES, (side // 16, side // 16))
    shapes, classes = [], []
    for row, column in np.argwhere(rng.random(fields.shape) < 1 / 3).tolist():
        x, y = TRANSFORM @ (16 * column, 16 * row)
        shapes.append(box(x, y - 160, x + 160, y))
        classes.append(fields[row, column] + 1)
    labels = folder / "labels.gpkg"
    geopandas.GeoDataFrame({"class": classes}, geometry=shapes, crs=CRS).to_file(labels)
    hidden = rng.normal(0, 1, (CLASSES, 8))[np.kron(fields, np.ones((16, 16), int))]
    hidden += rng.normal(0, 0.4, hidden.shape)
    scene = folder / "scene.tif"
    with rasterio.open(
        scene, "w", driver="GTiff", count=bands, width=side, height=side, dtype="float32",
        crs=CRS, transform=TRANSFORM, tiled=True, blockxsize=256, blockysize=256,
        compress="deflate",
    ) as dataset:  # fmt: skip
        for band in range(bands):
            values = hidden @ rng.normal(0, 0.1, 8) + rng.normal(0, 0.02, (side, side))
            dataset.write(values.astype(np.float32), band + 1)
            dataset.set_band_description(band + 1, f"A{band:02d}")
    return scene, labels


def polygons(path: Path, side: int, share: float) -> Path:
    """Write rectangles of whole pixels, none upon another, in so large a share of the blocks."""
    rng = np.random.default_rng(1)
    across = side // BLOCK
    blocks = rng.permutation(across**2)[: max(1, round(share * across**2))]
    shapes = []
    for block in blocks:
        top, left = (int(n) * BLOCK for n in divmod(block, across))
        for cell in rng.permutation(32)[: max(1, POLYGONS // len(blocks))].tolist():
            row, column = cell // 4 * 64, cell % 4 * 128
            height, width = rng.integers(5, 30, 2)
            x, y = TRANSFORM @ (left + column, top + row)
            shapes.append(box(x, y - 10 * height, x + 10 * width, y))
    classes = rng.integers(1, CLASSES + 1, len(shapes))
    geopandas.GeoDataFrame({"class": classes}, geometry=shapes, crs=CRS).to_file(path)
    return path


def map_and_references(folder: Path, side: int) -> tuple[Path, Path, Path]:
    """Write a map and references of every pixel and of polygons in an eighth of the blocks."""
    rng = np.random.default_rng(2)
    names = ("map.tif", "dense.tif", "sparse.tif")
    profile = {
        "driver": "GTiff", "count": 1, "width": side, "height": side, "dtype": "uint8",
        "crs": CRS, "transform": TRANSFORM, "tiled": True, "blockxsize": BLOCK,
        "blockysize": BLOCK, "compress": "deflate", "nodata": 255,
    }  # fmt: skip
    tag = Legend.of([f"c{i}" for i in range(1, CLASSES + 1)]).to_tag()
    opened = [rasterio.open(folder / name, "w", **profile) for name in names]
    for _, window in opened[0].block_windows(1):
        fields = rng.integers(1, CLASSES + 1, (BLOCK // 32, BLOCK // 32))
        codes = np.kron(fields, np.ones((32, 32)))[: window.height, : window.width]
        wrong = rng.random(codes.shape) < 0.1
        dense = np.where(wrong, rng.integers(1, CLASSES + 1, codes.shape), codes)
        burnt = np.kron(rng.random((8, 8)) < 0.3, np.ones((64, 64), bool))
        burnt = burnt[: window.height, : window.width] & (rng.random() < 0.125)
        sparse = np.where(burnt, dense, 0)
        for dataset, values in zip(opened, (codes, dense, sparse), strict=True):
            _write(dataset, values, window)
    for dataset in opened:
        dataset.update_tags(LANDCOVER_LEGEND=tag)
        dataset.close()
    return folder / names[0], folder / names[1], folder / names[2]


def _write(dataset: rasterio.io.DatasetWriter, values: np.ndarray, window: Window) -> None:
    dataset.write(values.astype(np.uint8), 1, window=window)


def chips(folder: Path, count: int, **how: object) -> Path:
    """Write single-chip files of 64 x 64 pixels and 13 bands in four class folders.

    They fall into eight groups, four of them rare, so that every k-means finds the same.
    """
    rng = np.random.default_rng(3)
    for number in range(count):
        name = folder / f"class{number % 4}" / f"{number:05}.tif"
        name.parent.mkdir(parents=True, exist_ok=True)
        group = number % 4 * 2 + (number % 53 == 0)
        level = rng.normal(2000 + 400 * group, 20, (13, 1, 1))
        values = (level + rng.normal(0, 40 + 20 * group, (13, 64, 64))).astype(np.uint16)
        with rasterio.open(
            name, "w", driver="GTiff", count=13, width=64, height=64, dtype="uint16", crs=CRS,
            transform=TRANSFORM, **how,
        ) as dataset:  # fmt: skip
            dataset.write(values)
    return folder


def million(folder: Path) -> Path:
    """Write a million samples of single pixels, 10 bands, in one container."""
    rng = np.random.default_rng(4)
    centres = rng.uniform(500, 6000, (6, BANDS))
    classes = rng.choice(6, 1_000_000, p=(0.5, 0.25, 0.15, 0.05, 0.04, 0.01))
    pixels = (centres[classes] + rng.normal(0, 80, (1_000_000, BANDS))).clip(0).astype(np.uint16)
    (folder / "all").mkdir(parents=True)
    np.save(folder / "all" / "x.npy", pixels[:, :, None, None])
    return folder


def otb_samples(path: Path, bands: int = BANDS) -> np.ndarray:
    """Return the spectra that SampleExtraction wrote to SQLite, (N, bands)."""
    columns = ", ".join(f"band_{band}" for band in range(bands))
    with sqlite3.connect(path) as base:
        return np.array(base.execute(f"SELECT {columns} FROM output").fetchall())


def _centres() -> np.ndarray:
    return np.random.default_rng(5).normal(2500, 500, (CLASSES, BANDS))


def spectra(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels of eight classes that overlap, whole numbers as float32, and their codes."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, CLASSES, count)
    pixels = _centres()[classes] + rng.normal(0, 400, (count, BANDS))
    return pixels.round().clip(1, 10_000).astype(np.float32), (classes + 1).astype(np.uint8)


def spectral_scene(path: Path, side: int, tiled: bool = True) -> Path:
    """Write fields of 16 x 16 pixels of the classes of `spectra`, in the form of `scene`."""
    rng = np.random.default_rng(6)
    layout = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK} if tiled else {}
    with rasterio.open(
        path, "w", driver="GTiff", count=BANDS, width=side, height=side, dtype="uint16", crs=CRS,
        transform=TRANSFORM, compress="deflate", predictor=2, interleave="pixel", **layout,
    ) as dataset:  # fmt: skip
        for window in Grid.of(dataset).windows(BLOCK, BLOCK):
            classes = rng.integers(0, CLASSES, (BLOCK // 16, BLOCK // 16))
            coarse = _centres()[classes] + rng.normal(0, 350, (*classes.shape, BANDS))
            fields = np.kron(coarse.transpose(2, 0, 1), np.ones((1, 16, 16)))
            fields = fields[:, : window.height, : window.width]
            noisy = fields + rng.normal(0, 60, fields.shape)
            dataset.write(noisy.clip(1, 10_000).astype(np.uint16), window=window)
    return path


def points(path: Path) -> Path:
    """Write 20,000 of `spectra` as points, whose places mean nothing, for Orfeo ToolBox."""
    pixels, codes = spectra(20_000, 1)
    columns = {f"band_{band}": pixels[:, band] for band in range(BANDS)} | {"class": codes}
    places = geopandas.points_from_xy(*np.zeros((2, len(codes))))
    geopandas.GeoDataFrame(columns, geometry=places, crs=CRS).to_file(path, driver="SQLite")
    return path


def model(path: Path, trees: TreeEnsemble) -> Path:
    """Write trees with a card of `spectra`."""
    pixels, _ = spectra(20_000, 1)
    quantiles = np.quantile(pixels, QUANTILES, axis=0).T.tolist()
    bands = tuple(
        CardBand(f"band {band + 1}", None, float(pixels[:, band].mean()),
                 float(pixels[:, band].std()), tuple(quantiles[band]))
        for band in range(BANDS)
    )  # fmt: skip
    correlation = np.corrcoef(pixels.T).clip(-1, 1)
    card = Card(
        method="random-forest",
        legend=Legend.of_codes(range(1, CLASSES + 1)),
        bands=bands,
        correlation=tuple(tuple(row) for row in correlation.tolist()),
        dtype="uint16",
        nodata=None,
        chip_size=1,
        samples_sha256="0" * 64,
        code_version="0",
        validation={"kind": "spatial", "accuracy_spatial": None, "accuracy_random": None,
                    "groups": 1},
    )  # fmt: skip
    save_model(path, Model(card, trees))
    return path
