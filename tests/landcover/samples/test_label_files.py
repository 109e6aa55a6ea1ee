"""Labels as they lie in people's folders: tables, KML, GPX, zips, old Shapefiles."""

import csv
import json
import re
import zipfile

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
from pyproj import Transformer
from shapely.geometry import LineString, MultiPoint, Point

from landcover.errors import InputError
from landcover.io.legend import Legend
from landcover.io.vector_formats import zipped
from landcover.progress import collecting_notes
from landcover.quality.assessment import assess_quality
from landcover.samples.extraction import extract_samples
from tests.landcover.samples.test_extraction import counts
from tests.scenes import CRS, TRANSFORM, pixels, write_labels, write_raster

SIDE = 20
FOREST, WATER = (3, 4), (10, 12)
"""Row and column of a pixel of each class."""


@pytest.fixture
def scene(tmp_path):
    values = np.arange(2 * SIDE * SIDE, dtype=np.uint16).reshape(2, SIDE, SIDE)
    return write_raster(tmp_path / "scene.tif", values)


def middle(row, column):
    return TRANSFORM @ (column + 0.5, row + 0.5)


def degrees(row, column):
    return Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(*middle(row, column))


def rows_of(extraction):
    """Return row and column of the samples of each class."""
    return {
        path.parent.name: [tuple(row) for row in np.load(path)[:, 1:].tolist()]
        for path in sorted(extraction.samples.rglob("*.origin.npy"))
    }


def cut(scene, labels, tmp_path, **options):
    """Extract samples; return them and the remarks."""
    with collecting_notes(lambda _: None) as notes:
        extraction = extract_samples(scene, labels, workdir=tmp_path / "out", **options)
    return extraction, " | ".join(notes.remarks)


TWO = {"forest": [FOREST], "water": [WATER]}


@pytest.mark.parametrize(
    ("header", "place", "separator"),
    [("lon,lat,class", degrees, ","), ("Longitude;Latitude;class", degrees, ";"),
     ("x\ty\tclass", middle, "\t"), ("\ufeffx,y,class", middle, ",")],
)  # fmt: skip
def test_a_table_of_points_is_read(scene, tmp_path, header, place, separator):
    def line(at, name):
        numbers = [repr(float(n)) for n in place(*at)]
        numbers = [n.replace(".", ",") for n in numbers] if separator == ";" else numbers
        return separator.join([*numbers, name])

    text = "\r\n".join([header, line(FOREST, "forest"), "", line(WATER, "water")])
    (tmp_path / "l.csv").write_text(text, encoding="utf-8")
    extraction, remarks = cut(scene, tmp_path / "l.csv", tmp_path)
    assert rows_of(extraction) == TWO
    assert ("taken to be in the scene's system" in remarks) == (place is middle)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("east,north,class\n1,2,a", "has the columns east, north, class, a table of points needs"),
        ("x,y,class\n1,b,a", "line 2 has b as y, needs a number"),
        ("x,y,class\n1,nan,a", "line 2 has nan as y, needs a number"),
        ("x,y,class\n1,2", "line 2 has 2 fields, the header has 3"),
        ("lon,lat,class\n52,105,a", "line 2 has latitude 105, needs -90 to 90"),
        ("x,y,class\n", "holds no feature"),
        ('x,y,class\n"1,2,a', "line 2"),
        ("x,y,kind\n1,2,a", "has no field class, its fields are x, y, kind"),
    ],
)
def test_a_table_that_is_no_list_of_points_is_refused(scene, tmp_path, text, sentence):
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(InputError, match=sentence):
        cut(scene, tmp_path / "l.csv", tmp_path)


def test_a_table_has_no_layers(scene, tmp_path):
    (tmp_path / "l.csv").write_text("x,y,class\n1,2,a\n")
    with pytest.raises(InputError, match="is CSV, it has no layer b"):
        cut(scene, tmp_path / "l.csv", tmp_path, layer="b")


