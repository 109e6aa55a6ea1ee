"""What one person does on a map, without a browser."""

import numpy as np
import pytest
from shapely.geometry import box, mapping, shape

from landcover.errors import InputError
from landcover.io.legend import Legend
from sample_map.data.features import Sample
from sample_map.data.store import SampleStore
from sample_map.tools.drawing import Drawing

NAME = "home/samples/lakes.geojson"
SCENE = "home/scene.tif"
SQUARE = mapping(box(13, 52, 13.1, 52.1))
OTHER = mapping(box(13.2, 52, 13.3, 52.1))


@pytest.fixture
def person(tmp_path, monkeypatch):
    """A function that opens the samples for somebody."""
    monkeypatch.setenv("HOME", str(tmp_path))
    legend = Legend.of(["forest", "water"])
    opened = []

    def sit_down(author="eve"):
        opened.append(SampleStore(NAME, legend))
        return Drawing(opened[-1], author)

    yield sit_down
    for store in opened:
        store.close()


def shown(drawing):
    return [(s.class_name, shape(s.geometry).area) for s in drawing.store.samples.values()]


def test_every_verb_is_saved_and_undone(person):
    eve = person()
    sample = eve.draw("water", SQUARE, SCENE)
    line = {"type": "LineString", "coordinates": [[13.03, 51], [13.03, 53]]}
    eve.reclass(sample.id, 1, "forest")
    eve.split(sample.id, 2, line)
    hole = mapping(box(13.05, 52.05, 13.06, 52.06))
    eve.cut(sample.id, 3, hole)
    eve.delete(sample.id, 4)
    assert shown(eve) == [("forest", pytest.approx(0.003))]
    states = []
    for _ in range(5):
        eve.undo()
        states.append(sorted(shown(eve)))
    assert [len(state) for state in states] == [2, 2, 1, 1, 0]
    assert states[3] == [("water", pytest.approx(0.01))]
    for _ in range(5):
        eve.redo()
    assert shown(eve) == [("forest", pytest.approx(0.003))]
    eve.store.close()
    assert [s.class_name for s in person().store.samples.values()] == ["forest"]


def test_pieces_of_a_split_keep_who_drew_the_whole(person):
    eve, bob = person(), person("bob")
    sample = eve.draw("water", SQUARE, SCENE)
    eve.store.fold()
    bob.store.fold()
    line = {"type": "LineString", "coordinates": [[13.03, 51], [13.03, 53]]}
    pieces = bob.split(sample.id, 1, line)
    assert {piece.author for piece in pieces} == {"eve"}
    assert len({piece.id for piece in pieces}) == 2


def test_outline_that_another_changed_meanwhile_is_kept_twice(person):
    eve = person()
    sample = eve.draw("water", SQUARE, SCENE)
    eve.reclass(sample.id, 1, "forest")  # in another tab
    second, conflict = eve.reshape(sample.id, 1, OTHER)
    assert conflict is not None
    assert conflict.rival == second.id
    assert shape(eve.store.samples[sample.id].geometry).equals(shape(SQUARE))
    assert shape(second.geometry).equals(shape(OTHER))
    eve.settle(second.id, second.version)
    assert eve.store.samples[second.id].rival == ""


@pytest.mark.parametrize("verb", ["reclass", "delete", "cut"])
def test_what_somebody_changed_meanwhile_is_looked_at_first(person, verb):
    eve = person()
    sample = eve.draw("water", SQUARE, SCENE)
    eve.reclass(sample.id, 1, "forest")
    arguments = {"reclass": ("water",), "delete": (), "cut": (OTHER,)}[verb]
    with pytest.raises(InputError, match="somebody changed this sample meanwhile"):
        getattr(eve, verb)(sample.id, 1, *arguments)
    eve.delete(sample.id, 2)
    with pytest.raises(InputError, match="somebody deleted"):
        getattr(eve, verb)(sample.id, 2, *arguments)


def test_class_that_is_not_in_the_legend_is_refused(person):
    with pytest.raises(InputError, match="no class moon"):
        person().draw("moon", SQUARE, SCENE)


