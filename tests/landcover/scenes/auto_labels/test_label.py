"""Labelling of scenes: what is written, what is refused, and what the report owns up to."""

import csv
import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import rasterio

from landcover.cli import main
from landcover.errors import InputError
from landcover.operations import by_identifier
from landcover.scenes.auto_labels.label import label_scenes
from landcover.scenes.auto_labels.one_scene import Task
from landcover.scenes.auto_labels.rules import read_rules
from tests.landcover.scenes.auto_labels.ice import (
    THICK,
    THIN,
    WATER,
    classes,
    overcast,
    picture,
    write_picture,
)
from tests.landcover.scenes.auto_labels.test_rules import write_rules
from tests.scenes import pixels, write_labels, write_raster


def labelled(inputs, folder):
    return by_identifier("label-by-color").run(inputs, folder)


def read(done, name):
    with rasterio.open(done.result.labels / name) as dataset:
        return dataset.read(1), dataset.tags()


@pytest.fixture
def scene(tmp_path):
    return write_picture(tmp_path / "ice.tif", picture(classes()))


def test_otsu_finds_the_classes_of_a_scene(scene, tmp_path):
    done = labelled({"scenes": [scene]}, tmp_path / "out")
    codes, tags = read(done, "ice.tif")
    assert (codes == classes()).mean() > 0.99
    assert done.result.labelled == 1
    legend = json.loads(tags["LANDCOVER_LEGEND"])
    assert [entry["code"] for entry in legend] == [WATER, THIN, THICK]
    low, high = map(float, tags["THRESHOLDS"].split())
    assert 90 < low < 130 < 170 < high < 205
    assert any("Cloud over ice cannot be told" in told for told in done.remarks)


def test_the_literature_and_a_margin_are_choices(scene, tmp_path):
    done = labelled({"scenes": [scene], "calibrate": "none"}, tmp_path / "none")
    codes, _ = read(done, "ice.tif")
    value = picture(classes()).max(axis=0)
    assert (codes == np.digitize(value, [31, 205]) + 1).all()
    done = labelled({"scenes": [scene], "calibrate": "none", "margin": 5}, tmp_path / "margin")
    codes, _ = read(done, "ice.tif")
    near = ((value >= 200) & (value <= 209)) | ((value >= 26) & (value <= 35))
    assert ((codes == 255) == near).all()
    assert done.result.labelled == pytest.approx(1 - near.mean())


def test_an_overcast_scene_is_refused_and_others_are_not_lost(scene, tmp_path):
    cloud = write_picture(tmp_path / "cloud.tif", overcast())
    with pytest.raises(InputError, match=r"cloud\.tif cannot be labelled.*overcast"):
        labelled({"scenes": [cloud]}, tmp_path / "one")
    done = labelled({"scenes": [cloud, scene]}, tmp_path / "two")
    assert [path.name for path in done.result.labels.glob("*.tif")] == ["ice.tif"]
    assert any("cloud.tif was not labelled" in told for told in done.remarks)
    assert "cloud.tif" in done.result.report.read_text(encoding="utf-8")


def test_nodata_and_masks_get_no_label(tmp_path):
    values = picture(classes())
    values[:, :10] = 0
    scene = write_picture(tmp_path / "s.tif", values, nodata=0)
    clear = np.ones((128, 128), np.uint8)
    clear[:, 100:] = 0
    mask = write_raster(tmp_path / "m.tif", clear)
    done = labelled({"scenes": [scene], "masks": [mask]}, tmp_path / "out")
    codes, _ = read(done, "s.tif")
    empty = np.zeros((128, 128), bool)
    empty[:10], empty[:, 100:] = True, True
    assert ((codes == 255) == empty).all()


def test_concentration_of_ice_by_tile(scene, tmp_path):
    done = labelled({"scenes": [scene], "tile": 64}, tmp_path / "out")
    codes, _ = read(done, "ice.tif")
    with done.result.concentration.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["row"], row["column"]) for row in rows] == [
        ("0", "0"), ("0", "1"), ("1", "0"), ("1", "1"),
    ]  # fmt: skip
    tile = codes[64:, :64]
    assert float(rows[2]["ice"]) == pytest.approx((tile > WATER).mean(), abs=1e-6)
    assert float(rows[2]["open water"]) == pytest.approx((tile == WATER).mean(), abs=1e-6)
    assert float(rows[3]["left"]) - float(rows[0]["left"]) == 640


