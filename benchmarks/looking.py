"""What part of classify-scene is the look at the radiometry, on a scene of 16 megapixels?

    python -m benchmarks.looking

mirrors the Sentinel-2 scene of the demonstration to 4096 x 4096 pixels, trains a default forest on
its labels, and prints CPU seconds of this process (all threads, without start-up): of the look, of
the whole classify-scene, and of check-radiometry, which looks at every pixel besides.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rasterio

from demo.data import prepare
from landcover import check_radiometry, classify_scene, extract_samples, train_classifier
from landcover.inference.radiometry import compare
from landcover.io.bands import choose_bands, match_bands
from landcover.io.raster import open_scene
from landcover.models.file import load_model

SIDE = 4096
ROUNDS = 3


def main() -> None:
    """Print the table."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        scene = _mirrored(folder / "demo/scene.tif", folder / "scene.tif")
        labels = folder / "demo/labels.gpkg"
        small = folder / "demo/scene.tif"
        samples = extract_samples(scene=small, labels=labels, max_per_class=2000, workdir=folder)
        model = train_classifier(samples=samples.samples, workdir=folder).model
        whole = _cpu(lambda: classify_scene(scene=scene, model=model, workdir=folder), 1)
        look = _cpu(lambda: _look(scene, model), ROUNDS)
        check = _cpu(lambda: check_radiometry(scene=scene, model=model, workdir=folder), 1)
    print("| what | CPU s | of classify-scene |\n|---|---|---|")
    for what, seconds in (
        ("classify-scene", whole),
        ("the look", look),
        ("check-radiometry", check),
        ("of it the layer", check - look),
    ):
        print(f"| {what}, {SIDE}² | {seconds:.2f} | {seconds / whole:.1%} |")


def _mirrored(source: Path, target: Path) -> Path:
    with rasterio.open(source) as dataset:
        values, profile, names = dataset.read(), dataset.profile, dataset.descriptions
    pad = [(0, 0), *((0, SIDE - size) for size in values.shape[1:])]
    profile |= {"driver": "GTiff", "width": SIDE, "height": SIDE, "compress": "deflate"}
    with rasterio.open(target, "w", **profile) as dataset:
        dataset.write(np.pad(values, pad, "symmetric"))
        dataset.descriptions = names
    return target


def _look(scene: Path, model: Path) -> None:
    card = load_model(model).card
    with open_scene(scene, None) as dataset:
        indexes, _ = match_bands(choose_bands(dataset), card.bands)
        compare(dataset, indexes, card)


def _cpu(work: Callable[[], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
