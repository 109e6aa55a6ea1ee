"""Networks: how fast they map, and whether they gain on a forest in places not trained on.

    python -m benchmarks.network_training [CHIPS [SCENE LABELS]...]

Without arguments speed alone, on made data. CHIPS is a folder of chips by class, with row and
column in index.csv; scenes come with their labels.

One thread; CPU seconds of this process. Random weights compute as long as trained ones.
"""

import csv
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rasterio
import torch
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold

from landcover import extract_samples
from landcover.io.raster import Band
from landcover.models.classifier import Method
from landcover.models.methods import METHODS
from landcover.models.network.chip_net import ChipNet
from landcover.models.network.classifier import NetworkClassifier
from landcover.models.network.unet_net import UNet
from landcover.models.network.writer import Scaling
from landcover.models.training_set import TrainingSet
from landcover.progress import collecting_notes
from landcover.training.beside import rival_of
from landcover.training.intervals import accuracy_interval
from landcover.training.loading import load_samples

SIDE, BANDS, CLASSES = 512, 13, 8
WINDOW = 256
"""Of the naive way: windows half upon each other, of which the middle is kept."""
CHIP, STEP = 16, 2
FOLDS = {"chips": 4, "scene": 2}
SEEDS = 3
_SCALING = Scaling(np.zeros(BANDS, np.float32), np.ones(BANDS, np.float32), 3.0)


def main() -> None:
    """Print the tables for README.md."""
    torch.set_num_threads(1)
    _print_speed()
    if len(sys.argv) > 1:
        chips, *rest = map(Path, sys.argv[1:])
        print("\n| samples | method | accuracy, interval | macro-F1 | CPU s a fit |")
        print("|---|---|---|---|---|")
        _print_accuracy("chips", _chips(chips), METHODS["chip-cnn"])
        for scene, labels in zip(rest[::2], rest[1::2], strict=True):
            _print_accuracy(scene.parent.name, _patches(scene, labels), METHODS["unet"])


def _print_speed() -> None:
    rng = np.random.default_rng(0)
    scene = rng.normal(0, 1, (BANDS, SIDE, SIDE)).astype(np.float32)
    codes = np.arange(1, CLASSES + 1, dtype=np.uint8)
    print("| map of | way | MP per CPU s | times ours |\n|---|---|---|---|")
    for name, network, ways in (
        ("U-Net, 16 channels, depth 3", UNet(BANDS, CLASSES, 16, 3), _WAYS_OF_UNET),
        ("chip-cnn, 16 pixels", ChipNet(BANDS, CLASSES, CHIP, 32, 0, 0.0), _WAYS_OF_CHIPS),
    ):
        network.parts.train(False)
        found = NetworkClassifier.of_graph(network.graph(_SCALING), codes, _SCALING.centre)
        valid = np.ones((SIDE, SIDE), bool)
        found.probabilities(scene[:, :256, :256], valid[:256, :256])
        inner = (SIDE - 2 * found.halo) ** 2
        ours = _pace(partial(found.probabilities, scene, valid), inner)
        print(f"| {name} | ours, every pixel | {ours:.2f} | |")
        for way, (compute, pixels) in ways.items():
            theirs = _pace(partial(compute, network, scene), pixels)
            print(f"| {name} | {way} | {theirs:.3f} | {theirs / ours:.2f} |", flush=True)


def _pace(compute: Callable[[], object], pixels: int) -> float:
    """Return megapixels per CPU second, the best of three."""
    spent = []
    for _ in range(3):
        began = time.process_time()
        compute()
        spent.append(time.process_time() - began)
    return pixels / 1e6 / min(spent)


@torch.inference_mode()
def _whole(network: UNet, scene: np.ndarray) -> None:
    torch.softmax(network.scores(torch.from_numpy(scene)[None]), dim=1)


