"""Deliveries that lead elsewhere, or are more than they look, are refused."""

import io
import json
import os
import tarfile
import zipfile

import h5py
import numpy as np
import pytest
import rasterio
from rasterio.errors import CRSError

from landcover.errors import InputError
from landcover.io.files import archives
from landcover.io.files.atomic import is_draft
from landcover.operations import by_identifier
from tests.products import write_image
from tests.scenes import write_raster

IMPORT = by_identifier("import-scene")
SECRET = b"the bytes of somebody else's file"


def importing(source, tmp_path):
    """Import into a folder beside, and return the sentence of the refusal."""
    with pytest.raises(InputError) as refused:
        IMPORT.run({"source": [source]}, tmp_path / "out")
    left = {path.name for path in (tmp_path / "out").rglob("*")}
    assert "scene.tif" not in left
    assert not any(map(is_draft, left))
    return str(refused.value)


@pytest.fixture
def secret(tmp_path):
    """A raster of somebody else, outside what is given."""
    return write_raster(tmp_path / "secret.tif", np.full((1, 40, 40), 77, np.uint16))


NAMES = ["../out.tif", "/etc/out.tif", "a/../../out.tif", "C:\\out.tif", "a\\..\\b.tif",
         "a\nb.tif", "x" * 300 + ".tif"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_zip_with_a_name_that_leads_elsewhere(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), SECRET)
    assert "leads elsewhere or is no name" in importing(tmp_path / "a.zip", tmp_path)


@pytest.mark.parametrize("name", NAMES[:3])
def test_tar_with_a_name_that_leads_elsewhere(tmp_path, name):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(SECRET)
        archive.addfile(member, io.BytesIO(SECRET))
    assert "leads elsewhere or is no name" in importing(tmp_path / "a.tar", tmp_path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE,
                                  tarfile.FIFOTYPE])  # fmt: skip
def test_tar_with_a_link_or_a_device(tmp_path, secret, kind):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo("a.tif")
        member.type, member.linkname = kind, str(secret)
        archive.addfile(member)
    assert "which is a link or a device" in importing(tmp_path / "a.tar", tmp_path)


def test_zip_with_a_link(tmp_path, secret):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        member = zipfile.ZipInfo("a.tif")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, str(secret))
    assert "which is a link or a device" in importing(tmp_path / "a.zip", tmp_path)


