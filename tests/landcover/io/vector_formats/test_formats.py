"""What a file is, and why it is refused."""

import struct

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint

from landcover.errors import InputError
from landcover.io.raster import Grid, open_raster
from landcover.io.upright import upright
from landcover.io.vector_formats.formats import need_geotiff, need_labels
from tests.scenes import CRS, write_raster


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        (b"\0\0\0\x0cjP  \r\n\x87\n", r"is JPEG 2000, .*: gdal_translate scene.dat scene.tif"),
        (b"\xff\x4f\xff\x51", "is JPEG 2000"),
        (b"EHFA_HEADER_TAG\0", r"is ERDAS Imagine, .*: gdal_translate"),
        (b"\x89HDF\r\n\x1a\n", r"is HDF5 or NetCDF, .*: gdal_translate"),
        (b"PK\x03\x04", r"is a zip archive, .*: unpack it"),
        (b"\x1f\x8b\x08", r"is a gzip archive, .*: unpack it"),
        (b"<VRTDataset rasterXSize='2'>", r"is a VRT, a file that names others, .*translate"),
        (b"<?xml version='1.0'?>\n<VRTDataset>", "is a VRT"),
        (b"<!DOCTYPE html><html>", r"is HTML, .*sign-in; download the file again"),
        (b'{"type": "FeatureCollection"}', "is JSON, a GeoTIFF is needed, while this holds fea"),
        (b"SQLite format 3\0", "is a GeoPackage, a GeoTIFF is needed, while this holds features"),
        (b"\x89PNG\r\n\x1a\n", r"is PNG, .*: it has no place on the ground"),
        (b"", r"is empty, .*: its transfer may have broken off"),
        (b"\x01\x02\x03", "is in no format that is known here"),
        (bytes(257) + b"ustar", r"is a tar archive, .*: unpack it"),
    ],
)
def test_what_is_no_geotiff_is_called_what_it_is(tmp_path, head, sentence):
    path = tmp_path / "scene.dat"
    path.write_bytes(head)
    with pytest.raises(InputError, match=sentence), open_raster(path):
        pass


def test_pixels_beside_an_envi_header_are_envi(tmp_path):
    (tmp_path / "scene.dat").write_bytes(struct.pack("4h", 300, 2, -3, 4))
    (tmp_path / "scene.hdr").write_text("ENVI\nsamples = 2\n")
    with pytest.raises(InputError, match=r"scene.dat is an ENVI raster, .*: gdal_translate"):
        need_geotiff(tmp_path / "scene.dat")
    with pytest.raises(InputError, match="is an ENVI header"):
        need_geotiff(tmp_path / "scene.hdr")


def test_folders_are_no_files(tmp_path):
    (tmp_path / "S2A.SAFE").mkdir()
    with pytest.raises(InputError, match=r"S2A.SAFE is the folder of a Sentinel product"):
        need_geotiff(tmp_path / "S2A.SAFE")
    with pytest.raises(InputError, match="is a folder, a file is needed"):
        need_labels(tmp_path)
    with pytest.raises(InputError, match=r"there is no file none.tif"):
        need_geotiff(tmp_path / "none.tif")


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_control_points_are_told_with_the_remedy(tmp_path):
    path = tmp_path / "scene.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=4, height=4, count=1, dtype="uint8"
    ) as new:
        new.write(np.ones((1, 4, 4), np.uint8))
        corners = [(0, 0), (0, 4), (4, 0), (4, 4)]
        new.gcps = ([GroundControlPoint(r, c, 5e5 + c, 5e6 - r) for r, c in corners], CRS)
    with (
        pytest.raises(InputError, match=r"has control points and no geotransform.*: gdalwarp"),
        open_raster(path) as dataset,
    ):
        Grid.of(upright(dataset))  # as extraction does


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("name", ["scene.tfw", "scene.wld", "scene.tif.aux.xml"])
def test_a_place_beside_the_scene_is_told_with_the_remedy(tmp_path, name):
    scene = write_raster(
        tmp_path / "scene.tif", np.ones((4, 4), np.uint8), transform=rasterio.Affine.identity()
    )
    (tmp_path / name).write_text("<PAMDataset><GeoTransform>1,2</GeoTransform></PAMDataset>")
    with pytest.raises(InputError, match=f"has its place in {name}, .*gdal_translate"):  # noqa: SIM117
        with open_raster(scene):
            pass
