"""Edits of the classes, and how those of two people meet."""

import pytest

from landcover.errors import InputError
from landcover.io.legend import Legend
from sample_map.data.classes import Classes, rebased

THREE = Classes.from_list(
    [
        {"code": 3, "name": "water", "color": "#0000ff"},
        {"code": 1, "name": "forest", "color": "#00ff00", "parent": "vegetation"},
        {"code": 2, "name": "farm", "color": "#ffff00"},
    ]
)


def names(classes):
    return {entry.code: entry.name for entry in classes.entries}


def test_order_is_shown_and_codes_stay():
    moved = THREE.moved("farm", 0)
    assert list(names(moved)) == [2, 3, 1]
    assert moved.legend == THREE.legend
    assert Classes.from_list(moved.to_list()) == moved


def test_edits_of_one_class_leave_the_others():
    edited = THREE.renamed("farm", " field ").colored("water", "#123456").grouped("field", "crops")
    assert edited.to_list() == [
        {"code": 3, "name": "water", "color": "#123456"},
        {"code": 1, "name": "forest", "color": "#00ff00", "parent": "vegetation"},
        {"code": 2, "name": "field", "color": "#ffff00", "parent": "crops"},
    ]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda c: c.renamed("farm", "water"), "stands twice"),
        (lambda c: c.renamed("farm", "  "), "needs a name"),
        (lambda c: c.renamed("ice", "snow"), "no class ice"),
        (lambda c: c.colored("farm", "red"), "colour red"),
        (lambda c: c.grouped("farm", "water"), "which is a class itself"),
        (lambda c: c.renamed("farm", "vegetation"), "which is a class itself"),
    ],
)
def test_edits_that_no_legend_can_hold_are_refused(edit, words):
    with pytest.raises(InputError, match=words):
        edit(THREE)


def test_edits_of_two_people_meet():
    ours = THREE.renamed("farm", "field").without("water")
    theirs = THREE.colored("forest", "#002200").moved("forest", 0)
    both = rebased(THREE, ours, theirs)
    assert names(both) == {1: "forest", 2: "field"}
    assert both.named("forest").color == "#002200"


def test_a_class_that_somebody_else_removed_stays_removed():
    assert names(rebased(THREE, THREE, THREE.without("farm"))) == {3: "water", 1: "forest"}


def test_two_people_add_different_classes_and_both_stay():
    ours = THREE.joined(Legend.of(["ice"]))
    theirs = THREE.joined(Legend.of(["road"]))
    both = rebased(THREE, ours, theirs)
    assert sorted(names(both).values()) == ["farm", "forest", "ice", "road", "water"]
    assert both.named("road").code == theirs.named("road").code
    assert len(set(names(both))) == 5


def test_undoing_an_edit_keeps_what_came_after():
    renamed = THREE.renamed("farm", "field")
    later = renamed.colored("water", "#111111")
    back = rebased(renamed, THREE, later)
    assert names(back) == names(THREE)
    assert back.named("water").color == "#111111"


def test_another_legend_brings_colours_and_new_classes():
    other = Legend.from_list(
        [
            {"code": 1, "name": "water", "color": "#000099"},
            {"code": 9, "name": "road", "color": "#999999", "parent": "built"},
        ]
    )
    joined = THREE.joined(other)
    assert names(joined) == {3: "water", 1: "forest", 2: "farm", 9: "road"}
    assert joined.named("water").color == "#000099"
    assert joined.named("road").parent == "built"