def test_noise_is_told_from_a_few_checked_points(scene, tmp_path):
    rng = np.random.default_rng(5)
    places = rng.integers(0, 127, (40, 2))
    names = ["", "open water", "young or thin ice", "thick or snow-covered ice"]
    wrong = [(names[1 + (classes()[r, c] + (i < 8)) % 3 if i < 8 else classes()[r, c]],
              pixels(r, c, 1, 1).centroid) for i, (r, c) in enumerate(places)]  # fmt: skip
    points = write_labels(tmp_path / "checked.gpkg", wrong)
    done = labelled({"scenes": [scene], "reference": points}, tmp_path / "out")
    codes, _ = read(done, "ice.tif")
    told = [names.index(name) for name, _ in wrong]
    share = np.mean([codes[r, c] != code for (r, c), code in zip(places, told, strict=True)])
    page = done.result.report.read_text(encoding="utf-8")
    assert f"<b>{100 * share:.1f} %</b>" in page
    assert share > 0.1


def test_thresholds_fitted_to_a_reference_say_so(scene, tmp_path):
    reference = write_raster(tmp_path / "truth.tif", classes())
    given = {"scenes": [scene], "reference": reference, "calibrate": "reference"}
    done = labelled(given, tmp_path / "out")
    codes, _ = read(done, "ice.tif")
    assert (codes == classes()).mean() > 0.99
    assert any("fitted to this very reference" in told for told in done.remarks)
    with pytest.raises(InputError, match="needs the input reference"):
        labelled({"scenes": [scene], "calibrate": "reference"}, tmp_path / "none")


def test_codes_that_mean_something_else_are_doubted(scene, tmp_path):
    turned = write_raster(tmp_path / "turned.tif", (4 - classes()).astype(np.uint8))
    done = labelled({"scenes": [scene], "reference": turned}, tmp_path / "out")
    assert any("with other pairs of codes" in told for told in done.remarks)


def test_stretch_takes_a_veil_out(tmp_path):
    codes = classes(512)
    veil = np.linspace(0, 0.55, 512)[None, :]
    values = picture(codes)
    veiled = (values * (1 - veil) + 240 * veil).astype(np.uint8)
    scene = write_picture(tmp_path / "veiled.tif", veiled)
    right = {}
    for name in ("none", "stretch"):
        done = labelled({"scenes": [scene], "filter": name}, tmp_path / name)
        right[name] = (read(done, "veiled.tif")[0] == codes).mean()
    assert right["stretch"] > right["none"] + 0.05


def test_windows_of_a_scene_have_no_seams(tmp_path):
    codes = classes(640)
    whole = picture(codes)
    scene = write_picture(tmp_path / "s.tif", whole)
    with rasterio.open(
        tmp_path / "tiled.tif", "w", driver="GTiff", count=3, height=640, width=640,
        dtype="uint8", tiled=True, blockxsize=128, blockysize=128,
        crs=rasterio.open(scene).crs, transform=rasterio.open(scene).transform,
    ) as dataset:  # fmt: skip
        dataset.write(whole)
        dataset.descriptions = ["red", "green", "blue"]
    for name in ("stretch", "published"):
        both = []
        for path in (scene, tmp_path / "tiled.tif"):
            given = {"scenes": [path], "filter": name, "calibrate": "none"}
            done = labelled(given, tmp_path / name / path.stem)
            both.append(read(done, path.name)[0])
        assert (both[0] == both[1]).all()


def test_bands_and_indices_make_classes(tmp_path):
    values = np.zeros((2, 20, 30), np.uint16)
    values[:, :, :10] = np.array([900, 300])[:, None, None]
    values[:, :, 10:] = np.array([400, 3000])[:, None, None]
    scene = write_raster(tmp_path / "s.tif", values, names=["green", "nir"], SCALE="0.0001")
    water, land = {"NDWI": [0.1, None], "nir": [None, 0.1]}, {"NDWI": [None, 0]}
    rules = write_rules(tmp_path / "r.json", water=water, land=land)
    done = labelled({"scenes": [scene], "rules": rules}, tmp_path / "out")
    codes, _ = read(done, "s.tif")
    assert (codes[:, :10] == 2).all()
    assert (codes[:, 10:] == 1).all()
    assert any("has no effect" in told for told in done.remarks)