def test_a_table_in_a_code_page_is_refused(scene, tmp_path):
    (tmp_path / "l.csv").write_bytes("x,y,class\n1,2,лес".encode("cp1251"))
    with pytest.raises(InputError, match="is not in UTF-8"):
        cut(scene, tmp_path / "l.csv", tmp_path)


def kml(*folders, head=""):
    parts = [
        f"<Folder><name>{name}</name>{''.join(placemarks)}</Folder>"
        for name, placemarks in folders
    ]
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{head}<kml xmlns="http://www.opengis.net/kml/2.2">'
        f"<Document><name>all</name>{''.join(parts)}</Document></kml>"
    )


def polygon_kml(name, row, column, size=2):
    corners = [(row, column), (row, column + size), (row + size, column + size),
               (row + size, column), (row, column)]  # fmt: skip
    to_degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform
    ring = " ".join("{:.9f},{:.9f},0".format(*to_degrees(*(TRANSFORM @ (c, r))))
                    for r, c in corners)  # fmt: skip
    return (
        f"<Placemark><name>{name}</name><ExtendedData><Data name='class'><value>{name}</value>"
        "</Data></ExtendedData><Polygon><outerBoundaryIs><LinearRing><coordinates>"
        f"{ring}</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark>"
    )


TEXT = kml(
    ("first", [polygon_kml("forest", 2, 3)]),
    ("second", [polygon_kml("water", 9, 9, 3), "<NetworkLink><name>n</name></NetworkLink>"]),
)


@pytest.mark.parametrize("field", ["class", "name"])
def test_kml_and_kmz_are_read_across_folders(scene, tmp_path, field):
    (tmp_path / "l.kml").write_text(TEXT)
    with zipfile.ZipFile(tmp_path / "l.kmz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("doc.kml", TEXT)
        archive.writestr("files/icon.png", b"\x89PNG")
    for name in ("l.kml", "l.kmz"):
        extraction, remarks = cut(scene, tmp_path / name, tmp_path, class_field=field)
        assert {c: len(rows) for c, rows in rows_of(extraction).items()} == {
            "forest": 4,
            "water": 9,
        }
        assert "names 1 other file, which was not read" in remarks


def test_folders_of_a_kml_are_layers_and_may_be_the_class(scene, tmp_path):
    (tmp_path / "l.kml").write_text(TEXT)
    extraction, _ = cut(scene, tmp_path / "l.kml", tmp_path, class_field="folder")
    assert {c: len(rows) for c, rows in rows_of(extraction).items()} == {"first": 4, "second": 9}
    extraction, _ = cut(scene, tmp_path / "l.kml", tmp_path, layer="second")
    assert extraction.total == 9
    with pytest.raises(
        InputError, match="has no folder third with placemarks, it has first, second"
    ):
        cut(scene, tmp_path / "l.kml", tmp_path, layer="third")


@pytest.mark.parametrize("encoding", ["UTF-8", "utf-7", "utf-16"])
def test_a_document_type_is_refused_in_any_encoding(scene, tmp_path, encoding):
    entities = '<!DOCTYPE k [<!ENTITY a "&#65;"><!ENTITY b SYSTEM "file:///etc/passwd">]>'
    text = kml(("f", ["<Placemark><name>&b;</name></Placemark>"]), head=entities)
    (tmp_path / "l.kml").write_bytes(text.replace("UTF-8", encoding).encode(encoding))
    with pytest.raises(InputError, match=r"document type|text in UTF-16|is not in"):
        cut(scene, tmp_path / "l.kml", tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (TEXT[:-30], "is damaged XML"),
        ("<kml>" + "<Folder>" * 100, "nested deeper than 64"),
        (TEXT.replace("105.", "east."), "needs numbers"),
        (kml(("f", ["<Placemark><name>a</name></Placemark>"])), "holds no feature"),
    ],
)
def test_a_damaged_kml_is_refused(scene, tmp_path, text, sentence):
    (tmp_path / "l.kml").write_text(text)
    with pytest.raises(InputError, match=sentence):
        cut(scene, tmp_path / "l.kml", tmp_path, class_field="name")


