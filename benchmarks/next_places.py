"""Does it save labels to be told where to label next? Real labels answer in the place of a person.

    python -m benchmarks.next_places FOLDER [RUNS]

FOLDER holds the scenes of benchmarks.methods. Half of the polygons, or of the blocks of a label
raster, are asked about, the others measure. A run begins with one place of each class; then each
rule asks for five places a round, of a thousand drawn by chance; a place is a square of labelled
pixels of one polygon. A forest of thirty trees learns from all places labelled so far.

Places saved are those that random places need more to reach the same accuracy: the mean distance
between the two curves, each as good as it ever was, over all accuracies that both reach.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.by_polygon import load, scores
from benchmarks.methods import DATA
from landcover import extract_samples
from landcover.models.methods.random_forest import Options, fit
from landcover.models.training_set import TrainingSet
from landcover.training.cross_validation import predict
from landcover.training.next_places import RULES, Told, propose

TREES = Options(trees=30)
RUNS, ROUNDS, A_ROUND = 10, 16, 5
CANDIDATES, MOST_TESTED = 1000, 3000
SIDES = {"Chiapas, November": 3, "Chiapas, April": 3}
SIDE = 5
"""Pixels of a place."""
AGAIN = "random, drawn again"
BASELINE = "random"
LEVELS = 50
"""Accuracies at which curves are compared."""


@dataclass(frozen=True)
class Ground:
    """What can be asked about, and what measures.

    Attributes:
        known: labelled pixels of the polygons that are asked about.
        place: int (M,), the place of each, numbered from 0.
        middles: int (places,), the pixel nearest to the middle of each.
        at: int (places, 2), row and column of those.
        tested: labelled pixels of the other polygons.
    """

    known: TrainingSet
    place: np.ndarray
    middles: np.ndarray
    at: np.ndarray
    tested: TrainingSet


@dataclass(frozen=True)
class Curve:
    """What a run reached: labelled places, accuracy and macro F1, before and after each round."""

    places: np.ndarray
    overall: np.ndarray
    macro: np.ndarray


Gains = Sequence[tuple[float, ...]]
"""Of each run: places saved at equal accuracy and macro F1, points more of both."""


def main() -> None:
    """Print a table for each scene, and one for all."""
    folder, runs = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else RUNS
    every: dict[str, list[tuple[float, ...]]] = {}
    for name, (scene, labels) in DATA.items():
        if not (folder / scene).is_file():
            print(f"{name}: not in {folder}\n")
            continue
        with threadpool_limits(1):
            found = gains(folder / scene, folder / labels, SIDES.get(name, SIDE), runs)
        print(f"{name}, {runs} runs\n\n{table(found)}\n", flush=True)
        for rule, rows in found.items():
            every.setdefault(rule, []).extend(rows)
    print(f"All\n\n{table(every)}")


def gains(scene: Path, labels: Path, side: int, runs: int) -> Mapping[str, Gains]:
    """Return what each rule gains over random places, run by run."""
    pixels, at = pixels_of(scene, labels)
    curves: dict[str, list[Curve]] = {}
    for seed in range(runs):
        ground = parted(pixels, at, side, np.random.default_rng(seed))
        for rule in (*RULES, AGAIN):
            curves.setdefault(rule, []).append(run(ground, rule, seed))
    return {
        rule: [gain(*pair) for pair in zip(of_rule, curves[BASELINE], strict=True)]
        for rule, of_rule in curves.items()
        if rule != BASELINE
    }


def pixels_of(scene: Path, labels: Path) -> tuple[TrainingSet, np.ndarray]:
    """Return the labelled pixels of a scene with their polygons, and row and column of each."""
    with tempfile.TemporaryDirectory() as workdir:
        labelled = load(extract_samples(scene, labels, workdir=Path(workdir)).samples)
    (region,) = labelled.ground.regions
    assert region.at is not None
    at = np.floor(region.at[:, ::-1]).astype(np.int64)
    return replace(labelled.training_set, places=labelled.ground.places), at


def parted(pixels: TrainingSet, at: np.ndarray, side: int, rng: np.random.Generator) -> Ground:
    """Part the polygons of each class in two halves; a class of one polygon measures nothing."""
    is_known, is_measured = (np.zeros(len(pixels), bool) for _ in range(2))
    for code in np.unique(pixels.codes):
        of_class = pixels.codes == code
        polygons = rng.permutation(np.unique(pixels.places[of_class]))
        half = np.isin(pixels.places, polygons[: -(-len(polygons) // 2)])
        is_known |= of_class & half
        is_measured |= of_class & ~half
    known = np.flatnonzero(is_known)
    tested = rng.permutation(np.flatnonzero(is_measured))[:MOST_TESTED]
    cells = np.column_stack([pixels.places[known], pixels.codes[known], at[known] // side])
    _, place = np.unique(cells, axis=0, return_inverse=True)
    middles = middles_of(place, at[known])
    return Ground(pixels.take(known), place, middles, at[known][middles], pixels.take(tested))


def middles_of(place: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the pixel of each place that is nearest to the mean of its pixels, by index."""
    count = np.bincount(place)
    mean = np.stack([np.bincount(place, at[:, axis]) / count for axis in (0, 1)], axis=1)
    far = np.hypot(*(at - mean[place]).T)
    order = np.lexsort([far, place])
    _, first = np.unique(place[order], return_index=True)
    return np.asarray(order[first])


