"""Open a file of a format that import-scene reads; what it is, its first bytes say.

GDAL gets the name of its one driver and a path of ours, a link in a folder that holds nothing
else: no name of a file is taken for an address, and nothing that lies beside a file is found.
"""

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, cast

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from landcover.errors import InputError
from landcover.io.gdal_drivers import RASTER, RASTER_ENV
from landcover.io.raster import need_readable, open_raster
from landcover.progress import remark
from landcover.scenes.formats import envi, erdas, hdf5, zarr_store

READ = (
    "GeoTIFF, JPEG 2000, ENVI with its header, ERDAS Imagine, NetCDF, Zarr, and products of "
    "Sentinel-2 and Landsat Collection 2 as folder, zip or tar"
)
"""For people."""
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"II*\0", "GeoTIFF"),
    (b"MM\0*", "GeoTIFF"),
    (b"II+\0", "GeoTIFF"),
    (b"MM\0+", "GeoTIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xffO\xffQ", "JPEG 2000"),
    (b"EHFA_HEADER_TAG", "ERDAS Imagine"),
    (b"CDF\x01", "NetCDF"),
    (b"CDF\x02", "NetCDF"),
    (b"CDF\x05", "NetCDF"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
)
_DRIVERS = {
    "GeoTIFF": (RASTER, "scene.tif"),
    "JPEG 2000": ("JP2OpenJPEG", "scene.jp2"),
    "ERDAS Imagine": ("HFA", "scene.img"),
    "NetCDF": ("netCDF", "scene.nc"),
    "HDF5": ("netCDF", "scene.nc"),
    "ENVI": ("ENVI", "scene.dat"),
    "Zarr": ("Zarr", "scene.zarr"),
}
_CONVERT = "convert it with gdal_translate to GeoTIFF"
_REFUSED: tuple[tuple[bytes, str, str], ...] = (
    (b"<VRTDataset", "a VRT, a list of other files", f"give these files, or {_CONVERT}"),
    (b"GRIB", "GRIB", _CONVERT),
    (b"\x0e\x03\x13\x01", "HDF4", _CONVERT),
    (b"NITF", "NITF", _CONVERT),
    (b"\x93NUMPY", "a numpy array without a place on earth",
     "export it as GeoTIFF, as the provider's tools do"),
    (b"\x89PNG", "PNG, a picture without bands of a sensor", "give the measured bands"),
    (b"\xff\xd8\xff", "JPEG, a picture without bands of a sensor", "give the measured bands"),
    (b"%PDF", "PDF", "give the raster it was made from"),
    (b"PK\x03\x04", "a zip within the delivery", "unpack it and give the folder"),
    (b"SQLite format 3", "a GeoPackage or MBTiles", _CONVERT),
    (b"SIMPLE  =", "FITS", _CONVERT),
)  # fmt: skip
_VARIABLE = re.compile(r"[\w./ -]{1,200}")
_MOST_VARIABLES = 1024
_WARP_CACHE_MIB = 64


