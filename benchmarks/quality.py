"""Quality control against PyCM fed with the two vectors of classes."""

import json
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from pycm import ConfusionMatrix

from benchmarks.measure import Row, compare
from landcover import assess_quality
from landcover.legend import Legend

SIDE = 1024


def rows() -> list[Row]:
    """Compare the whole operation, files and report included, with PyCM's statistics alone."""
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 9, (SIDE, SIDE)).astype(np.uint8)
    codes = np.where(rng.random(truth.shape) < 0.2, rng.integers(1, 9, truth.shape), truth)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = _write(folder / "map.tif", codes.astype(np.uint8))
        second = _write(folder / "reference.tif", truth)
        theirs = ConfusionMatrix(truth.ravel().tolist(), codes.ravel().tolist())
        result = assess_quality(first, second, workdir=folder)
        statistics = json.loads(result.statistics.read_text())
        if abs(statistics["overall"]["Kappa"] - theirs.Kappa) > 1e-12:
            raise SystemExit("kappa differs from PyCM's")
        return [
            compare(
                "assess-quality, 1 megapixel, with report",
                lambda: assess_quality(first, second, workdir=folder),
                "PyCM from vectors",
                lambda: ConfusionMatrix(truth.ravel(), codes.ravel()),
                "kappa equal to 1e-12",
            )
        ]


def _write(path: Path, codes: np.ndarray) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=SIDE, width=SIDE, dtype="uint8", nodata=255,
        crs="EPSG:32633", transform=rasterio.transform.from_origin(0, 0, 10, 10), tiled=True,
        compress="deflate",
    ) as dataset:  # fmt: skip
        dataset.write(codes, 1)
        dataset.update_tags(LANDCOVER_LEGEND=Legend.of([f"c{i}" for i in range(1, 9)]).to_tag())
    return path
