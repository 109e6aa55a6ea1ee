"""Samples cut from several scenes: one folder, in which each scene stays known."""

import json

import numpy as np
import pytest
from affine import Affine
from shapely.geometry import Point, box

from landcover import balance_samples, extract_samples, train_classifier
from landcover.errors import InputError
from landcover.progress import collecting_notes
from landcover.samples.folder import read_samples, read_scenes
from landcover.training.loading import load_samples
from tests.scenes import PIXEL, TRANSFORM, write_labels, write_raster

SIDE = 24
FAR = Affine.translation(2 * SIDE * PIXEL, 0) @ TRANSFORM


def scene(path, transform=TRANSFORM, names=("red", "nir"), level=0, **how):
    """Two bands of which the pixels tell band, row and column."""
    rows, columns = np.indices((SIDE, SIDE))
    values = level + 1 + 30 * rows + columns
    return write_raster(
        path, np.stack([values, values + 5000]).astype(how.pop("dtype", np.uint16)),
        names=names, transform=transform, **how,
    )  # fmt: skip


def square(transform, row, column, side=4):
    left, top = transform @ (column, row)
    return box(left, top - side * PIXEL, left + side * PIXEL, top)


def labels_of_both(path):
    return write_labels(path, [
        ("water", square(TRANSFORM, 2, 2)), ("wood", square(TRANSFORM, 12, 12)),
        ("wood", square(FAR, 2, 2)), ("field", square(FAR, 12, 12)),
        ("field", square(TRANSFORM, 2, 14)), ("water", square(FAR, 2, 14)),
    ])  # fmt: skip


@pytest.fixture
def both(tmp_path):
    scenes = [scene(tmp_path / "a.tif"), scene(tmp_path / "b.tif", FAR, level=2000)]
    return scenes, labels_of_both(tmp_path / "labels.gpkg")


def test_samples_of_each_scene_are_those_of_the_scene_alone(both, tmp_path):
    scenes, labels = both
    made = extract_samples(scenes, labels, context=1, workdir=tmp_path / "all")
    assert made.total == 6 * 16
    codes = {one.name: one.code for one in read_scenes(made.samples)[0].legend.classes}
    assert codes == {"field": 1, "water": 2, "wood": 3}
    for path, together in zip(scenes, read_scenes(made.samples), strict=True):
        alone = extract_samples(path, labels, context=1, workdir=tmp_path / path.stem).samples
        expected = read_samples(alone)
        assert (together.scene, together.transform) == (path.name, expected.transform)
        np.testing.assert_array_equal(together.scene_pixels, expected.scene_pixels)
        for found, known in zip(together.batches(), expected.batches(), strict=True):
            np.testing.assert_array_equal(found.chips, known.chips)
            np.testing.assert_array_equal(found.codes, known.codes)
            np.testing.assert_array_equal(found.places, known.places)
    with pytest.raises(InputError, match="samples of 2 scenes"):
        read_samples(made.samples)
    assert "label outside" not in made.counts.read_text()


def test_labels_in_no_scene_are_counted_once(both, tmp_path):
    scenes, _ = both
    corners = [TRANSFORM @ (-50, 3), TRANSFORM @ (3.5, 3.5), FAR @ (3.5, 9.5), FAR @ (90, 3)]
    names = ("x", "x", "y", "y")
    labels = write_labels(
        tmp_path / "p.gpkg", [(n, Point(at)) for n, at in zip(names, corners, strict=True)]
    )
    made = extract_samples(scenes, labels, workdir=tmp_path / "out")
    assert made.total == 2
    assert "label outside the scene,,2" in made.counts.read_text()


@pytest.mark.parametrize("most", [5, 40])
def test_at_most_so_many_of_a_class_in_all_scenes_together(both, tmp_path, most):
    scenes, labels = both
    made = extract_samples(scenes, labels, max_per_class=most, workdir=tmp_path / "out")
    assert made.total == 3 * min(most, 32)
    parts = read_scenes(made.samples)
    of_scenes = [sum(map(len, part.containers)) for part in parts]
    assert sum(of_scenes) == made.total
    assert min(of_scenes) > 0  # a fair choice leaves none out


def test_bands_are_matched_by_name_and_light(both, tmp_path):
    scenes, labels = both
    other = scene(tmp_path / "c.tif", FAR, names=("NIR", "Red"))
    with collecting_notes(lambda sentence: None):
        made = extract_samples([scenes[0], other], labels, workdir=tmp_path / "out")
    first, second = read_scenes(made.samples)
    assert [band.name for band in second.bands] == [band.name for band in first.bands]
    chips = next(second.batches()).chips
    assert (chips[:, 0] > 5000).all()
    assert (chips[:, 1] < 5000).all()
    third = scene(tmp_path / "d.tif", FAR, names=("red", "swir1"))
    with pytest.raises(InputError, match=r"the scene d.tif has the bands red, swir1, those of a"):
        extract_samples([scenes[0], third], labels, workdir=tmp_path / "bad")
    assert not (tmp_path / "bad" / "samples").exists()


