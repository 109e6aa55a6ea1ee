"""Maps of classifiers that look around a pixel are those of the whole scene in one piece."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import rasterio

from landcover import classify_scene, extract_samples, train_classifier
from landcover.errors import Stopped
from landcover.inference import classify as classification
from landcover.inference.classify import UNFINISHED
from landcover.models.classifier import Classifier, without_halo
from landcover.models.file import load_model
from landcover.progress import progress_to
from tests.scenes import CRS, TRANSFORM, pixels, write_labels, write_raster

HALO, STEP = 16, 8
BLOCKS = {
    "tiles": {"tiled": True, "blockxsize": 256, "blockysize": 256},
    "odd tiles": {"tiled": True, "blockxsize": 400, "blockysize": 208},
    "rows": {"blockysize": 7, "interleave": "pixel"},
    "one strip": {"blockysize": 700},
}


@dataclass(frozen=True)
class Pyramid(Classifier):
    """As a network with pools sees: blocks of 8 x 8 pixels of the scene, and those around.

    The second and third band hold row and column: it fails where a block begins elsewhere.
    """

    codes: np.ndarray = field(default_factory=lambda: np.array([1, 2], np.uint8))
    bands: int = 3
    halo: int = HALO
    step: int = STEP

    def probabilities(self, block, valid, scene=None):
        for axis, band in ((0, 1), (1, 2)):
            first = block[band][valid] - np.argwhere(valid)[:, axis]
            assert (first == first[0]).all()
            assert first[0] % STEP == 0
        assert not block[:, ~valid].any()
        height, width = valid.shape
        more = (-height % STEP, -width % STEP)
        seen = np.pad(np.where(valid, block[0], 0), ((0, more[0]), (0, more[1]))).astype(np.int64)
        rows, columns = (side // STEP for side in seen.shape)
        pooled = seen.reshape(rows, STEP, columns, STEP).max(axis=(1, 3))
        around = sum(np.roll(pooled, (r, c), (0, 1)) for r in (-1, 0, 1) for c in (-1, 0, 1))
        total = (
            np.kron(around, np.ones((STEP, STEP), int))[:height, :width] + seen[:height, :width]
        )
        share = without_halo(total % 101 / 100, HALO)
        inside = without_halo(valid, HALO)
        return np.where(inside, np.stack([share, 1 - share]), 0).astype(np.float32)

    def to_graph(self):
        raise NotImplementedError


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model whose card fits the scenes."""
    folder = tmp_path_factory.mktemp("model")
    scene = write_raster(folder / "scene.tif", values_of(40, 40), names=("a", "row", "column"))
    shapes = [(name, pixels(row, column, 6, 6)) for name, column in (("x", 0), ("y", 20))
              for row in (0, 12, 30)]  # fmt: skip
    labels = write_labels(folder / "labels.gpkg", shapes)
    samples = extract_samples(scene, labels, workdir=folder).samples
    return train_classifier(samples, options='{"trees": 4}', workdir=folder).model


@pytest.fixture
def looking_around(monkeypatch):
    """Let the model's place be taken by one that looks around."""
    monkeypatch.setattr(
        classification,
        "load_models",
        lambda paths: [("the model", replace(load_model(paths[0]), classifier=Pyramid()))],
    )


def values_of(height, width):
    rows, columns = np.indices((height, width))
    brightness = np.random.default_rng(1).integers(1, 1000, (height, width))
    return np.stack([brightness, rows, columns]).astype(np.uint16)


def write_scene(path, values, mask, **how):
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", driver="GTiff", count=3, height=values.shape[1], width=values.shape[2],
            dtype=values.dtype, crs=CRS, transform=TRANSFORM, compress="deflate", **how,
        ) as dataset,
    ):  # fmt: skip
        dataset.write(values)
        dataset.descriptions = ("a", "row", "column")
        dataset.write_mask(mask)
    return path


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def scene_of(folder, how):
    values = values_of(610, 830)
    valid = np.random.default_rng(0).random(values.shape[1:]) > 0.2
    valid[:STEP, :STEP] = True
    values[:, ~valid] = 0
    return values, valid, write_scene(folder / "scene.tif", values, valid, **how)


def at_once(values, valid):
    grown = np.pad(values, ((0, 0), (HALO, HALO), (HALO, HALO)))
    return Pyramid().classify(grown, np.pad(valid, HALO))


@pytest.mark.parametrize("how", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.usefixtures("looking_around")
def test_the_map_is_that_of_the_whole_scene_whatever_its_blocks(how, model, tmp_path):
    values, valid, scene = scene_of(tmp_path, how)
    result = classify_scene(scene, model, radiometry="ignore", workdir=tmp_path)
    codes, confidence = at_once(values, valid)
    np.testing.assert_array_equal(read(result.map), codes)
    np.testing.assert_array_equal(read(result.confidence), confidence)
    assert result.classified == valid.sum()


@pytest.mark.usefixtures("looking_around")
def test_an_interrupted_run_goes_on_to_the_same_map(model, tmp_path):
    values, valid, scene = scene_of(tmp_path, BLOCKS["odd tiles"])

    def stop(fraction, sentence):
        if fraction > 0.4:
            raise Stopped("by the test")

    with pytest.raises(Stopped), progress_to(stop):
        classify_scene(scene, model, radiometry="ignore", workdir=tmp_path)
    assert all((tmp_path / name).exists() for name in UNFINISHED)
    result = classify_scene(scene, model, radiometry="ignore", workdir=tmp_path)
    np.testing.assert_array_equal(read(result.map), at_once(values, valid)[0])


@pytest.mark.usefixtures("looking_around")
def test_an_area_changes_no_pixel_that_lies_inside(model, tmp_path):
    values, valid, scene = scene_of(tmp_path, BLOCKS["tiles"])
    area = write_labels(tmp_path / "area.gpkg", [("area", pixels(200, 300, 90, 170))])
    result = classify_scene(scene, model, radiometry="ignore", area=area, workdir=tmp_path)
    inside = np.zeros_like(valid)
    inside[200:290, 300:470] = True
    expected = np.where(inside, at_once(values, valid)[0], 255)
    np.testing.assert_array_equal(read(result.map), expected)
