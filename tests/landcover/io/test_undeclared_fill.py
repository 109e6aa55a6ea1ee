"""Labels on a margin that holds one value and is not declared as nodata become no samples."""

import numpy as np
import pytest

from landcover import extract_samples
from landcover.samples.folder import read_samples
from tests.scenes import pixels, write_labels, write_raster

LABELS = [("a", pixels(2, 2, 6, 20)), ("b", pixels(20, 2, 6, 20))]


def _land(dtype, bands=3):
    rng = np.random.default_rng(0)
    return rng.normal(1500, 400, (bands, 48, 48)).clip(1, 6000).astype(dtype)


def _extracted(tmp_path, values, **how):
    scene = write_raster(tmp_path / "s.tif", values, **how)
    labels = write_labels(tmp_path / "l.gpkg", LABELS)
    return extract_samples(scene=scene, labels=labels, workdir=tmp_path).samples


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [("float32", -9999), ("float32", 1e20), ("float32", np.finfo(np.float32).min),
     ("int16", -32768), ("int16", -9999), ("uint16", 65535), ("uint16", 0), ("uint8", 255),
     ("float32", (-9999, -19999, 32000)), ("int16", (0, -9999, -9999))],
)  # fmt: skip
def test_labels_on_a_fill_become_no_samples(tmp_path, caplog, dtype, fill):
    values = _land("float64") / (30 if dtype == "uint8" else 1)
    values = values.clip(1, 250 if dtype == "uint8" else 6000).astype(dtype)
    values[:, :, :12] = np.reshape(fill, (-1, 1, 1))
    samples = read_samples(_extracted(tmp_path, values))
    assert len(samples) == 2 * 6 * 10  # columns 2 to 11 of 2 to 21 lie in the margin
    held = np.concatenate([box.chips for box in samples.containers])
    assert not (held == np.reshape(fill, (-1, 1, 1)).astype(dtype)).all(axis=1).any()
    assert "are taken for missing ones" in caplog.text
    assert "120 samples with a centre pixel that is nodata or masked" in caplog.text
    # the values of land stay valid where bands have fills of their own
    assert all(batch.valid.all() for batch in samples.batches())


@pytest.mark.parametrize("nodata", [None, -32768])
def test_several_fills_are_found_also_where_one_is_declared(tmp_path, caplog, nodata):
    values = _land("int16")
    values[:, :10, :12] = -9999
    values[:, 10:, :12] = -32768
    samples = read_samples(_extracted(tmp_path, values, nodata=nodata))
    assert len(samples) == 120
    told = "-32768, -9999" if nodata is None else "-9999"
    assert f"all hold {told}, which no other pixel comes near" in caplog.text


@pytest.mark.parametrize(
    "case", ["water of one value", "single band of sea", "declared", "coarse"]
)
def test_what_may_be_land_is_kept(tmp_path, caplog, case):
    values = _land("uint16")
    how = {}
    if case == "water of one value":
        values[:, :, :12] = 40
    if case == "single band of sea":
        values = values[:1]
        values[:, :, :12] = 0
    if case == "declared":
        values[:, :, :12] = 65535
        how = {"nodata": 65535}
    if case == "coarse":
        values = np.where(values > 1500, 2, 1).astype("uint16")
        values[:, :, :12] = 0
        values[:, 30:, :] = 3
    samples = read_samples(_extracted(tmp_path, values, **how))
    assert len(samples) == (120 if case == "declared" else 240)
    assert "are taken for missing ones" not in caplog.text
