import json

import pytest

from landcover.cli import main

pytest.importorskip("pyarrow")


@pytest.fixture
def samples(capsys):
    def run(*arguments):
        status = main(["samples", *map(str, arguments)])
        out, err = capsys.readouterr()
        return json.loads(out) if status == 0 else (status, out, err)

    return run


def test_commit_log_diff_restore_tag_export_verify(samples, record, tmp_path, write_geojson):
    folder = tmp_path / "samples"
    first = write_geojson("a.geojson", [record("a"), record("b")])
    second = write_geojson("b.geojson", [record("a", "forest", version=2)])
    done = samples("commit", folder, first, "--author", "ann", "--message", "from the field")
    assert (done["number"], done["written"], done["remarks"]) == (1, 2, [])
    done = samples("commit", folder, second, "--author", "bob")
    assert done["remarks"][0].startswith("the file does not say which version it was made from: 1")
    done = samples("commit", folder, second, "--author", "bob", "--base", "2")
    assert (done["number"], done["removed"]) == (3, 1)
    found = samples("diff", folder, "1", "latest")
    assert (found["changed"], found["removed"]) == (1, 1)
    assert {d["by"] for d in found["differences"]} == {"bob"}
    assert (
        samples("tag", folder, "1", "first")["version"]
        == samples("log", folder)["versions"][0]["version"]
    )
    assert samples("restore", folder, "first", "--author", "ann")["number"] == 4
    log = samples("log", folder)["versions"]
    assert [(v["author"], v["restores"], v["tags"]) for v in log] == [
        ("ann", 0, ["first"]), ("bob", 0, []), ("bob", 0, []), ("ann", 1, [])
    ]  # fmt: skip
    done = samples("export", folder, "--version", "3", "--output", tmp_path / "v.gpkg")
    assert (done["samples"], (tmp_path / "v.gpkg").is_file()) == (1, True)
    assert samples("verify", folder)["versions"] == 4


def test_bad_input_is_one_sentence_and_exit_2(samples, record, tmp_path, write_geojson):
    drawn = write_geojson("a.geojson", [record("a")])
    for arguments, said in (
        (("commit", tmp_path / "no/where", drawn), "is no folder"),
        (("commit", tmp_path / "samples", tmp_path / "none"), "cannot be read"),
        (("export", tmp_path, "--output", "x.geojson"), "no version 0"),
        (("diff", tmp_path, "1", "2"), "no version 1"),
    ):
        status, out, err = samples(*arguments)
        assert (status, out) == (2, "")
        assert said in err
        assert err.count("\n") == 1


def test_import_of_what_lies_in_incoming(samples, record, tmp_path, write_geojson):
    folder = tmp_path / "samples"
    (folder / "incoming").mkdir(parents=True)
    write_geojson("a.geojson", [record("a")]).rename(folder / "incoming/a.geojson")
    (folder / "incoming/b.geojson").write_text("{")
    done = samples("import", folder, "--class-field", "class", "--source", "a survey")
    assert (done["number"], done["samples"]) == (1, {"a.geojson": 1})
    assert [refused["file"] for refused in done["refused"]] == ["b.geojson"]
    assert done["remarks"] == [f"not imported: {done['refused'][0]['reason']}"]
