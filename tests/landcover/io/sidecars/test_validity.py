"""Masks and nodata that lie beside a raster."""

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from landcover.errors import InputError
from landcover.io.raster import Grid, open_raster, open_scene, read_valid
from landcover.io.records.digests import sha256_of_path
from landcover.samples.extraction import extract_samples
from landcover.samples.labels import open_labels
from tests.scenes import TRANSFORM, pixels, write_labels, write_raster

WHOLE = Window(0, 0, 8, 8)
CLOUD = np.zeros((8, 8), bool)
CLOUD[:4, :4] = True


def a_raster(tmp_path, nodata=None):
    values = np.arange(1, 129, dtype=np.int16).reshape(2, 8, 8)
    return write_raster(tmp_path / "s.tif", values, nodata=nodata)


def masked(path, cloud=CLOUD):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(~cloud)
    assert path.with_name(f"{path.name}.msk").exists()


def aux_of(path, *bands):
    parts = [
        f'<PAMRasterBand band="{number}"><NoDataValue>{value}</NoDataValue></PAMRasterBand>'
        for number, value in enumerate(bands, 1)
    ]
    path.with_name(f"{path.name}.aux.xml").write_text(f"<PAMDataset>{''.join(parts)}</PAMDataset>")


def invalid(path):
    with open_raster(path) as dataset:
        return ~read_valid(dataset, WHOLE)[1]


def test_a_mask_beside_a_raster_is_read(tmp_path):
    scene = a_raster(tmp_path)
    before = sha256_of_path(scene)
    masked(scene)
    np.testing.assert_array_equal(invalid(scene), CLOUD)
    with open_raster(scene) as dataset:  # a part, to see that the mask is read at its place
        valid = read_valid(dataset, Window(2, 3, 4, 4))[1]
    np.testing.assert_array_equal(~valid, CLOUD[3:7, 2:6])
    assert sha256_of_path(scene) != before


def test_a_mask_beside_adds_to_the_nodata_inside(tmp_path):
    scene = a_raster(tmp_path, nodata=128)
    masked(scene)
    expected = CLOUD.copy()
    expected[7, 7] = True
    np.testing.assert_array_equal(invalid(scene), expected)


def test_nodata_of_an_aux_xml_is_read_where_none_is_inside(tmp_path):
    scene = a_raster(tmp_path)
    before = sha256_of_path(scene)
    aux_of(scene, "1.00000000000000E+00", 128)
    expected = np.zeros((8, 8), bool)
    expected[0, 0] = expected[7, 7] = True
    np.testing.assert_array_equal(invalid(scene), expected)
    with open_raster(scene) as dataset:
        # 1 is a value of the second band, so no one value is nodata of the raster
        assert (dataset.nodata, dataset.nodatavals) == (None, (1, 128))
    assert sha256_of_path(scene) != before
    inside = a_raster(tmp_path, nodata=2)
    aux_of(inside, 1, 1)
    np.testing.assert_array_equal(np.argwhere(invalid(inside)), [[0, 1]])


def test_mask_and_aux_xml_together(tmp_path):
    scene = a_raster(tmp_path)
    masked(scene)
    aux_of(scene, 64)
    expected = CLOUD.copy()
    expected[7, 7] = True
    np.testing.assert_array_equal(invalid(scene), expected)


@pytest.mark.parametrize("nodata", [None, 9])
def test_a_mask_on_another_grid_hides_what_it_covers(tmp_path, nodata):
    shown = np.ones((4, 4), np.uint8)  # of twice the size, so that one pixel covers four
    shown[1, 2] = 0 if nodata is None else nodata
    mask = write_raster(
        tmp_path / "m.tif", shown, transform=TRANSFORM @ rasterio.Affine.scale(2), nodata=nodata
    )
    expected = np.zeros((8, 8), bool)
    expected[2:4, 4:6] = True
    with open_scene(a_raster(tmp_path), mask) as dataset:
        np.testing.assert_array_equal(~read_valid(dataset, WHOLE)[1], expected)


@pytest.mark.parametrize("size", [1, 2])
def test_what_is_no_number_in_a_mask_is_invalid(tmp_path, size):
    side = 8 // size
    shown = np.where(CLOUD[::size, ::size], np.nan, 1).astype(np.float32)
    assert shown.shape == (side, side)
    mask = write_raster(
        tmp_path / "m.tif", shown, transform=TRANSFORM @ rasterio.Affine.scale(size)
    )
    with open_scene(a_raster(tmp_path), mask) as dataset:
        np.testing.assert_array_equal(~read_valid(dataset, WHOLE)[1], CLOUD)


def test_samples_under_a_mask_are_left_out(tmp_path):
    scene = a_raster(tmp_path)
    mask = write_raster(tmp_path / "m.tif", (~CLOUD).astype(np.uint8))
    labels = write_labels(tmp_path / "l.gpkg", [("a", pixels(0, 0, 8, 8))])
    assert extract_samples(scene, labels, workdir=tmp_path).total == 64
    assert extract_samples(scene, labels, mask=mask, workdir=tmp_path).total == 48


def not_a_mask(tmp_path):
    return write_raster(tmp_path / "s.tif.msk", np.ones((5, 8), np.uint8))


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (not_a_mask, r"s.tif.msk is no mask of s.tif: it has 5 x 8 pixels of uint8, needs 8 x 8"),
        (lambda t: (t / "s.tif.msk").write_text("<VRTDataset/>"), r"s.tif.msk is a VRT"),
        (lambda t: (t / "s.tif.aux.xml").write_text("<!DOCTYPE a><NoDataValue>1</NoDataValue>"),
         "no XML that can be read"),
        (lambda t: aux_of(t / "s.tif", "x"), "declares x as nodata, needs a number"),
    ],
)  # fmt: skip
def test_what_beside_a_raster_is_no_mask_is_refused(tmp_path, prepare, sentence):
    scene = a_raster(tmp_path)
    prepare(tmp_path)
    with pytest.raises(InputError, match=sentence):
        invalid(scene)


def test_a_label_raster_with_its_nodata_beside_is_moved_with_it(tmp_path):
    codes = np.full((8, 8), 9, np.uint8)
    codes[2, 3] = 1
    labels = write_raster(tmp_path / "l.tif", codes)
    aux_of(labels, 9)
    finer = Grid(*_grid(labels, TRANSFORM @ rasterio.Affine.scale(0.5), 16))
    with open_labels(labels, "class", finer) as found:
        read = found.read(Window(0, 0, 16, 16)).codes
    assert sorted(map(tuple, np.argwhere(read).tolist())) == [(4, 6), (4, 7), (5, 6), (5, 7)]


def _grid(path, transform, side):
    with rasterio.open(path) as dataset:
        return dataset.crs, transform, side, side
