"""Scenes of another processing baseline, with bands that were derived from others."""

import numpy as np
import pytest
import rasterio

from landcover import classify_scene, derive_bands, extract_samples, train_classifier
from landcover.errors import InputError
from tests.scenes import pixels, write_labels, write_raster

SPECTRA = np.array([[500, 700, 600, 3000], [1500, 1700, 2000, 2500], [300, 250, 200, 150]])
FIELD, FIELDS = 16, 8
NAMES = ("B02", "B03", "B04", "B08")


def derived(folder, seed, offset):
    """Return a scene of fields with indices and deviations, and the classes of its pixels."""
    rng = np.random.default_rng(seed)
    codes = np.kron(rng.integers(0, 3, (FIELDS, FIELDS)), np.ones((FIELD, FIELD), int))
    values = SPECTRA[codes].transpose(2, 0, 1) + rng.normal(0, 60, (4, *codes.shape))
    counts = (np.clip(values, 1, None) + offset).astype(np.uint16)
    units = {"SCALE": "0.0001", "OFFSET": str(-offset / 10_000)}
    scene = write_raster(folder / f"{seed}.tif", counts, names=NAMES, nodata=0,
                         SENSOR="Sentinel-2B MSI", **units)  # fmt: skip
    out = folder / f"derived-{seed}"
    return derive_bands(scene, indices="NDVI", windows="B04=3", workdir=out).scene, codes + 1


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    scene, codes = derived(folder, 1, offset=0)
    at = range(0, FIELD * FIELDS, FIELD)
    fields = [(row, column) for row in at for column in at]
    shapes = [
        (f"c{codes[row, column]}", pixels(row + 3, column + 3, 10, 10)) for row, column in fields
    ]
    labels = write_labels(folder / "labels.gpkg", shapes)
    samples = extract_samples(scene, labels, max_per_class=150, workdir=folder / "samples").samples
    return train_classifier(samples, workdir=folder / "model").model


def test_another_baseline_is_one_change_of_all_bands_that_have_its_unit(model, tmp_path):
    scene, codes = derived(tmp_path, 2, offset=1000)
    with pytest.raises(InputError, match="after taking off 1000 in all bands"):
        classify_scene(scene, model, workdir=tmp_path / "refused")
    made = classify_scene(scene, model, radiometry="harmonise", workdir=tmp_path / "map")
    with rasterio.open(made.map) as dataset:
        assert np.mean(dataset.read(1) == codes) > 0.99
