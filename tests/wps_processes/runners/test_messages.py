"""What job and service say to each other, and how little is needed for it."""

import json
import subprocess
import sys

import pytest

from landcover.errors import sentence_of
from landcover.progress import MAX_REMARKS as MAX_PROGRESS_REMARKS
from wps_processes.runners.messages import LONGEST_LINE, MAX_REMARKS, message_in

POD = "wps_processes.runners.kubernetes.pod"
LARGE = ("numpy", "sqlalchemy", "pydantic", "landcover")


def test_a_pods_reporter_loads_nothing_large():
    code = f"import sys, {POD}; print([m for m in {LARGE} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ({"error": "no \ud800 text \0"}, {"error": "no ? text ?", "remarks": []}),
        ({"progress": 5, "message": "\udfff"}, {"progress": 5, "message": "?"}),
        ({"outputs": {"a": "\ud800", "\0": 1}}, {"outputs": {"a": "?", "?": 1}, "remarks": []}),
        (
            {"outputs": {"a": "мария", "b": None}, "remarks": ["да"]},
            {"outputs": {"a": "мария", "b": None}, "remarks": ["да"]},
        ),
        ({"remarks": ["a\nb", "\ud800 \0"]}, {"remarks": [r"a\nb", r"\ud800 \x00"]}),
        ({"remarks": ["x" * 5_000]}, {"remarks": ["x" * 500 + " ..."]}),
        ({"remarks": ["x"] * 5_000}, {"remarks": ["x"] * 101}),
        ({"progress": 500, "message": "x" * 5_000}, {"progress": 100, "message": "x" * 2_000}),
    ],
)
def test_what_is_no_character_is_replaced_and_nothing_else(said, heard):
    assert message_in(json.dumps(said).encode()) == heard


@pytest.mark.parametrize("said", ["a sentence", {"0": "x"}, ["x", 1], [["x"]], 5, None])
@pytest.mark.parametrize("with_", [{}, {"outputs": {}}, {"error": "x"}])
def test_remarks_that_are_no_sentences_are_no_word(said, with_):
    assert message_in(json.dumps(with_ | {"remarks": said}).encode()) is None


def test_as_many_remarks_as_an_operation_can_make_fit_into_one_line():
    remarks = [sentence_of("\U0001f600" * 600)] * (MAX_PROGRESS_REMARKS + 1)
    assert len(remarks) == MAX_REMARKS
    assert len(json.dumps({"outputs": {}, "remarks": remarks})) < LONGEST_LINE
