import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from landcover.errors import InputError
from landcover.samples.versions import ledger as ledger_module
from landcover.samples.versions.differences import differences
from landcover.samples.versions.ledger import Conflict, Ledger

RACING = Path(__file__).with_name("racing.py")


def of(ledger, number):
    return ledger.records(ledger.manifest(number))


def test_a_version_is_the_hash_of_its_manifest_and_names_the_one_before(ledger, record):
    first = ledger.commit([record("a")], [], "ann")
    second = ledger.commit([record("b")], [], "bob", message="more")
    manifest = ledger.manifest(2)
    assert (first.number, second.number) == (1, 2)
    assert manifest.sha256 == second.sha256
    assert manifest.parent == first.sha256
    assert (manifest.author, manifest.message) == ("bob", "more")
    assert list(of(ledger, 2)) == ["a", "b"]
    assert list(of(ledger, 1)) == ["a"]


def test_nothing_that_is_written_is_written_again(ledger, record):
    ledger.commit([record("a")], [], "ann")
    before = {path: path.read_bytes() for path in ledger.folder.rglob("*.*")}
    ledger.commit([record("a", "forest", version=2)], [], "bob")
    ledger.commit([], ["a"], "ann")
    assert all(path.read_bytes() == content for path, content in before.items())
    assert of(ledger, 3) == {}
    assert of(ledger, 2)["a"].class_name == "forest"


def test_what_changes_nothing_makes_no_version(ledger, record):
    ledger.commit([record("a")], [], "ann")
    done = ledger.commit([record("a")], ["unknown"], "bob")
    assert (done.number, done.written, done.removed) == (1, 0, 0)
    assert ledger.numbers() == [1]


def test_two_who_changed_one_sample_are_both_kept(ledger, record):
    ledger.commit([record("a")], [], "ann")
    ledger.commit([record("a", "forest", version=2)], [], "bob", base=1)
    done = ledger.commit([record("a", "meadow", version=2)], [], "ann", base=1)
    (conflict,) = done.conflicts
    assert (conflict.id, conflict.what) == ("a", "both")
    found = of(ledger, 3)
    assert found["a"].class_name == "forest"
    assert found[conflict.rival].class_name == "meadow"
    assert found[conflict.rival].rival == "a"
    assert ledger.commit([record("a", "meadow", version=2)], [], "ann", base=1).number == 3


def test_changed_while_removed_stays_and_removed_while_changed_is_back(ledger, record):
    ledger.commit([record("a"), record("b")], [], "ann")
    ledger.commit([record("a", "forest", version=2)], ["b"], "bob", base=1)
    done = ledger.commit([record("b", "meadow", version=2)], ["a"], "ann", base=1)
    assert set(done.conflicts) == {Conflict("a", "changed"), Conflict("b", "removed")}
    assert {id_: r.class_name for id_, r in of(ledger, 3).items()} == {
        "a": "forest",
        "b": "meadow",
    }


def test_differences_say_what_and_who(ledger, record):
    ledger.commit([record("a"), record("b"), record("c")], [], "ann")
    ledger.commit([record("a", "forest", version=2, editor="bob")], ["b"], "bob")
    ledger.commit([record("d")], [], "eve")
    found = {d.id: (d.what, d.before, d.after, d.by, d.version) for d in differences(ledger, 1, 3)}
    assert found == {
        "a": ("changed", "water", "forest", "bob", 2),
        "b": ("removed", "water", "", "bob", 2),
        "d": ("added", "", "water", "eve", 3),
    }
    back = {d.id: (d.what, d.by) for d in differences(ledger, 3, 1)}
    assert back == {"a": ("changed", "bob"), "b": ("added", "bob"), "d": ("removed", "eve")}


def test_restored_is_as_it_was_and_nothing_later_is_lost(ledger, record):
    ledger.commit([record("a"), record("b")], [], "ann")
    ledger.commit([record("a", "forest", version=2), record("c")], ["b"], "bob")
    done = ledger.restore(1, "ann")
    assert of(ledger, done.number) == of(ledger, 1)
    assert ledger.manifest(3).restores == 1
    assert list(of(ledger, 2)) == ["a", "c"]


def test_tags_do_not_move(ledger, record):
    first = ledger.commit([record("a")], [], "ann")
    ledger.commit([record("b")], [], "ann")
    assert ledger.tag(1, "spring 2026", "ann") == first.sha256
    assert ledger.tag(1, "spring 2026", "bob") == first.sha256
    with pytest.raises(InputError, match="do not move"):
        ledger.tag(2, "spring 2026", "ann")
    for name in ("spring 2026", "1", first.sha256):
        assert ledger.find(name).number == 1
    assert ledger.find("latest").number == 2
    for name in ("../x", "7", "latest", "", "a/b"):
        with pytest.raises(InputError, match="no tag"):
            ledger.tag(1, name, "ann")


