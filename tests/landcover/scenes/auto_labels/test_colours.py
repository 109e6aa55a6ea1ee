"""Colours: the conversion by hand, and the table of all colours against plain rules."""

import colorsys

import numpy as np
import pytest

from landcover.scenes.auto_labels import colours, filters, rules
from landcover.scenes.auto_labels.rules import codes_of_colours, read_rules, table_of_colours
from tests.landcover.scenes.auto_labels.test_rules import write_rules


@pytest.mark.parametrize(
    ("rgb", "hsv"),
    [
        ((0, 0, 0), (0, 0, 0)),
        ((255, 255, 255), (0, 0, 255)),
        ((255, 0, 0), (0, 255, 255)),
        ((0, 255, 0), (60, 255, 255)),
        ((0, 0, 255), (120, 255, 255)),
        ((255, 255, 0), (30, 255, 255)),
        ((100, 50, 50), (0, 128, 100)),
        ((10, 20, 40), (110, 191, 40)),
        ((255, 0, 1), (0, 255, 255)),
        ((255, 0, 20), (178, 255, 255)),
    ],
)
def test_hue_saturation_and_value(rgb, hsv):
    found = colours.hsv_of(np.array(rgb, np.uint8).reshape(3, 1, 1))
    assert tuple(int(band[0, 0]) for band in found) == hsv


def test_colours_agree_with_the_formula():
    rgb = np.random.default_rng(0).integers(0, 256, (3, 500)).astype(np.uint8)
    hue, saturation, value = (band.astype(float) for band in colours.hsv_of(rgb))
    exact = np.array([colorsys.rgb_to_hsv(*pixel) for pixel in rgb.T / 255]).T
    turned = np.abs(hue - 180 * exact[0])
    assert np.minimum(turned, 180 - turned).max() <= 0.6
    assert np.abs(saturation - 255 * exact[1]).max() <= 0.51
    assert (value == np.rint(255 * exact[2])).all()


@pytest.fixture(scope="module")
def by_hue(tmp_path_factory):
    path = write_rules(
        tmp_path_factory.mktemp("rules") / "r.json",
        red=[{"H": [170, 8], "S": [60, None]}],
        green={"H": [40, 80], "S": [60, 255], "V": [30, 255]},
        bright={"V": [200, 255]},
    )
    return read_rules(path)


def test_table_holds_what_the_rules_say(by_hue):
    rgb = np.random.default_rng(1).integers(0, 256, (3, 64, 64)).astype(np.uint8)
    table = table_of_colours(by_hue)
    expected = codes_of_colours(by_hue, rgb)
    assert (colours.codes_by_colour(rgb, table) == expected).all()
    assert set(np.unique(expected)) == {1, 2, 3, 255}


def test_without_the_kernel_codes_and_medians_are_the_same(by_hue, monkeypatch):
    rng = np.random.default_rng(2)
    rgb = rng.integers(0, 256, (3, 40, 50)).astype(np.uint8)
    table, levels = table_of_colours(by_hue), rng.integers(0, 256, 256).astype(np.uint8)

    def all_three():
        return (
            colours.codes_by_colour(rgb, table),
            colours.codes_by_level(rgb[0], levels),
            filters.medians(rgb[1], 21),
        )

    compiled = all_three()
    for module in (colours, filters):
        monkeypatch.setattr(module, "library", lambda: None)
    for one, other in zip(compiled, all_three(), strict=True):
        assert (one == other).all()


def test_medians_are_those_of_sorted_windows():
    values = np.random.default_rng(3).integers(0, 256, (30, 700)).astype(np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(values, (7, 7))
    assert (filters.medians(values, 7) == np.median(windows, axis=(2, 3))).all()


def test_names_of_rules_are_a_fixed_list():
    assert rules.NAMES[:9] == ("H", "S", "V", "blue", "green", "red", "nir", "swir1", "swir2")


def test_labels_are_those_of_opencv(by_hue):
    cv2 = pytest.importorskip("cv2")
    rgb = np.random.default_rng(4).integers(0, 256, (512, 512, 3)).astype(np.uint8)
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    boxes = {
        2: [((40, 60, 30), (80, 255, 255))],
        3: [((170, 60, 0), (180, 255, 255)), ((0, 60, 0), (8, 255, 255))],
        1: [((0, 0, 200), (180, 255, 255))],
    }
    found = {
        code: sum(cv2.inRange(hsv, low, high) for low, high in ranges).astype(bool)
        for code, ranges in boxes.items()
    }
    alone = sum(held.astype(int) for held in found.values()) == 1
    expected = np.full(alone.shape, 255)
    for code, held in found.items():
        expected[held & alone] = code
    table = table_of_colours(by_hue)
    assert (colours.codes_by_colour(np.moveaxis(rgb, -1, 0), table) == expected).all()


def test_the_published_filter_is_that_of_opencv():
    cv2 = pytest.importorskip("cv2")
    band = np.random.default_rng(5).integers(0, 256, (60, 90)).astype(np.uint8)
    background = cv2.medianBlur(cv2.dilate(band, np.ones((7, 7), np.uint8)), 21)
    beyond = ((filters.HALO, filters.HALO), (filters.HALO, filters.HALO))
    assert (filters.foreground(band[None], beyond)[0] == 255 - cv2.absdiff(band, background)).all()