def gpx(*elements):
    return (
        f'<gpx xmlns="http://www.topografix.com/GPX/1/1" version="1.1">{"".join(elements)}</gpx>'
    )


def test_waypoints_of_a_gpx_are_read_and_tracks_told(scene, tmp_path):
    points = [
        '<wpt lat="{1!r}" lon="{0!r}"><name>{2}</name></wpt>'.format(*degrees(*at), name)
        for at, name in ((FOREST, "forest"), (WATER, "water"))
    ]
    (tmp_path / "l.gpx").write_text(gpx(*points, "<trk><name>way</name></trk>"))
    extraction, remarks = cut(scene, tmp_path / "l.gpx", tmp_path, class_field="name")
    assert rows_of(extraction) == TWO
    assert "1 track or route of l.gpx was left out" in remarks
    (tmp_path / "l.gpx").write_text(gpx("<trk/>"))
    with pytest.raises(InputError, match="holds tracks or routes alone, labels need waypoints"):
        cut(scene, tmp_path / "l.gpx", tmp_path, class_field="name")


def a_shapefile(folder, names=("forest", "water"), **options):
    folder.mkdir(exist_ok=True)
    frame = geopandas.GeoDataFrame(
        {"class": list(names)}, geometry=[Point(middle(*FOREST)), Point(middle(*WATER))], crs=CRS
    )
    frame.to_file(folder / "l.shp", engine="pyogrio", **options)
    return folder / "l.shp"


def zip_of(target, folder, prefix=""):
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, prefix + path.name)
    return target


@pytest.mark.parametrize("prefix", ["", "data/", "../../up/", "/abs/"])
def test_a_zipped_shapefile_is_read_wherever_it_says_it_lies(scene, tmp_path, prefix):
    a_shapefile(tmp_path / "shp")
    extraction, _ = cut(scene, zip_of(tmp_path / "l.zip", tmp_path / "shp", prefix), tmp_path)
    assert rows_of(extraction) == TWO
    assert not (tmp_path.parent / "up").exists()


def test_of_several_in_a_zip_layer_says_which(scene, tmp_path):
    with zipfile.ZipFile(tmp_path / "l.zip", "w") as archive:
        for name in ("a", "b"):
            shapefile = a_shapefile(tmp_path / name)
            for path in sorted(shapefile.parent.iterdir()):
                archive.write(path, f"{name}{path.suffix}")
    with pytest.raises(InputError, match="holds a, b: say with the input layer which"):
        cut(scene, tmp_path / "l.zip", tmp_path)
    assert cut(scene, tmp_path / "l.zip", tmp_path, layer="b")[0].total == 2


def test_of_several_of_one_name_in_a_zip_folders_say_which(scene, tmp_path):
    shapefile = a_shapefile(tmp_path / "shp")
    with zipfile.ZipFile(tmp_path / "l.zip", "w") as archive:
        for folder in ("2023", "2024"):
            for path in sorted(shapefile.parent.iterdir()):
                archive.write(path, f"{folder}/{path.name}")
    with pytest.raises(InputError, match="holds 2023/l, 2024/l: say with the input layer which"):
        cut(scene, tmp_path / "l.zip", tmp_path)
    assert cut(scene, tmp_path / "l.zip", tmp_path, layer="2024/l")[0].total == 2


