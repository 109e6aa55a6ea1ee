"""Other programs show the names of a map's classes: GDAL, gdalinfo and QGIS are the witnesses."""

import json
import os
import shutil
import subprocess
import textwrap
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from PIL import Image
from rasterio.crs import CRS as RasterioCRS

from landcover.io.geotiff.cog import writing_cog
from landcover.io.legend import Legend
from landcover.io.raster import Grid, open_raster
from landcover.io.records.digests import sha256_of_file, sha256_of_path
from landcover.io.sidecars.category_names import names_beside
from landcover.samples.labels import raster_legend
from tests.scenes import CRS, TRANSFORM, write_raster

HOSTILE = Legend.from_list(
    [
        {"code": 3, "name": 'water & <b>"ice"</b>', "color": "#1f78b4"},
        {"code": 7, "name": "]]> лес <!--", "color": "#117733"},
        {"code": 254, "name": "&quot;</Category>", "color": "#cc6677"},
    ]
)
MOST = Legend.of(f"class number {number:03}" for number in range(254))
METADATA = 42112
"""The TIFF tag in which GDAL keeps metadata."""


def write_map(path, legend, codes=None):
    codes = np.array([legend.codes], np.uint8) if codes is None else codes
    grid = Grid(RasterioCRS.from_string(CRS), TRANSFORM, codes.shape[1], codes.shape[0])
    with writing_cog(path, grid, "class", legend) as writer:
        for window in grid.windows():
            writer.write(codes[window.toslices()], window)
    return path


def named(legend):
    return {entry.code: entry.name for entry in legend.classes}


def categories_by_gdal(path):
    """Return the names that GDAL knows, by code: it writes them into a VRT as it reads them."""
    vrt = path.with_suffix(".vrt")
    with rasterio.Env(GDAL_PAM_ENABLED=True, GDAL_DISABLE_READDIR_ON_OPEN=False):
        rasterio.shutil.copy(path, vrt, driver="VRT")
    listed = ElementTree.parse(vrt).iter("Category")
    return {code: found.text for code, found in enumerate(listed) if found.text}


def rows_of(table):
    return [[cell.text for cell in row] for row in table.iter("Row")]


def expected_rows(legend):
    return [[str(c.code), c.name, *map(str, bytes.fromhex(c.color[1:]))] for c in legend.classes]


@pytest.mark.parametrize("legend", [HOSTILE, MOST, Legend.of(["one"])])
def test_gdal_knows_the_categories(legend, tmp_path):
    assert categories_by_gdal(write_map(tmp_path / "map.tif", legend)) == named(legend)


@pytest.mark.parametrize("legend", [HOSTILE, MOST])
def test_the_attribute_table_is_in_the_map_and_beside_it(legend, tmp_path):
    path = write_map(tmp_path / "map.tif", legend)
    with Image.open(path) as image:
        inside = ElementTree.fromstring(image.tag_v2[METADATA].encode("latin-1"))
    item = inside.find("./Item[@name='DEFAULT_RASTER_ATTRIBUTE_TABLE']")
    assert (item.get("sample"), item.get("role")) == ("0", "rat")
    beside = ElementTree.parse(f"{path}.aux.xml")
    assert rows_of(item) == rows_of(beside) == expected_rows(legend)
    usages = [int(usage.text) for usage in item.iter("Usage")]
    assert usages == [5, 2, 6, 7, 8]  # GFU_MinMax, GFU_Name, GFU_Red, GFU_Green, GFU_Blue


def test_the_map_itself_says_what_it_said_before(tmp_path):
    with open_raster(write_map(tmp_path / "map.tif", HOSTILE)) as dataset:
        assert raster_legend(dataset) == HOSTILE
        assert dataset.tags(1) == {}
        assert set(dataset.tags()) == {"LANDCOVER_LEGEND", "AREA_OR_POINT"}


def test_the_style_draws_each_code_with_name_and_colour(tmp_path):
    path = write_map(tmp_path / "map.tif", HOSTILE)
    entries = ElementTree.parse(path.with_suffix(".qml")).iter("paletteEntry")
    shown = [(int(e.get("value")), e.get("label"), e.get("color")) for e in entries]
    assert shown == [(c.code, c.name, c.color) for c in HOSTILE.classes]


def test_signs_that_xml_has_not_become_others(tmp_path):
    path = write_map(tmp_path / "map.tif", Legend.of(["a\x00b\x1bc", "two\nlines", "\ufffe"]))
    categories = ElementTree.parse(f"{path}.aux.xml").iter("Category")
    entries = ElementTree.parse(path.with_suffix(".qml")).iter("paletteEntry")
    shown = ["a\ufffdb\ufffdc", "two lines", "\ufffd"]
    assert [category.text for category in categories] == [None, *shown]
    assert [entry.get("label") for entry in entries] == shown


def test_the_same_map_has_the_same_files(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_map(tmp_path / name / "map.tif", HOSTILE)
    files = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert set(files) == {"map.tif", "map.tif.aux.xml", "map.qml"}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "other").iterdir()}


def test_another_map_in_its_place_brings_its_own_names(tmp_path):
    write_map(tmp_path / "map.tif", HOSTILE)
    other = Legend.of(["field", "wood"])
    path = write_map(tmp_path / "map.tif", other)
    assert categories_by_gdal(path) == named(other)
    assert "лес" not in path.with_suffix(".qml").read_text()


def test_a_map_that_fails_leaves_the_old_one_with_its_names(tmp_path):
    path = write_map(tmp_path / "map.tif", HOSTILE)
    grid = Grid(RasterioCRS.from_string(CRS), TRANSFORM, 9, 9)
    with pytest.raises(OSError, match="full"), writing_cog(path, grid, "class", MOST):
        raise OSError("the disk is full")
    assert categories_by_gdal(path) == named(HOSTILE)


