"""Nothing saved is lost: killed sessions, several maps, full disks, and others' edits."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading

import pyogrio
import pytest

from landcover.errors import InputError, NameRefused
from landcover.io.legend import Legend
from sample_map.data.features import Change, Sample
from sample_map.data.journal import ENDING
from sample_map.data.store import SampleStore, samples_name

NAME = "home/samples/lakes.geojson"
POND = {"type": "Polygon", "coordinates": [[[13, 52], [13.1, 52], [13.1, 52.1], [13, 52]]]}
WOOD = {"type": "Polygon", "coordinates": [[[14, 52], [14.1, 52], [14.1, 52.1], [14, 52]]]}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def file(home):
    return home / "samples" / "lakes.geojson"


@pytest.fixture
def opened():
    """A function that opens the samples; what is still open at the end is let go."""
    stores = []

    def open_store(name=NAME, legend=None):
        stores.append(SampleStore(name, legend))
        return stores[-1]

    yield open_store
    for store in stores:
        store._journal.release()


def draw(store, geometry=POND, class_name="water", author="eve"):
    sample = Sample.new(class_name, geometry, author, "shared/demo/scene.tif")
    store.record([Change(None, sample)])
    return sample


def edit(store, sample, editor="eve", **values):
    now = store.samples[sample.id]
    store.record([Change(now, now.edited(editor, **values))])


def delete(store, sample):
    store.record([Change(store.samples[sample.id], None)])


def kill(store):
    """End a session as a killed process does: its locks go, nothing is folded."""
    store._journal.release()


def saved(file):
    return {f["id"]: f["properties"]["class"] for f in json.loads(file.read_text())["features"]}


def journals(file):
    return list(file.parent.glob(f"*{ENDING}"))


def test_stroke_is_in_the_journal_at_once_and_folded_into_the_file(opened, file):
    store = opened()
    pond = draw(store)
    assert not file.exists()
    assert pond.id in journals(file)[0].read_text()
    store.fold()
    assert saved(file) == {pond.id: "water"}
    assert journals(file)[0].read_text() == ""
    store.close()
    assert journals(file) == []


def test_killed_session_loses_nothing(opened, file):
    killed = opened()
    pond, wood = draw(killed), draw(killed, WOOD, "forest")
    killed.fold()
    edit(killed, pond, class_name="ice")
    delete(killed, wood)
    kill(killed)
    assert {s.class_name for s in opened().samples.values()} == {"ice"}
    assert saved(file) == {pond.id: "ice"}
    assert journals(file) == []


def test_who_opens_the_file_hears_of_conflicts_with_a_killed_session(opened):
    first = opened()
    pond = draw(first)
    first.fold()
    second = opened()
    edit(first, pond, geometry=WOOD)
    delete(second, pond)
    second.fold()
    kill(first)  # before its edit was folded
    third = opened()
    assert [(c.id, c.what) for c in third.found] == [(pond.id, "deleted")]
    assert third.samples[pond.id].geometry == WOOD
    assert opened().found == ()


def test_killed_process_loses_no_stroke_that_it_called_saved(opened, file):
    code = (
        "from sample_map.data.store import SampleStore\n"
        "from sample_map.data.features import Change, Sample\n"
        f"store = SampleStore({NAME!r})\n"
        "while True:\n"
        f"    sample = Sample.new('water', {POND!r}, 'eve', '')\n"
        "    store.record([Change(None, sample)])\n"
        "    print(sample.id, flush=True)\n"
        "    store.fold() if len(store.samples) % 7 == 0 else None\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        told = [child.stdout.readline().strip() for _ in range(40)]
        child.send_signal(signal.SIGKILL)
        told += child.stdout.read().split()
    found = opened().samples
    assert set(told) <= set(found)
    assert len(found) - len(set(told)) <= 1  # saved, but killed before it could say so
    assert set(saved(file)) == set(found)


def test_kill_between_file_and_journal_folds_nothing_twice(opened, file):
    store = opened()
    pond = draw(store)
    edit(store, pond, class_name="ice")
    (journal,) = journals(file)
    unfolded = journal.read_bytes()
    store.fold()
    kill(store)
    journal.write_bytes(unfolded)  # as if the process had died before it emptied the journal
    other = opened()
    edit(other, pond, class_name="sand")
    other.fold()
    assert saved(file) == {pond.id: "sand"}


def test_half_a_line_was_never_saved_and_harms_nothing(opened, file):
    store = opened()
    pond = draw(store)
    (journal,) = journals(file)
    kill(store)
    with journal.open("ab") as end:
        end.write(b'{"number": 2, "changes": [{"bef')
    assert set(opened().samples) == {pond.id}


def test_unreadable_journal_is_left_for_a_person(opened, file):
    opened().close()
    strange = file.with_name(f".{file.name}.0123{ENDING}")
    strange.write_text("no journal\n")
    draw(opened())
    assert strange.read_text() == "no journal\n"


def test_journal_of_a_living_session_is_left_alone(opened, file):
    first = opened()
    pond = draw(first)
    second = opened()
    assert second.samples == {}
    first.fold()
    second.fold()
    assert set(second.samples) == {pond.id}


def test_two_maps_of_one_file_lose_nothing(opened, file):
    first, second = opened(), opened()
    pond, wood = draw(first), draw(second, WOOD, "forest")
    first.fold()
    news = second.fold()
    assert [s.id for s in news.shown] == [pond.id]
    assert saved(file) == {pond.id: "water", wood.id: "forest"}
    delete(second, pond)
    second.fold()
    assert first.fold().gone == (pond.id,)
    assert saved(file) == {wood.id: "forest"}


def test_same_sample_changed_by_two_is_kept_twice_and_said(opened, file):
    first, second = opened(), opened()
    pond = draw(first)
    first.fold()
    second.fold()
    edit(first, pond, "eve", class_name="ice")
    edit(second, pond, "bob", class_name="sand")
    assert first.fold().conflicts == ()
    (conflict,) = second.fold().conflicts
    assert (conflict.id, conflict.editor, conflict.what) == (pond.id, "eve", "both")
    assert second.samples[pond.id].class_name == "ice"
    assert second.samples[conflict.rival].class_name == "sand"
    assert second.samples[conflict.rival].rival == pond.id
    first.fold()
    assert first.samples == second.samples
    assert saved(file) == {pond.id: "ice", conflict.rival: "sand"}


def test_what_one_deletes_and_another_changes_stays(opened):
    first, second = opened(), opened()
    pond, wood = draw(first), draw(first, WOOD)
    first.fold()
    second.fold()
    edit(first, pond, class_name="ice")
    delete(second, pond)
    delete(first, wood)
    edit(second, wood, class_name="sand")
    first.fold()
    assert [c.what for c in second.fold().conflicts] == ["changed", "deleted"]
    assert {s.class_name for s in second.samples.values()} == {"ice", "sand"}


def test_edit_in_a_gis_that_knows_no_versions_is_not_overwritten(opened, file):
    store = opened()
    pond = draw(store)
    store.fold()
    file.write_text(file.read_text().replace('"class":"water"', '"class":"marsh"'))
    edit(store, pond, class_name="ice")
    store.fold()
    assert sorted(saved(file).values()) == ["ice", "marsh"]


def test_qgis_and_gdal_read_the_file(opened, file):
    store = opened(legend=Legend.of(["water", "forest"]))
    draw(store)
    hole = [[13.05, 52.01], [13.05, 52.02], [13.06, 52.02], [13.05, 52.01]]
    ring = {"type": "Polygon", "coordinates": [*POND["coordinates"], hole]}
    draw(store, ring, "forest")
    store.fold()
    frame = pyogrio.read_dataframe(file)
    assert frame["class"].tolist() == ["water", "forest"]
    assert frame.crs == "EPSG:4326"
    assert len(frame.geometry[1].interiors) == 1


def test_copy_with_the_same_id_becomes_a_sample_of_its_own(opened, file):
    store = opened()
    draw(store)
    store.fold()
    found = json.loads(file.read_text())
    found["features"] *= 2
    file.write_text(json.dumps(found))
    assert len(opened().samples) == 2
    store.fold()
    assert len(store.samples) == 2
    assert set(store.samples) == set(opened().samples)


def test_full_disk_is_said_and_made_good(opened, file, monkeypatch):
    store = opened()
    draw(store)
    real = os.pwrite

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    wood = draw(store, WOOD)
    assert store.trouble == "the disk is full"
    assert wood.id in store.samples
    monkeypatch.setattr(os, "pwrite", real)
    store.check()
    assert store.trouble == ""
    kill(store)
    assert wood.id in opened().samples


def test_storage_that_goes_away_is_said_and_comes_back(opened, file, home):
    store = opened()
    pond = draw(store)
    (home / "samples").rename(home / "elsewhere")
    store.check()
    assert store.trouble == "the folder of the samples cannot be reached"
    wood = draw(store, WOOD)
    assert not (home / "samples").exists()
    with pytest.raises(NameRefused):
        store.fold()
    (home / "elsewhere").rename(home / "samples")
    store.check()
    assert store.trouble == ""
    store.fold()
    assert set(saved(file)) == {pond.id, wood.id}


def test_file_that_was_removed_under_an_open_map_is_written_again(opened, file):
    store = opened()
    pond = draw(store)
    store.fold()
    file.unlink()
    assert store.check()
    store.fold()
    assert set(saved(file)) == {pond.id}


def test_file_that_holds_something_else_is_left_as_it_is(opened, file):
    file.parent.mkdir()
    file.write_text("no samples")
    with pytest.raises(InputError, match=r"lakes.geojson holds no samples"):
        opened()
    assert file.read_text() == "no samples"


def test_links_are_not_followed(opened, file, home):
    (home / "secret.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    file.parent.mkdir()
    file.symlink_to(home / "secret.geojson")
    store = opened()
    assert store.trouble
    file.unlink()
    (home / "private").mkdir()
    (home / "team").mkdir()
    (home / "team" / "ice").symlink_to(home / "private")
    assert opened("team/ice/floes.geojson").trouble
    assert list((home / "private").iterdir()) == []


def test_legends_of_two_maps_are_joined(opened, file):
    first = opened(legend=Legend.from_list([{"code": 1, "name": "water", "color": "#0000ff"}]))
    draw(first)
    first.fold()
    second = opened(legend=Legend.from_list([{"code": 1, "name": "forest", "color": "#00ff00"}]))
    draw(second, class_name="forest")
    second.fold()
    found = {c["name"]: c["color"] for c in json.loads(file.read_text())["legend"]}
    assert found == {"water": "#0000ff", "forest": "#00ff00"}
    first.fold()
    assert first.classes.legend.names == ("water", "forest")


def test_undone_drawing_leaves_nothing(opened, file):
    store = opened()
    pond = draw(store)
    delete(store, pond)
    store.close()
    assert not file.exists()
    assert journals(file) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, "home/samples/demo-scene.geojson"),
        ("lakes", "home/samples/lakes.geojson"),
        ("team/ice/floes", "team/ice/floes.geojson"),
        ("home/x/y.geojson", "home/x/y.geojson"),
    ],
)
def test_name_says_where_the_samples_are_kept(name, expected):
    assert samples_name("shared/demo/scene.tif", name) == expected


@pytest.mark.parametrize("name", ["../x", "home/../../x", "/etc/x"])
def test_name_that_leads_out_is_refused(name):
    with pytest.raises(NameRefused):
        samples_name("shared/demo/scene.tif", name)


def test_strokes_go_on_while_the_file_is_written(opened, file):
    store = opened()
    done = threading.Event()
    failed = []

    def fold():
        try:
            while not done.is_set():
                store.fold()
        except Exception as error:
            failed.append(error)

    folding = threading.Thread(target=fold)
    folding.start()
    drawn = [draw(store).id for _ in range(300)]
    done.set()
    folding.join()
    assert failed == []
    store.fold()
    assert list(saved(file)) == drawn
