"""The level of the test, on differences whose patches are known."""

import numpy as np
import pytest
from scipy.stats import binomtest, chi2

from benchmarks.comparison_level import ERRORS, blobs, run_pairs, squares
from landcover.quality.clustered_test import Witnesses, mcnemar, of_cells, reach_of


def test_one_witness_a_place_is_mcnemars_own_test():
    few = mcnemar(Witnesses(np.array([1] * 9 + [-1] * 3 + [0] * 50)), 9, 3)
    assert few.p_value == pytest.approx(binomtest(9, 12).pvalue)
    many = mcnemar(Witnesses(np.array([1] * 40 + [-1] * 20)), 40, 20)
    assert many.p_value == pytest.approx(chi2.sf(20**2 / 60, 1))
    assert many.p_value == pytest.approx(many.pixelwise)
    assert (many.better, many.advantage, many.discordant) == ("first", 20, 60)


def test_maps_that_agree_alike_are_told_apart_in_5_of_100_cases():
    """Errors come in whole polygons: pixel by pixel, chance would look like a difference."""
    rng = np.random.default_rng(2)
    clustered, pixelwise = [], []
    for places in (12, 60):
        for _ in range(1500):
            size = rng.integers(5, 100, places)
            sign = rng.choice([-1, 0, 1], places, p=[0.3, 0.4, 0.3])
            advantages = size * sign
            verdict = mcnemar(
                Witnesses(advantages),
                int(advantages[sign > 0].sum()),
                int(-advantages[sign < 0].sum()),
            )
            clustered.append(verdict.p_value < 0.05)
            pixelwise.append(verdict.pixelwise < 0.05)
    assert 0.02 < np.mean(clustered) < 0.065
    assert np.mean(pixelwise) > 0.5


def test_no_difference_has_p_1():
    verdict = mcnemar(Witnesses(np.zeros(30, int)), 0, 0)
    assert (verdict.p_value, verdict.pixelwise, verdict.better) == (1, 1, "neither")
    assert not verdict.decidable


@pytest.mark.parametrize(("places", "decidable"), [(5, False), (6, True)])
def test_fewer_than_six_places_decide_nothing(places, decidable):
    verdict = mcnemar(Witnesses(np.ones(places, int)), places, 0)
    assert verdict.decidable is decidable
    assert verdict.better == ("first" if decidable else "neither")


@pytest.mark.parametrize("side", [12, 32])
def test_square_patches_reach_a_third_of_their_side(side):
    rng = np.random.default_rng(3)
    pixels = np.ones((512, 512), int)
    found = [reach_of(squares(512, side, 0.1, rng), pixels, pixels) for _ in range(5)]
    assert np.mean(found) == pytest.approx(side / 3, rel=0.15)


def test_differences_pixel_by_pixel_reach_nowhere():
    rng = np.random.default_rng(3)
    differences = rng.choice([-1, 0, 1], (300, 300), p=[0.1, 0.8, 0.1])
    witnesses = of_cells(differences, np.ones_like(differences))
    assert (witnesses.block, len(witnesses.advantages)) == (1, 90_000)


def test_a_map_that_is_wrong_everywhere_is_worse():
    pixels = np.full((70, 70), 9)
    witnesses = of_cells(np.full((70, 70), -7), pixels)
    assert witnesses.block == 1
    assert mcnemar(witnesses, 70 * 70, 8 * 70 * 70).better == "second"


@pytest.mark.parametrize(("make", "size"), [(squares, 6), (blobs, 2)])
def test_a_map_better_by_10_points_is_found(make, size):
    found = run_pairs(lambda rng, share: make(256, size, share, rng), runs=10, seed=6, more=0.1)
    assert found.first == 10


@pytest.mark.slow
@pytest.mark.parametrize("make", [squares, blobs])
def test_null_maps_with_error_patches_give_false_alarms_in_5_of_100_cases(make):
    found = run_pairs(lambda rng, share: make(128, 5, share, rng), runs=250, seed=5)
    assert binomtest(found.alarms, found.runs, 0.05).pvalue > 0.01
    assert found.pixelwise > 0.4 * found.runs


@pytest.mark.proof
@pytest.mark.parametrize("errors", ERRORS)
def test_the_level_holds_for_every_size_of_patch(errors):
    found = run_pairs(ERRORS[errors], runs=400, seed=1)
    decided = found.runs - found.undecided
    assert found.alarms / found.runs < 0.08
    assert decided < 200 or found.alarms / decided > 0.02
