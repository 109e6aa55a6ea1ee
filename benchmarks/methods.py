"""Which method, with which options? Boosting, our forest and plain ExtraTrees in unseen places.

    python -m benchmarks.methods [--search] [DATA]

Settled before the first run: the sets, their halves, the grid of options and the score by which
it is searched (the mean over sets of accuracy and macro-F1 in unseen places). `--search` tries the
options of boosting on the sets TUNED_ON and prints them, the best last; nothing is chosen on the
others. Without it every method is tried on all sets: five folds that never share a place; the
interval of a difference is a bootstrap over places (percentiles, 2,000 draws). Changed after a
first look at plain ExtraTrees: the ice is told from true colour, not from the band of its labels.

DATA is a folder with the scenes named below; without it the two scenes of the demonstration are
used. Indian Pines comes from `pip install --no-deps tensorly==0.10.0`, and is left out without it.
"""

import argparse
import itertools
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import geopandas
import numpy as np
import rasterio
from affine import Affine
from rasterio.features import shapes
from shapely.geometry import shape
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from landcover import extract_samples
from landcover.models.methods import gradient_boosting, random_forest
from landcover.models.training_set import TrainingSet
from landcover.progress import collecting_notes
from landcover.training.loading import load_samples

MOST_PER_CLASS = 1000
"""Labelled pixels, drawn at random."""
FOLDS = 5
PARTITIONS = 1
"""Into folds; their mean counts."""
DRAWS = 2000
TREES = random_forest.Options().trees
BASELINE = "plain ExtraTrees"
_L7, _CHIAPAS, _ICE = "l7_north_carolina/", "l7_chiapas/", "sea_ice_ne_greenland/terra_202209"
DATA = {
    "North Carolina, polygons": (_L7 + "lsat7_2000_6bands.tif", _L7 + "training_polygons.gpkg"),
    "North Carolina, points": (_L7 + "lsat7_2000_6bands.tif", _L7 + "training_points.gpkg"),
    "Chiapas, November": (
        _CHIAPAS + "le7_022049_1999-11-18.tif", _CHIAPAS + "training_data.shp"),
    "Chiapas, April": (_CHIAPAS + "le7_022049_2002-04-16.tif", _CHIAPAS + "training_data.shp"),
    "Brandenburg": (
        "s2_brandenburg/s2_l1c_20170216_13bands_10m.tif", "s2_brandenburg/osm_landuse.gpkg"),
    "Greenland, clear": (
        _ICE + "13_west_truecolor.tif", _ICE + "13_west_reference_nir.tif"),
    "Greenland, cloudy": (
        _ICE + "14_west_cloudy_truecolor.tif", _ICE + "14_west_cloudy_reference_nir.tif"),
}  # fmt: skip
"""Scene and labels of each set; the labels of the ice come from a band that its scene lacks."""
DEMO = {
    "North Carolina, polygons": ("demo-landsat/scene.tif", "demo-landsat/labels.gpkg"),
    "Brandenburg": ("demo/scene.tif", "demo/labels.gpkg"),
}
PINES = "Indian Pines"
TUNED_ON = (
    "North Carolina, polygons", "North Carolina, points", "Chiapas, November", "Chiapas, April",
)  # fmt: skip
"""Half of the sets, no region of which is in the other half."""
ROUNDS = (12, 25, 50, 100)
GRID = {
    "leaves": (4, 8, 31),
    "leaf_pixels": (5, 20),
    "l2": (0.0, 10.0),
    "max_features": (0.3, 1.0),
    "class_weight": (0.5, 1.0),
}


@dataclass(frozen=True)
class Trial:
    """What a method said of the labelled pixels of a set, each when its place was not trained on.

    Attributes:
        right: float (N,), in which share of the partitions a pixel got its class.
        macro: macro-F1, mean over partitions.
        seconds: CPU time of one fit.
    """

    right: np.ndarray
    macro: float
    seconds: float

    @property
    def accuracy(self) -> float:
        """Share of labelled pixels that got their class."""
        return float(self.right.mean())


Fit = Callable[[np.ndarray, np.ndarray, int], Any]
"""Takes pixels (N, bands), codes (N,) and a seed, and returns a classifier of scikit-learn."""
THEIRS = gradient_boosting.Options(
    rounds=100, learning_rate=0.1, leaves=31, leaf_pixels=20, l2=0.0, max_features=1.0,
    class_weight=1.0,
)  # fmt: skip
METHODS: dict[str, Fit] = {
    BASELINE: lambda pixels, codes, seed: ExtraTreesClassifier(TREES, random_state=seed).fit(
        pixels, codes
    ),
    "our forest": lambda pixels, codes, seed: random_forest.trainer(codes, seed, threads=1).fit(
        pixels, codes
    ),
    "boosting, scikit-learn's options": lambda pixels, codes, seed: gradient_boosting.boost(
        pixels, codes, THEIRS, seed
    ),
    "boosting, our options": lambda pixels, codes, seed: gradient_boosting.boost(
        pixels, codes, gradient_boosting.Options(), seed
    ),
}


