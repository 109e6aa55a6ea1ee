"""A network, the forest and the mean of both: which one the report says to use."""

from dataclasses import dataclass

import numpy as np
import pytest

from landcover.models.training_set import TrainingSet
from landcover.progress import collecting_notes
from landcover.training.beside import MEAN, Rival, compare
from landcover.training.cross_validation import Unseen

PLACES, OF_EACH = 60, 5
CLASSES = np.array([3, 7], np.uint8)


@dataclass(frozen=True)
class Told:
    """A classifier whose pixels hold the probability of the second class."""

    codes: np.ndarray

    def probabilities_at(self, training_set):
        second = training_set.pixels[:, 0]
        return np.stack([1 - second, second])


def sets(net, forest):
    """Return what a network told, and a forest that will tell its own; by place and pixel.

    Args:
        net: probability of the right class, (places,).
        forest: the same of the forest.
    """
    places = np.repeat(np.arange(PLACES), OF_EACH)
    codes = CLASSES[places % 2]
    of_pixels = [
        np.where(codes == CLASSES[1], right[places], 1 - right[places]).astype(np.float32)
        for right in (net, forest)
    ]
    folds = places % 5
    told = np.stack([1 - of_pixels[0], of_pixels[0]], axis=1)
    unseen = Unseen(np.ones(len(codes), bool), folds, codes, places, CLASSES, told)
    pixels = TrainingSet.of_pixels(of_pixels[1][:, None], codes, places)
    return unseen, Rival("forest", lambda some: Told(CLASSES), pixels)


def compared(net, forest):
    with collecting_notes(lambda sentence: None) as notes:
        unseen, rival = sets(net, forest)
        figures = compare(unseen, "net", rival, seed=0)
    (said,) = notes.remarks
    return figures, said


def right_in(share, sure=0.9):
    """Return a probability of the right class that is above a half in a share of the places."""
    wrong = np.random.default_rng(int(100 * share)).permutation(PLACES) >= share * PLACES
    return np.where(wrong, 1 - sure, sure)


def test_a_better_forest_is_what_to_use():
    figures, said = compared(right_in(0.5), right_in(1.0, sure=0.95))
    assert figures["best"] == "forest"
    assert figures["methods"]["net"]["accuracy"] == pytest.approx(0.5)
    assert figures["methods"]["forest"] == {"accuracy": 1.0, "macro_f1": 1.0}
    assert figures["gain"] == 0
    assert said.endswith("use forest, which was best here")


def test_a_network_that_is_better_in_most_places_is_what_to_use():
    figures, said = compared(right_in(0.9, sure=0.95), right_in(0.5, sure=0.99))
    assert figures["best"] == "net"
    assert figures["gain"] == pytest.approx(0.4)
    low, high = figures["gain_interval"]
    assert 0 < low < 0.4 < high
    assert "use net, which is better by 40.0 points" in said


def test_two_that_err_in_other_places_are_averaged():
    halves = np.arange(PLACES) % 4 < 2
    net, forest = np.where(halves, 0.95, 0.4), np.where(halves, 0.4, 0.95)
    figures, said = compared(net, forest)
    assert figures["best"] == MEAN
    assert figures["methods"][MEAN]["accuracy"] == 1.0
    assert "train forest too and give both models to classify-scene" in said


def test_a_gain_in_a_place_or_two_may_be_chance():
    forest = right_in(0.7)
    net = forest.copy()
    net[np.flatnonzero(forest < 0.5)[:2]] = 0.95
    net[np.flatnonzero(forest > 0.5)[:1]] = 0.05
    figures, said = compared(net, forest)
    assert figures["best"] in ("net", MEAN)
    assert "may be chance" in said
    assert said.endswith("forest is simpler and maps faster")