def test_what_a_scene_lacks_is_told(tmp_path):
    values = np.random.default_rng(0).integers(1, 3000, (2, 20, 30)).astype(np.uint16)
    scene = write_raster(tmp_path / "s.tif", values, names=["green", "nir"])
    with pytest.raises(InputError, match="V needs red and blue"):
        labelled({"scenes": [scene]}, tmp_path / "v")
    rules = write_rules(tmp_path / "r.json", a={"nir": [0, 0.1]}, b={"nir": [0.2, 1]})
    with pytest.raises(InputError, match="does not say its units"):
        labelled({"scenes": [scene], "rules": rules}, tmp_path / "units")


def test_clouds_are_unsure_where_a_band_shows_them(tmp_path):
    codes = classes()
    swir = np.full((1, 128, 128), 200)
    swir[:, :, 90:] = 3000
    curve = np.array([0, 800, 2600, 8000])[codes]
    values = np.concatenate([np.stack([curve] * 3), swir]).astype(np.uint16)
    scene = write_raster(
        tmp_path / "s.tif", values, names=["red", "green", "blue", "swir2"], SCALE="0.0001"
    )
    done = labelled({"scenes": [scene]}, tmp_path / "out")
    found, _ = read(done, "s.tif")
    assert (found[:, 90:] == 255).all()
    assert (found[:, :90] == codes[:, :90]).mean() > 0.99
    assert not any("Cloud over ice" in told for told in done.remarks)


def test_any_executor_gives_the_same(tmp_path):
    tasks = [
        Task(write_picture(tmp_path / f"{i}.tif", picture(classes(seed=i), i)), None, "",
             read_rules("sea-ice"))
        for i in range(3)
    ]  # fmt: skip
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    alone = label_scenes(tasks, "otsu", tmp_path / "here")
    with ProcessPoolExecutor(2, get_context("forkserver")) as processes:
        spread = label_scenes(tasks, "otsu", tmp_path / "there", spread=processes.map)
    for one, other in zip(alone.labelled, spread.labelled, strict=True):
        assert (one.made.counts == other.made.counts).all()
    for path in (tmp_path / "here").iterdir():
        assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes()


def test_scenes_of_one_name_keep_their_own_labels(tmp_path):
    paths = []
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        codes = classes(seed=number)
        paths.append(write_picture(tmp_path / str(number) / "s.tif", picture(codes)))
    done = labelled({"scenes": paths}, tmp_path / "out")
    for number, name in enumerate(["s.tif", "s_2.tif"]):
        assert (read(done, name)[0] == classes(seed=number)).mean() > 0.99
    with done.result.concentration.open(encoding="utf-8") as file:
        assert {row["scene"] for row in csv.DictReader(file)} == {"0/s.tif", "1/s.tif"}


def test_command_line_takes_the_named_set_and_files(scene, tmp_path, capsys):
    assert main(["label-by-color", "--scenes", str(scene), "--rules", "sea-ice",
                 "--workdir", str(tmp_path / "a")]) == 0  # fmt: skip
    assert set(json.loads(capsys.readouterr().out)) == {
        "labels", "report", "concentration", "labelled", "remarks",
    }  # fmt: skip
    assert main(["label-by-color", "--scenes", str(scene), "--rules", str(tmp_path / "no.json"),
                 "--workdir", str(tmp_path / "b")]) == 2  # fmt: skip


def test_samples_and_maps_of_such_labels_say_so(scene, tmp_path):
    done = labelled({"scenes": [scene]}, tmp_path / "out")
    labels = done.result.labels / "ice.tif"
    extracted = by_identifier("extract-samples").run(
        {"scene": scene, "labels": labels, "max_per_class": 200}, tmp_path / "samples"
    )
    assert any("made by label-by-color" in told for told in extracted.remarks)
    trained = by_identifier("train-classifier").run(
        {"samples": [extracted.result.samples]}, tmp_path / "model"
    )
    assert any("how well the model learned the rules" in told for told in trained.remarks)
    report = json.loads(trained.result.report.read_text())
    assert report["labels_by"] == ["label-by-color, rules sea-ice"]
    mapped = by_identifier("classify-scene").run(
        {"scene": scene, "model": [trained.result.model]}, tmp_path / "map"
    )
    judged = by_identifier("assess-quality").run(
        {"map": mapped.result.map, "reference": labels}, tmp_path / "judged"
    )
    assert any("not how good it is" in told for told in judged.remarks)