def run(ground: Ground, rule: str, seed: int) -> Curve:
    """Label places by a rule, round by round."""
    known, codes = ground.known, ground.known.codes[ground.middles]
    draws = np.random.default_rng(seed)  # the same start for all rules
    labelled = [int(draws.choice(np.flatnonzero(codes == code))) for code in np.unique(codes)]
    rng = np.random.default_rng([seed, sum(map(ord, rule))])
    rows = []
    for _ in range(ROUNDS + 1):
        forest = fit(known.take(np.isin(ground.place, labelled)), TREES, seed)
        found = predict(forest, ground.tested)
        rows.append((len(labelled), *scores(ground.tested.codes, found)))
        free = np.setdiff1d(np.arange(len(codes)), labelled)
        if not len(free):  # polygons so small that all of them is labelled
            break
        asked = rng.permutation(free)[:CANDIDATES]
        middles = known.take(ground.middles[asked])
        percent = np.rint(100 * forest.probabilities_at(middles))
        told = Told(ground.at[asked], forest.codes[percent.argmax(axis=0)], percent,
                    middles.pixels.__getitem__)  # fmt: skip
        counts = dict(zip(*np.unique(codes[labelled], return_counts=True), strict=True))
        name = BASELINE if rule == AGAIN else rule
        # polygons are small: places side by side may follow one another here
        chosen = propose(name, told, counts, ground.at[labelled], rng, A_ROUND, apart=1)
        labelled += asked[chosen].tolist()
    return Curve(*map(np.array, zip(*rows, strict=True)))


def gain(one: Curve, random: Curve) -> tuple[float, ...]:
    """Return the places saved at equal accuracy and at equal macro F1, and points more of both."""
    return (
        saved(one.places, one.overall, random.places, random.overall),
        saved(one.places, one.macro, random.places, random.macro),
        100 * float((one.overall - random.overall)[1:].mean()),
        100 * float((one.macro - random.macro)[1:].mean()),
    )


def saved(
    places: np.ndarray, score: np.ndarray, others: np.ndarray, other_score: np.ndarray
) -> float:
    """Return how many places fewer one curve needs for the same score, over what both reach."""
    one, other = np.maximum.accumulate(score), np.maximum.accumulate(other_score)
    levels = np.linspace(max(one[0], other[0]), min(one[-1], other[-1]), LEVELS)
    return float((needed(others, other, levels) - needed(places, one, levels)).mean())


def needed(places: np.ndarray, score: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return the number of places at which a rising curve first reaches each level."""
    reached = np.searchsorted(score, levels - 1e-12)
    return places[np.minimum(reached, len(places) - 1)].astype(float)


def table(found: Mapping[str, Gains]) -> str:
    """Return the means with their standard errors."""
    head = "| rule | places saved, accuracy | places saved, macro F1 | accuracy | macro F1 |"
    rows = [f"| {rule} | {' | '.join(map(cell, zip(*runs, strict=True)))} |"
            for rule, runs in found.items()]  # fmt: skip
    return "\n".join([head, "|---|---|---|---|---|", *rows])


def cell(values: Sequence[float]) -> str:
    """Return a mean with its standard error."""
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{np.mean(values):+.1f} +- {error:.1f}"


if __name__ == "__main__":
    main()
