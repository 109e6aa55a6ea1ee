"""What a file is by its first bytes, whatever it is called, and how its content becomes readable.

GDAL is never asked: it has drivers that open other files or the network.
"""

import re
from pathlib import Path

from landcover.errors import InputError
from landcover.io.gdal_drivers import SHAPEFILE_PARTS

GEOTIFF, GEOJSON, GPKG, SHAPEFILE, FLATGEOBUF, CSV, KML, GPX, ZIP = (
    "GeoTIFF", "GeoJSON", "GPKG", "ESRI Shapefile", "FlatGeobuf", "CSV", "KML", "GPX", "ZIP",
)  # fmt: skip
_LABELS = "GeoJSON, GeoPackage, Shapefile, FlatGeobuf, KML, KMZ, GPX, CSV or GeoTIFF"
_HEAD = 1024
"""Bytes that show what a file is."""
_KNOWN = (
    ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), GEOTIFF),
    ((b"SQLite format 3\0",), GPKG),
    ((b"fgb",), FLATGEOBUF),
    ((b"\x00\x00\x27\x0a",), SHAPEFILE),
    ((b"PK\x03\x04", b"PK\x05\x06"), ZIP),
    ((b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"), "JPEG 2000"),
    ((b"EHFA_HEADER_TAG",), "ERDAS Imagine"),
    ((b"\x89HDF\r\n\x1a\n",), "HDF5 or NetCDF"),
    ((b"CDF\x01", b"CDF\x02", b"CDF\x05"), "NetCDF"),
    ((b"\x0e\x03\x13\x01",), "HDF4"),
    ((b"NITF", b"NSIF"), "NITF"),
    ((b"GRIB",), "GRIB"),
    ((b"SIMPLE  =",), "FITS"),
    ((b"msid",), "MrSID"),
    ((b"\x89PNG\r\n\x1a\n",), "PNG"),
    ((b"\xff\xd8\xff",), "JPEG"),
    ((b"GIF8",), "GIF"),
    ((b"ENVI",), "an ENVI header"),
    ((b"%PDF",), "PDF"),
    ((b"\x1f\x8b",), "a gzip archive"),
    ((b"7z\xbc\xaf",), "a 7-Zip archive"),
    ((b"Rar!",), "a RAR archive"),
    ((b"\x93NUMPY",), "a NumPy array"),
    ((b"\xff\xfe", b"\xfe\xff"), "text in UTF-16"),
)  # fmt: skip
_BY_ELEMENT = {"kml": KML, "gpx": GPX, "vrtdataset": "VRT", "html": "HTML"}
_VECTORS = (GEOJSON, GPKG, SHAPEFILE, FLATGEOBUF, KML, GPX, CSV)
_RASTERS = ("JPEG 2000", "ERDAS Imagine", "HDF5 or NetCDF", "NetCDF", "HDF4", "NITF", "GRIB",
            "FITS", "MrSID", "VRT", "ENVI", "Esri ASCII grid")  # fmt: skip
_NAMES = {"VRT": "a VRT, a file that names others", ZIP: "a zip archive",
          CSV: "a table of text", "ENVI": "an ENVI raster", GPKG: "a GeoPackage",
          SHAPEFILE: "a Shapefile", GEOJSON: "JSON"}  # fmt: skip
_PICTURES = ("PNG", "JPEG", "GIF")


def format_of(path: Path) -> str:
    """Return the format of a file, such as `GeoTIFF` or `JPEG 2000`; "" if nobody knows it.

    Raises:
        InputError: there is none, or it is a folder, a pipe or a device.
    """
    head = _head_of(path)
    for beginnings, name in _KNOWN:
        if head.startswith(beginnings):
            return name
    if head[257:262] == b"ustar":
        return "a tar archive"
    return _format_of_text(head) or ("ENVI" if _has_envi_header(path) else "")


def _head_of(path: Path) -> bytes:
    if path.is_dir():
        product = " of a Sentinel product" if path.suffix.upper() == ".SAFE" else ""
        raise InputError(f"{path.name} is a folder{product}, a file is needed")
    if not path.exists():
        raise InputError(f"there is no file {path.name}")
    if not path.is_file():  # a pipe would be waited for
        raise InputError(f"{path.name} is no file, it needs to be one")
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}") from error


def _has_envi_header(path: Path) -> bool:
    for header in (path.with_suffix(".hdr"), path.with_name(f"{path.name}.hdr")):
        if header.is_file():
            with header.open("rb") as file:
                return file.read(4) == b"ENVI"
    return False


def _format_of_text(head: bytes) -> str:
    if not head:
        return "empty"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if b"\0" in text:
        return ""
    if text.startswith(b"{"):
        return GEOJSON
    if text.startswith(b"<"):
        return _format_of_xml(text)
    if re.match(rb"(?i)ncols\s+\d", text):
        return "Esri ASCII grid"
    return CSV if re.search(rb"[,;\t]", text.partition(b"\n")[0]) else ""


def _format_of_xml(text: bytes) -> str:
    if re.match(rb"(?i)<!DOCTYPE\s+html", text):
        return "HTML"
    element = re.search(rb"<(?:\w+:)?([A-Za-z]\w*)", text)
    return _BY_ELEMENT.get(element[1].decode().lower(), "XML") if element else "XML"


def need_geotiff(path: Path) -> None:
    """Refuse what is no GeoTIFF, by what it is and with the remedy.

    Raises:
        InputError: it is none.
    """
    if path.is_dir() and path.suffix.upper() == ".SAFE":
        raise InputError(
            f"{path.name} is the folder of a Sentinel product, a GeoTIFF of its bands is needed: "
            "gdalbuildvrt -separate -resolution highest scene.vrt with its band files, then "
            "gdal_translate scene.vrt scene.tif"
        )
    found = format_of(path)
    if found != GEOTIFF:
        raise InputError(
            f"{path.name} {_is(found)}, a GeoTIFF is needed{_to_geotiff(path, found)}"
        )


def _is(found: str) -> str:
    if not found:
        return "is in no format that is known here"
    return f"is {_NAMES.get(found, found)}"


def _to_geotiff(path: Path, found: str) -> str:
    if found in _RASTERS:
        target = f"{path.stem}.tif" if path.suffix != ".tif" else f"{path.stem}-translated.tif"
        return f": gdal_translate {path.name} {target}"
    if found in _PICTURES:
        return (
            ": it has no place on the ground of its own; take the file that it was exported from"
        )
    if found == ZIP or found.endswith("archive"):
        return ": unpack it and take the GeoTIFF in it"
    if found == "an ENVI header":
        return f": gdal_translate with the file of pixels beside it, to {path.stem}.tif"
    if found in _VECTORS:
        return ", while this holds features"
    return {
        "HTML": ": it is a page, maybe a sign-in; download the file again",
        "empty": ": its transfer may have broken off",
    }.get(found, "")


def need_labels(path: Path) -> str:
    """Return the format of a file of labels: a vector's, GeoTIFF or ZIP.

    Raises:
        InputError: it is none that labels may have.
    """
    shapefile = path.with_suffix(".shp")
    if path.suffix.lower() in SHAPEFILE_PARTS and shapefile.is_file():
        raise InputError(f"{path.name} is a part of a Shapefile, give {shapefile.name}")
    found = format_of(path)
    if found in (GEOTIFF, ZIP, *_VECTORS):
        return found
    if found == "text in UTF-16":
        raise InputError(f"{path.name} is {found}, save it in UTF-8")
    raise InputError(f"{path.name} {_is(found)}, labels need {_LABELS}")
