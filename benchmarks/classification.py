"""The forest kernel against scikit-learn's own prediction of the same trees."""

import statistics
import time

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from benchmarks.measure import ROUNDS, Row, Usage
from landcover.classifiers import random_forest

PIXELS, BANDS, CLASSES = 300_000, 10, 8


def rows(side: int) -> list[Row]:
    """Compare on a deep forest of 100 trees; labels must be equal but for near-ties.

    In one process, without files: the size of a scene does not matter here.
    """
    rng = np.random.default_rng(0)
    centres = rng.normal(2000, 700, (CLASSES, BANDS))
    codes = rng.integers(0, CLASSES, PIXELS)
    pixels = (centres[codes] + rng.normal(0, 500, (PIXELS, BANDS))).round().astype(np.float32)
    codes = (codes + 1).astype(np.uint8)
    train = slice(0, 20_000)
    ours = random_forest.fit(pixels[train], codes[train], 0)
    theirs = RandomForestClassifier(100, class_weight="balanced", random_state=0, n_jobs=1)
    theirs.fit(pixels[train], codes[train])
    gate = _equal_labels(ours.predict_proba(pixels), theirs.predict_proba(pixels))
    taken: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(ROUNDS + 1):
        for name, trees in (("ours", ours), ("theirs", theirs)):
            start = time.process_time()
            trees.predict_proba(pixels)
            taken[name].append(time.process_time() - start)
    first, second = (Usage(statistics.median(times[1:]), None) for times in taken.values())
    return [Row("classify pixels, deep forest, kernel", first, "scikit-learn", second, gate)]


def _equal_labels(ours: np.ndarray, theirs: np.ndarray) -> str:
    best = np.sort(theirs, axis=1)
    near = best[:, -1] - best[:, -2] < 1e-6
    differ = (ours.argmax(axis=1) != theirs.argmax(axis=1)) & ~near
    if differ.any():
        raise SystemExit(f"{differ.sum()} labels differ from scikit-learn's")
    return f"0 of {len(ours):,} labels differ ({near.sum()} near-ties apart)"