@dataclass(frozen=True)
class Raster:
    """A file, or a variable of one, that was checked: how it is opened.

    Attributes:
        name: by which people know it.
        path: what GDAL is given.
        driver: the only one that may open it.
        moment: when it was taken, if what lies beside it says so.
    """

    name: str
    path: str
    driver: str
    moment: str = ""

    @contextmanager
    def open(self, cache_mib: int = _WARP_CACHE_MIB) -> Iterator[DatasetReader]:
        """Open it for reading.

        Raises:
            InputError: it is damaged, or more than memory could hold.
        """
        if self.driver == RASTER:
            with open_raster(self.path, cache_mib) as dataset:
                yield dataset
            return
        env = RASTER_ENV | {
            "GDAL_CACHEMAX": cache_mib * 2**20,
            # its folder is ours and holds nothing else but an ENVI header, which is looked for
            "GDAL_DISABLE_READDIR_ON_OPEN": "FALSE",
        }
        try:
            with rasterio.Env(**env), warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                with rasterio.open(self.path, driver=self.driver, sharing=False) as dataset:
                    if dataset.count:
                        need_readable(dataset, self.name)
                    yield _in_degrees(dataset) if _is_in_degrees(dataset) else dataset
        except (RasterioError, CRSError, CPLE_BaseError) as error:
            raise self._damaged(error) from error

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Name this file, and not another that is open too, where reading fails.

        Raises:
            InputError: it is damaged.
        """
        try:
            yield
        except (RasterioError, CRSError, CPLE_BaseError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> InputError:
        return InputError(
            f"{self.name} cannot be read by the driver {self.driver}, it may be damaged: {error}"
        )


class _InDegrees:
    """A raster whose coordinates are latitudes and longitudes, and which names no system."""

    def __init__(self, dataset: DatasetReader) -> None:
        self._dataset = dataset
        self.crs = CRS.from_epsg(4326)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)


def _in_degrees(dataset: DatasetReader) -> DatasetReader:
    remark(
        "the latitudes and longitudes name no coordinate system: they were taken for those of "
        "WGS 84"
    )
    return cast(DatasetReader, _InDegrees(dataset))


def _is_in_degrees(dataset: DatasetReader) -> bool:
    """Return whether a NetCDF without a system has CF's units of latitude and longitude."""
    if dataset.crs is not None or dataset.transform.is_identity:
        return False
    units = {value for key, value in dataset.tags().items() if key.endswith("#units")}
    return {"degrees_north", "degrees_east"} <= units


def format_of(path: Path) -> str:
    """Return the format of a file that can be read, "" if it is none of them."""
    start = _start_of(path)
    return next((name for sign, name in _SIGNATURES if start.startswith(sign)), "")


def refusal_of(path: Path, name: str) -> str:
    """Return why a file cannot be read: which format it is, and what to do."""
    start = _start_of(path).lstrip()
    for sign, kind, remedy in _REFUSED:
        if start.startswith(sign):
            return f"{name} is {kind}, which is not read: {remedy}"
    if start.startswith(b"{") and b'"refs"' in start:
        return (
            f"{name} is a list of references to chunks in other files (kerchunk), which are not "
            "followed: write a Zarr or NetCDF of its own, as with xarray's to_zarr"
        )
    if envi.is_header(start):
        return f"{name} is a header of ENVI, its data file is missing: give both"
    return f"{name} is of no format that is read: {READ}"


def rasters_in(
    path: Path, kind: str, name: str, scratch: Path, header: Path | None = None
) -> Mapping[str, Raster]:
    """Check a file and return how it is opened, by variable; "" where it is one raster.

    Args:
        path: of the file, or of the folder of a Zarr.
        kind: of its format.
        name: by which people know it.
        scratch: folder for links and headers of ours, which the caller removes.
        header: of an ENVI file.

    Raises:
        InputError: it refers to other files, or holds no raster.
    """
    driver, plain = _DRIVERS[kind]
    if kind == "GeoTIFF":
        return {"": Raster(name, str(path), driver)}
    folder = Path(mkdtemp(dir=scratch))
    alias = folder / plain
    alias.symlink_to(path.absolute())
    moment = ""
    match kind:
        case "ENVI":
            envi.write_checked_header(path, header, name, alias.with_suffix(".hdr"))
            moment = envi.acquired(header) if header else ""
        case "ERDAS Imagine":
            erdas.need_own_pixels(path, name)
        case "HDF5":
            hdf5.need_own_content(path, name)
        case "Zarr":
            zarr_store.need_own_content(path, name)
    whole = Raster(name, str(alias), driver, moment)
    return _variables(whole) if kind in ("NetCDF", "HDF5", "Zarr") else {"": whole}


def _variables(whole: Raster) -> Mapping[str, Raster]:
    with whole.open() as dataset:
        inner = [each.rpartition(":")[2].lstrip("/") for each in dataset.subdatasets]
        if not inner and dataset.count:
            return {"": whole}
    if len(inner) > _MOST_VARIABLES:
        raise InputError(f"{whole.name} holds {len(inner)} variables, at most {_MOST_VARIABLES}")
    before = "/" if whole.driver == "Zarr" else ""
    return {
        variable: Raster(
            f"{variable} of {whole.name}",
            f'{whole.driver.upper()}:"{whole.path}":{before}{variable}',
            whole.driver,
        )
        for variable in inner
        if _VARIABLE.fullmatch(variable)
    }


def _start_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)