def main() -> None:
    """Print the tables for README.md, or the best options of boosting."""
    parser = argparse.ArgumentParser(prog="benchmarks.methods")
    parser.add_argument("--search", action="store_true")
    parser.add_argument("data", nargs="?", type=Path)
    asked = parser.parse_args()
    with TemporaryDirectory() as folder, threadpool_limits(1):
        sets = _load(asked.data, Path(folder), TUNED_ON if asked.search else None)
    with threadpool_limits(1):
        if asked.search:
            _search(sets)
        else:
            _compare(sets)


def _load(data: Path | None, folder: Path, only: tuple[str, ...] | None) -> dict[str, TrainingSet]:
    sources = DATA if data else DEMO
    if data is None:
        from demo.data import prepare

        prepare(folder)
        data = folder
    found = {name: tuple(data / path for path in paths) for name, paths in sources.items()}
    pines = _pines(folder)
    if pines:
        found[PINES] = pines
    else:
        print(f"{PINES} is left out: pip install --no-deps tensorly==0.10.0", file=sys.stderr)
    return {
        name: _labelled(scene, labels, folder / name)
        for name, (scene, labels) in found.items()
        if only is None or name in only
    }


def _labelled(scene: Path, labels: Path, folder: Path) -> TrainingSet:
    """Return the labelled pixels, without classes of a single place."""
    with collecting_notes(lambda remark: None):
        samples = extract_samples(
            scene, labels, max_per_class=MOST_PER_CLASS, workdir=folder
        ).samples
        found = load_samples([samples], None, with_context=False).training_set
    places = {
        code: np.unique(found.places[found.codes == code]) for code in np.unique(found.codes)
    }
    return found.take(np.isin(found.codes, [c for c, where in places.items() if len(where) > 1]))


def _pines(folder: Path) -> tuple[Path, Path] | None:
    """Write AVIRIS over Indian Pines, every five of 200 bands as one, and a polygon per field."""
    try:
        carried = {file.name: file.locate() for file in files("tensorly") or []}
    except PackageNotFoundError:
        return None
    values = np.load(str(carried["Indian_pines_corrected.npy"])).astype(np.float64)
    codes = np.load(str(carried["Indian_pines_gt.npy"])).astype(np.uint8)
    bands = values.reshape(*codes.shape, -1, 5).mean(axis=3).round().astype(np.uint16)
    where = {"crs": "EPSG:32616", "transform": Affine(20, 0, 5e5, 0, -20, 45e5)}
    scene = folder / "pines.tif"
    with rasterio.open(
        scene, "w", driver="GTiff", count=bands.shape[2], dtype="uint16", **where,
        height=codes.shape[0], width=codes.shape[1],
    ) as dataset:  # fmt: skip
        dataset.write(bands.transpose(2, 0, 1))
    fields = [
        (f"class {int(code)}", shape(outline))
        for outline, code in shapes(codes, codes > 0, transform=where["transform"])
    ]
    classes, outlines = zip(*fields, strict=True)
    labels = folder / "pines.gpkg"
    geopandas.GeoDataFrame({"class": classes}, geometry=list(outlines), crs=where["crs"]).to_file(
        labels
    )
    return scene, labels