def test_archives_within_bounds_of_entries_size_and_ratio(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(5):
            archive.writestr(f"{number}.tif", bytes(1 << 20))
    with monkeypatch.context() as patch:
        patch.setattr(archives, "MOST_MEMBERS", 4)
        assert "holds more than 4 files" in importing(tmp_path / "a.zip", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(archives, "MOST_BYTES", 4 << 20)
        assert "unpacks to more than 0 GiB" in importing(tmp_path / "a.zip", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(archives, "_SMALL", 1 << 20)
        assert "unpacks to more than 200 times" in importing(tmp_path / "a.zip", tmp_path)


def test_zip_whose_header_tells_a_smaller_size(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.tif", bytes(1 << 20))
    content = (tmp_path / "a.zip").read_bytes()
    true, told = (1 << 20).to_bytes(4, "little"), (100).to_bytes(4, "little")
    assert content.count(true) == 2
    (tmp_path / "a.zip").write_bytes(content.replace(true, told))
    sentence = importing(tmp_path / "a.zip", tmp_path)
    assert "cannot be unpacked" in sentence or "unpacks to more than" in sentence


@pytest.mark.parametrize("content", [b"PK\x03\x04" + bytes(40), b"\x1f\x8b" + bytes(40),
                                     bytes(257) + b"ustar" + bytes(600)])  # fmt: skip
def test_damaged_archive(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    assert "cannot be unpacked" in importing(tmp_path / "a.zip", tmp_path)


def test_member_that_stands_twice(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.tif", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.tif", b"2")
    assert "holds a.tif twice" in importing(tmp_path / "a.zip", tmp_path)


def test_links_in_a_folder_are_not_followed(tmp_path, secret):
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "a.tif").symlink_to(secret)
    assert "holds no image" in importing(folder, tmp_path)


def hdf5(path, link):
    with h5py.File(path, "w") as file:
        link(file)
    return path


def test_hdf5_with_a_link_to_another_file(tmp_path):
    hdf5(tmp_path / "other.h5", lambda file: file.create_dataset("red", data=np.ones((4, 4))))
    path = hdf5(
        tmp_path / "a.nc",
        lambda file: file.create_group("g").__setitem__(
            "red", h5py.ExternalLink(str(tmp_path / "other.h5"), "/red")
        ),
    )
    assert "has a link to" in importing(path, tmp_path)


def test_hdf5_whose_pixels_lie_in_another_file(tmp_path):
    (tmp_path / "secret.bin").write_bytes(SECRET * 4)
    path = hdf5(
        tmp_path / "a.nc",
        lambda file: file.create_dataset(
            "red", (4, 4), "u1", external=[(str(tmp_path / "secret.bin"), 0, 16)]
        ),
    )
    assert "keeps the pixels of /red in other files" in importing(path, tmp_path)


def test_hdf5_of_virtual_pixels(tmp_path):
    hdf5(tmp_path / "other.h5", lambda file: file.create_dataset("red", data=np.ones((4, 4))))
    layout = h5py.VirtualLayout((4, 4), "f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "red", (4, 4))
    path = hdf5(tmp_path / "a.nc", lambda file: file.create_virtual_dataset("red", layout))
    assert "keeps the pixels of /red in other files" in importing(path, tmp_path)


def test_hdf5_of_chunks_that_would_fill_memory(tmp_path):
    path = hdf5(
        tmp_path / "a.nc",
        lambda file: file.create_dataset(
            "red", (1 << 15, 1 << 15), "u2", chunks=(1 << 14, 1 << 14)
        ),
    )
    assert "in chunks of 512 MiB" in importing(path, tmp_path)


def test_hdf5_that_is_cut_off(tmp_path):
    path = hdf5(tmp_path / "a.nc", lambda file: file.create_dataset("red", data=np.ones((99, 99))))
    path.write_bytes(path.read_bytes()[:3000])
    assert "is no whole HDF5 file" in importing(path, tmp_path)


@pytest.mark.parametrize("field", ["data file", "file names", "data file name"])
def test_envi_header_that_names_another_file(tmp_path, secret, field):
    path = write_image(tmp_path / "a.dat", np.ones((1, 4, 4), np.uint16), 10, "ENVI")
    header = tmp_path / "a.hdr"
    header.write_text(header.read_text() + f"{field} = {secret}\n")
    assert "other files are not followed" in importing(path, tmp_path)


def test_envi_that_is_no_ordinary_file(tmp_path):
    path = write_image(tmp_path / "a.dat", np.ones((1, 4, 4), np.uint16), 10, "ENVI")
    header = tmp_path / "a.hdr"
    text = header.read_text()
    header.write_text(text.replace("ENVI Standard", "ENVI META FILE"))
    assert "of type envi meta file" in importing(path, tmp_path)
    header.write_text(text.replace("samples = 4", "samples = 400000").replace(
        "samples             = 4", "samples = 400000"))  # fmt: skip
    header.write_text(text + "file compression = 1\n")
    assert "the data are compressed" in importing(path, tmp_path)
    header.write_text(text)
    path.write_bytes(b"12")
    assert "has 2 bytes, by its header it needs 32" in importing(path, tmp_path)


def test_imagine_whose_pixels_lie_in_another_file(tmp_path):
    path = write_image(tmp_path / "a.img", np.ones((1, 80, 80), np.uint16), 10, "HFA",
                       USE_SPILL="YES")  # fmt: skip
    assert (tmp_path / "a.ige").exists()
    assert "keeps its pixels in another file" in importing(path, tmp_path)


def test_imagine_of_entries_in_a_circle(tmp_path):
    path = write_image(tmp_path / "a.img", np.ones((1, 80, 80), np.uint16), 10, "HFA")
    content = bytearray(path.read_bytes())
    header = int.from_bytes(content[16:20], "little")
    root = int.from_bytes(content[header + 8 : header + 12], "little")
    content[root : root + 4] = root.to_bytes(4, "little")  # the next one is itself
    path.write_bytes(content)
    IMPORT.run({"source": [path]}, tmp_path / "out")  # it ends
    path.write_bytes(content[: root + 50])
    assert "may be damaged" in importing(path, tmp_path / "b")


def zarr(folder, attributes=None, chunks=(4, 4)):
    (folder / "red").mkdir(parents=True)
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    (folder / "red/.zarray").write_text(json.dumps({
        "zarr_format": 2, "shape": [4, 4], "chunks": chunks, "dtype": "<u2", "order": "C",
        "fill_value": 0, "compressor": None, "filters": None}))  # fmt: skip
    (folder / "red/.zattrs").write_text(json.dumps(attributes or {}))
    return folder


def test_zarr_that_refers_to_other_places(tmp_path, secret):
    store = zarr(tmp_path / "a.zarr")
    (store / "red/0.0").symlink_to(secret)
    assert "holds the link 0.0, which is not followed" in importing(store, tmp_path)
    store = zarr(tmp_path / "b.zarr")
    (store / ".zmetadata").write_text('{"metadata": {}, "record_size": 100}')
    assert "refers to chunks in other files" in importing(store, tmp_path)
    store = zarr(tmp_path / "c.zarr")
    (store / "refs.json").write_text('{"version": 1, "refs": {}}')
    assert "references to chunks in other files" in importing(store, tmp_path)
    store = zarr(tmp_path / "d.zarr", {"_CRS": {"url": "http://127.0.0.1:9/crs"}})
    assert "addresses are not asked" in importing(store, tmp_path)
    store = zarr(tmp_path / "e.zarr", chunks=(1 << 15, 1 << 15))
    assert "in chunks of 1024 million numbers" in importing(store, tmp_path)


def test_vrt_called_a_geotiff_or_jpeg_2000(tmp_path, secret):
    vrt = f"<VRTDataset rasterXSize='4' rasterYSize='4'><x>{secret}</x></VRTDataset>".encode()
    for name in ("a.tif", "a.jp2", "a.img", "a.nc"):
        (tmp_path / name).write_bytes(vrt)
        assert "is a VRT, a list of other files" in importing(tmp_path / name, tmp_path)


def test_names_that_gdal_would_take_for_something_else(tmp_path):
    image = write_image(tmp_path / "a.jp2", np.ones((1, 40, 40), np.uint16), 10)
    for number, name in enumerate(("b#mode=zarr.jp2", 'NETCDF:"x":y.jp2', "GTIFF_DIR:1:x.jp2")):
        os.link(image, tmp_path / name)
        done = IMPORT.run({"source": [tmp_path / name]}, tmp_path / f"out{number}")
        with rasterio.open(done.outputs["scene"]) as dataset:
            assert (dataset.read() == 1).all()


def test_nothing_lies_in_the_folder_that_is_read(tmp_path):
    image = write_image(tmp_path / "in" / "a.tif", np.ones((1, 4, 4), np.uint16), 10, "GTiff")
    with pytest.raises(InputError, match="the workdir lies in source, which is read"):
        IMPORT.run({"source": [image.parent]}, image.parent / "out")


def test_a_coordinate_system_that_cannot_be_read_is_said(tmp_path, monkeypatch):
    path = write_image(tmp_path / "a.img", np.ones((1, 80, 80), np.uint16), 10, "HFA")

    def failing(*_, **__):
        raise CRSError("The WKT could not be parsed. OGR Error code 5")  # as damaged files give

    monkeypatch.setattr(rasterio, "open", failing)
    assert "it may be damaged: The WKT could not be parsed" in importing(path, tmp_path)
