import json

import pytest

from landcover.cli import main
from landcover.errors import InputError
from landcover.progress import collecting_notes
from landcover.samples.versions.catalog import find_sets
from landcover.samples.versions.ledger import Ledger

pytest.importorskip("pyarrow")


@pytest.fixture
def root(tmp_path, record, write_geojson):
    folder = tmp_path / "root"
    (folder / "campaigns/forest/samples").mkdir(parents=True)
    (folder / "samples").mkdir()
    ledger = Ledger(folder / "campaigns/forest/samples")
    ledger.commit([record("old")], [], "ann")
    spring = {"drawn": "2026-05-03T10:00:00Z", "image": "shared/a.tif"}
    new = [
        record("a", at=(105.5, 52.5), **spring),
        record("b", "forest", at=(-0.5, -33.5), author="bob", review="accepted", **spring),
    ]
    ledger.commit(new, ["old"], "bob")
    write_geojson("drawn.geojson", [record("x")]).rename(folder / "samples/drawn.geojson")
    return folder


def test_sets_with_counts_by_class_date_and_place(root):
    ledger, drawn = find_sets(root)
    assert (ledger.kind, ledger.number, ledger.samples) == ("ledger", 2, 2)
    assert ledger.classes == {"water": 1, "forest": 1}
    assert ledger.months == {"2026-05": 2}
    assert ledger.places == {"N52E105": 1, "S34W001": 1}
    assert ledger.authors == {"ann": 1, "bob": 1}
    assert ledger.images == {"shared/a.tif": 2}
    assert ledger.reviews == {"": 1, "accepted": 1}
    assert list(ledger.bounds) == [-0.5, -33.5, 105.5, 52.5]
    assert (drawn.kind, drawn.samples, drawn.months) == ("drawn", 1, {"": 1})


def test_what_cannot_be_read_is_said_and_links_are_not_followed(root, tmp_path):
    (root / "samples/broken.geojson").write_text("{")
    (root / "samples/link.geojson").symlink_to(root / "samples/drawn.geojson")
    (root / "elsewhere").symlink_to(root / "campaigns")
    for part in (root / "campaigns/forest/samples/parts").iterdir():
        part.unlink()
    with collecting_notes(lambda sentence: None) as notes:
        found = find_sets(root)
    assert [one.kind for one in found] == ["drawn"]
    assert len(notes.remarks) == 3
    with pytest.raises(InputError, match="is no folder"):
        find_sets(tmp_path / "none")


def test_an_empty_ledger_is_a_set(tmp_path, record):
    ledger = Ledger(tmp_path)
    ledger.commit([record("a")], [], "ann")
    ledger.commit([], ["a"], "ann")
    (found,) = find_sets(tmp_path)
    assert (found.samples, found.bounds, found.classes) == (0, None, {})


def test_on_the_command_line(root, capsys):
    assert main(["samples", "catalog", str(root)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [one["path"] for one in said["sets"]] == [
        str(root / "campaigns/forest/samples"), str(root / "samples/drawn.geojson")
    ]  # fmt: skip