def folds_of(
    labelled: TrainingSet, partition: int, count: int = FOLDS
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the indexes of training and tested pixels; a place is in one of them."""
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=partition)
    with warnings.catch_warnings():
        # a class of fewer pixels than folds is missing in some
        warnings.filterwarnings("ignore", "The least populated class")
        yield from folds.split(labelled.codes, labelled.codes, labelled.places)


def _try(fit: Fit, labelled: TrainingSet) -> Trial:
    """Train and test by folds, in several partitions."""
    right, macro, spent, fits = np.zeros(len(labelled)), [], 0.0, 0
    for partition in range(PARTITIONS):
        told = np.zeros_like(labelled.codes)
        for train, test in folds_of(labelled, partition):
            began = time.process_time()
            model = fit(labelled.pixels[train], labelled.codes[train], partition)
            spent, fits = spent + time.process_time() - began, fits + 1
            told[test] = model.predict(labelled.pixels[test])
        right += told == labelled.codes
        macro.append(f1_score(labelled.codes, told, average="macro", zero_division=0))
    return Trial(right / PARTITIONS, float(np.mean(macro)), spent / fits)


def _search(sets: dict[str, TrainingSet]) -> None:
    """Print the options of boosting by their score, the best last."""
    scores: dict[gradient_boosting.Options, float] = {}
    choices = [
        dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())
    ]
    for done, choice in enumerate(choices):
        options = gradient_boosting.Options(rounds=max(ROUNDS), **choice)
        found = np.mean([_staged(options, labelled) for labelled in sets.values()], axis=0)
        for rounds, score in zip(ROUNDS, found, strict=True):
            scores[replace(options, rounds=rounds)] = float(score)
        print(f"\r{done + 1} of {len(choices)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    for options in sorted(scores, key=lambda tried: scores[tried]):
        print(f"{scores[options]:.4f} {options}")


def _staged(options: gradient_boosting.Options, labelled: TrainingSet) -> list[float]:
    """Return the score after so many rounds each; one partition."""
    told = np.zeros((max(ROUNDS), len(labelled)), np.uint8)
    for train, test in folds_of(labelled, 0):
        model = gradient_boosting.boost(labelled.pixels[train], labelled.codes[train], options, 0)
        for stage, codes in enumerate(model.staged_predict(labelled.pixels[test])):
            told[stage, test] = codes
    return [_score(labelled.codes, told[rounds - 1]) for rounds in ROUNDS]


def _score(truth: np.ndarray, told: np.ndarray) -> float:
    macro = f1_score(truth, told, average="macro", zero_division=0)
    return float(((truth == told).mean() + macro) / 2)


def _compare(sets: dict[str, TrainingSet]) -> None:
    """Print a row per set: accuracy / macro-F1, differences to the baseline with intervals."""
    names = list(METHODS)
    print("| set | pixels, places, classes | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 2) + "|")
    gains: dict[str, dict[str, np.ndarray]] = {}
    seconds = dict.fromkeys(names, 0.0)
    for name, labelled in sets.items():
        trials = {method: _try(fit, labelled) for method, fit in METHODS.items()}
        drawn = drawn_places(labelled.places)
        gains[name] = {m: accuracies_of(trials[m].right, *drawn) for m in names}
        seconds = {m: seconds[m] + trials[m].seconds for m in names}
        cells = [_cell(trials[m], gains[name][m] - gains[name][BASELINE], m) for m in names]
        what = (len(labelled), len(np.unique(labelled.places)), len(np.unique(labelled.codes)))
        star = "\\*" if name in TUNED_ON else ""
        print(f"| {name}{star} | {', '.join(map(str, what))} | " + " | ".join(cells) + " |")
        sys.stdout.flush()
    for words, half in (
        ("mean of sets not tuned on", [name for name in sets if name not in TUNED_ON]),
        ("mean of all", list(sets)),
    ):
        differences = {
            m: np.mean([gains[s][m] - gains[s][BASELINE] for s in half], axis=0) for m in names
        }
        cells = [
            f"{100 * np.mean([gains[s][m][0] for s in half]):.1f}{_interval(differences[m], m)}"
            for m in names
        ]
        print(f"| {words} | | " + " | ".join(cells) + " |")
    print("| CPU s of a fit, mean | | " + " | ".join(
        f"{seconds[m] / len(sets):.2f}" for m in names) + " |")  # fmt: skip


def drawn_places(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the place of each pixel, and how often each draw holds each place.

    The first of the draws (DRAWS + 1, places) holds every place once.
    """
    found, place = np.unique(places, return_inverse=True)
    rng = np.random.default_rng(0)
    draws = rng.multinomial(len(found), np.full(len(found), 1 / len(found)), DRAWS)
    return place, np.vstack([np.ones(len(found), int), draws])


def accuracies_of(right: np.ndarray, place: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return the accuracy (DRAWS + 1,) of each draw of places."""
    hits, sizes = np.bincount(place, right), np.bincount(place)
    return np.asarray((draws @ hits) / (draws @ sizes))


def _cell(trial: Trial, difference: np.ndarray, method: str) -> str:
    return f"{100 * trial.accuracy:.1f} / {trial.macro:.3f}{_interval(difference, method)}"


def _interval(difference: np.ndarray, method: str) -> str:
    """Say by how many points a method differs from the baseline, with its 95 % interval."""
    if method == BASELINE:
        return ""
    low, high = np.percentile(100 * difference[1:], (2.5, 97.5))
    return f"; {100 * difference[0]:+.1f} ({low:+.1f} to {high:+.1f})"


if __name__ == "__main__":
    main()
