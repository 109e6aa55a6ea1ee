import numpy as np
import pytest

from landcover.models.network.squares import (
    Batch,
    Corners,
    held_out,
    scaled_squares,
    scaling_of,
    turned,
)
from landcover.models.training_set import TrainingSet

CHIPS = np.arange(2 * 1 * 4 * 5, dtype=np.int16).reshape(2, 1, 4, 5)


def corners(chip, top, left):
    return Corners(*(np.array([value]) for value in (chip, top, left)))


def test_what_lies_beyond_a_chip_is_filled():
    (square,) = corners(1, -1, 3).cut(CHIPS, 3, -7)
    np.testing.assert_array_equal(square[0], [[-7, -7, -7], [23, 24, -7], [28, 29, -7]])
    (far,) = corners(0, 9, 9).cut(CHIPS, 2, -7)
    assert (far == -7).all()


def test_an_even_square_lies_around_its_pixel_as_a_chip_does():
    around = Corners.around(np.array([[0, 2, 3]]), 4)
    assert (around.top[0], around.left[0]) == (0, 1)  # rows 0 to 3: the centre is 0 + 4 // 2


def test_a_square_is_moved_into_its_chip_and_a_larger_one_begins_with_it():
    moved = corners(0, 3, -2).moved_inside((4, 5), 3)
    assert (moved.top[0], moved.left[0]) == (1, 0)
    larger = corners(0, 2, -2).moved_inside((4, 5), 8)
    assert (larger.top[0], larger.left[0]) == (0, 0)


def test_invalid_pixels_are_the_mean_of_the_labelled_ones():
    values = np.linspace(100, 900, 32).reshape(1, 2, 4, 4)
    valid = np.ones((1, 4, 4), bool)
    valid[0, 0, 0] = False
    at = np.array([[0, 1, 1], [0, 2, 2]])
    made = TrainingSet(values, valid, at, np.array([1, 2], np.uint8), np.arange(2), ())
    scaling = scaling_of(made, 0)
    np.testing.assert_allclose(scaling.centre, made.pixels.mean(axis=0))
    (square,) = scaled_squares(made, corners(0, -1, -1), 4, scaling)
    assert (square[:, :2, :2] == 0).all()  # beyond the chip, and the invalid pixel
    labelled = (values[0, :, 1, 1] - scaling.centre) * scaling.gain
    np.testing.assert_allclose(square[:, 2, 2], labelled, rtol=1e-5)


def test_turns_keep_classes_on_their_pixels():
    pixels = np.arange(18, dtype=np.float32).reshape(1, 2, 3, 3)
    batch = Batch(pixels, pixels[:, 0].astype(np.int64), pixels[:, 1])
    seen = set()
    for seed in range(40):
        one = turned(batch, np.random.default_rng(seed))
        np.testing.assert_array_equal(one.classes, one.pixels[:, 0])
        np.testing.assert_array_equal(one.weights, one.pixels[:, 1])
        seen.add(one.classes.tobytes())
    assert len(seen) == 8


@pytest.mark.parametrize("seed", range(5))
def test_whole_places_are_held_out_of_classes_that_can_spare_some(seed):
    places = np.repeat(np.arange(23), 3)
    codes = np.repeat(np.r_[[1] * 12, [2] * 8, [3] * 3], 3).astype(np.uint8)
    out = held_out(codes, places, 0.25, seed)
    held = np.unique(places[out])
    assert np.bincount(held // 12, minlength=2).tolist()[0] == 3  # a quarter of 12
    assert ((held >= 12) & (held < 20)).sum() == 2
    assert (held < 20).all()  # class 3 has no place to spare
    assert not np.isin(places[~out], held).any()


def test_nothing_is_held_out_where_one_class_alone_could_spare_a_place():
    places = np.arange(8)
    codes = np.array([1] * 6 + [2] * 2, np.uint8)
    assert not held_out(codes, places, 0.25, 0).any()
    assert not held_out(codes, places, 0.0, 0).any()
