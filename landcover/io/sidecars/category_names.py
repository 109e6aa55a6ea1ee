"""Names of classes that GDAL and QGIS keep beside a raster, in NAME.aux.xml.

GDAL itself reads no file beside a raster here (`drivers.RASTER_ENV`), as such files can move the
raster or name others. This takes the names and colours of the first band out of it, and no more.
A raster that names its classes itself, as our maps do, is not asked what lies beside it.

Source: gdal.org, "Raster Data Model", category names and raster attribute tables.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from landcover.errors import InputError
from landcover.io.files.plain_files import read_plain_file
from landcover.io.gdal_drivers import RASTER, RASTER_ENV
from landcover.io.legend import LEGEND_TAG, MAX_CODE, Legend
from landcover.io.sidecars.aux_xml import MAX_BYTES, root_of
from landcover.io.vector_formats.formats import need_geotiff
from landcover.progress import remark

_MARKS = (b"<CategoryNames", b"<GDALRasterAttributeTable")
# GDALRATFieldUsage
_NAME, _VALUE, _RED, _GREEN, _BLUE = "2", "5", "6", "7", "8"


def names_beside(raster: Path) -> Legend | None:
    """Return the legend that lies beside a raster, None if there is none.

    Raises:
        InputError: a name stands for two codes.
    """
    path = file_of_names(raster)
    band = None if path is None else _first_band(path)
    named = [] if band is None else list(_of_table(band) or _of_categories(band))
    legend = Legend.from_list(named) if named else None
    if path is not None and legend is not None:
        remark(f"the names of the classes of {raster.name} were taken from {path.name}")
    return legend


def file_of_names(raster: Path) -> Path | None:
    """Return the file beside a raster that may name its classes, None if none does or it does."""
    if not raster.name:
        return None
    path = raster.with_name(f"{raster.name}.aux.xml")
    if not path.is_file():
        return None
    try:
        content = read_plain_file(path, MAX_BYTES)
    except InputError:  # it lies there by chance, and nobody asked to read it
        return None
    has_names = any(mark in content for mark in _MARKS)
    return path if has_names and not _names_its_classes(raster) else None


def _names_its_classes(raster: Path) -> bool:
    try:
        need_geotiff(raster)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.Env(**RASTER_ENV), rasterio.open(raster, driver=RASTER) as dataset:
                return LEGEND_TAG in dataset.tags()
    except (InputError, RasterioError):  # whoever reads it says so
        return False


def _first_band(path: Path) -> Element | None:
    root = root_of(path)
    if root is None:
        remark(f"{path.name} is no XML that can be read: names of classes in it are not known")
        return None
    return root.find("./PAMRasterBand[@band='1']")


def _of_categories(band: Element) -> Iterator[dict[str, Any]]:
    """Yield the classes of a list of names, the first of which is that of code 0."""
    for code, category in enumerate(band.findall("./CategoryNames/Category")):
        name = (category.text or "").strip()
        if name and 1 <= code <= MAX_CODE:
            yield {"code": code, "name": name}


def _of_table(band: Element) -> list[dict[str, Any]]:
    """Return the classes of an attribute table that has a column of values and one of names."""
    table = band.find("./GDALRasterAttributeTable")
    if table is None:
        return []
    usages = [(field.findtext("Usage") or "").strip() for field in table.findall("FieldDefn")]
    if _VALUE not in usages or _NAME not in usages:
        return []
    rows = [[cell.text or "" for cell in row.findall("F")] for row in table.findall("Row")]
    listed = [_class_in(dict(zip(usages, row, strict=False))) for row in rows]
    return [found for found in listed if found is not None]


def _class_in(row: dict[str, str]) -> dict[str, Any] | None:
    try:
        code = float(row[_VALUE])
        name = row[_NAME].strip()
        if not (name and code.is_integer() and 1 <= code <= MAX_CODE):
            return None
    except (KeyError, ValueError):
        return None
    try:
        red, green, blue = (int(row[usage]) for usage in (_RED, _GREEN, _BLUE))
        color = f"#{red:02x}{green:02x}{blue:02x}"
    except (KeyError, ValueError):
        color = ""
    return {"code": int(code), "name": name, "color": color}
