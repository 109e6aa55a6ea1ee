"""Every accepted format is read as another program reads it; docs/formats.md is the table of it.

`python tests/landcover/samples/test_second_reader.py` writes the table anew. Second readers are
json, csv, geopandas and rasterio as they are, with none of our code and with what we switch off
in GDAL.
"""

import json
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.enums import MaskFlags

from landcover.counts import counted
from landcover.io.raster import Grid, open_raster, read_valid
from landcover.io.upright import upright
from landcover.io.vector import read_features
from landcover.io.vector_formats.formats import need_labels

TABLE = Path(__file__).parents[3] / "docs/formats.md"
HEADING = """# Formats that are read, and who else read them

Written by `python tests/landcover/samples/test_second_reader.py`; a test compares every row with
what our code and the second reader say today. Sums are of all coordinates of the labels, in the
units of their system, or of all valid pixels times the northing of their row in metres, so that
a raster upside down would not pass.

| format | what is particular | read | system | sum | second reader |
|---|---|---|---|---|---|
"""
CRS = "EPSG:32648"
TRANSFORM = Affine(10, 0, 500_000, 0, -10, 5_800_000)


def pixels(row: int, column: int, height: int, width: int) -> shapely.Polygon:
    left, top = TRANSFORM @ (column, row)
    return shapely.box(left, top - 10 * height, left + 10 * width, top)


POLYGONS = [pixels(2, 2, 4, 4), pixels(10, 3, 5, 2).difference(pixels(11, 3, 1, 1))]
POINTS = [shapely.centroid(pixels(row, column, 1, 1)) for row, column in ((1, 1), (7, 12), (9, 3))]


@dataclass(frozen=True)
class Reading:
    """What one reader says of a file."""

    count: int
    system: str
    total: float
    classes: tuple[str, ...] = ()

    def agrees(self, other: "Reading") -> bool:
        same = (self.count, self.system, self.classes) == (
            other.count, other.system, other.classes)  # fmt: skip
        return same and bool(np.isclose(self.total, other.total, rtol=1e-12, atol=0))


@dataclass(frozen=True)
class Format:
    """A row of the table: what a file is, how it is made, and how somebody else reads it."""

    name: str
    particular: str
    make: Callable[[Path], Path]
    second: str
    read: Callable[[Path], Reading]
    layer: str = ""
    class_field: str = "class"

    def ours(self, path: Path) -> Reading:
        if self.name == "GeoTIFF":
            return our_raster(path)
        crs, geometries, classes = read_features(
            path, need_labels(path), self.class_field, self.layer
        )
        return of_geometries(crs, list(geometries), classes)


def frame(shapes: list[shapely.Geometry], crs: str = CRS) -> geopandas.GeoDataFrame:
    names = [f"класс {number}" for number in range(len(shapes))]
    return geopandas.GeoDataFrame({"class": names}, geometry=shapes, crs=CRS).to_crs(crs)


def of_geometries(crs: object, shapes: list[shapely.Geometry], classes: list[str]) -> Reading:
    total = sum(float(shapely.get_coordinates(shape).sum()) for shape in shapes)
    name = ":".join(pyproj.CRS.from_user_input(crs).to_authority(min_confidence=20) or ("?",))
    return Reading(len(shapes), name, total, tuple(classes))


def saved(name: str, shapes: list[shapely.Geometry], crs: str = CRS) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        frame(shapes, crs).to_file(folder / name)
        return folder / name

    return make


def by_geopandas(layer: str | None = None, field: str = "class") -> Callable[[Path], Reading]:
    def read(path: Path) -> Reading:
        source = f"zip://{path}!labels/labels.shp" if path.suffix == ".zip" else path
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            names = [layer] if layer else [row[0] for row in pyogrio.list_layers(source)]
            found = pd.concat([geopandas.read_file(source, layer=name) for name in names])
        return of_geometries(found.crs, list(found.geometry), list(found[field]))

    return read


def by_json(path: Path) -> Reading:
    features = json.loads(path.read_text(encoding="utf-8"))["features"]
    shapes = [shapely.geometry.shape(feature["geometry"]) for feature in features]
    return of_geometries("OGC:CRS84", shapes, [f["properties"]["class"] for f in features])


def made_csv(folder: Path) -> Path:
    found = frame(POINTS, "EPSG:4326")
    rows = [
        f"{name};{str(point.x).replace('.', ',')};{str(point.y).replace('.', ',')}"
        for name, point in zip(found["class"], found.geometry, strict=True)
    ]
    path = folder / "labels.csv"
    path.write_text("\r\n".join(["class;lon;lat", *rows]), encoding="utf-8-sig")
    return path


def by_pandas(path: Path) -> Reading:
    found = pd.read_csv(path, sep=";", decimal=",", encoding="utf-8-sig")
    shapes = geopandas.points_from_xy(found["lon"], found["lat"])
    return of_geometries("EPSG:4326", list(shapes), list(found["class"]))


