"""Undo and redo of any sample, in any order."""

import pytest

from landcover.errors import InputError
from sample_map.data.features import Change, Sample
from sample_map.data.history import History, Step

POND = {"type": "Point", "coordinates": [13.0, 52.0]}
WOOD = {"type": "Point", "coordinates": [14.0, 52.0]}


class Desk:
    """Samples with a history, and nothing else."""

    def __init__(self):
        self.samples, self.history = {}, History("eve")

    def apply(self, step):
        for change in step.changes:
            assert self.samples.get(change.id) == change.before
            self.samples.pop(change.id, None)
            if change.after is not None:
                self.samples[change.id] = change.after

    def do(self, *changes):
        step = Step(changes)
        self.apply(step)
        self.history.add(step)

    def draw(self, geometry=POND):
        drawn = Sample.new("water", geometry, "eve", "")
        self.do(Change(None, drawn))
        return drawn.id

    def edit(self, sample, **values):
        now = self.samples[sample]
        self.do(Change(now, now.edited("eve", **values)))

    def undo(self, sample=None):
        self.apply(self.history.undo(self.samples.get, sample))

    def redo(self, sample=None):
        self.apply(self.history.redo(self.samples.get, sample))


@pytest.fixture
def desk():
    return Desk()


def test_undo_and_redo_walk_through_the_steps(desk):
    pond = desk.draw()
    desk.edit(pond, class_name="forest")
    desk.edit(pond, geometry=WOOD)
    seen = []
    for _ in range(3):
        desk.undo()
        seen.append([(s.class_name, s.geometry) for s in desk.samples.values()])
    assert seen == [[("forest", POND)], [("water", POND)], []]
    for _ in range(3):
        desk.redo()
    assert [(s.class_name, s.geometry) for s in desk.samples.values()] == [("forest", WOOD)]
    for _ in range(3):
        desk.undo()
    assert desk.samples == {}


def test_one_sample_is_undone_whatever_was_done_to_others_since(desk):
    pond, wood = desk.draw(), desk.draw(WOOD)
    desk.edit(pond, class_name="forest")
    desk.edit(wood, class_name="sand")
    desk.undo(pond)
    assert desk.samples[pond].class_name == "water"
    assert desk.samples[wood].class_name == "sand"
    desk.redo(pond)
    assert desk.samples[pond].class_name == "forest"


def test_versions_only_grow(desk):
    pond = desk.draw()
    desk.edit(pond, class_name="forest")
    desk.undo()
    assert desk.samples[pond].version == 3


def test_step_of_several_samples_is_one_step(desk):
    pond = desk.draw()
    before, part = desk.samples[pond], Sample.new("water", WOOD, "eve", "")
    desk.do(Change(before, before.edited("eve", geometry=WOOD)), Change(None, part))
    desk.undo(part.id)
    assert [s.geometry for s in desk.samples.values()] == [POND]
    desk.redo()
    assert set(desk.samples) == {pond, part.id}


def test_deleted_sample_comes_back_as_it_was(desk):
    pond = desk.draw()
    before = desk.samples[pond]
    desk.do(Change(before, None))
    desk.undo()
    assert desk.samples[pond] == before


def test_what_somebody_else_changed_is_not_undone(desk):
    pond = desk.draw()
    desk.edit(pond, class_name="forest")
    desk.samples[pond] = desk.samples[pond].edited("bob", class_name="sand")
    with pytest.raises(InputError, match="somebody else changed"):
        desk.undo()
    assert desk.samples[pond].class_name == "sand"


def test_new_change_ends_what_could_be_redone_of_that_sample_only(desk):
    pond, wood = desk.draw(), desk.draw(WOOD)
    for one in (pond, wood):
        desk.edit(one, class_name="forest")
    desk.undo(pond)
    desk.undo(wood)
    desk.edit(pond, class_name="sand")
    desk.redo()
    assert desk.samples[wood].class_name == "forest"
    with pytest.raises(InputError, match="nothing to redo"):
        desk.redo()


def test_nothing_to_undo_is_said(desk):
    with pytest.raises(InputError, match="nothing to undo"):
        desk.undo()
