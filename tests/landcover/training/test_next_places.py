"""Where people are asked to label next."""

import numpy as np
import pytest

from landcover.training.next_places import APART, RULES, Told, propose

SIDE = 60


@pytest.fixture
def told():
    """A scene whose left tenth is told to be class 1, the rest class 2; surest in the south."""
    rows, columns = (axis.ravel() for axis in np.indices((SIDE, SIDE)))
    codes = np.where(columns < SIDE // 10, 1, 2).astype(np.uint8)
    sure = 50 + rows * 50 // SIDE
    percent = np.where([codes == 1, codes == 2], sure, 100 - sure).astype(np.uint8)
    values = np.column_stack([rows, columns]).astype(np.float32)
    return Told(np.column_stack([rows, columns]), codes, percent, values.__getitem__)


def asked(rule, told, places=None, taken=(), count=1, seed=0):
    rng = np.random.default_rng(seed)
    return propose(rule, told, places or {}, np.array(taken), rng, count)


def test_class_with_the_fewest_places_is_asked_about(told):
    for seed in range(20):
        (one,) = asked("fewest", told, {1: 2, 2: 9}, seed=seed)
        assert told.codes[one] == 1
        (other,) = asked("fewest", told, {1: 9, 2: 2}, seed=seed)
        assert told.codes[other] == 2


def test_what_is_asked_counts_for_the_next_question(told):
    several = asked("fewest", told, {1: 5, 2: 3}, count=4)
    assert told.codes[several].tolist()[:2] == [2, 2]
    assert sorted(told.codes[several].tolist()) == [1, 2, 2, 2]  # 5 and 3 become 6 and 6


def test_class_that_is_nowhere_left_gives_way_to_the_next(told):
    everywhere_left = [[row, 3] for row in range(0, SIDE, 5)]
    (one,) = asked("fewest", told, {1: 0, 2: 9}, everywhere_left)
    assert told.codes[one] == 2


@pytest.mark.parametrize("rule", RULES)
def test_places_lie_apart_and_from_what_is_labelled(told, rule):
    taken = np.array([[30, 30], [10, 3]])
    found = told.at[asked(rule, told, {1: 1, 2: 1}, taken, count=5)]
    every = np.concatenate([taken, found])
    distance = np.abs(every[:, None] - every[None]).max(axis=2)
    assert len(found) == 5
    assert distance[np.triu_indices(len(every), 1)].min() >= APART


@pytest.mark.parametrize("rule", RULES)
def test_no_place_is_told_where_none_is_free(told, rule):
    taken = [[row, column] for row in range(0, SIDE, 9) for column in range(0, SIDE, 9)]
    assert asked(rule, told, taken=taken) == []


def test_unsure_asks_below_the_limit_and_entropy_the_most_even(told):
    confidence = told.confidence
    assert all(confidence[asked("unsure", told, seed=s)[0]] < 75 for s in range(20))
    assert confidence[asked("entropy", told)[0]] < 52
    assert confidence[asked("margin", told)[0]] < 60


def test_the_same_draw_asks_the_same(told):
    for rule in RULES:
        assert asked(rule, told, seed=3, count=3) == asked(rule, told, seed=3, count=3)