def test_a_raster_without_legend_loses_what_gdal_kept_of_the_old_one(tmp_path):
    path = tmp_path / "confidence.tif"
    (tmp_path / "confidence.tif.aux.xml").write_text("<PAMDataset/>")  # statistics of the old one
    (tmp_path / "confidence.qml").write_text("the user's own")
    grid = Grid(RasterioCRS.from_string(CRS), TRANSFORM, 2, 2)
    with writing_cog(path, grid, "percent") as writer:
        writer.write(np.ones((2, 2), np.uint8), next(grid.windows()))
    assert {found.name for found in tmp_path.iterdir()} == {"confidence.tif", "confidence.qml"}


def test_links_in_the_way_are_replaced_and_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "maps").mkdir()
    for name in ("map.qml", "map.tif.aux.xml"):
        (tmp_path / "maps" / name).symlink_to(victim)
    path = write_map(tmp_path / "maps/map.tif", HOSTILE)
    assert victim.read_text() == "precious"
    assert categories_by_gdal(path) == named(HOSTILE)


def test_a_map_is_the_same_with_its_names_beside_it_changed_or_lost(tmp_path):
    """GDAL and QGIS write statistics there when somebody looks at the map."""
    path = write_map(tmp_path / "map.tif", HOSTILE)
    digest = sha256_of_path(path)
    beside = Path(f"{path}.aux.xml")
    beside.write_text(beside.read_text().replace("лес", "ice"))
    with open_raster(path) as dataset:
        assert raster_legend(dataset) == HOSTILE
    assert names_beside(path) is None
    assert sha256_of_path(path) == digest == sha256_of_file(path)
    beside.unlink()
    assert sha256_of_path(path) == digest


def test_names_beside_a_raster_that_has_none_count_as_part_of_it(tmp_path):
    """Also those that we wrote beside a map, once another program has dropped its tags."""
    path = write_map(tmp_path / "map.tif", HOSTILE)
    other = write_raster(tmp_path / "other.tif", np.array([[3, 7, 254]], np.uint8), nodata=255)
    digest = sha256_of_path(other)
    shutil.copy(f"{path}.aux.xml", f"{other}.aux.xml")
    assert sha256_of_path(other) != digest
    with open_raster(other) as dataset:
        assert named(raster_legend(dataset)) == named(HOSTILE)


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="gdalinfo is not installed")
@pytest.mark.parametrize("legend", [HOSTILE, MOST])
def test_gdalinfo_shows_the_names(legend, tmp_path):
    path = write_map(tmp_path / "map.tif", legend)
    said = subprocess.run(["gdalinfo", "-json", path], capture_output=True, check=True).stdout
    table = json.loads(said)["rat"]["row"]
    assert [[str(v) for v in row["f"]] for row in table] == expected_rows(legend)
    shown = subprocess.run(["gdalinfo", path], capture_output=True, check=True, text=True).stdout
    for entry in legend.classes:
        assert f" {entry.code}: {entry.name}\n" in shown


IN_QGIS = """
    import json, sys
    from qgis.core import QgsApplication, QgsMapRendererSequentialJob, QgsMapSettings, QgsRasterLayer
    from qgis.PyQt.QtCore import QSize

    app = QgsApplication([], False)
    app.initQgis()
    layer = QgsRasterLayer(sys.argv[1], "map")
    classes = [(c.value, c.label, c.color.name()) for c in layer.renderer().classes()]
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setExtent(layer.extent())
    settings.setOutputSize(QSize(layer.width(), layer.height()))
    job = QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(sys.argv[2])
    print(json.dumps(classes))
    sys.stdout.flush()
    import os
    os._exit(0)  # QGIS may crash when Python takes it down
"""  # noqa: E501
_SYSTEM_PYTHON = "/usr/bin/python3"


def has_qgis():
    if not Path(_SYSTEM_PYTHON).exists():
        return False
    asked = [_SYSTEM_PYTHON, "-c", "import qgis.core"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def open_in_qgis(path, picture):
    """Return value, label and colour of the classes that QGIS shows; it draws a picture."""
    done = subprocess.run(
        [_SYSTEM_PYTHON, "-c", textwrap.dedent(IN_QGIS), path, picture],
        capture_output=True, check=True, text=True, timeout=120,
        env={"PATH": os.environ["PATH"], "HOME": str(picture.parent),
             "QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": str(picture.parent)},
    )  # fmt: skip
    return [(int(value), label, color) for value, label, color in json.loads(done.stdout)]


@pytest.mark.proof
@pytest.mark.parametrize("style", [True, False])
def test_qgis_shows_names_and_colours(style, tmp_path):
    if not has_qgis():
        pytest.skip("QGIS is not installed: apt-get install qgis python3-qgis")
    codes = np.kron(np.array([[3, 7], [254, 255]], np.uint8), np.ones((60, 60), np.uint8))
    path = write_map(tmp_path / "map.tif", HOSTILE, codes)
    if not style:
        path.with_suffix(".qml").unlink()
    shown = open_in_qgis(path, tmp_path / "picture.png")
    expected = [(c.code, c.name, c.color) for c in HOSTILE.classes]
    assert set(shown) >= set(expected)
    if style:
        assert shown == expected
    with Image.open(tmp_path / "picture.png") as picture:
        drawn = [picture.convert("RGB").getpixel(at) for at in ((30, 30), (90, 30), (30, 90))]
    assert drawn == [tuple(bytes.fromhex(color[1:])) for _, _, color in expected]
