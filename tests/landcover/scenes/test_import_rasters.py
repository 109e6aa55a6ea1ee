"""Single files and files of bands become scenes, of whatever format."""

import json
import subprocess
import sys
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import rasterio
from scipy.io import netcdf_file

from landcover.errors import InputError
from landcover.operations import by_identifier
from tests.products import CRS, LEFT, TOP, place, tarred, write_image, zipped

IMPORT = by_identifier("import-scene")
WKT = rasterio.crs.CRS.from_user_input(CRS).to_wkt()


def imported(source, workdir, **options):
    source = source if isinstance(source, list) else [source]
    done = IMPORT.run({"source": source, **options}, workdir)
    with rasterio.open(done.outputs["scene"]) as dataset:
        told = SimpleNamespace(
            names=[*dataset.descriptions], transform=dataset.transform, crs=dataset.crs,
            dtype=dataset.dtypes[0], nodata=dataset.nodata, scales=dataset.scales,
            offsets=dataset.offsets, tags=dataset.tags(), of_bands=[
                dataset.tags(i) for i in dataset.indexes],
        )  # fmt: skip
        return done, dataset.read(), told


def values_of(bands, dtype="uint16", side=40):
    rows, columns = np.mgrid[:side, :side]
    return np.stack([100 * b + rows + 2 * columns for b in range(1, bands + 1)]).astype(dtype)


def test_one_file_per_band(tmp_path):
    for number, name in enumerate(("B02", "B03", "B08"), 1):
        write_image(tmp_path / f"site_{name}_v1.tif", values_of(3)[number - 1], 10, "GTiff")
    files = sorted(tmp_path.glob("*.tif"))
    done, pixels, told = imported(files, tmp_path / "out", date="2023-08-01", sensor="Sentinel-2")
    assert told.names == ["B02", "B03", "B08"]
    assert [band["WAVELENGTH"] for band in told.of_bands] == ["490", "560", "842"]
    assert told.tags["DATE"] == "2023-08-01"
    np.testing.assert_array_equal(pixels, values_of(3))
    assert (told.dtype, told.nodata) == ("uint16", None)
    assert done.outputs["valid"] == 1


def test_wavelengths_are_those_of_the_names_that_bands_get(tmp_path):
    for name in ("B04", "B08"):
        path = write_image(tmp_path / "in" / f"site_{name}.tif", values_of(1), 10, "GTiff")
        with rasterio.open(path, "r+") as dataset:
            dataset.set_band_description(1, "b")
    _, _, told = imported(tmp_path / "in", tmp_path / "out")
    assert told.names == ["B04", "B08"]
    assert [band["WAVELENGTH"] for band in told.of_bands] == ["665", "842"]


def test_files_of_usgs_and_esa_are_known_by_their_names(tmp_path):
    name = "LC09_L2SP_193026_20230801_20230811_02_T1"
    for band in ("SR_B4", "SR_B5"):
        write_image(tmp_path / "l" / f"{name}_{band}.TIF", values_of(1), 30, "GTiff", nodata=0)
    _, _, told = imported(tmp_path / "l", tmp_path / "out")
    assert told.names == ["SR_B4", "SR_B5"]
    assert told.tags["SENSOR"] == "Landsat 9 OLI_TIRS"
    assert told.tags["DATE"] == "2023-08-01"
    assert (told.scales[0], told.offsets[0]) == (2.75e-5, -0.2)
    for band in ("B02", "B8A"):
        write_image(tmp_path / "s" / f"T33UUU_20170216T102101_{band}_20m.jp2", values_of(1), 20)
    done, _, told = imported(tmp_path / "s", tmp_path / "esa")
    assert told.names == ["B02", "B8A"]
    assert told.tags["DATE"] == "2017-02-16"
    assert any("stand in the metadata of their product" in said for said in done.remarks)


