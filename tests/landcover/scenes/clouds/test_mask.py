"""Cloud masks: quality bands to the letter of their tables, the rule and the network's seam."""

import sys
import types

import numpy as np
import pytest
import rasterio

from landcover.errors import InputError, Stopped
from landcover.operations import by_identifier
from landcover.progress import progress_to
from landcover.samples.extraction import extract_samples
from landcover.scenes.clouds.mask import mask_clouds
from tests.scenes import pixels, write_labels, write_raster

NAMES = ("B02", "B03", "B04", "B08", "B11")
TOP = {"SENSOR": "Sentinel-2A MSI", "LEVEL": "L1C", "SCALE": "0.0001", "OFFSET": "0"}
LAND, CLOUD, DARK, WATER = (
    (0.12, 0.10, 0.09, 0.20, 0.22),
    (0.40, 0.39, 0.40, 0.45, 0.35),
    (0.11, 0.07, 0.05, 0.08, 0.07),
    (0.11, 0.08, 0.05, 0.02, 0.01),
)


def masked(inputs, folder):
    done = by_identifier("mask-clouds").run(inputs, folder)
    with rasterio.open(done.result.mask) as dataset:
        return dataset.read(1), done.result, done.remarks


def test_classes_of_scl(tmp_path):
    classes = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    scene = write_raster(tmp_path / "s.tif", classes, names=["SCL"])
    found, result, remarks = masked({"scene": scene}, tmp_path / "out")
    assert found.ravel().tolist() == [255, 0, 1, 0, 1, 1, 1, 1, 0, 0, 0, 1]
    assert result.clear == pytest.approx(6 / 11)
    assert result.confidence is None
    assert not remarks


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 255),  # fill
        (0b10, 0),  # dilated cloud
        (0b100, 0),  # cirrus
        (0b1000, 0),  # cloud
        (0b10000, 0),  # cloud shadow
        (0b100000, 1),  # snow
        (21824, 1),  # clear, of low confidence in all else
        (21952, 1),  # water
        (22280, 0),  # cloud of high confidence
        (23888, 0),  # cloud shadow of high confidence
        (30048, 1),  # snow of high confidence
        (54596, 0),  # cirrus of high confidence
    ],
)
def test_bits_of_qa_pixel(value, expected, tmp_path):
    values = np.array([[[value, 21824]]], np.uint16)
    scene = write_raster(tmp_path / "s.tif", values, names=["QA_PIXEL"])
    assert masked({"scene": scene}, tmp_path / "out")[0].tolist() == [[expected, 1]]


def test_quality_band_among_others_is_taken_first(tmp_path):
    values = np.full((3, 4, 5), 4, np.float32)
    values[2, 0], values[2, 1] = 9, np.nan
    scene = write_raster(tmp_path / "s.tif", values, names=("B02", "B04", "scl"), **TOP)
    assert masked({"scene": scene}, tmp_path / "out")[0][:, 0].tolist() == [0, 255, 1, 1]


@pytest.mark.parametrize("value", [12, -1, 3.5])
def test_what_no_quality_band_holds_is_refused(value, tmp_path):
    scene = write_raster(tmp_path / "s.tif", np.full((1, 2, 2), value, np.float32), names=["SCL"])
    with pytest.raises(InputError, match="needs whole numbers from 0 to 11"):
        mask_clouds(scene, workdir=tmp_path)


def test_two_quality_bands_are_refused(tmp_path):
    scene = write_raster(tmp_path / "s.tif", np.ones((2, 2, 2), np.uint16),
                         names=["SCL", "QA_PIXEL"])  # fmt: skip
    with pytest.raises(InputError, match="contradict"):
        mask_clouds(scene, workdir=tmp_path)


def test_quality_band_that_is_not_there_is_named(tmp_path):
    scene = write_raster(tmp_path / "s.tif", counts(), names=NAMES, **TOP)
    with pytest.raises(InputError, match="no quality band, which would be called SCL or QA_PIXEL"):
        mask_clouds(scene, method="quality-band", workdir=tmp_path)


