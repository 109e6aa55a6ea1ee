"""What job and service say to each other, and how little is needed for it."""

import json
import subprocess
import sys

import pytest

from wps_processes.words import word_in

LARGE = ("numpy", "sqlalchemy", "pydantic", "landcover")


def test_a_pods_reporter_loads_nothing_large():
    code = f"import sys, wps_processes.pod; print([m for m in {LARGE} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ({"error": "no \ud800 text \0"}, {"error": "no ? text ?"}),
        ({"progress": 5, "message": "\udfff"}, {"progress": 5, "message": "?"}),
        ({"outputs": {"a": "\ud800", "\0": 1}}, {"outputs": {"a": "?", "?": 1}}),
        ({"outputs": {"a": "мария", "b": None}}, {"outputs": {"a": "мария", "b": None}}),
        ({"progress": 500, "message": "x" * 5_000}, {"progress": 100, "message": "x" * 2_000}),
    ],
)
def test_what_is_no_character_is_replaced_and_nothing_else(said, heard):
    assert word_in(json.dumps(said).encode()) == heard
