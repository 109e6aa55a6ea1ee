import hashlib
import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import rasterio

from landcover.errors import InputError
from landcover.io.records import run_record
from landcover.io.records.digests import sha256_of_file, sha256_of_path
from landcover.operations import OPERATIONS, by_identifier
from tests.landcover.scenes.auto_labels.ice import classes, picture, write_picture
from tests.scenes import pixels, write_labels, write_raster

RECORDS = re.compile(r"run\.([a-z-]+\.)?json")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where every operation ran once, as ann, in a folder called like it."""
    return tmp_path_factory.mktemp("inputs")


@pytest.fixture(scope="module")
def inputs(folder):
    """The inputs of every operation, by identifier; a new one needs an entry."""
    rng = np.random.default_rng(0)
    values = np.where(np.arange(48)[:, None] < 24, 100, 900) + rng.integers(0, 50, (3, 48, 48))
    scene = write_raster(folder / "scene.tif", values.astype(np.uint16), names=("b", "g", "r"))
    shapes = [(name, pixels(row, column, 9, 9)) for name, row in (("low", 3), ("high", 30))
              for column in (2, 18, 34)]  # fmt: skip
    labels = write_labels(folder / "labels.gpkg", shapes)
    run = {}

    def made(identifier, **given):
        run[identifier] = given
        return by_identifier(identifier).run(given, folder / identifier, user="ann").outputs

    made("import-scene", source=[scene], date="2023-04-01")
    dated = [
        write_raster(folder / f"{day}.tif", np.stack([*values, values[2] + 500]).astype(np.uint16),
                     names=("B02", "B03", "B04", "B08"), DATE=day, SCALE="0.0001")
        for day in ("2023-04-01", "2023-07-01")
    ]  # fmt: skip
    made("mask-clouds", scene=dated[0])
    made("stack-scenes", scenes=dated)
    made("compose-scenes", scenes=dated)
    made("derive-bands", scene=dated[0], indices="NDVI")
    days = [write_picture(folder / f"ice{day}.tif", picture(classes(48, day), day))
            for day in range(2)]  # fmt: skip
    made("label-by-color", scenes=days)
    made("check-samples", scene=scene, labels=labels)
    samples = made("extract-samples", scene=scene, labels=labels)["samples"]
    selection = made("balance-samples", samples=samples, threshold=40)["selection"]
    model = made("train-classifier", samples=samples, selection=selection)["model"]
    made("check-radiometry", scene=scene, model=model)
    mapped = made("classify-scene", scene=scene, model=model)["map"]
    made("draw-reference-sample", map=mapped, per_class=7)
    made("assess-quality", map=mapped, reference=labels)
    made("compare-maps", first=mapped, second=mapped, reference=labels)
    made("review-map", map=mapped)
    made("tabulate-areas", map=[mapped])
    sieved = made("sieve-map", map=mapped, pixels=9)["map"]
    made("detect-changes", first=mapped, second=sieved)
    made("polygonize-map", map=mapped)
    made("export-map", map=mapped, assessment=folder / "assess-quality")
    return run


def written(folder):
    """The bytes of everything below a folder but for the run records."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not RECORDS.fullmatch(path.name)
    }


@pytest.mark.parametrize("identifier", [operation.identifier for operation in OPERATIONS])
def test_two_runs_of_one_recipe_write_the_same_bytes(
    identifier, inputs, folder, tmp_path, monkeypatch
):
    monkeypatch.setattr("time.time", lambda: 2e9)  # a day in 2033
    by_identifier(identifier).run(inputs[identifier], tmp_path, user="ivan")
    first, second = written(folder / identifier), written(tmp_path)
    assert set(first) == set(second)
    assert [name for name in first if first[name] != second[name]] == []
    assert not any(b"ivan" in content or b"2033-05" in content for content in second.values())
    records = [
        json.loads((work / "run.json").read_text()) for work in (folder / identifier, tmp_path)
    ]
    assert records[0]["recipe"] == records[1]["recipe"]
    assert records[0]["run"]["outputs"] == records[1]["run"]["outputs"]
    assert [record["run"]["user"] for record in records] == ["ann", "ivan"]


def test_the_record_parts_recipe_and_run(inputs, tmp_path):
    given = inputs["classify-scene"]
    completed = by_identifier("classify-scene").run(given, tmp_path, user="ann")
    record = json.loads((tmp_path / "run.json").read_text())
    assert (tmp_path / "run.classify-scene.json").read_text() == (
        tmp_path / "run.json"
    ).read_text()
    recipe, run = record["recipe"], record["run"]
    assert set(record) == {"recipe", "run"}
    assert set(recipe) == {"operation", "version", "inputs", "options", "seed", "threads", "cpu",
                           "code_version", "libraries"}  # fmt: skip
    assert set(run) == {
        "user",
        "started",
        "finished",
        "remarks",
        "metrics",
        "files",
        "outputs",
        "written",
    }
    scene, model = (
        hashlib.sha256(Path(given[name]).read_bytes()).hexdigest() for name in ("scene", "model")
    )
    assert recipe["inputs"] == {"scene": scene, "model": [model]}  # a model may be several
    assert recipe["options"] == {
        "radiometry": "refuse", "bands": "", "layer": "", "probabilities": False,
    }  # fmt: skip
    assert recipe["seed"] is None
    assert {"numpy", "rasterio", "scikit-learn", "python", "gdal"} <= set(recipe["libraries"])
    assert run["files"] == {"scene": str(given["scene"]), "model": [str(given["model"])]}
    assert (
        run["outputs"]["map"] == hashlib.sha256(completed.outputs["map"].read_bytes()).hexdigest()
    )
    assert run["metrics"] == [{"name": "classified", "step": 0, "value": 48 * 48}]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", run["started"])