def made_kml(folder: Path) -> Path:
    placemarks = [
        f'<Folder><name>{name}</name><Placemark><ExtendedData><Data name="class"><value>{name}'
        f"</value></Data></ExtendedData>{kml_of(shape)}</Placemark></Folder>"
        for name, shape in frame(POLYGONS, "EPSG:4326").itertuples(index=False)
    ]
    path = folder / "labels.kml"
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?><kml xmlns="http://www.opengis.net/kml/2.2">'
        f"<Document>{''.join(placemarks)}</Document></kml>",
        encoding="utf-8",
    )
    return path


def kml_of(polygon: shapely.Polygon) -> str:
    def ring(name: str, line: shapely.LinearRing) -> str:
        listed = " ".join(f"{x!r},{y!r}" for x, y in line.coords)
        return f"<{name}><LinearRing><coordinates>{listed}</coordinates></LinearRing></{name}>"

    inner = "".join(ring("innerBoundaryIs", hole) for hole in polygon.interiors)
    return f"<Polygon>{ring('outerBoundaryIs', polygon.exterior)}{inner}</Polygon>"


def made_kmz(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "labels.kmz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(made_kml(folder), "doc.kml")
    return folder / "labels.kmz"


def made_gpx(folder: Path) -> Path:
    waypoints = [
        f'<wpt lat="{point.y!r}" lon="{point.x!r}"><name>{name}</name></wpt>'
        for name, point in frame(POINTS, "EPSG:4326").itertuples(index=False)
    ]
    track = '<trk><trkseg><trkpt lat="52" lon="105"/><trkpt lat="52" lon="106"/></trkseg></trk>'
    path = folder / "labels.gpx"
    path.write_text(
        '<gpx xmlns="http://www.topografix.com/GPX/1/1" version="1.1" creator="x">'
        f"{''.join(waypoints)}{track}</gpx>",
        encoding="utf-8",
    )
    return path


def made_zip(folder: Path) -> Path:
    shapefile = saved("labels.shp", POLYGONS)(folder)
    with zipfile.ZipFile(folder / "labels.zip", "w") as archive:
        for part in shapefile.parent.glob("labels.*"):
            if part.suffix != ".zip":
                archive.write(part, f"labels/{part.name}")
    return folder / "labels.zip"


def cp1251(folder: Path) -> Path:
    frame(POLYGONS).to_file(folder / "labels.shp", encoding="CP1251")
    return folder / "labels.shp"


def made_raster(
    dtype: str = "uint16", nodata: float | None = None, south: bool = False, **how: object
) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        values = np.random.default_rng(0).integers(1, 120, (2, 64, 64)).astype(dtype)
        if nodata is not None:
            values[1, :9] = nodata
        up = Affine.translation(0, 64) @ Affine.scale(1, -1)
        profile = {
            "driver": "GTiff", "count": 2, "width": 64, "height": 64, "dtype": dtype, "crs": CRS,
            "nodata": nodata, "transform": TRANSFORM @ up if south else TRANSFORM, **how,
        }  # fmt: skip
        with rasterio.open(folder / "scene.tif", "w", **profile) as dataset:
            dataset.write(values[:, ::-1] if south else values)
        return folder / "scene.tif"

    return make


def with_mask(inside: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = made_raster()(folder)
        hidden = np.full((64, 64), 255, np.uint8)
        hidden[3:20, 5:9] = 0
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside),
            rasterio.open(path, "r+") as dataset,
        ):
            dataset.write_mask(hidden)
        assert (folder / "scene.tif.msk").exists() == (inside == "NO")
        return path

    return make


def with_aux(folder: Path) -> Path:
    path = made_raster()(folder)
    bands = "".join(
        f'<PAMRasterBand band="{band}"><NoDataValue>{value}</NoDataValue></PAMRasterBand>'
        for band, value in ((1, 7), (2, 9))
    )
    (folder / "scene.tif.aux.xml").write_text(f"<PAMDataset>{bands}</PAMDataset>")
    return path


def our_raster(path: Path) -> Reading:
    with open_raster(path) as opened:
        dataset = upright(opened)
        grid = Grid.of(dataset)
        (window,) = grid.windows()
        values, valid = read_valid(dataset, window)
        return of_pixels(values, valid, grid.transform, grid.crs)


def by_rasterio(path: Path) -> Reading:
    with rasterio.open(path) as dataset:
        masks = np.array([dataset.read_masks(index) != 0 for index in dataset.indexes])
        flags = [set(flags) for flags in dataset.mask_flag_enums]
        assert all(flags)
        values = dataset.read()
        valid = masks.all(axis=0) | all(flag == {MaskFlags.all_valid} for flag in flags)
        if values.dtype.kind == "f":
            valid &= np.isfinite(values).all(axis=0)
        return of_pixels(values, valid, dataset.transform, dataset.crs)


