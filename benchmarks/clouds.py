"""What masking clouds does for the accuracy in unseen places, and how the rule compares.

    python -m benchmarks.clouds [SEEDS]

On the Sentinel-2 scene of the demonstration, which has thin cloud and shadow. Forests learn from
all labelled pixels or from the clear ones, by the rule and, where the extra clouds is installed,
by the network, and are tested on polygons that they did not learn from. The rule is also held
against the network, which is no truth either.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rasterio

from benchmarks import by_polygon
from demo.data import prepare
from landcover import extract_samples, mask_clouds
from landcover.errors import InputError
from landcover.training.loading import Labelled

MOST = 1000
"""Pixels of a class."""


def main() -> None:
    """Print both tables."""
    seeds = int(sys.argv[1]) if sys.argv[1:] else 5
    with TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        scene, labels = folder / "demo/scene.tif", folder / "demo/labels.gpkg"
        samples = extract_samples(scene, labels, max_per_class=MOST, workdir=folder).samples
        labelled = by_polygon.load(samples)
        print("| mask | clear labels | trained on | tested on | accuracy | macro F1 |")
        print("|---|---|---|---|---|---|")
        masks = {way: _mask(scene, way, folder) for way in ("rule", "network")}
        for way, mask in masks.items():
            if mask is not None:
                print("\n".join(_rows(way, labelled, _read(mask) == 1, seeds)), flush=True)
        if masks["network"] is not None:
            print(_compared(masks["rule"], masks["network"]))


def _mask(scene: Path, way: str, folder: Path) -> Path | None:
    (folder / way).mkdir()
    try:
        return mask_clouds(scene, method=way, workdir=folder / way).mask
    except InputError as error:
        print(f"{way} is left out: {error}", file=sys.stderr)
        return None


def _rows(way: str, labelled: Labelled, clear: np.ndarray, seeds: int) -> Iterator[str]:
    """Yield the scores of one mask; all by the same folds."""
    assert labelled.ground.at is not None
    column, row = np.floor(labelled.ground.at).astype(int).T
    is_clear = clear[row, column]
    everything = np.ones(len(is_clear), bool)
    share = f"{is_clear.mean():.0%}"
    for trained, used in (("all", everything), ("clear", is_clear)):
        found = [by_polygon.predicted(labelled, used, seed) for seed in range(seeds)]
        for tested, where in (("all", everything), ("clear", is_clear)):
            codes = labelled.training_set.codes[where]
            accuracy, f1 = np.mean([by_polygon.scores(codes, f[where]) for f in found], axis=0)
            yield f"| {way} | {share} | {trained} | {tested} | {accuracy:.3f} | {f1:.3f} |"


def _compared(rule: Path | None, network: Path) -> str:
    assert rule is not None
    found, told = _read(rule) == 0, _read(network) == 0
    return (
        f"\nthe rule masks {found[told].mean():.0%} of what the network masks, and "
        f"{told[found].mean():.0%} of what it masks the network masks too"
    )


def _read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read(1)


if __name__ == "__main__":
    main()
