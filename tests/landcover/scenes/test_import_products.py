"""Products of Sentinel-2 and Landsat become scenes, pixel for pixel."""

import json
import math
import re
import shutil
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from shapely.geometry import box

from landcover.errors import InputError
from landcover.io.raster import bands_of, measured_by
from landcover.operations import by_identifier
from tests import products
from tests.products import LEFT, S2_CENTRES, S2_SIZES, TOP, counts_of, landsat, scl_of, sentinel_2
from tests.scenes import write_labels

IMPORT = by_identifier("import-scene")


def imported(source, workdir, **options):
    """Return the run, and the open scene's pixels, tags and band names."""
    source = source if isinstance(source, list) else [source]
    done = IMPORT.run({"source": source, **options}, workdir)
    with rasterio.open(done.outputs["scene"]) as dataset:
        told = SimpleNamespace(
            descriptions=dataset.descriptions,
            transform=dataset.transform,
            scales=dataset.scales,
            offsets=dataset.offsets,
            tags=dataset.tags(),
        )
        return done, dataset.read(), told


def at_10_m(band):
    """Return a band of Sentinel-2 as it has to lie on pixels of 10 m."""
    size = S2_SIZES[band]
    return counts_of(band, size).repeat(size // 10, 0).repeat(size // 10, 1)


@pytest.mark.parametrize("baseline", ["02.14", "04.00", "05.10"])
@pytest.mark.parametrize("level", ["L1C", "L2A"])
def test_sentinel_2_comes_onto_one_grid_with_its_offset(tmp_path, level, baseline):
    safe = sentinel_2(tmp_path, level, baseline)
    done, pixels, dataset = imported(safe, tmp_path / "out", clouds="keep", bands="")
    names = [band for band in S2_SIZES if level == "L1C" or band != "B10"]
    assert [*dataset.descriptions[: len(names)]] == names
    for band, values in zip(names, pixels, strict=False):
        np.testing.assert_array_equal(values, at_10_m(band))
    assert dataset.transform == products.place(10)
    with rasterio.open(done.outputs["scene"]) as scene:
        measured = measured_by(scene)
        told = {band.name: band.wavelength for band in bands_of(scene)}
        assert scene.tags()["DATE"] == "2023-08-01"
        assert scene.tags()["PRODUCT_ID"].startswith(f"S2B_MSI{level}_20230801T101559_N")
        assert scene.tags()["LANDCOVER_RECIPE"]
    assert (measured.sensor, measured.level) == ("Sentinel-2B MSI", level)
    offset = -0.1 if float(baseline) >= 4 else 0
    assert (measured.scale, measured.offset) == (1e-4, offset)
    assert [told[name] for name in names] == [
        centre for name, centre in zip(S2_SIZES, S2_CENTRES, strict=True) if name in names
    ]


def test_scl_masks_what_is_asked_for_and_says_how_much(tmp_path):
    safe = sentinel_2(tmp_path)
    codes = scl_of().repeat(2, 0).repeat(2, 1)
    for masked, classes in (
        ("cloud, shadow, cirrus, defective", (1, 3, 8, 9, 10)),
        ("snow", (11,)),
        ("cloud,water", (6, 8, 9)),
    ):
        done, pixels, _ = imported(safe, tmp_path / masked, masked=masked, bands="B02,B04,B11")
        hidden = np.isin(codes, classes)
        for band, values in zip(("B02", "B04", "B11"), pixels, strict=True):
            np.testing.assert_array_equal(values, np.where(hidden, 0, at_10_m(band)))
        lost = hidden | (at_10_m("B02") == 0) | (at_10_m("B11") == 0)
        assert done.outputs["valid"] == pytest.approx(1 - lost.mean())
        assert any(said.startswith("masked by SCL") for said in done.remarks)
    with pytest.raises(InputError, match="masked names fog, needs some of cloud"):
        imported(safe, tmp_path / "x", masked="fog")


def test_quality_band_stays_in_a_scene_whose_clouds_are_kept(tmp_path):
    _, pixels, dataset = imported(sentinel_2(tmp_path), tmp_path / "out", clouds="keep")
    assert dataset.descriptions[-1] == "SCL"
    np.testing.assert_array_equal(pixels[-1], scl_of().repeat(2, 0).repeat(2, 1))


def test_level_1c_is_masked_by_its_classification(tmp_path):
    done, pixels, _ = imported(sentinel_2(tmp_path, "L1C"), tmp_path / "out", bands="B02")
    hidden = np.zeros((20, 20), bool)
    hidden[5:7] = True
    expected = np.where(hidden.repeat(6, 0).repeat(6, 1), 0, at_10_m("B02"))
    np.testing.assert_array_equal(pixels[0], expected)
    assert "masked by MSK_CLASSI, of all pixels: cloud 5.0 %" in " ".join(done.remarks)


def test_larger_pixels_are_means_of_the_valid_ones(tmp_path):
    _, pixels, dataset = imported(
        sentinel_2(tmp_path), tmp_path / "out", resolution=60, bands="B02,B05,B09", clouds="keep"
    )
    assert dataset.transform == products.place(60)
    for band, values in zip(("B02", "B05", "B09"), pixels, strict=True):
        k = 60 // S2_SIZES[band]
        blocks = counts_of(band, S2_SIZES[band]).astype(float).reshape(20, k, 20, k)
        blocks[blocks == 0] = np.nan
        means = np.full((20, 20), 0.0)
        known = ~np.isnan(blocks).all(axis=(1, 3))
        means[known] = np.floor(np.nanmean(blocks.transpose(0, 2, 1, 3)[known], axis=(1, 2)) + 0.5)
        np.testing.assert_array_equal(values, means)


def test_one_cloudy_pixel_hides_the_larger_one(tmp_path):
    _, pixels, _ = imported(
        sentinel_2(tmp_path), tmp_path / "out", resolution=60, bands="B02", masked="cloud"
    )
    cloudy = np.isin(scl_of(), (8, 9)).reshape(20, 3, 20, 3).any(axis=(1, 3))
    assert (pixels[0][cloudy] == 0).all()
    assert (pixels[0][2:][~cloudy[2:]] > 0).all()


def test_no_cloudy_pixel_falls_between_pixels_of_another_size(tmp_path):
    _, pixels, _ = imported(
        sentinel_2(tmp_path), tmp_path / "out", resolution=30, bands="B02", masked="shadow"
    )
    row = (10 + 3) * 20 + 10  # of SCL's pixels of shadow, in metres from the top
    assert (pixels[0][row // 30, 14:20] == 0).all()


def test_zip_gives_the_same_scene_as_the_folder(tmp_path):
    safe = sentinel_2(tmp_path)
    packed = products.zipped(safe, tmp_path / "S2B.zip")
    _, pixels, _ = imported(safe, tmp_path / "folder")
    _, unpacked, _ = imported(packed, tmp_path / "zip")
    np.testing.assert_array_equal(unpacked, pixels)
    assert {p.name for p in (tmp_path / "zip").iterdir()} == {
        "scene.tif", "item.json", "run.json", "run.import-scene.json",
    }  # fmt: skip


def test_area_cuts_and_hides(tmp_path):
    area = box(LEFT + 205, TOP - 805, LEFT + 705, TOP - 395)
    labels = write_labels(tmp_path / "area.gpkg", [("a", area)], crs="EPSG:32633")
    import geopandas

    geopandas.GeoDataFrame({"class": ["a"]}, geometry=[area], crs=products.CRS).to_crs(
        "EPSG:4326"
    ).to_file(labels)
    done, pixels, dataset = imported(
        sentinel_2(tmp_path), tmp_path / "out", area=labels, bands="B02,B05,B01", clouds="keep"
    )
    assert dataset.transform == products.place(10, LEFT + 200, TOP - 390)
    for band, values in zip(("B02", "B05", "B01"), pixels, strict=True):
        # centres inside: columns 21 to 70 without the last, rows 40 to 80
        expected = np.zeros((120, 120), int)
        rows, columns = np.mgrid[:120, :120]
        x, y = LEFT + 10 * columns + 5, TOP - 10 * rows - 5
        inside = (x > LEFT + 205) & (x < LEFT + 705) & (y < TOP - 395) & (y > TOP - 805)
        expected[inside] = at_10_m(band)[inside]
        height, width = values.shape
        apart = np.abs(values.astype(int) - expected[39 : 39 + height, 20 : 20 + width])
        assert np.count_nonzero(apart) <= height + width  # centres on the very edge
    assert done.outputs["valid"] == 1


def test_bands_are_chosen_ordered_and_renamed(tmp_path):
    safe = sentinel_2(tmp_path)
    _, pixels, dataset = imported(
        safe, tmp_path / "out", bands="nir=B8, red=B04, SCL", clouds="keep"
    )
    assert dataset.descriptions == ("nir", "red", "SCL")
    np.testing.assert_array_equal(pixels[0], at_10_m("B08"))
    with pytest.raises(InputError, match="bands names B99, the product has B01, B02"):
        imported(safe, tmp_path / "no", bands="B99")
    with pytest.raises(InputError, match="bands names a twice"):
        imported(safe, tmp_path / "no", bands="a=B02,a=B03")


def test_values_without_their_offset_are_refused(tmp_path):
    safe = sentinel_2(tmp_path)
    metadata = safe / "MTD_MSIL2A.xml"
    metadata.write_text(metadata.read_text().replace("BOA_ADD_OFFSET", "BOA_OTHER"))
    with pytest.raises(InputError, match=r"is of baseline 05.09, and its metadata lack BOA_ADD"):
        imported(safe, tmp_path / "out")


def test_values_of_which_one_band_lacks_its_offset_are_refused(tmp_path):
    safe = sentinel_2(tmp_path)
    metadata = safe / "MTD_MSIL2A.xml"
    offset = '<BOA_ADD_OFFSET band_id="3">-1000</BOA_ADD_OFFSET>'
    assert offset in metadata.read_text()
    metadata.write_text(metadata.read_text().replace(offset, ""))
    with pytest.raises(InputError, match="lack the offset of B04"):
        imported(safe, tmp_path / "out")


def test_several_archives_and_metadata_alone_are_refused_with_what_to_give(tmp_path):
    safe = sentinel_2(tmp_path)
    zips = [products.zipped(safe, tmp_path / name) for name in ("a.zip", "b.zip")]
    with pytest.raises(InputError, match="import one product at a time"):
        imported(zips, tmp_path / "out")
    with pytest.raises(InputError, match="give the whole product"):
        imported(safe / "MTD_MSIL2A.xml", tmp_path / "out")


def test_the_image_that_is_damaged_is_named(tmp_path):
    safe = sentinel_2(tmp_path)
    image = next(safe.rglob("*_B04_10m.jp2"))
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    with pytest.raises(InputError, match=r"_B04_10m\.jp2 cannot be read"):
        imported(safe, tmp_path / "out")


def test_an_image_that_is_missing_is_left_out_with_a_remark(tmp_path):
    safe = sentinel_2(tmp_path)
    next(safe.rglob("*_B11_20m.jp2")).unlink()
    done, _, dataset = imported(safe, tmp_path / "out")
    assert "B11" not in dataset.descriptions
    assert any(said.startswith("images of B11 are missing") for said in done.remarks)


def test_two_products_are_refused_with_the_way_to_put_them_together(tmp_path):
    both = tmp_path / "both"
    sentinel_2(both, "L1C")
    sentinel_2(both, "L2A")
    with pytest.raises(InputError, match="holds 2 products of Sentinel-2: import one at a time"):
        imported(both, tmp_path / "out")


@pytest.mark.parametrize("metadata", ["txt", "xml", "json"])
@pytest.mark.parametrize("level", ["L2SP", "L1TP"])
def test_landsat_has_the_units_of_its_level(tmp_path, level, metadata):
    folder = landsat(tmp_path, level, metadata)
    done, pixels, dataset = imported(folder, tmp_path / "out")
    names = [f"SR_B{n}" for n in range(1, 8)] if level == "L2SP" else [
        *(f"B{n}" for n in range(1, 8)), "B9"]  # fmt: skip
    assert [*dataset.descriptions] == names
    sine = math.sin(math.radians(30))
    unit = (2.75e-5, -0.2) if level == "L2SP" else (2e-5 / sine, -0.1 / sine)
    assert (dataset.scales[0], dataset.offsets[0]) == pytest.approx(unit)
    assert dataset.tags["SENSOR"] == "Landsat 8 OLI_TIRS"
    assert dataset.tags["DATETIME"] == "2023-08-01T10:02:33Z"
    with rasterio.open(done.outputs["scene"]) as scene:
        assert bands_of(scene)[3].wavelength == 655
        assert scene.tags(4)["WAVELENGTH"] == "655"
    hidden = np.zeros((40, 40), bool)
    hidden[[0, 10, 11, 12, 13]] = True  # fill, dilated, cirrus, cloud, shadow
    np.testing.assert_array_equal(pixels[3], np.where(hidden, 0, 8004))


def test_landsat_tar_and_thermal_band(tmp_path):
    packed = products.tarred(landsat(tmp_path), tmp_path / "LC08.tar")
    for path in (packed, products.tarred(landsat(tmp_path / "b"), tmp_path / "l.tar.gz", "w:gz")):
        _, pixels, dataset = imported(
            path, tmp_path / path.stem, bands="SR_B4,ST_B10,QA_PIXEL", clouds="keep"
        )
        assert dataset.descriptions == ("SR_B4", "ST_B10", "QA_PIXEL")
        assert dataset.scales == pytest.approx((2.75e-5, 0.00341802, 1))
        assert dataset.offsets == pytest.approx((-0.2, 149, 0))
        assert (pixels[1] == 44000).all()


def test_panchromatic_pixels_of_15_m_are_the_finest_where_they_are_asked_for(tmp_path):
    _, pixels, dataset = imported(landsat(tmp_path, "L1TP"), tmp_path / "out", bands="B8,B4")
    assert dataset.transform == products.place(15)
    assert pixels[1, 41:, :].max() == 8004


def test_collection_1_is_refused(tmp_path):
    folder = landsat(tmp_path)
    mtl = next(folder.glob("*_MTL.txt"))
    mtl.write_text(mtl.read_text().replace("COLLECTION_NUMBER = 02", "COLLECTION_NUMBER = 01"))
    with pytest.raises(InputError, match="no product of Landsat Collection 2"):
        imported(folder, tmp_path / "out")


def test_item_says_what_the_scene_is(tmp_path):
    done, _, _ = imported(sentinel_2(tmp_path), tmp_path / "out", bands="B02,B04")
    item = json.loads(done.outputs["item"].read_text())
    assert item["type"] == "Feature"
    assert item["stac_version"] == "1.1.0"
    assert item["id"].startswith("S2B_MSIL2A_20230801T101559")
    assert item["properties"]["datetime"] == "2023-08-01T10:15:59.024Z"
    assert item["properties"]["proj:code"] == "EPSG:32633"
    assert item["properties"]["proj:shape"] == [120, 120]
    assert item["properties"]["proj:transform"] == [10, 0, LEFT, 0, -10, TOP]
    west, south, east, north = item["bbox"]
    assert (west, south, east, north) == pytest.approx(
        (12.0047, 53.2009, 12.0234, 53.2124), abs=1e-3
    )
    first, second = item["assets"]["scene"]["bands"]
    assert first["name"] == "B02"
    assert second["eo:center_wavelength"] == pytest.approx(0.6646)
    assert (first["data_type"], first["nodata"]) == ("uint16", 0)
    assert (first["raster:scale"], first["raster:offset"]) == (1e-4, -0.1)


def test_what_people_say_must_not_contradict_the_files(tmp_path):
    safe = sentinel_2(tmp_path)
    with pytest.raises(InputError, match="date is 2022-08-01, the files say 2023-08-01"):
        imported(safe, tmp_path / "out", date="2022-08-01")
    with pytest.raises(InputError, match="date is yesterday, needs one such as"):
        imported(safe, tmp_path / "out", date="yesterday")


def test_an_interrupted_import_goes_on(tmp_path, monkeypatch):
    from landcover.scenes import transfer

    safe = sentinel_2(tmp_path, side=1560, blockxsize=256, blockysize=256)
    monkeypatch.setattr(transfer, "_SIDE", 512)
    copied = []
    original = transfer._Reader.copy

    def copy(self, window, writer):
        if len(copied) == 5:
            raise KeyboardInterrupt
        copied.append(window)
        return original(self, window, writer)

    monkeypatch.setattr(transfer._Reader, "copy", copy)
    monkeypatch.setattr(transfer, "cores", lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        imported(safe, tmp_path / "out", bands="B02,B05", masked="snow")
    assert (tmp_path / "out" / ".scene.tif.tiles").stat().st_size > 1000
    monkeypatch.setattr(transfer._Reader, "copy", original)
    resumed = []
    monkeypatch.setattr(
        transfer._Reader, "copy", lambda self, w, out: resumed.append(w) or original(self, w, out)
    )
    done, pixels, _ = imported(safe, tmp_path / "out", bands="B02,B05", masked="snow")
    assert len(resumed) == 16 - 5
    whole, again, _ = imported(safe, tmp_path / "once", bands="B02,B05", masked="snow")
    np.testing.assert_array_equal(pixels, again)
    assert done.outputs["valid"] == whole.outputs["valid"]
    assert not (tmp_path / "out" / ".scene.tif.tiles").exists()
    assert (tmp_path / "out/scene.tif").read_bytes() == (tmp_path / "once/scene.tif").read_bytes()


def test_metadata_with_entities_are_refused(tmp_path):
    safe = sentinel_2(tmp_path)
    metadata = safe / "MTD_MSIL2A.xml"
    bomb = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
    metadata.write_text(metadata.read_text().replace("?>", f"?>{bomb}", 1))
    with pytest.raises(InputError, match="declares entities or a document type"):
        imported(safe, tmp_path / "out")


def test_a_nested_zip_is_not_unpacked(tmp_path):
    safe = sentinel_2(tmp_path)
    inner = products.zipped(safe, tmp_path / "inner.zip")
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(inner, "inner.zip")
    shutil.rmtree(safe)
    with pytest.raises(InputError, match=r"is a zip within the delivery|holds no image"):
        imported(tmp_path / "outer.zip", tmp_path / "out")


def test_one_band_under_two_names_is_refused(tmp_path):
    safe = sentinel_2(tmp_path)
    for bands in ("B04,B4", "B04,red=B04"):
        with pytest.raises(InputError, match="which are one band"):
            imported(safe, tmp_path / "out", bands=bands)


@pytest.mark.parametrize(
    "value", ["", "    REFLECTANCE_MULT_BAND_2 = nan", "    REFLECTANCE_MULT_BAND_2 = 0"]
)
def test_landsat_without_the_scale_of_a_band_is_refused(tmp_path, value):
    folder = landsat(tmp_path)
    (metadata,) = folder.glob("*MTL.txt")
    text = re.sub(r"(?m)^.*REFLECTANCE_MULT_BAND_2 = .*$", value, metadata.read_text())
    metadata.write_text(text)
    with pytest.raises(InputError, match="lacks REFLECTANCE_MULT_BAND_2"):
        imported(folder, tmp_path / "out")
