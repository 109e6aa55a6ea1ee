import numpy as np
import pytest

from landcover.errors import InputError
from landcover.io.legend import Legend
from landcover.progress import collecting_notes
from landcover.quality.matching import Side, match_legends


def named(**codes):
    return Legend.from_list([{"code": code, "name": name} for name, code in codes.items()])


def met(one, other, given=None):
    """Return {name: (code of the first side, code of the other)}; None where it has none."""
    match = match_legends(one, other, given)
    own = [{int(of[code]): code for code in range(255, 0, -1) if of[code]}
           for of in (match.of_one, match.of_other)]  # fmt: skip
    return {c.name: (own[0].get(c.code), own[1].get(c.code)) for c in match.legend.classes}


MAP = Side("m.tif", named(forest=1, town=2, water=3))
CODES = Side("r.tif", Legend.of_codes([1, 2, 3]))


def test_names_meet_whatever_their_codes():
    other = Side("r.tif", named(water=1, forest=3, town=9, bog=2))
    assert met(MAP, other) == {
        "forest": (1, 3), "town": (2, 9), "water": (3, 1), "bog": (None, 2),
    }  # fmt: skip
    assert match_legends(MAP, other).guessed == ()


def test_names_of_a_vector_meet_names_alone():
    vector = Side("r.gpkg", Legend.of(["town", "water"]), numbered=True)
    assert met(MAP, vector) == {"forest": (1, None), "town": (2, 1), "water": (3, 2)}
    with pytest.raises(InputError, match=r"r.gpkg has lake, wood: no class in common"):
        met(MAP, Side("r.gpkg", Legend.of(["wood", "lake"]), numbered=True))


def test_codes_meet_codes_and_may_have_more_on_either_side():
    other = Side("r.tif", Legend.of_codes([2, 3, 9]))
    assert met(CODES, other) == {
        "class 1": (1, None), "class 2": (2, 2), "class 3": (3, 3), "class 9": (None, 9),
    }  # fmt: skip
    numbers = Side("r.gpkg", Legend.of_values(["10", "3"]), numbered=True)
    assert met(CODES, numbers) == {
        "class 1": (1, None), "class 2": (2, None), "3": (3, 3), "10": (None, 10),
    }  # fmt: skip
    with pytest.raises(InputError, match="codes 10, 20 without names: no class in common"):
        met(CODES, Side("r.tif", Legend.of_codes([10, 20])))


def test_names_without_codes_meet_no_codes():
    vector = Side("r.gpkg", Legend.of(["farm", "wood"]), numbered=True)
    with pytest.raises(
        InputError, match=r"codes 1, 2, 3 without names, r.gpkg has farm, wood: .* input legend"
    ):
        met(CODES, vector)
    mixed = Side("r.gpkg", Legend.of_values(["3", "wood"]), numbered=True)
    with pytest.raises(InputError, match="no code is known to be wood"):
        met(CODES, mixed)


def test_codes_that_the_other_side_does_not_name_are_refused():
    with pytest.raises(InputError, match=r"code 9 is none of m.tif"):
        met(MAP, Side("r.tif", Legend.of_codes([1, 9])))


@pytest.mark.parametrize("swapped", [False, True])
def test_codes_without_names_meet_those_with_names_only_if_that_agrees_best(swapped):
    sides = (CODES, MAP) if swapped else (MAP, CODES)
    match = match_legends(*sides)
    assert match.legend.names == ("forest", "town", "water")
    assert match.guessed == (1, 2, 3)
    table = np.zeros((256, 256), int)
    table[1:4, 1:4] = [[5, 3, 0], [4, 5, 0], [0, 0, 2]]
    match.check(table)
    table[1:4, 1:4] = [[5, 6, 0], [5, 5, 0], [0, 0, 2]]  # 12 by code, 13 with 1 and 2 exchanged
    with pytest.raises(InputError, match=r"agree in 52.2 percent .* of codes in 56.5"):
        match.check(table)


def test_codes_on_both_sides_that_agree_better_otherwise_are_remarked():
    match = match_legends(CODES, CODES)
    table = np.zeros((256, 256), int)
    table[1, 2] = table[2, 1] = 45
    table[3, 3] = 10
    said = []
    with collecting_notes(said.append):
        match.check(table)
    assert len(said) == 1
    assert (
        "agree in 10.0 % of the pixels; with other pairs of codes it would be 100.0 %" in said[0]
    )


def test_a_number_that_is_the_name_of_another_code_is_ambiguous():
    """As maps have it whose whole numbers were numbered anew."""
    old = Side("old.tif", Legend.of(["2", "3", "4", "5"]))  # codes 1 to 4
    with pytest.raises(InputError, match=r"code 2 is class 3 on one side and may not be on the"):
        met(old, Side("r.tif", Legend.of_codes([2, 3, 4])))
    with pytest.raises(InputError, match=r"code 5 is none of old.tif"):
        met(old, Side("r.tif", Legend.of_codes([2, 3, 4, 5])))
    with pytest.raises(InputError, match=r"class 2 has code 3 in old.tif, so it is not clear"):
        met(Side("old.tif", named(**{"wood": 2, "2": 3})), Side("r.tif", Legend.of_codes([2])))
    vector = Side("r.gpkg", Legend.of_values(["2", "5"]), numbered=True)
    assert met(old, vector) == {"2": (1, 2), "3": (2, None), "4": (3, None), "5": (4, 5)}


def test_a_legend_names_the_codes_of_the_side_without_names():
    given = named(water=1, forest=2, town=3)
    assert met(MAP, CODES, given) == {"water": (3, 1), "forest": (1, 2), "town": (2, 3)}
    assert met(CODES, MAP, given) == {"water": (1, 3), "forest": (2, 1), "town": (3, 2)}
    match = match_legends(MAP, CODES, given)
    assert match.guessed == ()
    assert [(c.code, c.name) for c in match.legend.classes] == [
        (1, "water"), (2, "forest"), (3, "town"),
    ]  # fmt: skip


def test_codes_that_a_legend_does_not_name_meet_nothing_with_a_name():
    given = named(water=1, forest=2)
    assert met(MAP, CODES, given)["class 3"] == (None, 3)


def test_a_legend_takes_the_place_of_names_that_nobody_knows():
    other = Side("r.tif", named(лес=1, город=2, вода=3))
    given = named(forest=1, town=2, water=3)
    said = []
    with collecting_notes(said.append):
        assert met(MAP, other, given) == {"forest": (1, 1), "town": (2, 2), "water": (3, 3)}
    assert said == ["the classes of r.tif were named by the legend given, not by its own"]
    with pytest.raises(InputError, match=r"no class in common; call them alike"):
        met(MAP, other)