def counts(height=60, width=200):
    """Return land with a cloud, dark land near it and far away, and water near it."""
    values = np.empty((5, height, width), np.uint16)
    values[:] = _counts(LAND)
    values[:, 10:30, 10:30] = _counts(CLOUD)
    values[:, 10:30, 50:70] = _counts(DARK)
    values[:, 35:55, 10:30] = _counts(WATER)
    return values


def _counts(spectrum):
    return (np.array(spectrum)[:, None, None] * 10_000).round().astype(np.uint16)


def test_rule_finds_cloud_and_the_shadow_near_it(tmp_path):
    values = counts(60, 700)
    values[:, 10:30, 500:520] = _counts(DARK)  # 4.7 km away
    scene = write_raster(tmp_path / "s.tif", values, names=NAMES, nodata=0, **TOP)
    found, result, remarks = masked({"scene": scene}, tmp_path / "out")
    assert (found[12:28, 12:28] == 0).all()
    assert (found[15:25, 55:65] == 0).all()
    assert (found[15:25, 505:515] == 1).all()
    assert (found[40:50, 15:25] == 1).all()
    assert (found[:, 100:490] == 1).all()
    assert 0.9 < result.clear < 1
    with rasterio.open(result.confidence) as dataset:
        sure = dataset.read(1)
    assert (sure[15:25, 15:25] >= 95).all()
    assert sure.max() <= 100
    assert any("by a rule on brightness" in sentence for sentence in remarks)


def test_nodata_stays_nodata(tmp_path):
    values = counts()
    values[:, :, 150:] = 0
    scene = write_raster(tmp_path / "s.tif", values, names=NAMES, nodata=0, **TOP)
    found, result, _ = masked({"scene": scene}, tmp_path / "out")
    assert (found[:, 150:] == 255).all()
    assert (found[:, :150] != 255).all()
    with rasterio.open(result.confidence) as dataset:
        assert (dataset.read(1)[:, 150:] == 255).all()


def test_blocks_leave_no_trace(tmp_path):
    rng = np.random.default_rng(0)
    values = np.tile(counts(), (1, 10, 4))[:, :560, :600]
    values = (values * rng.normal(1, 0.03, values.shape)).round().astype(np.uint16)
    scene = write_raster(tmp_path / "s.tif", values, names=NAMES, **TOP)
    whole = masked({"scene": scene}, tmp_path / "whole")[0]
    part = write_raster(tmp_path / "p.tif", values[:, :520], names=NAMES, **TOP)
    halves = masked({"scene": part}, tmp_path / "part")[0]
    # nothing further away than 2.2 km has a say; the smoothing at the cut edge differs
    np.testing.assert_array_equal(whole[:295], halves[:295])


def test_snow_is_said(tmp_path):
    values = counts()
    values[:, :, 90:] = _counts((0.80, 0.78, 0.76, 0.70, 0.10))
    scene = write_raster(tmp_path / "s.tif", values, names=NAMES, nodata=0, **TOP)
    remarks = masked({"scene": scene}, tmp_path / "out")[2]
    assert any("looks like snow" in sentence for sentence in remarks)


@pytest.mark.parametrize(
    ("names", "tags", "words"),
    [
        (NAMES, {}, "does not say its units"),
        (("B03", "B04", "B08", "B11", "B12"), TOP, "has no blue band"),
        ([f"2023-04-01:{name}" for name in NAMES], TOP, "stack of dates"),
    ],
)
def test_what_the_rule_needs_is_named(names, tags, words, tmp_path):
    scene = write_raster(tmp_path / "s.tif", counts(), names=names, **tags)
    with pytest.raises(InputError, match=words):
        mask_clouds(scene, method="rule", workdir=tmp_path)


