import geopandas
import numpy as np
import pytest
import shapely

from landcover.errors import InputError
from landcover.progress import collecting_notes
from landcover.samples.versions.incoming import import_files, waiting
from tests.scenes import CRS, pixels, write_labels, write_raster


@pytest.fixture
def incoming(ledger):
    folder = ledger.folder / "incoming"
    folder.mkdir()
    return folder


def of(ledger, number):
    return list(ledger.records(ledger.manifest(number)).values())


def take(ledger, **values):
    with collecting_notes(lambda sentence: None) as notes:
        done = import_files(ledger, waiting(ledger), "class", "ann", **values)
    return done, notes.remarks


@pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.fgb", "a.geojson"])
def test_files_of_others_become_a_version_with_provenance(ledger, incoming, name):
    square = pixels(0, 0, 3, 3)
    frame = geopandas.GeoDataFrame(
        {"class": ["water", None], "author": ["eve", "eve"]},
        geometry=[square, pixels(5, 5, 2, 2)],
        crs=CRS,
    )
    (frame.to_crs(4326) if name.endswith("json") else frame).to_file(incoming / name)
    before = {path: path.read_bytes() for path in incoming.iterdir()}
    done, remarks = take(ledger, source="the forest service")
    assert done.samples == {name: 1}
    assert remarks == [f"1 features of {name} have no class and are not imported"]
    (found,) = of(ledger, 1)
    assert (found.class_name, found.author) == ("water", "eve")
    assert found.source.startswith(f"{name}, sha256 ")
    number = 2 if name == "a.fgb" else 1  # which orders features by where they lie
    assert found.source.endswith(f"from the forest service, feature {number}")
    back = geopandas.GeoSeries([found.geometry], crs=4326).to_crs(CRS)[0]
    assert back.symmetric_difference(square).area < 1e-3 * square.area
    assert ledger.manifest(1).author == "ann"
    assert {path: path.read_bytes() for path in incoming.iterdir()} == before


def test_points_of_a_table(ledger, incoming):
    (incoming / "a.csv").write_text("lon,lat,class\n105.5,52.25,water\n")
    take(ledger)
    assert of(ledger, 1)[0].geometry == shapely.Point(105.5, 52.25)


def test_again_adds_what_is_new_and_brings_nothing_back(ledger, incoming):
    shapes = [("water", pixels(0, 0, 3, 3)), ("forest", pixels(5, 5, 2, 2))]
    write_labels(incoming / "a.gpkg", shapes)
    take(ledger)
    ledger.commit([], [of(ledger, 1)[0].id], "bob")
    write_labels(incoming / "b.gpkg", [*shapes, ("forest", pixels(9, 9, 2, 2))])
    done, remarks = take(ledger)
    assert done.samples == {"a.gpkg": 0, "b.gpkg": 1}
    assert "2 samples of b.gpkg are known already" in remarks
    assert len(of(ledger, 3)) == 2
    done, _ = take(ledger)
    assert done.committed is None
    assert ledger.last == 3


def test_broken_files_are_refused_with_words_and_stay(ledger, incoming, tmp_path):
    write_labels(incoming / "good.gpkg", [("water", pixels(0, 0, 3, 3))])
    content = (incoming / "good.gpkg").read_bytes()
    (incoming / "cut.gpkg").write_bytes(content[: len(content) // 3])
    (incoming / "empty.geojson").write_bytes(b"")
    (incoming / "program.sh").write_bytes(b"#!/bin/sh\nexit 1\n")
    (incoming / "xy.csv").write_text("x,y,class\n5,5,water\n")
    (incoming / "link.gpkg").symlink_to(incoming / "good.gpkg")
    (incoming / "folder").mkdir()
    write_raster(incoming / "codes.tif", np.ones((1, 4, 4), np.uint8))
    write_labels(incoming / "other.gpkg", [("a", pixels(0, 0, 3, 3))], field="kind")
    bow = shapely.Polygon([(105, 52), (106, 53), (106, 52), (105, 53)])
    write_labels(incoming / "bow.geojson", [("a", bow)], crs="EPSG:4326")
    before = sorted(path.name for path in incoming.iterdir())
    done, _ = take(ledger)
    reasons = {refused.file: refused.reason for refused in done.refused}
    assert set(reasons) == set(before) - {"good.gpkg"}
    assert "polygonize-map" in reasons["codes.tif"]
    assert "lon and lat" in reasons["xy.csv"]
    assert "no field class" in reasons["other.gpkg"]
    assert "no plain file" in reasons["link.gpkg"]
    assert all(name in reason for name, reason in reasons.items())
    assert done.samples == {"good.gpkg": 1}
    assert sorted(path.name for path in incoming.iterdir()) == before


def test_nothing_readable_makes_no_version(ledger, incoming):
    with pytest.raises(InputError, match="holds no file"):
        take(ledger)
    (incoming / "a.geojson").write_text("{")
    with pytest.raises(InputError, match=r"a\.geojson"):
        take(ledger)
    assert ledger.last == 0
