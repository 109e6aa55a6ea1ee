"""Hostile and odd input: two maps, and points to be labelled."""

import numpy as np
import pytest

from tests.landcover.hostile.desk import a_map, a_reference


@pytest.mark.parametrize("operation", ["compare-maps", "draw-reference-sample"])
def test_what_is_no_map_is_refused_by_every_operation_on_maps(desk, operation):
    good, reference = a_map(desk, name="good.tif"), a_reference(desk)
    no_maps = [
        a_map(desk, np.full((16, 16), 256, np.uint16), name="wide.tif", nodata=None),
        a_map(desk, np.ones((3, 16, 16), np.uint8), name="picture.tif"),
        a_map(desk, name="tag.tif", tag="[1, 2]"),
        a_map(desk, name="nowhere.tif", crs=None),
        a_map(desk, np.full((16, 16), 255, np.uint8), name="empty.tif"),
        reference,
        desk.inputs / "absent.tif",
    ]
    for no_map in no_maps:
        if operation == "draw-reference-sample":
            desk.refuses(operation, map=no_map)
        else:
            desk.refuses(operation, first=no_map, second=good, reference=reference)
            desk.refuses(operation, first=good, second=no_map, reference=reference)


@pytest.mark.parametrize(
    "counts", ["forest", "=", "forest=", "forest=1e3", "forest=-1", "forest=²", "bog=3", ";;=;",
               "forest=3;bog", "forest==3", "<script>=1"]
)  # fmt: skip
def test_counts_without_sense_are_refused(desk, counts):
    desk.refuses("draw-reference-sample", map=a_map(desk), counts=counts)


def test_more_points_than_pixels_are_all_pixels(desk):
    drawn = desk.does("draw-reference-sample", map=a_map(desk), counts="forest=" + "9" * 30)
    assert drawn["total"] == 256
