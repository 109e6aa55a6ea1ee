import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest

import landcover
from landcover.errors import InputError, Stopped
from landcover.operation import CSV, Operation, Range, RasterFile
from landcover.operations import OPERATIONS
from landcover.progress import progress_between, progress_to, report_progress

FROZEN = Path(__file__).parents[1] / "operations.json"


@dataclass(frozen=True)
class Sum:
    """A sum.

    Attributes:
        table: the addends.
        total: of both.
    """

    table: CSV
    total: float


def add_numbers(
    first: float,
    scene: RasterFile | None = None,
    times: Annotated[int, Range(1, 9)] = 2,
    sign: Literal["plus", "minus"] = "plus",
    twice: bool = False,
    workdir: str = "",
) -> Sum:
    """Add numbers.

    At length.

    Args:
        first: a number.
        scene: a file
            of two lines.
        times: how often.
        sign: which way.
        twice: again.
        workdir: folder.
    """
    return Sum(Path(workdir) / "table.csv", first * times * (-1 if sign == "minus" else 1))


def test_everything_a_face_needs_follows_from_the_function():
    operation = Operation.of(add_numbers)
    assert (operation.identifier, operation.title) == ("add-numbers", "Add numbers.")
    assert [i.name for i in operation.inputs] == ["first", "scene", "times", "sign", "twice"]
    first, scene, times, sign, twice = operation.inputs
    assert (first.kind, first.required) == ("float", True)
    assert (scene.kind, scene.required, scene.description) == (
        "file",
        False,
        "a file of two lines.",
    )
    assert (times.kind, times.default, times.range) == ("int", 2, Range(1, 9))
    assert scene.endings == (".tif", ".tiff")
    assert sign.choices == ("plus", "minus")
    assert (twice.kind, twice.default) == ("bool", False)
    table = operation.outputs[0]
    assert (table.filename, table.media_type) == ("table.csv", "text/csv")


def test_a_call_converts_texts_as_a_command_line_gives_them(tmp_path):
    given = {"first": "1.5", "times": "3", "sign": "minus", "twice": "true"}
    assert Operation.of(add_numbers)(given, tmp_path)["total"] == -4.5


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "needs first"),
        ({"first": "x"}, "first is x, needs a number"),
        ({"first": "nan"}, "finite"),
        ({"first": 1, "times": 0}, "times is 0, needs 1 to 9"),
        ({"first": 1, "times": "1.5"}, "whole number"),
        ({"first": 1, "sign": "times"}, "needs one of plus, minus"),
        ({"first": 1, "twice": "maybe"}, "needs true or false"),
        ({"first": 1, "scene": ""}, "path"),
        ({"first": 1, "second": 2}, "has no input second, it has first"),
    ],
)
def test_bad_input_is_named_with_what_is_needed(given, sentence):
    with pytest.raises(InputError, match=sentence):
        Operation.of(add_numbers).check(given)


def test_a_parameter_without_description_is_refused_by_name():
    def bare(first: int, workdir: str) -> Sum:
        """Do something.

        Args:
            workdir: folder.
        """

    with pytest.raises(TypeError, match="parameter first has no description"):
        Operation.of(bare)


def test_the_public_description_of_all_operations_is_frozen():
    """A change here is a change of the contract: say so in CHANGELOG.md, then write the file."""
    assert describe(OPERATIONS) == json.loads(FROZEN.read_text(encoding="utf-8"))


def test_the_package_offers_each_operation_as_a_function():
    offered = {operation.function.__name__ for operation in OPERATIONS}
    assert offered == set(landcover.__all__)
    for operation in OPERATIONS:
        assert getattr(landcover, operation.function.__name__) is operation.function


def describe(operations):
    """Return what clients rely on: identifiers, names, types, defaults, choices, ranges."""
    return {
        operation.identifier: {
            "inputs": [
                {
                    "name": i.name,
                    "kind": i.kind,
                    "required": i.required,
                    "default": i.default,
                    "choices": list(i.choices),
                    "range": dataclasses.asdict(i.range) if i.range else None,
                }
                for i in operation.inputs
            ],
            "outputs": [
                {"name": o.name, "kind": o.kind, "extension": o.extension}
                for o in operation.outputs
            ],
        }
        for operation in operations
    }


def test_progress_of_a_step_becomes_part_of_the_whole():
    heard = []
    with progress_to(lambda fraction, text: heard.append((fraction, text))):
        with progress_between(0.5, 1.0):
            report_progress(0.5, "inner")
        report_progress(7, "too much")
    report_progress(0.1, "nobody listens")
    assert heard == [(0.75, "inner"), (1.0, "too much")]


def test_a_listener_can_stop_the_work():
    def stop(fraction, text):
        raise Stopped("enough")

    with progress_to(stop), pytest.raises(Stopped):
        report_progress(0, "work")
