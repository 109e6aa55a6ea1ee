"""Which GDAL drivers may touch a user's file.

GDAL recognises a file by its content, whatever its name says: a VRT called scene.tif reads other
files or the network. So rasters are opened with the GTiff driver alone, vectors only after a look
at their first bytes, and a process that works for somebody else forgets all other drivers first.
"""

import os
import sys
from pathlib import PurePosixPath
from typing import Any

RASTER = "GTiff"
FOREIGN = ("JP2OpenJPEG", "ENVI", "HFA", "netCDF", "Zarr")
"""What import-scene opens besides, each by its name and after a look at its content
(`landcover.scenes.formats.opening`); HDF5 is read by netCDF's driver."""
VECTOR = ("GeoJSON", "GPKG", "ESRI Shapefile", "FlatGeobuf")
SHAPEFILE_PARTS = (".dbf", ".shx", ".prj", ".cpg")
"""What belongs to a .shp beside it."""
RASTER_PARTS = (".msk", ".aux.xml")
"""What belongs to a .tif beside it, after its whole name."""
WORLD_FILES = (".tfw", ".tifw", ".tiffw", ".wld")
"""What may tell the place of a .tif instead of itself; it is refused then, and named."""
_ALLOWED = frozenset((RASTER, "COG", "MEM", *VECTOR))
# rasterio carries a GDAL of its own; these reach other files or hosts
_REFERRING = (
    "VRT", "DERIVED", "GTI", "STACIT", "STACTA", "HTTP", "WMS", "WMTS", "WCS", "EEDA", "EEDAI",
    "PLMOSAIC", "ECRGTOC", "MRF", "KMLSUPEROVERLAY", "PDF",
    "SENTINEL2", "SAFE", "GRIB", "DIMAP", "TIL", "RS2", "TSX", "NITF", "PDS4", "ISIS3", "RPFTOC",
)  # fmt: skip

RASTER_ENV = {
    # no files beside a raster are read: they may name others
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    # bytes; what is read block by block needs no cache of a twentieth of the machine's memory
    "GDAL_CACHEMAX": 64 * 2**20,
}


_restricted = False


def parts_beside(path: PurePosixPath) -> tuple[PurePosixPath, ...]:
    """Return the files that belong to a file of this name, where they are there."""
    match path.suffix.lower():
        case ".shp":
            endings = (*SHAPEFILE_PARTS, *(part.upper() for part in SHAPEFILE_PARTS))
            return tuple(path.with_suffix(ending) for ending in endings)
        case ".tif" | ".tiff":
            own = (path.with_name(f"{path.name}{ending}") for ending in RASTER_PARTS)
            return (*own, *(path.with_suffix(ending) for ending in WORLD_FILES))
        case ".dat" | ".img" | ".bil" | ".bip" | ".bsq" | ".raw":
            return (path.with_suffix(".hdr"), path.with_name(f"{path.name}.hdr"))
    return ()


def companions_of(path: PurePosixPath) -> tuple[PurePosixPath, ...]:
    """Return the files that go along with a file of this name: its parts, its style of QGIS."""
    parts = parts_beside(path)
    return (*parts, path.with_suffix(".qml")) if parts else ()


def restrict_process() -> None:
    """Restrict this process to the drivers that the project reads and writes.

    For processes that work for a user (a job, the command line), before their first raster. Not
    for a notebook: its kernel is the user's own.
    """
    global _restricted
    _restricted = True
    os.environ["GDAL_SKIP"] = ",".join(_REFERRING)  # rasterio registers its drivers later
    if "pyogrio" in sys.modules:
        load_pyogrio()


def load_pyogrio() -> Any:
    """Return pyogrio, whose GDAL is another one; it is loaded with the first vector only.

    It looks for pandas and geopandas, which takes longer than reading most vector files. In a
    process of ours it finds none: we read arrays.
    """
    hidden = {"pandas", "geopandas"} - set(sys.modules) if _restricted else set()
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: not to be found
    try:
        import pyogrio
        from pyogrio.core import _register_drivers
    finally:
        for name in hidden:
            del sys.modules[name]
    if _restricted:
        unwanted = {*pyogrio.list_drivers(), *_REFERRING} - _ALLOWED
        pyogrio.set_gdal_config_options({"GDAL_SKIP": ",".join(sorted(unwanted))})
        _register_drivers()  # GDALAllRegister drops what GDAL_SKIP names
    return pyogrio
