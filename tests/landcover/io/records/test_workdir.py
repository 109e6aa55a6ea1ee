"""What lies in a workdir is not written over unless somebody asks for it."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import landcover
from landcover import check_radiometry, draw_reference_sample, extract_samples
from landcover.cli import main
from landcover.errors import InputError
from landcover.io.legend import Legend
from landcover.io.records.digests import sha256_of_path
from landcover.io.records.workdir import protect_others
from tests.scenes import pixels, write_labels, write_raster

RECORD = "run.extract-samples.json"


@pytest.fixture
def given(tmp_path):
    values = np.arange(2 * 16 * 16, dtype=np.uint16).reshape(2, 16, 16)
    scene = write_raster(tmp_path / "scene.tif", values, names=("b", "g"))
    labels = write_labels(tmp_path / "labels.gpkg", [("a", pixels(2, 2, 4, 4))])
    return {"scene": scene, "labels": labels, "workdir": tmp_path / "out"}


def a_map(path):
    codes = np.ones((16, 16), np.uint8)
    return write_raster(path, codes, nodata=255, LANDCOVER_LEGEND=Legend.of(["a"]).to_tag())


def remarks(workdir):
    return json.loads((workdir / RECORD).read_text())["run"]["remarks"]


def test_another_operation_never_replaces_an_output(given, tmp_path):
    extract_samples(**given)
    counts = (given["workdir"] / "counts.csv").read_bytes()
    mapped = a_map(tmp_path / "map.tif")
    with pytest.raises(InputError, match=r"counts.csv of extract-samples, which draw-ref.*over"):
        draw_reference_sample(mapped, workdir=given["workdir"])
    assert (given["workdir"] / "counts.csv").read_bytes() == counts
    draw_reference_sample(mapped, workdir=given["workdir"], overwrite=True)
    assert (given["workdir"] / "counts.csv").read_bytes() != counts


def test_files_of_other_names_are_not_taken_for_a_repetition(given, tmp_path, monkeypatch, capsys):
    extract_samples(**given)
    other = shutil.copy(given["scene"], tmp_path / "other.tif")
    with pytest.raises(InputError, match=rf"scene {given['scene']}, now it is {other}: name"):
        extract_samples(**given | {"scene": other})
    monkeypatch.chdir(tmp_path)  # another spelling of the same path is no other name
    named = ["extract-samples", "--labels", "labels.gpkg", "--workdir", "out"]
    assert main([*named, "--scene", "./scene.tif"]) == 0
    assert main([*named, "--scene", "other.tif"]) == 2
    capsys.readouterr()
    assert main([*named, "--scene", "other.tif", "--overwrite", "true"]) == 0
    assert json.loads(capsys.readouterr().out)["remarks"] == []


def test_same_names_replace_and_what_changed_is_said(given):
    extract_samples(**given)
    assert extract_samples(**given).total == 16
    assert remarks(given["workdir"]) == []
    extract_samples(**given, max_per_class=5)
    assert remarks(given["workdir"]) == [
        "this replaces the result of an earlier run: max_per_class was 0 and is 5"
    ]
    write_labels(given["labels"], [("a", pixels(2, 2, 3, 3))])
    extract_samples(**given, max_per_class=5)
    assert "earlier run: labels has other content" in remarks(given["workdir"])[0]


def test_file_that_is_given_besides_is_said(given, tmp_path):
    extract_samples(**given)
    mask = write_raster(tmp_path / "mask.tif", np.ones((16, 16), np.uint8))
    extract_samples(**given, mask=mask)
    assert remarks(given["workdir"])[0] == (
        "this replaces the result of an earlier run: mask is given"
    )


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"recipe": {}, "run": {}}', "\0"])
def test_record_that_is_none_stops_nobody(given, content):
    given["workdir"].mkdir()
    (given["workdir"] / RECORD).write_text(content)
    assert extract_samples(**given).total == 16


@pytest.mark.parametrize("name", ["counts.csv", "samples"])
def test_what_no_operation_wrote_is_not_replaced(given, name):
    given["workdir"].mkdir()
    mine = given["workdir"] / name
    mine.mkdir() if name == "samples" else mine.write_text("mine")
    with pytest.raises(InputError, match=rf"holds {name}, which no operation wrote and extract-s"):
        extract_samples(**given)
    assert [path.name for path in given["workdir"].iterdir()] == [name]
    assert extract_samples(**given, overwrite=True).total == 16


def test_what_somebody_changed_is_not_replaced(given):
    counts = extract_samples(**given).counts
    written = counts.read_bytes()
    counts.write_text("by hand")
    with pytest.raises(InputError, match=r"counts\.csv, which was changed since extract-samples"):
        extract_samples(**given)
    assert counts.read_text() == "by hand"
    counts.write_bytes(written)
    assert extract_samples(**given).total == 16
    next((given["workdir"] / "samples" / "a").glob("*.npy")).unlink()
    with pytest.raises(InputError, match="samples, which was changed since"):
        extract_samples(**given)


def test_style_that_somebody_made_is_kept_and_statistics_of_a_viewer_stop_nobody(tmp_path):
    """QGIS keeps statistics in map.tif.aux.xml when it shows a map, a style in map.qml."""
    a_map(tmp_path / "map.tif")
    written = {
        "map": "map.tif", "map.tif.aux.xml": "map.tif.aux.xml", "map.qml": "map.qml"
    }  # fmt: skip
    names = (tmp_path / "map.tif.aux.xml", tmp_path / "map.qml")
    for path in names:
        path.write_text("<PAMDataset/>")
    digests = {output: sha256_of_path(tmp_path / name) for output, name in written.items()}
    record = {"run": {"written": [*written.values()], "outputs": digests}}
    check = partial(
        protect_others, tmp_path, "classify-scene", written, {"classify-scene": record}
    )
    check()
    names[0].write_text("<PAMDataset><Histograms/></PAMDataset>")
    check()
    names[1].write_text("<qgis/>")
    with pytest.raises(InputError, match=r"map\.qml, which was changed since classify"):
        check()


def test_what_an_interrupted_run_left_is_replaced(given, monkeypatch):
    """Outputs lie there, and the record that would say so was not written."""

    def cut_off(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("landcover.io.records.run_record.RunRecord.write", cut_off)
        with pytest.raises(KeyboardInterrupt):
            extract_samples(**given)
    assert (given["workdir"] / "samples").is_dir()
    with pytest.raises(
        InputError, match="GeoTIFF is needed"
    ):  # a refusal in between changes nothing
        extract_samples(**given, mask=given["labels"])
    assert extract_samples(**given).total == 16
    assert not [path for path in given["workdir"].iterdir() if path.name.startswith(".")]


def test_refusal_leaves_no_empty_folder(given, tmp_path):
    with pytest.raises(InputError):
        extract_samples(**given | {"workdir": tmp_path / "far" / "below", "class_field": "no"})
    assert not (tmp_path / "far").exists()
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError):
        extract_samples(**given | {"workdir": tmp_path / "there", "class_field": "no"})
    assert (tmp_path / "there").is_dir()


def test_operations_make_their_workdir(given, tmp_path):
    result = extract_samples(**given | {"workdir": tmp_path / "far" / "below"})
    assert result.counts == tmp_path / "far" / "below" / "counts.csv"


@pytest.fixture
def server(given, tmp_path, monkeypatch):
    """A user's server whose home is this folder, with somebody in a subfolder."""
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/eve/")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "course").mkdir()
    monkeypatch.chdir(tmp_path / "course")
    return tmp_path