def test_many_parts_are_merged_and_who_did_it_is_still_known(ledger, record, monkeypatch):
    monkeypatch.setattr(ledger_module, "_MOST_PARTS", 3)
    for number in range(8):
        ledger.commit([record(f"s{number}")], [], f"author {number}")
    assert len(ledger.manifest(8).parts) <= 4
    assert len(of(ledger, 8)) == 8
    assert [d.by for d in differences(ledger, 1, 8)] == [f"author {n}" for n in range(1, 8)]


def damage(path: Path, content: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(content)


def test_damage_is_said_and_never_read(ledger, record):
    ledger.commit([record("a")], [], "ann")
    ledger.commit([record("b")], [], "ann")
    assert ledger.faults() == []
    part = ledger.folder / "parts" / f"{ledger.manifest(1).parts[0].sha256}.parquet"
    content = part.read_bytes()
    damage(part, content[:-1] + b"x")
    again = Ledger(ledger.folder)
    assert "is not what was written" in again.faults()[0]
    with pytest.raises(InputError, match="is not what was written"):
        of(again, 1)
    damage(part, content)
    manifest = ledger.folder / "versions/000001.json"
    damage(manifest, manifest.read_bytes().replace(b'"ann"', b'"eve"'))
    assert "does not follow" in Ledger(ledger.folder).faults()[0]


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b"\xff", b'{"format": 1}', b"[" * 100_000, b'{"format": 1, "parts": [1]}'],
)
def test_what_is_no_manifest_is_refused(ledger, record, content):
    ledger.commit([record("a")], [], "ann")
    damage(ledger.folder / "versions/000001.json", content)
    with pytest.raises(InputError, match="is no manifest"):
        ledger.manifest(1)


def test_manifests_with_other_types_are_refused(ledger, record):
    ledger.commit([record("a")], [], "ann")
    path = ledger.folder / "versions/000001.json"
    good = json.loads(path.read_bytes())
    for name, value in {
        "parts": [{"sha256": "../../etc/passwd", "samples": 1, "merges": False}],
        "number": True, "parent": None, "removed": [1], "author": 5, "legend": [7],
    }.items():  # fmt: skip
        damage(path, json.dumps({**good, name: value}, indent=2).encode() + b"\n")
        with pytest.raises(InputError, match="manifest"):
            ledger.manifest(1)


def test_without_hard_links_it_is_refused_and_nothing_remains(ledger, record, monkeypatch):
    def no_links(self, target):
        raise PermissionError(errno.EPERM, "not permitted")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    with pytest.raises(InputError, match="hard links"):
        ledger.commit([record("a")], [], "ann")
    assert [path for path in ledger.folder.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", ["parts", "versions"])
def test_nothing_is_written_through_a_link(ledger, record, tmp_path, name):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (ledger.folder / name).symlink_to(elsewhere)
    with pytest.raises(InputError, match="is a link"):
        ledger.commit([record("a")], [], "ann")
    (ledger.folder / name).unlink()
    (ledger.folder / name).write_text("a file")
    with pytest.raises(InputError, match="cannot be made"):
        ledger.commit([record("a")], [], "ann")
    assert list(elsewhere.iterdir()) == []


def test_an_id_stands_once(ledger, record):
    with pytest.raises(InputError, match="stands twice"):
        ledger.commit([record("a"), record("a", "forest")], [], "ann")


def start(folder, who):
    return subprocess.Popen(
        [sys.executable, str(RACING), str(folder), who],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip


def tell(writers, order) -> list[int]:
    """Give both an order, and wait until both have done it."""
    for writer in writers:
        writer.stdin.write(f"{order}\n")
    return [int(writer.stdout.readline()) for writer in writers]


def run_races(ledger, turns) -> int:
    """Let two commit at the same time, again and again; return how often a number was taken."""
    people = ("ann", "bob")
    with start(ledger.folder, "ann") as ann, start(ledger.folder, "bob") as bob:
        for _ in range(turns):
            tell((ann, bob), "look")
            lost = tell((ann, bob), "commit")
        ann.stdin.close()
        bob.stdin.close()
    assert (ann.returncode, bob.returncode) == (0, 0)
    manifests = list(ledger.history())  # a chain without a gap
    assert [m.author for m in manifests].count("ann") == turns == len(manifests) / 2
    said = {f"{who} {turn}" for who in people for turn in range(turns)}
    now = of(ledger, ledger.last)
    assert said <= now.keys()
    # both changed one sample each time: what either said of it is still there
    shared = {of(ledger, number)["shared"].class_name for number in ledger.numbers()}
    assert said == shared | {record.class_name for record in now.values() if record.rival}
    assert not list(ledger.folder.rglob(".*"))
    return sum(lost)


def test_two_who_commit_at_once_are_both_kept(ledger):
    run_races(ledger, 20)


@pytest.mark.proof
def test_a_thousand_races_lose_nothing(ledger):
    assert run_races(ledger, 1000) > 100
