"""What the panel asks about previews and next places, as a browser asks it."""

import threading

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform_bounds
from shapely.geometry import box, mapping

from sample_map import SampleMap
from tests.scenes import write_raster

SIDE, SECONDS = 96, 60
COLORS = {"water": "#1f78b4", "forest": "#33a02c"}


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """A map of a scene with a place of each class; and what waits for a stage of a preview."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "shared").mkdir()
    values = np.random.default_rng(0).normal(500, 100, (3, SIDE, SIDE))
    values[:, :, SIDE // 2 :] += 900
    path = write_raster(tmp_path / "shared" / "scene.tif", values.astype("uint16"))
    with rasterio.open(path) as dataset:
        transform, crs = dataset.transform, dataset.crs
        west, south, east, north = transform_bounds(crs, "EPSG:4326", *dataset.bounds)
    m = SampleMap("shared/scene.tif", COLORS)
    m.seen, told = [south, west, north, east], []
    more = threading.Condition()

    def send(content, buffers=None):
        with more:
            told.append(content)
            more.notify_all()

    def wait(stage):
        with more:
            assert more.wait_for(lambda: any(one.get("stage") == stage for one in told), SECONDS)

    m._panel.send = send
    m.told, m.wait = told, wait
    for name, column in (("water", 10), ("forest", 70)):
        corners = *(transform @ (column, 48)), *(transform @ (column + 8, 40))
        shape = box(*transform_bounds(crs, "EPSG:4326", *corners))
        ask(m, "draw", **{"class": name}, geometry=mapping(shape), image=m.scene)
    yield m
    m.close()


def ask(m, verb, **content):
    m._on_message(None, {"verb": verb, "view": "tab", "request": 1, **content}, [])
    return next(one for one in reversed(m.told) if one["kind"] == "reply")


def test_next_place_is_asked_about_labelled_and_left(opened):
    assert ask(opened, "next_place", rule="fewest")["error"] == "nothing is previewed yet"
    assert "error" not in ask(opened, "see", bounds=opened.seen, windows=False)
    opened.wait("unknown")
    assert "there is no rule best" in ask(opened, "next_place", rule="best")["error"]
    first = ask(opened, "next_place", rule="fewest")["place"]
    assert (first["class"] in COLORS, first["places"]) == (True, 1)
    labelled = ask(
        opened, "draw", **{"class": "water"}, geometry=first["geometry"], image=opened.scene
    )
    assert "error" not in labelled
    second = ask(opened, "next_place", rule="random")
    third = ask(opened, "next_place", rule="random", left=second["place"]["at"], why="untold")
    assert (second["untold"], third["untold"]) == (0, 1)
    assert third["place"]["at"] != second["place"]["at"]
    assert len(opened.samples) == 3


def test_view_that_is_left_is_told_nothing_more(opened):
    ask(opened, "see", bounds=opened.seen, windows=True)
    ask(opened, "leave")
    opened.close()
    stages = [one["stage"] for one in opened.told if one["kind"] == "preview"]
    assert "unknown" not in stages
