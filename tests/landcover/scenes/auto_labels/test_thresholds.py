"""Thresholds against every pair tried in turn, and which histograms have three modes."""

from itertools import combinations

import numpy as np
import pytest

from landcover.scenes.auto_labels.thresholds import Modes, agreement, fitted, otsu


def between(histogram, cuts):
    """Return the variance between the parts of a histogram, by its definition."""
    parts = np.split(np.arange(len(histogram)), [cut + 1 for cut in cuts])
    mean = np.average(np.arange(len(histogram)), weights=histogram)
    return sum(
        histogram[part].sum() * (np.average(part, weights=histogram[part]) - mean) ** 2
        for part in parts
        if histogram[part].sum()
    )


def test_otsu_is_the_best_of_all_pairs():
    histogram = np.zeros(256, np.int64)
    histogram[20:44] = np.random.default_rng(0).integers(0, 50, 24)
    best = max(combinations(range(20, 43), 2), key=lambda cuts: between(histogram, cuts))
    assert between(histogram, otsu(histogram, 3)) == pytest.approx(between(histogram, best))


def test_fitted_thresholds_are_the_best_of_all_pairs():
    table = np.zeros((3, 256), np.int64)
    table[:, 10:30] = np.random.default_rng(1).integers(0, 9, (3, 20))
    best = max(agreement(table, cuts)[0] for cuts in combinations(range(9, 30), 2))
    assert agreement(table, fitted(table)) == (best, table.sum())


def normal(*modes):
    """Return a histogram of (mean, deviation, pixels) each."""
    levels = np.arange(256)
    parts = [count * np.exp(-(((levels - mean) / wide) ** 2) / 2) for mean, wide, count in modes]
    return np.sum(parts, axis=0).astype(np.int64)


@pytest.mark.parametrize(
    ("histogram", "says"),
    [
        (normal((70, 12, 900), (150, 12, 900), (225, 9, 900)), ""),
        (normal((80, 25, 900), (150, 25, 500), (225, 9, 3000)), ""),
        (normal((205, 15, 900)), "overcast"),
        (normal((150, 40, 900)), "single mode"),
        (normal((60, 8, 900), (220, 8, 900)), "two of its classes"),
        (normal((60, 9, 900)), "overcast"),
        (np.full(256, 50), "flat"),
        (np.eye(256, dtype=np.int64)[200] * 99, "apart"),
        (normal((20, 3, 60), (150, 4, 4000), (225, 4, 4000)), "holds"),
    ],
)
def test_three_modes_are_needed(histogram, says):
    lacking = Modes.of(histogram, otsu(histogram, 3)).lacking(of_colour=True)
    assert says in lacking
    assert bool(says) == bool(lacking)


def test_saturated_pixels_are_no_peak():
    histogram = np.full(256, 50)
    histogram[255] = 20_000
    assert Modes.of(histogram, otsu(histogram, 3)).peak < 1.01