@torch.inference_mode()
def _overlapping(network: UNet, scene: np.ndarray) -> None:
    for top in range(0, SIDE - WINDOW + 1, WINDOW // 2):
        for left in range(0, SIDE - WINDOW + 1, WINDOW // 2):
            part = scene[:, top : top + WINDOW, left : left + WINDOW]
            _whole(network, np.ascontiguousarray(part))


@torch.inference_mode()
def _chip_by_chip(network: ChipNet, scene: np.ndarray) -> None:
    """Cut a chip at every second pixel of some rows, and compute each."""
    views = np.lib.stride_tricks.sliding_window_view(scene, (CHIP, CHIP), axis=(1, 2))
    for row in range(0, _ROWS * STEP, STEP):
        chips = views[:, row, ::STEP].transpose(1, 0, 2, 3).copy()
        network.scores(torch.from_numpy(chips))


_ROWS = 4
_KEPT = (SIDE - WINDOW // 2) ** 2
_WAYS_OF_UNET = {
    "torch, whole scene at once": (_whole, SIDE**2),
    "torch, overlapping windows": (_overlapping, _KEPT),
}
_WAYS_OF_CHIPS = {
    # each chip stands for the 2 x 2 pixels around its centre
    "torch, chips cut at every 2nd pixel": (_chip_by_chip, _ROWS * STEP * (SIDE - CHIP)),
}


def _chips(folder: Path) -> TrainingSet:
    """Read chips by class; a place is a block of 128 pixels."""
    with (folder / "index.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["label"] for row in rows})
    chips = []
    for row in rows:
        with rasterio.open(folder / row["file"]) as dataset:
            chips.append(dataset.read())
    count, side = len(chips), chips[0].shape[1]
    at = np.column_stack([np.arange(count), np.full((count, 2), side // 2)])
    places = np.array([int(row["row"]) // 128 * 1000 + int(row["col"]) // 128 for row in rows])
    return TrainingSet(
        np.stack(chips),
        np.ones((count, side, side), bool),
        at,
        np.array([names.index(row["label"]) + 1 for row in rows], np.uint8),
        places,
        tuple(Band(f"b{n}", None) for n in range(1, chips[0].shape[0] + 1)),
    )


def _patches(scene: Path, labels: Path) -> TrainingSet:
    with TemporaryDirectory() as folder, collecting_notes(lambda sentence: None):
        samples = extract_samples(scene, labels, patches=64, context=40, workdir=folder).samples
        return load_samples([samples], None, True).training_set


def _print_accuracy(name: str, samples: TrainingSet, method: Method) -> None:
    rival = rival_of(METHODS[method.beside], samples, 0)
    fits = {
        method.name: (lambda some, seed: method.fit(some, method.options(), seed), samples),
        rival.name: (lambda some, seed: rival.fit(some), rival.training_set),
    }
    folds = FOLDS["chips" if method.name == "chip-cnn" else "scene"]
    told: dict[str, list[np.ndarray]] = {one: [] for one in (*fits, "mean of both")}
    spent = dict.fromkeys(told, 0.0)
    for seed in range(SEEDS):
        given = {}
        for one, (fit, of_fit) in fits.items():
            began = time.process_time()
            given[one] = _unseen(fit, of_fit, folds, seed)
            spent[one] += (time.process_time() - began) / folds / SEEDS
        given["mean of both"] = sum(given.values())
        for one, probability in given.items():
            told[one].append(np.unique(samples.codes)[probability.argmax(axis=1)])
    for one, classes in told.items():
        print(f"| {name} | {one} | {_figures(samples, classes)} | {spent[one]:.1f} |", flush=True)


def _unseen(
    fit: Callable[[TrainingSet, int], object], samples: TrainingSet, folds: int, seed: int
) -> np.ndarray:
    classes = np.unique(samples.codes)
    found = np.zeros((len(samples), len(classes)))
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for train, test in split.split(samples.codes, samples.codes, samples.places):
        classifier = fit(samples.take(train), seed)
        columns = np.flatnonzero(np.isin(classes, classifier.codes))
        found[np.ix_(test, columns)] = classifier.probabilities_at(samples.take(test)).T
    return found


def _figures(samples: TrainingSet, told: Sequence[np.ndarray]) -> str:
    right = np.array([one == samples.codes for one in told])
    _, place = np.unique(samples.places, return_inverse=True)
    low, high = accuracy_interval(
        np.bincount(place, right.mean(axis=0)), np.bincount(place),
        np.zeros(place.max() + 1, int), float(right.mean(axis=1).std()), 0,
    )  # fmt: skip
    macro = np.mean(
        [f1_score(samples.codes, one, average="macro", zero_division=0) for one in told]
    )
    return f"{right.mean():.3f} ({low:.3f} to {high:.3f}) | {macro:.3f}"


if __name__ == "__main__":
    main()
