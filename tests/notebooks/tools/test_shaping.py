"""Outlines cut in two, and holes cut into them."""

import pytest
from shapely.geometry import box, mapping, shape

from landcover.errors import InputError
from sample_map.tools.shaping import cut_out, split_along

RING = mapping(box(0, 0, 10, 10).difference(box(4, 4, 6, 6)))
TWO = mapping(box(0, 0, 10, 10).union(box(20, 0, 21, 10)))


def line(*places):
    return {"type": "LineString", "coordinates": places}


def test_pieces_together_are_the_whole_and_the_hole_stays():
    pieces = [shape(piece) for piece in split_along(RING, line((3, -1), (3, 11)))]
    assert [piece.area for piece in pieces] == [66, 30]
    assert pieces[0].union(pieces[1]).equals(shape(RING))
    assert len(pieces[0].interiors) == 1


def test_line_through_the_hole_opens_it():
    pieces = split_along(RING, line((5, -1), (5, 11)))
    assert [shape(piece).area for piece in pieces] == [48, 48]
    assert [len(piece["coordinates"]) for piece in pieces] == [1, 1]


def test_part_that_the_line_does_not_cross_stays_with_the_largest_piece():
    first, second = (shape(piece) for piece in split_along(TWO, line((3, -1), (3, 11))))
    assert first.geom_type == "MultiPolygon"
    assert (first.area, second.area) == (80, 30)


def test_bent_line_cuts_along_its_bends():
    pieces = split_along(mapping(box(0, 0, 10, 10)), line((-1, 5), (5, 5), (5, -1)))
    assert [shape(piece).area for piece in pieces] == [75, 25]


@pytest.mark.parametrize("places", [((3, -1), (3, 2)), ((30, 0), (30, 9)), ((-1, -1), (-1, 11))])
def test_line_that_does_not_cut_is_said(places):
    with pytest.raises(InputError, match="does not cut the sample"):
        split_along(RING, line(*places))


def test_hole_is_cut_out():
    cut = cut_out(mapping(box(0, 0, 10, 10)), mapping(box(4, 4, 6, 6)))
    assert shape(cut).equals(shape(RING))


def test_cut_across_leaves_two_parts_of_one_sample():
    cut = cut_out(mapping(box(0, 0, 10, 10)), mapping(box(4, -1, 6, 11)))
    assert cut["type"] == "MultiPolygon"
    assert shape(cut).area == 80


@pytest.mark.parametrize(
    ("hole", "words"),
    [(box(-1, -1, 11, 11), "delete it instead"), (box(20, 20, 21, 21), "beside")],
)
def test_hole_that_is_none_is_said(hole, words):
    with pytest.raises(InputError, match=words):
        cut_out(RING, mapping(hole))


def test_points_cannot_be_cut():
    point = {"type": "Point", "coordinates": [5, 5]}
    with pytest.raises(InputError, match="a point cannot be cut"):
        split_along(point, line((3, -1), (3, 11)))
    with pytest.raises(InputError, match="a point cannot be cut"):
        cut_out(point, RING)