def test_a_zip_is_unpacked_within_bounds(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(zipped, "MAX_BYTES", 10**6)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("l.shp", bytes(10**7))
    with pytest.raises(InputError, match="unpacks to more than 1,000,000 bytes"):
        cut(scene, tmp_path / "bomb.zip", tmp_path)
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(2001):
            archive.writestr(f"{number}.txt", b"")
    with pytest.raises(InputError, match="holds 2001 files, it may hold 2,000"):
        cut(scene, tmp_path / "many.zip", tmp_path)


def test_a_zip_without_vectors_or_that_broke_off_is_refused(scene, tmp_path):
    with zipfile.ZipFile(tmp_path / "l.zip", "w") as archive:
        archive.writestr("scene.tif", b"II*\0")
    with pytest.raises(InputError, match="holds no Shapefile or KML"):
        cut(scene, tmp_path / "l.zip", tmp_path)
    (tmp_path / "l.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(InputError, match="cannot be unpacked"):
        cut(scene, tmp_path / "l.zip", tmp_path)


@pytest.mark.parametrize("missing", [".shx", ".dbf", ".prj"])
def test_the_missing_part_of_a_shapefile_is_named(scene, tmp_path, missing):
    shapefile = a_shapefile(tmp_path / "shp")
    shapefile.with_suffix(missing).unlink()
    with pytest.raises(InputError, match=rf"l\{missing}"):
        cut(scene, shapefile, tmp_path)


def test_a_part_given_for_the_shapefile_is_told_from_it(scene, tmp_path):
    shapefile = a_shapefile(tmp_path / "shp")
    for part in (".dbf", ".shx"):
        with pytest.raises(InputError, match=r"is a part of a Shapefile, give l\.shp"):
            cut(scene, shapefile.with_suffix(part), tmp_path)


RUSSIAN = ("лес", "вода")


@pytest.mark.parametrize("declared", ["1251", "ANSI 1251", "windows-1251", "CP1251\r\n"])
def test_texts_are_read_in_the_encoding_that_the_cpg_names(scene, tmp_path, declared):
    shapefile = a_shapefile(tmp_path / "shp", RUSSIAN, encoding="cp1251")
    shapefile.with_suffix(".cpg").write_text(declared)
    assert set(counts(cut(scene, shapefile, tmp_path)[0].counts)) == set(RUSSIAN)


@pytest.mark.parametrize("cpg", [None, "", "System", "nonsense"])
@pytest.mark.parametrize("driver", [0x00, 0x57])
def test_texts_of_an_undeclared_encoding_are_refused_with_the_remedy(scene, tmp_path, cpg, driver):
    shapefile = undeclared(tmp_path, "cp1251", driver)
    if cpg is not None:
        shapefile.with_suffix(".cpg").write_text(cpg)
    with pytest.raises(InputError, match=r"put its name into l\.cpg; .* CP1251 if it is лес"):
        cut(scene, shapefile, tmp_path)


def undeclared(tmp_path, encoding, driver=0):
    shapefile = a_shapefile(tmp_path / "shp", RUSSIAN, encoding=encoding)
    shapefile.with_suffix(".cpg").unlink()
    table = bytearray(shapefile.with_suffix(".dbf").read_bytes())
    table[29] = driver
    shapefile.with_suffix(".dbf").write_bytes(table)
    return shapefile


@pytest.mark.parametrize(
    ("encoding", "driver"), [("utf-8", 0), ("cp1251", 0xC9), ("cp866", 0x65), ("cp866", 0x26)]
)
def test_texts_in_utf8_or_with_a_language_driver_are_read(scene, tmp_path, encoding, driver):
    extraction, _ = cut(scene, undeclared(tmp_path, encoding, driver), tmp_path)
    assert set(counts(extraction.counts)) == set(RUSSIAN)


def test_points_among_polygons_are_their_pixels(scene, tmp_path):
    labels = write_labels(
        tmp_path / "l.gpkg",
        [("forest", pixels(0, 0, 3, 3)), ("water", Point(middle(5, 5))),
         ("water", MultiPoint([middle(7, 7), middle(9, 9)])), ("water", Point(middle(1, 1)))],
    )  # fmt: skip
    extraction, _ = cut(scene, labels, tmp_path)
    rows = rows_of(extraction)
    assert rows["water"] == [(5, 5), (7, 7), (9, 9)]
    assert sorted(rows["forest"]) == [
        (r, c) for r in range(3) for c in range(3) if (r, c) != (1, 1)
    ]
    assert counts(extraction.counts)["left out: polygons of different classes overlap"] == 1


def test_latitude_first_is_told_as_what_it_is(scene, tmp_path):
    lon, lat = degrees(*FOREST)
    frame = geopandas.GeoDataFrame({"class": ["a"]}, geometry=[Point(lat, lon)], crs="EPSG:4326")
    frame.to_file(tmp_path / "l.geojson")
    with pytest.raises(InputError, match="has latitude or northing first"):
        cut(scene, tmp_path / "l.geojson", tmp_path)
    x, y = middle(*FOREST)
    (tmp_path / "l.csv").write_text(f"x,y,class\n{y},{x},a\n")
    with pytest.raises(InputError, match="has latitude or northing first"):
        cut(scene, tmp_path / "l.csv", tmp_path)
    (tmp_path / "l.csv").write_text(f"x,y,class\n{lon},{lat},a\n")
    with pytest.raises(InputError, match="only if its coordinates are degrees"):
        cut(scene, tmp_path / "l.csv", tmp_path)


def test_the_line_among_polygons_is_named(scene, tmp_path):
    line = LineString([middle(1, 1), middle(2, 2)])
    labels = write_labels(tmp_path / "l.gpkg", [("a", pixels(0, 0, 3, 3)), ("b", line)])
    with pytest.raises(InputError, match="feature 2 is a line, which covers no pixel"):
        cut(scene, labels, tmp_path)


@pytest.mark.parametrize(
    ("other", "shown"),
    [("Forest", r"Forest \(1 feature\)"), ("pine  forest", "pine  forest"),
     ("cafe\u0301", r"cafe\u0301 \(1 feature, in decomposed letters\)")],
)  # fmt: skip
def test_classes_that_one_hardly_tells_apart_are_named(scene, tmp_path, other, shown):
    one = {"Forest": "forest", "pine  forest": "pine forest"}.get(other, "café")
    labels = write_labels(
        tmp_path / "l.gpkg",
        [(one, pixels(0, 0, 3, 3)), (one, pixels(5, 0, 3, 3)), (other, pixels(9, 9, 3, 3))],
    )
    extraction, remarks = cut(scene, labels, tmp_path)
    assert counts(extraction.counts) == {one: 18, other: 9}
    assert "are kept apart" in remarks
    assert f"{one} (2 features)" in remarks
    assert re.search(shown, remarks)


def test_a_geojson_in_a_code_page_is_told_from_a_damaged_one(scene, tmp_path):
    labels = write_labels(tmp_path / "l.gpkg", [("лес", pixels(0, 0, 3, 3))])
    meta, _, shapes, values = pyogrio.raw.read(labels)
    pyogrio.raw.write(tmp_path / "l.geojson", shapes, values, meta["fields"],
                      geometry_type="Polygon", crs=CRS, driver="GeoJSON")  # fmt: skip
    text = (tmp_path / "l.geojson").read_text("utf-8")
    (tmp_path / "l.geojson").write_bytes(text.encode("cp1251"))
    with pytest.raises(InputError, match="is not in UTF-8, as GeoJSON needs to be"):
        cut(scene, tmp_path / "l.geojson", tmp_path)


def test_a_table_and_mixed_features_serve_as_reference(tmp_path):
    codes = np.ones((SIDE, SIDE), np.uint8)
    codes[:, 10:] = 2
    legend = Legend.of(["a", "b"]).to_tag()
    mapped = write_raster(tmp_path / "m.tif", codes, nodata=255, LANDCOVER_LEGEND=legend)
    rows = [
        "{!r},{!r},{}".format(*map(float, middle(*at)), name)
        for at, name in (((1, 1), "a"), ((3, 15), "b"), ((5, 5), "b"))
    ]
    (tmp_path / "r.csv").write_text("\n".join(["x,y,class", *rows]))
    assert assess_quality(mapped, tmp_path / "r.csv", workdir=tmp_path).accuracy == 2 / 3
    mixed = [("a", pixels(0, 0, 3, 3)), ("b", Point(middle(15, 15)))]
    found = assess_quality(mapped, write_labels(tmp_path / "l.gpkg", mixed), workdir=tmp_path)
    assert (found.labelled, found.accuracy) == (10, 1.0)


def _features(**classes):
    """Return GeoJSON features in degrees, a point each."""
    return [
        {"type": "Feature", "properties": {"class": name},
         "geometry": {"type": "Point", "coordinates": list(degrees(*place))}}
        for name, place in classes.items()
    ]  # fmt: skip


def _collection(features):
    return json.dumps({"type": "FeatureCollection", "features": features})


def _in_metres():
    (feature,) = _features(forest=FOREST)
    return feature | {"geometry": {"type": "Point", "coordinates": list(middle(*FOREST))}}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("l.geojsonl", "\n".join(map(json.dumps, _features(forest=FOREST, water=WATER))),
         "holds several JSON texts, as GeoJSON of a feature a line does"),
        ("l.geojson", _collection(_features(forest=FOREST, water=WATER)).encode("utf-16"),
         "is text in UTF-16, save it in UTF-8"),
        ("l.csv", "class,lon,lat\nforest,104,52\n".encode("utf-16"),
         "is text in UTF-16, save it in UTF-8"),
        ("l.geojson", _collection([_in_metres()]),
         "only if its coordinates are in the scene's system, EPSG:32648, while it says they are"),
        ("l.geojson", _collection([f | {"properties": {"class": ["a", "b"]}}
                                   for f in _features(forest=FOREST)]),
         "the field of the class holds lists or bytes"),
        ("l.csv", "class,class,lon,lat\na,b,104,52\n", "has two columns class"),
    ],
    ids=["lines", "utf-16", "utf-16 table", "metres", "lists", "columns"],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_the_true_reason(
    scene, tmp_path, name, content, reason
):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=reason):
        cut(scene, path, tmp_path)