def test_unknown_level_and_surface_reflectance_are_said(tmp_path):
    unknown = write_raster(tmp_path / "u.tif", counts(), names=NAMES, **TOP | {"LEVEL": ""})
    assert any(
        "does not say its level" in r for r in masked({"scene": unknown}, tmp_path / "u")[2]
    )
    surface = write_raster(tmp_path / "b.tif", counts(), names=NAMES, **TOP | {"LEVEL": "L2A"})
    remarks = masked({"scene": surface}, tmp_path / "b")[2]
    assert any("only tried on a clear scene" in sentence for sentence in remarks)


def test_mask_is_what_extraction_takes(tmp_path):
    noise = np.random.default_rng(0).integers(0, 30, counts().shape).astype(np.uint16)
    scene = write_raster(tmp_path / "s.tif", counts() + noise, names=NAMES, nodata=0, **TOP)
    labels = write_labels(tmp_path / "l.gpkg", [("land", pixels(5, 5, 40, 80)),
                                               ("other", pixels(5, 100, 20, 20))])  # fmt: skip
    found, result, _ = masked({"scene": scene}, tmp_path / "out")
    whole = extract_samples(scene, labels, workdir=tmp_path)
    clear = extract_samples(scene, labels, mask=result.mask, workdir=tmp_path / "out")
    assert clear.total == whole.total - int((found[5:45, 5:85] == 0).sum())
    assert clear.total < whole.total


def test_network_that_is_not_installed_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ukis_csmask.mask", None)
    scene = write_raster(tmp_path / "s.tif", counts(), names=NAMES, **TOP)
    with pytest.raises(InputError, match=r"landcover-geoportal\[clouds\]"):
        mask_clouds(scene, method="network", workdir=tmp_path)


@pytest.fixture
def network(monkeypatch):
    """A stand-in for the package, of its interface: what is bright in blue is cloud."""
    seen = []

    class CSmask:
        def __init__(self, img, band_order, product_level="l1c", providers=None):
            assert img.dtype == np.float32
            assert min(img.shape[:2]) >= 256
            assert providers == ["CPUExecutionProvider"]
            seen.append((img.shape, tuple(band_order), product_level))
            blue = img[..., band_order.index("blue")]
            self.csm = (blue > 0.3).astype(np.uint8)[..., None]

    package = types.ModuleType("ukis_csmask")
    package.mask = types.ModuleType("ukis_csmask.mask")
    package.mask.CSmask = CSmask
    monkeypatch.setitem(sys.modules, "ukis_csmask", package)
    monkeypatch.setitem(sys.modules, "ukis_csmask.mask", package.mask)
    return seen


@pytest.mark.parametrize(("level", "product"), [("L1C", "l1c"), ("L2A", "l2a")])
def test_network_gets_reflectance_at_30_metres(level, product, network, tmp_path):
    scene = write_raster(tmp_path / "s.tif", counts(), names=NAMES, nodata=0,
                         **TOP | {"LEVEL": level})  # fmt: skip
    found, result, remarks = masked({"scene": scene, "method": "network"}, tmp_path / "out")
    assert network == [((256, 256, 5), ("blue", "green", "red", "nir", "swir16"), product)]
    assert (found[10:30, 10:30] == 0).all()
    assert (found[:, 60:] == 1).all()
    assert found[30:40, 10:30].min() == 0  # soft edges
    assert result.confidence is None
    assert not remarks


def test_interrupted_run_goes_on_and_gives_the_same_file(tmp_path):
    values = np.tile(counts(), (1, 10, 6))
    scene = write_raster(tmp_path / "s.tif", values, names=NAMES, nodata=0, **TOP)
    (tmp_path / "whole").mkdir()
    (tmp_path / "again").mkdir()
    expected = mask_clouds(scene, workdir=tmp_path / "whole").mask.read_bytes()

    def stop(share, sentence):
        if share > 0.3:
            raise Stopped("on purpose")

    with pytest.raises(Stopped), progress_to(stop):
        mask_clouds(scene, workdir=tmp_path / "again")
    assert mask_clouds(scene, workdir=tmp_path / "again").mask.read_bytes() == expected
