"""Networks: how fast they map, and whether they gain on a forest in places not trained on.

    python -m benchmarks.network_training [--only NAME]... [--seeds N] [DATA]

Without DATA speed alone, on made data; else accuracy, on the scenes of benchmarks.methods and the
chips of benchmarks.windows in that folder. At most 50 pixels of a place teach and count, and
folds never share a place. Every method has its default options and the same folds.

One thread; CPU seconds of this process. Random weights compute as long as trained ones.
"""

import argparse
import csv
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rasterio
import torch
from sklearn.metrics import f1_score

from benchmarks.methods import DATA, folds_of
from benchmarks.windows import CHIPS, few_of_each_place
from landcover import extract_samples
from landcover.io.raster import Band
from landcover.models.classifier import Classifier, Method
from landcover.models.methods import METHODS
from landcover.models.network.chip_net import ChipNet
from landcover.models.network.classifier import NetworkClassifier
from landcover.models.network.unet_net import UNet
from landcover.models.network.writer import Scaling
from landcover.models.training_set import TrainingSet
from landcover.progress import collecting_notes
from landcover.training.beside import rival_of
from landcover.training.folds import main_class
from landcover.training.intervals import accuracy_interval, difference_interval
from landcover.training.loading import load_samples

SIDE, BANDS, CLASSES = 512, 13, 8
WINDOW = 256
"""Of the naive way: windows half upon each other, of which the middle is kept."""
CHIP, STEP = 16, 2
FOLDS = (2, 4)
"""Of scenes, and of chips."""
WINDOWED = "random forest with windows"
SEEDS = 3
_SCALING = Scaling(np.zeros(BANDS, np.float32), np.ones(BANDS, np.float32), 3.0)


def main() -> None:
    """Print the tables for README.md."""
    parser = argparse.ArgumentParser(prog="benchmarks.network_training")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("data", nargs="?", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.data is None:
        _print_speed()
        return
    print("| set | method | accuracy, interval | macro-F1 | against the forest with windows "
          "| CPU s a fit |")  # fmt: skip
    print("|---" * 6 + "|")
    names = [*DATA, *CHIPS]
    for name in names if not asked.only else [n for o in asked.only for n in names if o in n]:
        samples = _chips(asked.data / CHIPS[name]) if name in CHIPS else _patches(asked.data, name)
        for row in _accuracies(name, samples, FOLDS[name in CHIPS], asked.seeds):
            print(row, flush=True)


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


def _patches(data: Path, name: str) -> TrainingSet:
    """Read patches of a scene; of each place 50 pixels, and no class of a single place."""
    scene, labels = (data / part for part in DATA[name])
    with TemporaryDirectory() as folder, collecting_notes(lambda sentence: None):
        samples = extract_samples(scene, labels, patches=64, context=40, workdir=folder).samples
        return few_of_each_place(load_samples([samples], None, True).training_set)


Fit = Callable[[TrainingSet, int], Classifier]


def _methods(samples: TrainingSet) -> dict[str, tuple[Fit, TrainingSet]]:
    """Return how each is trained and on what: the same labelled pixels in the same order."""
    forest = METHODS["random-forest"]
    windowed = rival_of(forest, samples, 0).training_set
    alone = TrainingSet.of_pixels(windowed.pixels, windowed.codes, windowed.places, windowed.bands)
    nets = {"chip-cnn": METHODS["chip-cnn"], "unet": METHODS["unet"]}
    if not (samples.chips.shape[2] > 2 * CHIP):
        del nets["unet"]
    of_chips = METHODS["chip-cnn"].options
    return {
        "random forest": (partial(_fit, forest, forest.options()), alone),
        WINDOWED: (partial(_fit, forest, forest.options()), windowed),
        **{name: (partial(_fit, net, net.options()), samples) for name, net in nets.items()},
        "chip-cnn, a tenth held out": (
            partial(_fit, METHODS["chip-cnn"], of_chips(held_out=0.1)),
            samples,
        ),
    }


def _fit(method: Method, options: object, samples: TrainingSet, seed: int) -> Classifier:
    return method.fit(samples, options, seed)


def _accuracies(name: str, samples: TrainingSet, folds: int, seeds: int) -> Iterator[str]:
    """Yield a row for each method, and for the mean of each network and the forest."""
    given: dict[str, np.ndarray] = {}
    spent: dict[str, float] = {}
    for one, (fit, of_fit) in _methods(samples).items():
        began = time.process_time()
        given[one] = np.stack([_unseen(fit, of_fit, folds, seed) for seed in range(seeds)])
        spent[one] = (time.process_time() - began) / folds / seeds
    for one in [one for one in given if one in METHODS]:
        given[f"mean of {one} and {WINDOWED}"] = given[one] + given[WINDOWED]
    classes = np.unique(samples.codes)
    right = {o: classes[p.argmax(axis=2)] == samples.codes for o, p in given.items()}
    for one, probability in given.items():
        gain = right[one].mean(axis=0) - right[WINDOWED].mean(axis=0)
        cpu = f"{spent[one]:.1f}" if one in spent else ""
        figures = _figures(samples, classes[probability.argmax(axis=2)])
        against = "" if one == WINDOWED else _difference(samples, gain)
        yield f"| {name} | {one} | {figures} | {against} | {cpu} |"


def _difference(samples: TrainingSet, gain: np.ndarray) -> str:
    """Return points with their interval."""
    _, place = np.unique(samples.places, return_inverse=True)
    main = main_class(samples.codes, place)
    ends = difference_interval(np.bincount(place, gain), np.bincount(place), main, 0)
    return f"{100 * gain.mean():+.1f} ({100 * ends[0]:+.1f} to {100 * ends[1]:+.1f})"


def _unseen(fit: Fit, samples: TrainingSet, folds: int, seed: int) -> np.ndarray:
    """Return probabilities (M, classes) of labelled pixels, each when its place was not shown."""
    classes = np.unique(samples.codes)
    found = np.zeros((len(samples), len(classes)))
    for train, test in folds_of(samples, seed, folds):
        classifier = fit(samples.take(train), seed)
        columns = np.flatnonzero(np.isin(classes, classifier.codes))
        found[np.ix_(test, columns)] = classifier.probabilities_at(samples.take(test)).T
    return found


def _figures(samples: TrainingSet, told: np.ndarray) -> str:
    """Return accuracy, with its spread over seeds and its interval, and macro-F1.

    Args:
        samples: with the classes.
        told: (seeds, M), classes.
    """
    right = told == samples.codes
    _, place = np.unique(samples.places, return_inverse=True)
    of_seeds = right.mean(axis=1)
    low, high = accuracy_interval(
        np.bincount(place, right.mean(axis=0)), np.bincount(place),
        main_class(samples.codes, place), float(of_seeds.std()), 0,
    )  # fmt: skip
    macro = np.mean(
        [f1_score(samples.codes, one, average="macro", zero_division=0) for one in told]
    )
    spread = f"{right.mean():.3f} ± {of_seeds.std():.3f}"
    return f"{spread} ({low:.3f} to {high:.3f}) | {macro:.3f}"


if __name__ == "__main__":
    main()
