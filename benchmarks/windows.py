"""Are windows around pixels worth it? Forest and boosting with and without, in unseen places.

    python -m benchmarks.windows [--folds 5] [--partitions 1] [--only NAME] [--method METHOD]
                                 [--speed] [DATA]

Settled before the first run: the sets and their halves are those of benchmarks.methods; chips of
16 pixels are with the half that decides nothing. At most 50 pixels of a place count, drawn at
random; folds never share a place. The default of the option `windows` is what has the higher mean
of accuracy and macro-F1 over the sets DECIDED_ON; the others are only reported. Intervals are of
the difference, a bootstrap over places (percentiles, 2,000 draws).

With `--speed` the sets are not tried; what windows cost a map is measured, on pixels of each set.

DATA is a folder with the scenes named in benchmarks.methods; without it the two scenes of the
demonstration are used.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.ndimage import uniform_filter
from threadpoolctl import threadpool_limits

from benchmarks.methods import DATA, DEMO, TUNED_ON, drawn_places, folds_of
from landcover import extract_samples
from landcover.models.forest.window_features import REACH, WINDOWS, window_features
from landcover.models.methods import METHODS
from landcover.models.training_set import TrainingSet
from landcover.progress import collecting_notes
from landcover.training.cross_validation import predict
from landcover.training.loading import load_samples

MOST_PER_PLACE = 50
SIDE = 512
DECIDED_ON = TUNED_ON
CHIPS = {"Brandenburg, chips of 16": "patches_s2_brandenburg_16px"}


@dataclass(frozen=True)
class Trial:
    """What a method said of the labelled pixels of a set, each when its place was not trained on.

    Attributes:
        told: uint8 (partitions, M), classes.
        seconds: CPU time of one fit.
    """

    told: np.ndarray
    seconds: float


def main() -> None:
    """Print a row for each set and method, and the means by which the default was decided."""
    parser = argparse.ArgumentParser(prog="benchmarks.windows")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--partitions", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--method", default="", choices=["", *METHODS])
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("data", nargs="?", type=Path)
    asked = parser.parse_args()
    with TemporaryDirectory() as folder, threadpool_limits(1):
        sets = _sets(asked.data, Path(folder), asked.only)
        if asked.speed:
            _print_speed(sets)
        else:
            _compare(sets, asked)


def _print_speed(sets: Iterator[tuple[str, TrainingSet]]) -> None:
    """Print CPU seconds per megapixel, medians of three."""
    print("| set, bands | features, ours | features, scipy's uniform_filter | method "
          "| map without | map with | ratio |")  # fmt: skip
    print("|---" * 7 + "|")
    for name, labelled in sets:
        block = _image_of(labelled)
        valid = np.ones(block.shape[1:], bool)
        grown = np.pad(block, ((0, 0), (REACH, REACH), (REACH, REACH)), mode="reflect")
        around = np.ones(grown.shape[1:], bool)
        ours = _per_megapixel(_in_strips, grown, around)
        peer = _per_megapixel(_by_scipy, grown)
        for method in METHODS:
            without, with_windows = (
                METHODS[method].fit(one, METHODS[method].options(), 0)
                for one in (_alone(labelled), labelled)
            )
            plain = _per_megapixel(without.classify, block, valid)
            windowed = _per_megapixel(with_windows.classify, grown, around)
            print(f"| {name}, {len(block)} | {ours:.3f} | {peer:.2f} | {method} | {plain:.2f} | "
                  f"{windowed:.2f} | {windowed / plain:.2f} |", flush=True)  # fmt: skip


def _image_of(labelled: TrainingSet) -> np.ndarray:
    """Return pixels of a set as an image of SIDE x SIDE, in runs as they were read."""
    which = np.arange(SIDE * SIDE) // 4 % len(labelled)
    values = labelled.pixels[which].T.reshape(-1, SIDE, SIDE)
    return np.ascontiguousarray(values.astype(np.uint16))


def _in_strips(grown: np.ndarray, valid: np.ndarray) -> None:
    for top in range(0, SIDE, 32):
        rows = slice(top, top + 32 + 2 * REACH)
        window_features(grown[:, rows], valid[rows])


def _by_scipy(grown: np.ndarray) -> None:
    exact = grown.astype(np.float64)
    for side in WINDOWS:
        size = (0, side, side)
        mean, square = uniform_filter(exact, size), uniform_filter(exact * exact, size)
        np.sqrt(np.maximum(square - mean * mean, 0))


def _per_megapixel(work: Callable[..., object], *arguments: np.ndarray) -> float:
    taken = []
    for _ in range(3):
        began = time.process_time()
        work(*arguments)
        taken.append(time.process_time() - began)
    return float(np.median(taken)) / (SIDE * SIDE / 1e6)


def _compare(sets: Iterator[tuple[str, TrainingSet]], asked: argparse.Namespace) -> None:
    print(
        "| set | pixels, places, classes | method | without | with | accuracy | macro-F1 | fit |"
    )
    print("|---" * 8 + "|")
    gains: dict[tuple[str, str], np.ndarray] = {}
    for name, labelled in sets:
        for method in (asked.method,) if asked.method else METHODS:
            gains[name, method] = _row(name, labelled, method, asked)
            sys.stdout.flush()
    for method in sorted({method for _, method in gains}):
        _print_means(method, {name: gain for (name, m), gain in gains.items() if m == method})


def _row(name: str, labelled: TrainingSet, method: str, asked: argparse.Namespace) -> np.ndarray:
    """Print a row; return what windows gain in accuracy and macro-F1, (2, draws)."""
    both = _alone(labelled), labelled
    trials = [_try(method, one, asked.folds, asked.partitions) for one in both]
    figures = [_figures(labelled, trial.told) for trial in trials]
    gain = figures[1] - figures[0]
    what = (len(labelled), len(np.unique(labelled.places)), len(np.unique(labelled.codes)))
    cells = [f"{100 * accuracy[0]:.1f} / {macro[0]:.3f}" for accuracy, macro in figures]
    star = "\\*" if name in DECIDED_ON else ""
    seconds = " to ".join(f"{trial.seconds:.2f}" for trial in trials)
    print(
        f"| {name}{star} | {', '.join(map(str, what))} | {method} | {' | '.join(cells)} | "
        f"{_interval(gain[0])} | {_interval(gain[1])} | {seconds} |"
    )
    return gain


def _alone(labelled: TrainingSet) -> TrainingSet:
    """Return the pixels without what is known of windows."""
    return TrainingSet.of_pixels(labelled.pixels, labelled.codes, labelled.places, labelled.bands)


def _print_means(method: str, gains: dict[str, np.ndarray]) -> None:
    for words, names in (
        ("decided on", [name for name in gains if name in DECIDED_ON]),
        ("not decided on", [name for name in gains if name not in DECIDED_ON]),
    ):
        if names:
            accuracy, macro = np.mean([gains[name] for name in names], axis=0)
            print(f"| mean of sets {words} | | {method} | | | {_interval(accuracy)} | "
                  f"{_interval(macro)} | |")  # fmt: skip


def _sets(data: Path | None, folder: Path, only: str) -> Iterator[tuple[str, TrainingSet]]:
    """Yield names and training sets, with what is known of windows."""
    sources = DATA if data else DEMO
    if data is None:
        from demo.data import prepare

        prepare(folder)
        data = folder
    for name, (scene, labels) in sources.items():
        if only in name:
            with collecting_notes(lambda remark: None):
                samples = extract_samples(
                    data / scene, data / labels, context=REACH, workdir=folder / name
                ).samples
            yield name, _loaded(samples)
    for name, chips in CHIPS.items():
        if only in name and (data / chips).exists():
            yield name, _loaded(data / chips)


def _loaded(samples: Path) -> TrainingSet:
    with collecting_notes(lambda remark: None):
        found = load_samples([samples], None, False, lambda context: True).training_set
    return few_of_each_place(found)


def few_of_each_place(found: TrainingSet) -> TrainingSet:
    """Return some labelled pixels of each place, without classes of a single place."""
    places = {
        code: np.unique(found.places[found.codes == code]) for code in np.unique(found.codes)
    }
    found = found.take(np.isin(found.codes, [c for c, where in places.items() if len(where) > 1]))
    order = np.random.default_rng(0).permutation(len(found))
    order = order[np.argsort(found.places[order], kind="stable")]
    _, starts, counts = np.unique(found.places[order], return_index=True, return_counts=True)
    rank = np.arange(len(order)) - np.repeat(starts, counts)
    return found.take(np.sort(order[rank < MOST_PER_PLACE])).alone()


def _try(method: str, labelled: TrainingSet, folds: int, partitions: int) -> Trial:
    told = np.zeros((partitions, len(labelled)), np.uint8)
    options = METHODS[method].options()
    spent, fits = 0.0, 0
    for partition in range(partitions):
        for train, test in folds_of(labelled, partition, folds):
            began = time.process_time()
            model = METHODS[method].fit(labelled.take(train), options, partition)
            spent, fits = spent + time.process_time() - began, fits + 1
            told[partition, test] = predict(model, labelled.take(test))
    return Trial(told, spent / fits)


def _figures(labelled: TrainingSet, told: np.ndarray) -> np.ndarray:
    """Return accuracy and macro-F1, means over partitions, (2, draws); first of all places."""
    place, draws = drawn_places(labelled.places)
    classes = np.unique(labelled.codes)
    of_partitions = []
    for codes in told:
        hits, truth, said = (
            np.stack([np.bincount(place, which & (codes_or == c)) for c in classes], axis=1)
            for which, codes_or in (
                (codes == labelled.codes, codes),
                (np.ones(len(codes), bool), labelled.codes),
                (np.ones(len(codes), bool), codes),
            )
        )
        hits, truth, said = (draws @ counts for counts in (hits, truth, said))
        f1 = 2 * hits / np.maximum(truth + said, 1)
        there = np.maximum((truth > 0).sum(axis=1), 1)
        macro = np.where(truth > 0, f1, 0).sum(axis=1) / there
        of_partitions.append([hits.sum(axis=1) / truth.sum(axis=1), macro])
    return np.mean(of_partitions, axis=0)


def _interval(difference: np.ndarray) -> str:
    low, high = np.percentile(100 * difference[1:], (2.5, 97.5))
    return f"{100 * difference[0]:+.1f} ({low:+.1f} to {high:+.1f})"


if __name__ == "__main__":
    main()
