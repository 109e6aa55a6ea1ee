"""Rules: what a file may say, what is refused, and which class a pixel gets."""

import json

import numpy as np
import pytest

from landcover.errors import InputError
from landcover.scenes.auto_labels.rules import read_rules


def write_rules(path, unsure=None, **classes):
    """Write rules of classes by their names."""
    given = {"classes": [{"name": name, "ranges": ranges} for name, ranges in classes.items()]}
    path.write_text(json.dumps(given | ({"unsure": unsure} if unsure else {})))
    return path


def test_sea_ice_has_the_thresholds_of_the_literature():
    rules = read_rules("sea-ice")
    codes = rules.codes({"V": np.array([0, 30, 31, 204, 205, 255])})
    assert codes.tolist() == [1, 1, 2, 2, 3, 3]
    assert [entry.parent for entry in rules.legend.classes] == ["", "ice", "ice"]
    assert rules.ladder.codes == (1, 2, 3)


def test_codes_of_new_classes_follow_their_names(tmp_path):
    rules = read_rules(write_rules(tmp_path / "r.json", wood={"NDVI": [0.5, None]},
                                   farm={"NDVI": [0.2, 0.5]}))  # fmt: skip
    assert rules.legend.names == ("farm", "wood")
    assert rules.ladder.quantity == "NDVI"


def test_where_two_classes_hold_or_none_nothing_is_sure(tmp_path):
    rules = read_rules(write_rules(tmp_path / "r.json", a={"V": [0, 99]}, b={"V": [50, 150]}))
    assert rules.codes({"V": np.array([10, 70, 120, 200])}).tolist() == [1, 255, 2, 255]
    assert rules.ladder is None


def test_one_of_several_conditions_makes_a_class(tmp_path):
    path = write_rules(tmp_path / "r.json", a=[{"H": [170, 10], "S": [9, None]}, {"V": [0, 5]}])
    rules = read_rules(path)
    values = {"H": np.array([175, 5, 90, 90]), "S": np.array([9, 9, 9, 9]),
              "V": np.array([99, 99, 99, 5])}  # fmt: skip
    assert rules.codes(values).tolist() == [1, 1, 255, 1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "is no object"),
        ('{"classes": []}', "no list with a class"),
        ('{"classes": [{"name": "a"}]}', "no member ranges"),
        ('{"classes": [{"name": "a", "ranges": {"__import__": [0, 1]}}]}', "names __import__"),
        ('{"classes": [{"name": "a", "ranges": {"V": "0+1"}}]}', "V needs two numbers"),
        ('{"classes": [{"name": "a", "ranges": {"V": [true, 1]}}]}', "V needs two numbers"),
        ('{"classes": [{"name": "a", "ranges": {"V": [9, 1]}}]}', "begins at 9 and ends at 1"),
        ('{"classes": [{"name": "a", "ranges": {"V": [0, NaN]}}]}', "is no JSON"),
        ('{"classes": [{"name": "a", "ranges": {"V": [0, 1e999]}}]}', "is no JSON"),
        ('{"classes": [{"name": "a", "ranges": {"V": [0, 1], "V": [2, 3]}}]}', "is no JSON"),
        ('{"classes": [{"name": "a", "ranges": {}}]}', "no object"),
        ('{"classes": [{"name": " ", "ranges": {"V": [0, 1]}}]}', "has no name"),
        ('{"classes": [{"name": "a", "code": 255, "ranges": {"V": [0, 1]}}]}', "255"),
        ('{"classes": [{"name": "a", "ranges": {"V": [0, 1]}}], "run": 1}', "a member run"),
        ('{"classes": [{"name": "a", "ranges": {"V": [0, 1]}}], "unsure": [{"V": [0, 1]}]}',
         "unsure names V"),
        (" " * 70_000, "more than 64 KiB"),
        ("\xff", "is no JSON"),
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused(text, says, tmp_path):
    path = tmp_path / "r.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=says):
        read_rules(path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_rules(tmp_path / "none.json")