def test_a_geopackage_of_tiles_is_called_one(scene, tmp_path):
    tiles = tmp_path / "t.gpkg"
    with rasterio.open(tiles, "w", driver="GPKG", width=8, height=8, count=1, dtype="uint8",
                       crs=CRS, transform=TRANSFORM) as dataset:  # fmt: skip
        dataset.write(np.ones((1, 8, 8), np.uint8))
    with pytest.raises(InputError, match="holds tiles, a raster, and no features"):
        cut(scene, tiles, tmp_path)


def test_odd_breaks_within_the_fields_of_a_table_are_no_new_rows(scene, tmp_path):
    rows = [
        ["one\x0btwo\u2028three\x85", "forest", *map(str, degrees(*FOREST))],
        ["one\r\ntwo, \"three\"", "water", *map(str, degrees(*WATER))],
    ]  # fmt: skip
    with (tmp_path / "l.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["note", "class", "lon", "lat"], *rows])
    assert rows_of(cut(scene, tmp_path / "l.csv", tmp_path)[0]) == TWO


def test_a_folder_of_a_kml_brings_those_in_it(scene, tmp_path):
    def placed(name, place):
        lon, lat = degrees(*place)
        return (f"<Placemark><name>{name}</name><Point><coordinates>{lon},{lat}</coordinates>"
                "</Point></Placemark>")  # fmt: skip

    inner = f"<Folder><name>inner</name>{placed('forest', FOREST)}</Folder>"
    outer = f"<Folder><name>outer</name>{inner}</Folder>"
    (tmp_path / "l.kml").write_text(
        f"<kml><Document>{outer}{placed('water', WATER)}</Document></kml>"
    )
    for layer, expected in (("", TWO), ("outer", {"forest": [FOREST]}),
                            ("inner", {"forest": [FOREST]})):  # fmt: skip
        found, _ = cut(scene, tmp_path / "l.kml", tmp_path, layer=layer, class_field="name")
        assert rows_of(found) == expected
