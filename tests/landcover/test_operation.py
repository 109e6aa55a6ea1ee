import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest

import landcover
from landcover.errors import InputError, Stopped
from landcover.operation import CSV, MAX_PATHS, Needs, Operation, Range, RasterFile
from landcover.operations import OPERATIONS
from landcover.progress import (
    MAX_REMARKS,
    progress_between,
    progress_to,
    remark,
    remarks_so_far,
    report_metric,
    report_progress,
)
from tests.contract import FROZEN, described


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
    table = Path(workdir) / "table.csv"
    table.write_text("first\n", encoding="utf-8")
    return Sum(table, first * times * (-1 if sign == "minus" else 1))


def test_everything_a_face_needs_follows_from_the_function():
    operation = Operation.of(add_numbers, "1.0")
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
    assert Operation.of(add_numbers, "1.0").run(given, tmp_path).outputs["total"] == -4.5


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
        ({"first": ""}, "first is empty, needs a number"),
        ({"first": 1, "times": ""}, "times is empty, needs a whole number"),
        ({"first": 1, "sign": ""}, "sign is empty, needs one of plus, minus"),
        ({"first": 1, "second": 2}, "has no input second, it has first"),
    ],
)
def test_bad_input_is_named_with_what_is_needed(given, sentence):
    with pytest.raises(InputError, match=sentence):
        Operation.of(add_numbers, "1.0").check(given)


def test_a_parameter_without_description_is_refused_by_name():
    def bare(first: int, workdir: str) -> Sum:
        """Do something.

        Args:
            workdir: folder.
        """

    with pytest.raises(TypeError, match="parameter first has no description"):
        Operation.of(bare, "1.0")


def test_the_public_description_of_all_operations_is_frozen():
    """A change here is a change of the contract: say so in CHANGELOG.md, then `make contract`."""
    assert described() == json.loads(FROZEN.read_text(encoding="utf-8"))


def test_the_package_offers_each_operation_as_a_function():
    offered = {operation.function.__name__ for operation in OPERATIONS}
    assert offered == set(landcover.__all__)
    for operation in OPERATIONS:
        assert getattr(landcover, operation.function.__name__) is operation.as_function


@dataclass(frozen=True)
class Listed:
    """Names.

    Attributes:
        count: of names.
        share: of all.
        kind: one of two.
    """

    count: int
    share: Annotated[float, Range(0, 1)]
    kind: Literal["few", "many"]


def list_files(
    scenes: list[RasterFile],
    masks: list[RasterFile] | None = None,
    samples: RasterFile | list[RasterFile] = "x.tif",
    workdir: str = "",
) -> Listed:
    """List files.

    Args:
        scenes: several.
        masks: several or none.
        samples: one or several.
        workdir: folder.
    """
    assert all(isinstance(path, Path) for path in [*scenes, *(masks or [])])
    return Listed(len(scenes), 0.5, "few")


def test_lists_of_paths_are_read_off_the_annotation():
    operation = Operation.of(list_files, "1.0")
    assert [(i.kind, i.many, i.required) for i in operation.inputs] == [
        ("file", True, True), ("file", True, False), ("file", True, False),
    ]  # fmt: skip
    assert operation.inputs[0].endings == (".tif", ".tiff")
    assert operation.to_dict()["inputs"][0]["many"] is True
    _, share, kind = operation.to_dict()["outputs"]
    assert (share["range"], kind["choices"]) == ({"low": 0, "high": 1}, ["few", "many"])


def test_one_path_is_a_list_of_one_and_none_is_none(tmp_path):
    operation = Operation.of(list_files, "1.0")
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.touch()
    given = {"scenes": [str(paths[0]), paths[1]], "samples": paths[0]}
    assert operation.run(given, tmp_path).outputs["count"] == 2
    recipe = json.loads((tmp_path / "run.json").read_text())["recipe"]
    assert [len(recipe["inputs"][name]) for name in ("scenes", "samples")] == [2, 1]
    assert operation.check({"scenes": "a.tif"}) == {
        "scenes": [Path("a.tif")], "masks": None, "samples": "x.tif",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("scenes", "sentence"),
    [
        ([], "scenes is empty, needs at least one path"),
        (["a", ""], "scenes is empty, needs the path"),
        (["a", 3], "scenes is 3, needs the path"),
        (7, "scenes is 7, needs one or more paths"),
        (["a", "b", "a"], "scenes names a twice"),
        ([str(i) for i in range(MAX_PATHS + 1)], "scenes has 257 paths, at most 256 are read"),
    ],
)
def test_a_list_is_bounded_and_holds_paths_each_once(scenes, sentence):
    with pytest.raises(InputError, match=sentence):
        Operation.of(list_files, "1.0").check({"scenes": scenes})


def test_only_paths_come_in_lists():
    def add(numbers: list[int], workdir: str) -> Sum:
        """Add.

        Args:
            numbers: several.
            workdir: folder.
        """

    with pytest.raises(TypeError, match=r"add\.numbers is a list of int, only paths"):
        Operation.of(add, "1.0")


def note_things(words: str, workdir: str = "") -> Listed:
    """Make remarks.

    Args:
        words: what to say.
        workdir: folder.
    """
    for word in words.split("/"):
        remark(word)
    report_metric("loss", 0.5, step=3)
    return Listed(len(remarks_so_far()), 0.5, "few")


def test_remarks_come_as_they_are_made_each_once_and_on_one_line(tmp_path):
    heard = []
    operation = Operation.of(note_things, "1.0")
    done = operation.run({"words": "a/b\nc/a"}, tmp_path, on_remark=heard.append)
    assert done.remarks == heard == ["a", "b\\nc"]
    assert done.outputs["count"] == 2
    run = json.loads((tmp_path / "run.json").read_text())["run"]
    assert run["remarks"] == heard
    assert {"name": "loss", "step": 3, "value": 0.5} in run["metrics"]


def test_remarks_are_bounded_in_number_and_the_rest_is_counted(tmp_path):
    words = "/".join(str(i) for i in range(MAX_REMARKS + 7))
    done = Operation.of(note_things, "1.0").run({"words": words}, tmp_path)
    assert len(done.remarks) == MAX_REMARKS + 1
    assert done.remarks[-1] == "7 further remarks are not listed"


def test_remarks_of_a_plain_call_are_logged(caplog):
    note_things("only the log hears this")
    assert caplog.messages == ["only the log hears this"]


def test_the_function_of_the_package_is_recorded_and_logs_remarks(tmp_path, caplog):
    offered = Operation.of(note_things, "1.0").as_function
    result = offered("weak", workdir=tmp_path / "new")
    assert isinstance(result, Listed)
    assert caplog.messages == ["weak"]
    assert (tmp_path / "new/run.note-things.json").exists()
    assert (offered.__name__, offered.__doc__) == (note_things.__name__, note_things.__doc__)


def test_functions_of_the_package_go_to_other_processes():
    function = landcover.balance_samples
    assert pickle.loads(pickle.dumps(function)) is function
    with pytest.raises(TypeError, match=r"balance_samples\(\) .* argument 'nonsense'"):
        function("x", nonsense=1)


def test_needs_may_depend_on_the_inputs():
    assert Operation.of(note_things, "1.0").needs({}) == Needs()
    by_words = Operation.of(note_things, "1.0", lambda inputs: Needs(cores=len(inputs["words"])))
    assert by_words.needs({"words": "abc"}).cores == 3


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