def test_files_of_level_2a_without_metadata_are_masked_and_taken_once(tmp_path):
    name = "T33UUU_20230801T101559"
    for ending, size, value in (("B02_10m", 10, 900), ("B02_20m", 20, 800), ("AOT_10m", 10, 5),
                                ("TCI_10m", 10, 9), ("SCL_20m", 20, 4)):  # fmt: skip
        values = np.full((1, 400 // size, 400 // size), value, np.uint16)
        values[0, 1, 1] = 8 if "SCL" in ending else value
        write_image(tmp_path / "s" / f"{name}_{ending}.jp2", values, size)
    _, pixels, told = imported(tmp_path / "s", tmp_path / "out")
    assert told.names == ["B02"]
    assert (pixels[0, 2:4, 2:4] == 0).all()
    assert np.count_nonzero(pixels == 900) == 40 * 40 - 4


def test_files_of_landsat_level_1_say_that_their_units_are_missing(tmp_path):
    name = "LE07_L1TP_193026_20010801_20210811_02_T1"
    for band in ("B3", "B4", "B6_VCID_1", "B8", "QA_PIXEL"):
        write_image(tmp_path / "l" / f"{name}_{band}.TIF", values_of(1), 30, "GTiff", nodata=0)
    done, _, told = imported(tmp_path / "l", tmp_path / "out")
    assert told.names == ["B3", "B4"]
    assert any("MTL file, which is not here" in sentence for sentence in done.remarks)


def test_a_file_of_several_bands_keeps_names_nodata_and_mask(tmp_path):
    values = values_of(3)
    values[:, 3] = 7
    path = write_image(tmp_path / "a.tif", values, 10, "GTiff", nodata=7)
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ["blue", "green", "nir"]
        dataset.update_tags(SENSOR="PlanetScope PSB.SD", SCALE="0.0001")
    done, pixels, told = imported(path, tmp_path / "out")
    assert told.names == ["blue", "green", "nir"]
    assert told.tags["SENSOR"] == "PlanetScope PSB.SD"
    assert (told.nodata, told.scales[0]) == (7, 1e-4)
    np.testing.assert_array_equal(pixels, values)
    assert done.outputs["valid"] == pytest.approx(39 / 40)
    assert any("do not say when" in said for said in done.remarks)
    item = json.loads(done.outputs["item"].read_text())
    assert item["properties"]["datetime"] is None
    assert item["properties"]["start_datetime"] < item["properties"]["end_datetime"]


def test_no_value_is_taken_for_nodata_that_was_measured(tmp_path):
    values = np.arange(40 * 40, dtype=np.uint16).reshape(1, 40, 40)
    area = tmp_path / "area.geojson"
    ring = [[LEFT, TOP - 400], [LEFT + 200, TOP - 400], [LEFT + 200, TOP], [LEFT, TOP],
            [LEFT, TOP - 400]]  # fmt: skip
    from rasterio.warp import transform_geom

    shape = transform_geom(CRS, "EPSG:4326", {"type": "Polygon", "coordinates": [ring]})
    area.write_text(json.dumps({"type": "Feature", "properties": {}, "geometry": shape}))
    path = write_image(tmp_path / "a.tif", values, 10, "GTiff")
    done, pixels, told = imported(path, tmp_path / "out", area=area)
    assert (told.dtype, told.nodata) == ("int32", -(2**31))
    assert any("stored as int32" in said for said in done.remarks)
    assert pixels[0, 0, 0] == 0


def test_jpeg_2000_and_imagine(tmp_path):
    for driver, ending in (("JP2OpenJPEG", "jp2"), ("HFA", "img")):
        path = write_image(tmp_path / f"a.{ending}", values_of(3), 10, driver)
        _, pixels, told = imported(path, tmp_path / ending)
        np.testing.assert_array_equal(pixels, values_of(3))
        assert told.transform == place(10)
        assert told.crs.to_epsg() == 32633


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
def test_envi_with_wavelengths(tmp_path, interleave):
    values = values_of(4, "int16")
    path = write_image(tmp_path / "in/a.dat", values, 10, "ENVI", interleave=interleave)
    header = tmp_path / "in/a.hdr"
    text = header.read_text()
    assert "interleave" in text
    start = text.index("band names")
    header.write_text(
        text[:start] + "band names = {blue, green, red, nir}\nwavelength units = Nanometers\n"
        "wavelength = {490, 560.5, 665, 842}\ndata ignore value = 101\n"
    )
    _, pixels, told = imported(path, tmp_path / "out")
    assert told.names == ["blue", "green", "red", "nir"]
    assert [band["WAVELENGTH"] for band in told.of_bands] == ["490", "560.5", "665", "842"]
    np.testing.assert_array_equal(pixels, values)
    assert told.nodata == 101
    _, again, _ = imported([path, header], tmp_path / "both")
    np.testing.assert_array_equal(again, values)
    zipped_one = zipped(tmp_path / "in", tmp_path / "a.zip", below=False)
    _, again, _ = imported(zipped_one, tmp_path / "zip", bands="nir")
    np.testing.assert_array_equal(again[0], values[3])


@pytest.mark.parametrize(
    ("said", "date"),
    [
        ("2023-08-01T10:15:59Z", "2023-08-01"),
        ("{2023-08-01 23:30:00-05:00}", "2023-08-02"),
        ("2023-08-01", "2023-08-01"),
        ("last summer", None),
        ("2023-13-01T00:00:00Z", None),
    ],
)
def test_envi_says_when_it_was_taken(tmp_path, said, date):
    path = write_image(tmp_path / "in/a.dat", values_of(2, "int16"), 10, "ENVI")
    header = tmp_path / "in/a.hdr"
    header.write_text(f"{header.read_text()}\nacquisition time = {said}\n")
    _, _, told = imported(path, tmp_path / "out")
    assert told.tags.get("DATE") == date


@pytest.mark.parametrize(
    ("units", "calendar"),
    [("months since 2023-01-01", "standard"), ("days since 2023-01-01", "noleap")],
)
def test_a_time_axis_that_is_no_calendars_is_said(tmp_path, units, calendar):
    path = write_netcdf_4(tmp_path / "a.nc", dates=3)
    with h5py.File(path, "r+") as file:
        file["time"].attrs["units"] = np.bytes_(units)
        file["time"].attrs["calendar"] = np.bytes_(calendar)
    done, _, told = imported(path, tmp_path / "out")
    assert not any("2023" in name for name in told.names)
    assert any("is not read as dates" in remark for remark in done.remarks)


def test_envi_values_are_divided_by_the_scale_factor_of_reflectance(tmp_path):
    path = write_image(tmp_path / "in/a.dat", values_of(2, "int16"), 10, "ENVI")
    header = tmp_path / "in/a.hdr"
    header.write_text(header.read_text() + "\nreflectance scale factor = 10000\n")
    _, _, told = imported(path, tmp_path / "out")
    assert told.scales == pytest.approx((1e-4, 1e-4))
    assert float(told.tags["SCALE"]) == pytest.approx(1e-4)


def write_netcdf_4(path, dates=0):
    """Write CF variables with their own grid mapping, as xarray does."""
    with h5py.File(path, "w") as file:
        y, x = TOP - 5 - 10 * np.arange(40.0), LEFT + 5 + 10 * np.arange(40.0)
        for name, axis, standard in (("y", y, "projection_y_coordinate"),
                                     ("x", x, "projection_x_coordinate")):  # fmt: skip
            file[name] = axis
            file[name].make_scale(name)
            file[name].attrs["standard_name"] = np.bytes_(standard)
            file[name].attrs["units"] = np.bytes_("m")
        if dates:
            file["time"] = np.arange(dates) * 31
            file["time"].make_scale("time")
            file["time"].attrs["units"] = np.bytes_("days since 2023-01-01")
        mapping = file.create_dataset("spatial_ref", data=np.int32(0))
        mapping.attrs["crs_wkt"] = np.bytes_(WKT)
        mapping.attrs["spatial_ref"] = np.bytes_(WKT)
        for number, name in enumerate(("red", "nir"), 1):
            values = values_of(2, "int16")[number - 1]
            axes = ("time", "y", "x") if dates else ("y", "x")
            data = np.stack([values + 1000 * d for d in range(dates)]) if dates else values
            file.create_dataset(name, data=data, fillvalue=-9999)
            for i, axis in enumerate(axes):
                file[name].dims[i].attach_scale(file[axis])
            file[name].attrs["grid_mapping"] = np.bytes_("spatial_ref")
            file[name].attrs["_FillValue"] = np.array([-9999], "int16")
            file[name].attrs["scale_factor"] = np.array([1e-4])
            file[name].attrs["add_offset"] = np.array([0.0])
    return path


def test_netcdf_4(tmp_path):
    _, pixels, told = imported(write_netcdf_4(tmp_path / "a.nc"), tmp_path / "out")
    assert told.names == ["nir", "red"]
    np.testing.assert_array_equal(pixels[::-1], values_of(2, "int16"))
    assert told.transform.almost_equals(place(10))
    assert (told.nodata, told.scales) == (-9999, (1e-4, 1e-4))
    assert told.crs.to_epsg() == 32633


def test_netcdf_with_a_time_axis_becomes_a_date_stack(tmp_path):
    _, pixels, told = imported(write_netcdf_4(tmp_path / "a.nc", dates=3), tmp_path / "out")
    dates = ("2023-01-01", "2023-02-01", "2023-03-04")
    assert told.names == [f"{date}:{name}" for name in ("nir", "red") for date in dates]
    np.testing.assert_array_equal(pixels[1], values_of(2, "int16")[1] + 1000)


def test_classic_netcdf_in_degrees(tmp_path):
    with netcdf_file(tmp_path / "a.nc", "w") as file:
        file.Conventions = "CF-1.8"
        for name, axis, unit in (("lat", 53 - 0.01 * np.arange(20), "degrees_north"),
                                 ("lon", 12 + 0.01 * np.arange(30), "degrees_east")):  # fmt: skip
            file.createDimension(name, len(axis))
            variable = file.createVariable(name, "f8", (name,))
            variable[:], variable.units, variable.standard_name = (
                axis, unit, {"lat": "latitude", "lon": "longitude"}[name])  # fmt: skip
        variable = file.createVariable("ndvi", "f4", ("lat", "lon"))
        variable[:] = np.linspace(-1, 1, 600).reshape(20, 30)
    _, pixels, told = imported(tmp_path / "a.nc", tmp_path / "out")
    assert told.names == ["ndvi"]
    assert told.crs.to_epsg() == 4326
    np.testing.assert_allclose(pixels[0], np.linspace(-1, 1, 600).reshape(20, 30), atol=1e-6)


def write_zarr(folder, arrays, chunk=16):
    """Write a Zarr (version 2) without compression, with a CRS as GDAL has it."""
    folder.mkdir(parents=True)
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    axes = {"y": TOP - 5 - 10 * np.arange(40.0), "x": LEFT + 5 + 10 * np.arange(40.0)}
    for name, values in (axes | arrays).items():
        (folder / name).mkdir()
        dims = ["y", "x"] if values.ndim == 2 else [name]
        attributes = {"_ARRAY_DIMENSIONS": dims}
        if values.ndim == 2:
            attributes["_CRS"] = {"wkt": WKT}
        (folder / name / ".zattrs").write_text(json.dumps(attributes))
        chunks = [min(chunk, side) for side in values.shape] if values.ndim == 2 else [40]
        (folder / name / ".zarray").write_text(json.dumps({
            "zarr_format": 2, "shape": values.shape, "chunks": chunks, "order": "C",
            "dtype": values.dtype.str, "fill_value": 0, "compressor": None, "filters": None,
        }))  # fmt: skip
        padded = np.zeros([-(-n // c) * c for n, c in zip(values.shape, chunks, strict=True)],
                          values.dtype)  # fmt: skip
        padded[tuple(slice(n) for n in values.shape)] = values
        for place_of in np.ndindex(*(n // c for n, c in zip(padded.shape, chunks, strict=True))):
            part = padded[tuple(slice(i * c, (i + 1) * c) for i, c in
                                zip(place_of, chunks, strict=True))]  # fmt: skip
            (folder / name / ".".join(map(str, place_of))).write_bytes(part.tobytes())
    return folder


def test_zarr_folder_and_zip(tmp_path):
    arrays = dict(zip(("red", "nir"), values_of(2, "uint16"), strict=True))
    store = write_zarr(tmp_path / "cube.zarr", arrays)
    _, pixels, told = imported(store, tmp_path / "out", bands="red,nir")
    np.testing.assert_array_equal(pixels, values_of(2))
    assert told.transform.almost_equals(place(10))
    _, pixels, _ = imported(
        zipped(store, tmp_path / "cube.zarr.zip", below=False), tmp_path / "zip", bands="red,nir"
    )
    np.testing.assert_array_equal(pixels, values_of(2))


@pytest.mark.parametrize(("bands", "dtype"), [(64, "int8"), (64, "float32"), (128, "float32"),
                                              (128, "int8")])  # fmt: skip
def test_embeddings(tmp_path, bands, dtype):
    rng = np.random.default_rng(1)
    values = rng.normal(0, 40, (bands, 40, 40)).clip(-127, 127).astype(dtype)
    values[:, 5:9] = -128 if dtype == "int8" else np.nan
    path = write_image(
        tmp_path / "e.tif", values, 10, "GTiff", interleave="pixel", tiled=True, blockxsize=16,
        blockysize=16, nodata=-128 if dtype == "int8" else np.nan,
    )  # fmt: skip
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = [f"A{i:02}" for i in range(bands)]
        if dtype == "int8":
            dataset.scales, dataset.offsets = [1 / 127.5] * bands, [0.0] * bands
    done, pixels, told = imported(path, tmp_path / "out", date="2023-01-01", sensor="embedding")
    np.testing.assert_array_equal(pixels, values)
    assert told.names[:2] == ["A00", "A01"]
    assert told.dtype == dtype
    assert done.outputs["valid"] == pytest.approx(0.9)
    if dtype == "int8":
        assert told.scales[-1] == pytest.approx(1 / 127.5)


def test_files_on_other_grids_are_warped_onto_the_first_system(tmp_path):
    _, columns = np.mgrid[:40, :40]
    first = write_image(tmp_path / "a_red.tif", (10 * columns).astype("float32"), 10, "GTiff")
    other = write_image(
        tmp_path / "a_nir.tif", (10 * columns + 3.0).astype("float32"), 10, "GTiff",
        transform=place(10, LEFT + 3, TOP - 3),
    )  # fmt: skip
    done, pixels, told = imported([first, other], tmp_path / "out")
    assert told.names == ["red", "nir"]
    assert any("nir lie on another grid and were interpolated" in said for said in done.remarks)
    np.testing.assert_allclose(pixels[1, 5:-5, 5:-5], pixels[0, 5:-5, 5:-5], atol=1e-3)


def test_a_raster_whose_first_row_lies_in_the_south_is_turned(tmp_path):
    values = values_of(2)
    south = place(10) @ rasterio.Affine(1, 0, 0, 0, -1, 40)
    path = write_image(tmp_path / "a.tif", values[:, ::-1], 10, "GTiff", transform=south)
    _, pixels, told = imported(path, tmp_path / "out")
    np.testing.assert_array_equal(pixels, values)
    assert told.transform == place(10)


def test_sentinel_1_is_read_where_it_has_a_grid(tmp_path):
    name = "S1A_IW_GRDH_1SDV_20230801T052643_20230801T052708_049680_05F96B_1234"
    safe = tmp_path / f"{name}.SAFE"
    for way in ("vv", "vh"):
        image = (
            f"measurement/s1a-iw-grd-{way}-20230801t052643-20230801t052708-049680-05f96b-001.tiff"
        )
        write_image(safe / image, values_of(1), 10, "GTiff")
    (safe / "manifest.safe").write_text("<x/>")
    _, _, told = imported(safe, tmp_path / "out")
    assert told.names == ["VH", "VV"]
    assert told.tags["SENSOR"] == "Sentinel-1A SAR"
    assert told.tags["DATE"] == "2023-08-01"
    points = [rasterio.control.GroundControlPoint(r, c, 12 + c / 1e3, 53 - r / 1e3)
              for r in (0, 40) for c in (0, 40)]  # fmt: skip
    for path in safe.glob("measurement/*"):
        with rasterio.open(
            path, "w", driver="GTiff", width=40, height=40, count=1, dtype="uint16",
            gcps=points, crs="EPSG:4326",
        ) as dataset:  # fmt: skip
            dataset.write(values_of(1))
    with pytest.raises(InputError, match=r"with control points and no grid.*Terrain Correction"):
        imported(safe, tmp_path / "no")


UNREADABLE = {
    "scene.vrt": (
        b"<VRTDataset rasterXSize='1'/>",
        "is a VRT, a list of other files, which is not read",
    ),
    "scene.grib": (b"GRIB....", "is GRIB, which is not read: convert it with gdal_translate"),
    "scene.hdf": (b"\x0e\x03\x13\x01", "is HDF4"),
    "tile.npy": (b"\x93NUMPY\x01\x00", "is a numpy array without a place"),
    "photo.jpg": (b"\xff\xd8\xff\xe0", "is JPEG, a picture"),
    "refs.json": (b'{"version": 1, "refs": {"a/0": ["s3://x", 0, 1]}}', "kerchunk"),
    "notes.doc": (b"hello", "is of no format that is read: GeoTIFF, JPEG 2000"),
    "scene.hdr": (b"ENVI\nsamples = 1", "is a header of ENVI, its data file is missing"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_says_what_it_is_and_what_to_do(tmp_path, name):
    content, sentence = UNREADABLE[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        imported(tmp_path / name, tmp_path / "out")


def test_an_image_without_a_place_is_refused(tmp_path):
    path = write_image(tmp_path / "a.tif", values_of(1), 10, "GTiff", crs=None)
    with pytest.raises(InputError, match="no regular grid in a known coordinate system"):
        imported(path, tmp_path / "out")
    with pytest.raises(InputError, match="is not there"):
        imported(tmp_path / "none.tif", tmp_path / "out")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="holds no image that is read, it is empty"):
        imported(empty, tmp_path / "out")


def test_tar_of_bands(tmp_path):
    for number, name in enumerate(("red", "nir")):
        write_image(tmp_path / "d" / f"{name}.tif", values_of(2)[number], 10, "GTiff")
    _, pixels, told = imported(tarred(tmp_path / "d", tmp_path / "d.tar"), tmp_path / "out")
    assert sorted(told.names) == ["nir", "red"]
    np.testing.assert_array_equal(pixels[told.names.index("nir")], values_of(2)[1])


def test_a_process_that_works_for_somebody_reads_all_formats_and_no_other(tmp_path):
    values = values_of(1)
    for driver, name in (("JP2OpenJPEG", "a.jp2"), ("HFA", "b.img"), ("ENVI", "c.dat")):
        write_image(tmp_path / name, values, 10, driver)
    write_netcdf_4(tmp_path / "d.nc")
    write_zarr(tmp_path / "e.zarr", {"red": values[0]})
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from landcover.io.gdal_drivers import restrict_process\n"
        "restrict_process()\n"
        "import rasterio\n"
        "from landcover.scenes.import_scene import import_scene\n"
        "folder = Path(sys.argv[1])\n"
        "for name in ('a.jp2', 'b.img', 'c.dat', 'd.nc', 'e.zarr'):\n"
        "    (folder / f'{name}.out').mkdir()\n"
        "    import_scene([folder / name], workdir=folder / f'{name}.out')\n"
        "with rasterio.Env() as env:\n"
        "    there = set(env.drivers())\n"
        "print(sorted(there & {'SENTINEL2', 'SAFE', 'VRT', 'GRIB', 'HTTP', 'WMS', 'STACIT'}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