def test_added_class_is_drawn_and_kept_with_the_samples(person):
    eve = person()
    eve.add_class(" ice ")
    eve.draw("ice", SQUARE, SCENE)
    eve.store.fold()
    legend = person("bob").legend
    assert legend.names == ("forest", "water", "ice")
    assert len({c.color for c in legend.classes}) == 3
    for name in ("ice", " "):
        with pytest.raises(InputError):
            eve.add_class(name)


def test_samples_from_elsewhere_are_one_step(person):
    eve = person()
    eve.add(Sample.new("water", shape, "OpenStreetMap", SCENE) for shape in (SQUARE, OTHER))
    assert {s.author for s in eve.store.samples.values()} == {"OpenStreetMap"}
    eve.undo()
    assert eve.store.samples == {}


def test_region_is_grown_again_with_another_tolerance(person, tmp_path):
    from affine import Affine

    from tests.scenes import write_raster

    values = np.full((1, 40, 40), 100, "uint16")
    values[0, 10:20, 10:20], values[0, 10:20, 20:22] = 10, 20
    transform = Affine(0.001, 0, 13, 0, -0.001, 52)
    write_raster(tmp_path / "scene.tif", values, transform=transform, crs="EPSG:4326")
    eve = person()
    place = (13.015, 51.985)
    first = eve.grow("water", place, SCENE, 0.05)
    assert first.region.pixels == 100
    again = eve.grow_again(first.sample.id, 1, place, 0.2)
    assert again.region.pixels == 120
    assert list(eve.store.samples) == [first.sample.id]
    eve.undo()
    assert eve.store.samples[first.sample.id].geometry == first.sample.geometry


def test_samples_follow_their_class_and_one_undo_takes_both_back(person):
    eve = person()
    pond, wood = (eve.draw(name, shape_, SCENE) for name, shape_ in
                  (("water", SQUARE), ("forest", OTHER)))  # fmt: skip
    eve.rename_class("water", "lake")
    assert eve.store.samples[pond.id].class_name == "lake"
    assert eve.legend.names == ("forest", "lake")
    eve.merge_class("forest", "lake")
    assert [name for name, _ in shown(eve)] == ["lake", "lake"]
    assert eve.legend.names == ("lake",)
    eve.delete_class("lake")
    assert (shown(eve), eve.legend.names) == ([], ())
    for expected in (["lake", "lake"], ["lake", "forest"], ["water", "forest"]):
        eve.undo()
        kept = eve.store.samples
        assert [kept[id].class_name for id in (pond.id, wood.id)] == expected
    assert eve.legend.names == ("forest", "water")
    for _ in range(3):
        eve.redo()
    assert (shown(eve), eve.legend.names) == ([], ())


def test_edited_classes_outlive_the_session(person):
    eve = person()
    eve.draw("water", SQUARE, SCENE)
    eve.move_class("water", 0)
    eve.color_class("water", "#010203")
    eve.group_class("forest", "vegetation")
    eve.store.close()
    ada = SampleStore(NAME)
    listed = ada.classes.to_list()
    ada.close()
    assert listed == [
        {"code": 2, "name": "water", "color": "#010203"},
        {"code": 1, "name": "forest", "color": "#117733", "parent": "vegetation"},
    ]


def test_a_rename_meets_what_somebody_else_draws_and_adds(person):
    eve, ada = person(), person("ada")
    eve.draw("water", SQUARE, SCENE)
    eve.store.fold()
    ada.store.fold()
    ada.add_class("ice")
    ada.draw("ice", OTHER, SCENE)
    eve.rename_class("water", "lake")
    for store in (ada.store, eve.store, ada.store):
        store.fold()
    assert ada.legend == eve.legend
    assert eve.legend.names == ("forest", "lake", "ice")
    assert sorted(name for name, _ in shown(ada)) == ["ice", "lake"]


def test_a_class_that_cannot_be_is_refused_and_no_sample_moves(person):
    eve = person()
    eve.draw("water", SQUARE, SCENE)
    for edit in (
        lambda: eve.rename_class("water", "forest"),
        lambda: eve.merge_class("water", "ice"),
        lambda: eve.merge_class("water", "water"),
    ):
        with pytest.raises(InputError):
            edit()
    assert [name for name, _ in shown(eve)] == ["water"]
    assert eve.legend.names == ("forest", "water")