def test_storage_names_are_read_and_written_in_a_users_server(server, capsys):
    result = extract_samples("home/scene.tif", "home/labels.gpkg", workdir="home/new/")
    assert result.samples == server / "new" / "samples"
    assert not (server / "course" / "home").exists()
    status = main(["extract-samples", "--scene", "home/scene.tif", "--labels",
                   str(server / "labels.gpkg"), "--workdir", "home/other"])  # fmt: skip
    assert status == 0
    assert Path(json.loads(capsys.readouterr().out)["counts"]).parent == server / "other"


def test_storage_name_that_means_nothing_is_said(server):
    with pytest.raises(InputError, match=r"there is no home/nowhere.tif"):
        check_radiometry("home/nowhere.tif", "home/model.onnx")


def test_name_that_is_a_path_too_is_refused(server):
    (server / "course" / "home").mkdir()
    (server / "course" / "home" / "scene.tif").write_bytes(b"")
    with pytest.raises(InputError, match="give the whole path of the one that is meant"):
        extract_samples("home/scene.tif", "home/labels.gpkg")


def test_elsewhere_a_name_is_a_path(given, tmp_path, monkeypatch):
    monkeypatch.delenv("JUPYTERHUB_SERVICE_PREFIX", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"there is no file scene\.tif"):
        extract_samples("home/scene.tif", given["labels"])


def test_a_notebook_offers_operations_and_shows_their_inputs():
    assert "classify_scene" in dir(landcover)
    assert not {"cog", "operation", "writing"} & set(dir(landcover))
    assert landcover.extract_samples.__signature__.parameters["overwrite"].default is False