def digest_in(record):
    """The recipe digest, by the contract's rule: sorted keys, UTF-8, no blanks."""
    recipe = json.loads(record.read_text())["recipe"]
    text = json.dumps(recipe, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def test_written_files_carry_the_digest_of_their_recipe(inputs, folder):
    digests = {name: digest_in(folder / name / "run.json") for name in inputs}
    assert len(set(digests.values())) == len(digests)
    with rasterio.open(folder / "label-by-color/labels/ice0.tif") as dataset:
        assert dataset.tags()["LANDCOVER_RECIPE"] == digests["label-by-color"]
    for name in ("map", "confidence"):
        with rasterio.open(folder / f"classify-scene/{name}.tif") as dataset:
            assert dataset.tags()["LANDCOVER_RECIPE"] == digests["classify-scene"]
    model = onnx.load(folder / "train-classifier/model.onnx")
    keys = {entry.key: entry.value for entry in model.metadata_props}
    assert keys["landcover.recipe"] == digests["train-classifier"]
    members = {
        "extract-samples": "samples/samples.json",
        "train-classifier": "report.json",
        "classify-scene": "coverage.json",
        "assess-quality": "statistics.json",
    }
    for identifier, file in members.items():
        assert (
            json.loads((folder / identifier / file).read_text())["recipe"] == digests[identifier]
        )
    in_bytes = {
        "balance-samples": "diagram.png",
        "assess-quality": "report.html",
        "compare-maps": "report.html",
        "draw-reference-sample": "points.gpkg",
        "review-map": "report.html",
        "tabulate-areas": "report.html",
        "detect-changes": "changes.tif",
        "sieve-map": "map.tif",
        "polygonize-map": "polygons.gpkg",
        "export-map": "package.zip",
    }
    for identifier, file in in_bytes.items():
        assert digests[identifier].encode() in (folder / identifier / file).read_bytes()


def test_other_content_is_another_recipe_other_names_are_not(inputs, tmp_path):
    check = by_identifier("check-radiometry")
    given = inputs["check-radiometry"]
    check.run(given, tmp_path / "as it was")
    moved = tmp_path / "moved.tif"
    moved.write_bytes(Path(given["scene"]).read_bytes())
    check.run(given | {"scene": moved}, tmp_path / "moved")
    with rasterio.open(moved, "r+") as dataset:
        dataset.write(dataset.read() + 1)
    check.run(given | {"scene": moved}, tmp_path / "changed")
    digests = [
        digest_in(tmp_path / name / "run.json") for name in ("as it was", "moved", "changed")
    ]
    assert digests[0] == digests[1] != digests[2]


def test_a_file_where_nothing_is_recorded_carries_no_digest():
    assert run_record.recipe_tag() == {}
    assert run_record.with_recipe({"a": 1}) == {"a": 1}


def test_a_folder_has_the_digest_of_its_visible_files_by_name(tmp_path):
    folder = tmp_path / "folder"
    (folder / "in").mkdir(parents=True)
    (folder / "in/a.npy").write_bytes(b"1")
    before = sha256_of_path(folder)
    (folder / ".hidden").write_bytes(b"2")
    assert sha256_of_path(folder) == before
    (folder / "in/a.npy").rename(folder / "in/b.npy")
    renamed = sha256_of_path(folder)
    assert renamed != before
    (folder / ".elsewhere").write_bytes(b"3")
    (folder / "in/inner.npy").symlink_to("../.elsewhere")
    inside = sha256_of_path(folder)
    (folder / ".elsewhere").write_bytes(b"4")  # it is what a reader of the link gets
    renamed = sha256_of_path(folder)
    assert inside != renamed
    (folder / "in/link.npy").symlink_to("/etc/passwd")
    linked = sha256_of_path(folder)
    (folder / "in/link.npy").unlink()
    (folder / "in/link.npy").symlink_to("/etc/hostname")
    assert len({renamed, linked, sha256_of_path(folder)}) == 3


def test_a_shapefile_is_all_its_parts(tmp_path):
    parts = {ending: tmp_path / f"a.{ending}" for ending in ("shp", "shx", "dbf", "prj")}
    for ending, path in parts.items():
        path.write_text(ending)
    before = sha256_of_path(parts["shp"])
    parts["dbf"].write_text("other classes")
    assert sha256_of_path(parts["shp"]) != before


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match="gone cannot be read: No such file"):
        sha256_of_file(tmp_path / "gone")
    with pytest.raises(InputError, match="no plain file"):
        sha256_of_file(Path("/dev/null"))


def test_what_is_read_is_never_written_over(inputs, tmp_path):
    given = inputs["classify-scene"]
    scene = tmp_path / "map.tif"
    scene.write_bytes(Path(given["scene"]).read_bytes())
    before = scene.read_bytes()
    with pytest.raises(InputError, match=r"scene is map\.tif in the workdir, which would be"):
        by_identifier("classify-scene").run(given | {"scene": scene}, tmp_path)
    (tmp_path / "link.tif").symlink_to("map.tif")
    with pytest.raises(InputError, match="would be written over"):
        by_identifier("classify-scene").run(given | {"scene": tmp_path / "link.tif"}, tmp_path)
    assert scene.read_bytes() == before
    samples = inputs["balance-samples"]["samples"]
    for workdir in (samples, samples / "below"):
        with pytest.raises(InputError, match="the workdir lies in samples, which is read"):
            by_identifier("balance-samples").run({"samples": samples}, workdir)


def test_a_folder_called_like_the_record_is_not_replaced(inputs, tmp_path):
    (tmp_path / "run.json").mkdir()
    with pytest.raises(InputError, match=r"run\.json is in the way"):
        by_identifier("check-radiometry").run(inputs["check-radiometry"], tmp_path)
