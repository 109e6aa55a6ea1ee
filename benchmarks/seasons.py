"""What several dates do for the accuracy in unseen polygons: on scenes that you have.

    python -m benchmarks.seasons LABELS SCENE SCENE ...

Forests learn from the same labelled pixels, those that are valid on every date: from each date
alone, from all dates as a stack, from the stack with indices and small windows, and from the
composite. Each is tested on polygons that it did not learn from.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rasterio

from benchmarks import by_polygon
from landcover import compose_scenes, derive_bands, extract_samples, stack_scenes

SEEDS = 10


def main() -> None:
    """Print the table."""
    labels, *scenes = (Path(given) for given in sys.argv[1:])
    with TemporaryDirectory() as name:
        folder = Path(name)
        stack = stack_scenes(scenes, workdir=_new(folder / "stack")).scene
        derived = derive_bands(stack, "NDVI,NDMI,NBR", workdir=_new(folder / "indices")).scene
        windows = derive_bands(stack, windows="3,5", workdir=_new(folder / "windows")).scene
        composite = compose_scenes(scenes, workdir=_new(folder / "composite")).scene
        mask = _valid_everywhere(stack, folder / "mask.tif")
        print("| bands of | bands | accuracy in unseen polygons | macro F1 |\n|---|---|---|---|")
        for what, scene in (
            *((path.name, path) for path in scenes),
            ("the composite", composite),
            ("the stack", stack),
            ("the stack, with indices", derived),
            ("the stack, with windows of 3 and 5 pixels", windows),
        ):
            print(_row(what, scene, labels, mask, folder), flush=True)


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _valid_everywhere(stack: Path, target: Path) -> Path:
    """Write where every band of every date is valid."""
    with rasterio.open(stack) as dataset:
        profile = dataset.profile | {"count": 1, "dtype": "uint8", "nodata": None, "predictor": 1}
        valid = (dataset.read_masks() > 0).all(axis=0)
    with rasterio.open(target, "w", **profile) as out:
        out.write(valid.astype(np.uint8), 1)
    return target


def _row(what: str, scene: Path, labels: Path, mask: Path, folder: Path) -> str:
    samples = extract_samples(scene, labels, mask=mask, workdir=_new(folder / what)).samples
    labelled = by_polygon.load(samples)
    codes = labelled.training_set.codes
    everything = np.ones(len(codes), bool)
    figures = [
        by_polygon.scores(codes, by_polygon.predicted(labelled, everything, seed))
        for seed in range(SEEDS)
    ]
    (accuracy, f1), (spread, _) = np.mean(figures, axis=0), np.std(figures, axis=0)
    bands = len(labelled.training_set.bands)
    return f"| {what} | {bands} | {accuracy:.3f} (spread {spread:.3f}) | {f1:.3f} |"


if __name__ == "__main__":
    main()