def of_pixels(
    values: np.ndarray, valid: np.ndarray, transform: Affine, crs: rasterio.crs.CRS
) -> Reading:
    northing = transform.f + transform.e * (np.arange(values.shape[1]) + 0.5)
    weighted = values.astype(np.float64) * (northing - 5_700_000)[:, None]
    return Reading(int(valid.sum()), crs.to_string(), float(weighted[:, valid].sum()))


JSON, FRAME, PANDAS, PLAIN = "json and shapely", "geopandas", "pandas", "rasterio as it is"
TILED = {"tiled": True, "blockxsize": 16, "blockysize": 16}
FORMATS = [
    Format("GeoJSON", "polygons, one with a hole",
           saved("labels.geojson", POLYGONS, "OGC:CRS84"), JSON, by_json),
    Format("GeoPackage", "polygons", saved("labels.gpkg", POLYGONS), FRAME, by_geopandas()),
    Format("GeoPackage", "degrees, points", saved("labels.gpkg", POINTS, "EPSG:4326"), FRAME,
           by_geopandas()),
    Format("Shapefile", "UTF-8", saved("labels.shp", POLYGONS), FRAME, by_geopandas()),
    Format("Shapefile", "CP1251, declared in .cpg", cp1251, FRAME, by_geopandas()),
    Format("Shapefile in a zip", "in a folder of it", made_zip, FRAME, by_geopandas()),
    Format("FlatGeobuf", "polygons", saved("labels.fgb", POLYGONS), FRAME, by_geopandas()),
    Format("CSV", "semicolons, decimal commas, BOM", made_csv, PANDAS, by_pandas),
    Format("KML", "class in ExtendedData, folders", made_kml, FRAME, by_geopandas()),
    Format("KML", "the layer is a folder", made_kml, FRAME, by_geopandas("класс 1"), "класс 1"),
    Format("KMZ", "the same, packed", made_kmz, FRAME, by_geopandas()),
    Format("GPX", "waypoints beside a track", made_gpx, FRAME, by_geopandas("waypoints", "name"),
           class_field="name"),
    *(Format("GeoTIFF", dtype, made_raster(dtype), PLAIN, by_rasterio)
      for dtype in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")),
    Format("GeoTIFF", "nodata 0 inside", made_raster(nodata=0), PLAIN, by_rasterio),
    Format("GeoTIFF", "NaN is nodata", made_raster("float32", np.nan), PLAIN, by_rasterio),
    Format("GeoTIFF", "tiles of 16 x 16, deflate, predictor",
           made_raster(**TILED, compress="deflate", predictor=2), PLAIN, by_rasterio),
    Format("GeoTIFF", "strips, LZW, bands pixel by pixel",
           made_raster(compress="lzw", interleave="pixel"), PLAIN, by_rasterio),
    Format("GeoTIFF", "big endian, BigTIFF", made_raster(ENDIANNESS="BIG", BIGTIFF="YES"), PLAIN,
           by_rasterio),
    Format("GeoTIFF", "first row in the south", made_raster(nodata=0, south=True), PLAIN,
           by_rasterio),
    Format("GeoTIFF", "mask inside", with_mask("YES"), PLAIN, by_rasterio),
    Format("GeoTIFF", "mask beside, .msk", with_mask("NO"), PLAIN, by_rasterio),
    Format("GeoTIFF", "nodata 7 and 9 of its bands beside, .aux.xml", with_aux, PLAIN,
           by_rasterio),
]  # fmt: skip


def row_of(row: Format, reading: Reading) -> str:
    what = "# valid pixel|pixels" if row.name == "GeoTIFF" else "# feature|features"
    cells = (row.name, row.particular, counted(reading.count, what), reading.system,
             f"{reading.total:,.6f}", row.second)  # fmt: skip
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: f"{row.name}, {row.particular}")
def test_two_readers_agree_and_the_table_says_what_they_read(row, tmp_path):
    path = row.make(tmp_path)
    ours, theirs = row.ours(path), row.read(path)
    assert ours.agrees(theirs), (ours, theirs)
    assert row_of(row, ours) in TABLE.read_text(encoding="utf-8").splitlines()


def test_the_table_has_no_other_rows():
    table = TABLE.read_text(encoding="utf-8")
    assert table.startswith(HEADING)
    assert table.count("\n") == HEADING.count("\n") + len(FORMATS)


def rows() -> Iterator[str]:
    """Yield the rows of the table, each read twice."""
    for row in FORMATS:
        with TemporaryDirectory() as name:
            path = row.make(Path(name))
            ours, theirs = row.ours(path), row.read(path)
            if not ours.agrees(theirs):
                raise SystemExit(f"{row.name}, {row.particular}: {ours} and {theirs}")
            yield row_of(row, ours)


if __name__ == "__main__":
    TABLE.write_text(HEADING + "".join(f"{row}\n" for row in rows()), encoding="utf-8")
