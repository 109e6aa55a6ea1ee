"""What masking clouds does for the accuracy in unseen places, and how the rule compares.

    python -m benchmarks.clouds [SEEDS]

On the Sentinel-2 scene of the demonstration, which has thin cloud and shadow. Forests learn from
all labelled pixels and from the clear ones by the rule and, where the extra clouds is installed,
by the network; each is validated by places, as train-classifier does. The rule is also held
against the network, which is no truth either.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rasterio

from demo.data import prepare
from landcover import extract_samples, mask_clouds, train_classifier
from landcover.errors import InputError

MOST = 600
"""Pixels of a class."""
TREES = '{"trees": 50}'


def main() -> None:
    """Print both tables."""
    seeds = int(sys.argv[1]) if sys.argv[1:] else 3
    with TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        scene, labels = folder / "demo/scene.tif", folder / "demo/labels.gpkg"
        masks = {way: _mask(scene, way, folder) for way in ("rule", "network")}
        print("| learned from and tested on | clear | accuracy in unseen places | macro F1 |")
        print("|---|---|---|---|")
        for way, mask in {"all": None, **masks}.items():
            if way == "all" or mask is not None:
                print(_row(scene, labels, way, mask, folder, seeds), flush=True)
        if masks["network"] is not None:
            print(_compared(masks["rule"], masks["network"]))


def _mask(scene: Path, way: str, folder: Path) -> Path | None:
    (folder / way).mkdir()
    try:
        return mask_clouds(scene, method=way, workdir=folder / way).mask
    except InputError as error:
        print(f"{way} is left out: {error}", file=sys.stderr)
        return None


def _row(scene: Path, labels: Path, way: str, mask: Path | None, folder: Path, seeds: int) -> str:
    figures = []
    for seed in range(seeds):
        work = folder / f"{way}-{seed}"
        work.mkdir()
        samples = extract_samples(
            scene, labels, max_per_class=MOST, seed=seed, mask=mask, workdir=work
        ).samples
        trained = train_classifier(samples, options=TREES, seed=seed, workdir=work)
        report = json.loads(trained.report.read_text())
        figures.append((report["accuracy_spatial"], report["macro_f1"]))
    (accuracy, f1), (spread, _) = np.mean(figures, axis=0), np.std(figures, axis=0)
    return f"| {way} | {_clear(mask):.1%} | {accuracy:.3f} (spread {spread:.3f}) | {f1:.3f} |"


def _clear(mask: Path | None) -> float:
    return 1.0 if mask is None else float((_read(mask) == 1).mean())


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