def test_a_scene_without_samples_is_told_of(both, tmp_path):
    scenes, labels = both
    away = scene(tmp_path / "away.tif", Affine.translation(9e4, 0) @ TRANSFORM)
    said = []
    with collecting_notes(lambda note: said.append(str(note))):
        made = extract_samples([away, *scenes], labels, workdir=tmp_path / "out")
    assert [part.scene for part in read_scenes(made.samples)] == ["a.tif", "b.tif"]
    assert any("away.tif: no sample lies in the scene" in sentence for sentence in said)
    with pytest.raises(InputError, match="no sample lies in the scene"):
        extract_samples([away], labels, workdir=tmp_path / "none")


def test_what_cannot_go_together_is_refused(both, tmp_path):
    scenes, labels = both
    copy = tmp_path / "copy.tif"
    copy.write_bytes(scenes[0].read_bytes())
    scaled = scene(tmp_path / "scaled.tif", FAR, scale=1e-4, offset=0)
    mask = write_raster(tmp_path / "m.tif", np.ones((1, SIDE, SIDE), np.uint8))
    with pytest.raises(InputError, match=r"a\.tif and copy\.tif are the same scene"):
        extract_samples([scenes[0], copy], labels, workdir=tmp_path / "o")
    with pytest.raises(InputError, match="mask belongs to one scene, and scene names 2"):
        extract_samples(scenes, labels, mask=mask, workdir=tmp_path / "o")
    with pytest.raises(InputError, match="different units"):
        extract_samples([scenes[0], scaled], labels, workdir=tmp_path / "o")


def test_they_are_balanced_and_trained_on_as_several_folders(both, tmp_path):
    scenes, labels = both
    made = extract_samples(scenes, labels, workdir=tmp_path / "all")
    folders = [
        extract_samples(path, labels, workdir=tmp_path / path.stem).samples for path in scenes
    ]
    together, apart = (load_samples(some, None, False) for some in ([made.samples], folders))
    for name in ("pixels", "codes", "places"):
        np.testing.assert_array_equal(
            getattr(together.training_set, name), getattr(apart.training_set, name)
        )
    assert together.scenes == ("a.tif", "b.tif")
    assert together.footprint == apart.footprint
    chosen = balance_samples(made.samples, threshold=4, clusters=2, workdir=tmp_path / "b")
    assert 0 < chosen.after < chosen.before == made.total
    trained = train_classifier(
        made.samples, chosen.selection, options='{"trees": 5}', workdir=tmp_path / "t"
    )
    report = json.loads(trained.report.read_text())
    assert [one["scene"] for one in report["scenes"]] == ["a.tif", "b.tif"]
    assert sum(one["places"] for one in report["scenes"]) == report["groups"]


def test_patches_of_several_scenes(both, tmp_path):
    scenes, labels = both
    made = extract_samples(scenes, labels, patches=8, context=2, workdir=tmp_path / "p")
    assert made.total == 96
    assert sorted(path.name for path in (made.samples / "patches").glob("samples*.mask.npy")) == [
        "samples-2.mask.npy", "samples.mask.npy",
    ]  # fmt: skip
    again = extract_samples(
        scenes[0], labels, patches=8, context=2, workdir=tmp_path / "p", overwrite=True
    )
    assert again.total == 48  # it takes the place of the folder of two


@pytest.mark.parametrize(
    "more",
    [{}, [{"scene": "x"}] * 1000, [{"more_scenes": []}], ["x"], [{"nodata": "none"}]],
)
def test_scenes_that_samples_json_gets_wrong_are_refused(both, tmp_path, more):
    scenes, labels = both
    folder = extract_samples(scenes, labels, workdir=tmp_path / "s").samples
    described = json.loads((folder / "samples.json").read_text())
    (folder / "samples.json").write_text(json.dumps(described | {"more_scenes": more}))
    with pytest.raises(InputError, match=r"samples\.json has an invalid"):
        read_scenes(folder)


def test_a_scene_whose_samples_are_gone_is_named(both, tmp_path):
    scenes, labels = both
    folder = extract_samples(scenes, labels, workdir=tmp_path / "s").samples
    for container in folder.glob("*/samples-2*.npy"):
        container.unlink()
    with pytest.raises(InputError, match=r"holds no sample of b\.tif"):
        read_scenes(folder)
