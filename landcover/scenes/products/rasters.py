"""Rasters that are no product of a known provider: one file per band, or files of several bands.

What such a file does not say of itself its name may: names of single bands of Sentinel-2 and
Landsat Collection 2 are known.

Sources: ESA, Sentinel-2 products specification 14.9 (file naming); USGS, Landsat Collection 2
level 2 science product guide (file naming, scale and offset of surface reflectance).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath

from rasterio.io import DatasetReader

from landcover.errors import InputError
from landcover.io.raster import mask_bands, unique_names
from landcover.io.sensors import Measured, measured_by, wavelength_in, wavelengths_of
from landcover.progress import remark
from landcover.scenes.deliveries import Delivery, unpack_below
from landcover.scenes.formats import envi
from landcover.scenes.formats.opening import (
    Raster,
    format_of,
    rasters_in,
    refusal_of,
)
from landcover.scenes.formats.zarr_store import MARKS
from landcover.scenes.products.product import Product, QualityBand, SourceBand

_SENTINEL_2 = re.compile(
    r"(?:.*_)?T?\d\d[A-Z]{3}_(\d{4})(\d\d)(\d\d)T\d{6}_(B\d\d|B8A|AOT|WVP|SCL|TCI)"
    r"(?:_(\d\d)m)?"
)
_LANDSAT = re.compile(
    r"(L[COTEM])0?(\d)_(L\w{3})_\d{6}_(\d{4})(\d\d)(\d\d)_\d{8}_02_(?:RT|T1|T2)_(\w+)"
)
_INSTRUMENTS = {"LC": "OLI_TIRS", "LO": "OLI", "LT": "TM", "LE": "ETM", "LM": "MSS"}
_SURFACE = (2.75e-5, -0.2)
_QUALITY = ("SCL", "QA_PIXEL")
_NO_REFLECTANCE = {
    "Sentinel-2 MSI": re.compile("AOT|WVP|SCL|TCI"),
    "Landsat": re.compile(r"Q.+|ST_.+|SR_.*(QA|OPACITY).*|B8|B6_VCID_\d"),
    "Landsat TIRS": re.compile("B10|B11"),
    "Landsat TM": re.compile("B6"),
}
"""Names of bands that are taken only if they are asked for: quality, heat, panchromatic."""
_BESIDE = re.compile(
    r".*(\.aux\.xml|\.msk|\.ovr|\.hdr|\.tfw|\.wld|\.prj|\.txt|\.md|\.pdf|\.html?|\.xml|\.json"
    r"|\.jpe?g|\.png|\.csv|\.qml|\.kml|\.gml|\.geojson|\.zip|\.safe|\.md5|\.sha256)",
    re.IGNORECASE,
)
_ARCHIVE = re.compile(r".*\.(zip|tar|tgz|tar\.gz)", re.IGNORECASE)
_OF_TIME = re.compile(
    r"(days|hours|minutes|seconds) since (\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d:\d\d))?"
)
_TIMES = ("time", "t")
_CALENDARS = ("standard", "gregorian", "proleptic_gregorian")
"""Of CF; the others, as noleap, have days that no calendar of people has."""


@dataclass(frozen=True)
class _Named:
    """What the name of a file of one band says."""

    band: str
    sensor: str
    level: str = ""
    moment: str = ""
    unit: tuple[float, float] = (1.0, 0.0)

    @property
    def is_reflectance(self) -> bool:
        """Whether the band measures reflectance, as far as its name says it."""
        kinds = [self.sensor, self.sensor.partition(" ")[0]]
        kinds += ["Landsat TIRS"] * self.sensor.endswith("TIRS")
        kinds += ["Landsat TM"] * self.sensor.endswith("TM")
        known = [_NO_REFLECTANCE[kind] for kind in kinds if kind in _NO_REFLECTANCE]
        return not any(pattern.fullmatch(self.band) for pattern in known)


def read(delivery: Delivery, scratch: Path) -> Product:
    """Understand files that only hold bands.

    Args:
        delivery: what was given.
        scratch: folder for what is written to open them.

    Raises:
        InputError: none of them can be read, or one refers to other files.
    """
    rasters: dict[tuple[str, str], Raster] = {}
    for member, found in _opened(delivery, scratch):
        rasters |= {(member, variable): raster for variable, raster in found.items()}
    if not rasters:
        raise InputError(_no_raster(delivery), "source")
    bands: list[SourceBand] = []
    told: list[Product] = []
    for (member, variable), raster in rasters.items():
        with raster.open() as dataset:
            if not _has_grid(dataset):
                continue
            own, product = _bands_of(dataset, member, variable, len(rasters) > 1)
        bands += own
        told.append(replace(product, moment=product.moment or raster.moment))
    if not bands:
        raise InputError(
            f"{delivery.title} has no regular grid in a known coordinate system, its pixels need "
            "places: bring it onto one with gdalwarp, or as the provider's tools do",
            "source",
        )
    named = _distinguished(_finest(bands), len(rasters))
    return _together(delivery, named, told, rasters)


def _opened(delivery: Delivery, scratch: Path) -> Iterator[tuple[str, Mapping[str, Raster]]]:
    stores = _zarr_stores(delivery)
    for store in stores:
        yield store, rasters_in(_folder_of(delivery, store, scratch), "Zarr", store or
                                delivery.title, scratch)  # fmt: skip
    skipped = []
    for member in delivery.names:
        if any(member.startswith(f"{store}/") or not store for store in stores):
            continue
        is_beside = len(delivery.names) > 1 and _BESIDE.fullmatch(member)
        if is_beside or PurePosixPath(member).name.startswith("."):
            continue
        path = delivery.path(member)
        header = _header_of(delivery, member)
        kind = format_of(path) or ("ENVI" if header else "")
        if kind:
            yield member, rasters_in(path, kind, member, scratch, header)
        elif len(delivery.names) == 1:
            raise InputError(refusal_of(path, member), "source")
        else:
            skipped.append(refusal_of(path, member))
    for sentence in skipped:
        remark(f"{sentence}; it was left out")


def _zarr_stores(delivery: Delivery) -> list[str]:
    """Return the uppermost folders of a delivery that are Zarr."""
    marked = sorted({name.rpartition("/")[0] for name in delivery.names
                     if PurePosixPath(name).name in MARKS})  # fmt: skip
    return [
        folder
        for folder in marked
        if not any(folder.startswith(f"{other}/") or (folder and not other) for other in marked)
    ]


def _folder_of(delivery: Delivery, store: str, scratch: Path) -> Path:
    root = delivery.folder()
    if root is not None:
        return root / store
    target = scratch / "store.zarr"
    unpack_below(delivery, store, target)
    return target


def _header_of(delivery: Delivery, member: str) -> Path | None:
    """Return the ENVI header beside a file, if it has one."""
    bare = PurePosixPath(member)
    names = [str(bare.with_suffix(ending)) for ending in (".hdr", ".HDR")] + [f"{member}.hdr"]
    found = [name for name in names if name in delivery.names and name != member]
    if bare.suffix.lower() not in envi.ENDINGS or not found:
        return None
    return delivery.path(found[0])


def _no_raster(delivery: Delivery) -> str:
    if len(delivery.names) == 1:
        return refusal_of(delivery.path(delivery.names[0]), delivery.names[0])
    shown = ", ".join(PurePosixPath(name).name for name in delivery.names[:3])
    if any(_ARCHIVE.fullmatch(name) for name in delivery.names):
        return (
            f"{delivery.title} holds archives, {shown}: import one product at a time; "
            "stack-scenes puts scenes together"
        )
    return (
        f"{delivery.title} holds no image that is read"
        + (f", but {shown}" if shown else ", it is empty")
        + ": give a product's folder as it was delivered, or its files of bands"
    )


def _has_grid(dataset: DatasetReader) -> bool:
    has_place = dataset.crs is not None and not dataset.transform.is_identity
    return bool(dataset.count) and has_place and dataset.width > 1 and dataset.height > 1


def _bands_of(
    dataset: DatasetReader, member: str, variable: str, is_one_of_many: bool
) -> tuple[list[SourceBand], Product]:
    """Return the bands of one raster and what it says of how it was measured."""
    named = _named(PurePosixPath(member).stem) if is_one_of_many and not variable else None
    measured = measured_by(dataset)
    told = _Told.of(dataset, measured, named)
    usable = [i for i in dataset.indexes if i not in mask_bands(dataset)]
    names = _names(dataset, usable, variable, named)
    known = wavelengths_of(names, told.product.sensor or None)
    bands = [
        SourceBand(
            name=name, member=member, index=index, variable=variable,
            wavelength=wavelength_in(dataset.tags(index))
            or wavelength_in(dataset.tags(index, ns="IMAGERY"))
            or guess,
            scale=unit[0], offset=unit[1],
            optional=name in _QUALITY or bool(named and not named.is_reflectance),
            nodata=0 if named and dataset.nodatavals[index - 1] is None else None,
        )
        for name, index, guess in zip(names, usable, known, strict=True)
        for unit in [told.unit_of(dataset, index)]
    ]  # fmt: skip
    return bands, told.product


@dataclass(frozen=True)
class _Told:
    """What a raster or its name says of how it was measured."""

    product: Product
    unit: tuple[float, float]

    @classmethod
    def of(cls, dataset: DatasetReader, measured: Measured, named: _Named | None) -> "_Told":
        tags = {key.lower(): value for key, value in dataset.tags().items()}
        product = Product(
            kind="rasters", bands=(),
            sensor=measured.sensor or (named.sensor if named else ""),
            level=measured.level or (named.level if named else ""),
            moment=_moment(tags) or (named.moment if named else ""),
            product_id=tags.get("product_id", "")[:200],
        )  # fmt: skip
        if measured.scale is not None:
            return cls(product, (measured.scale, measured.offset or 0.0))
        return cls(product, named.unit if named else (1.0, 0.0))

    def unit_of(self, dataset: DatasetReader, index: int) -> tuple[float, float]:
        own = (dataset.scales[index - 1], dataset.offsets[index - 1])
        return self.unit if own == (1.0, 0.0) else own


def _moment(tags: Mapping[str, str]) -> str:
    told = (tags.get("datetime") or tags.get("date") or "").strip()
    return told if re.fullmatch(r"\d{4}-\d\d-\d\d(T[\d:.]+Z?)?", told) else ""


def _names(
    dataset: DatasetReader, usable: Sequence[int], variable: str, named: _Named | None
) -> list[str]:
    if named is not None and len(usable) == 1:
        return [named.band]
    described = [(dataset.descriptions[i - 1] or "").strip() for i in usable]
    if dataset.driver == "ENVI":  # GDAL adds the wavelength
        described = [re.sub(r" \([\d.]+[^()]*\)$", "", name) for name in described]
    dates = [_date_of(dataset, i) for i in usable]
    _remark_on_times(dataset, dates)
    variable = variable or dataset.tags(usable[0]).get("NETCDF_VARNAME", "") if usable else ""
    if variable or any(dates):
        own = variable.rpartition("/")[2] or "value"
        names = [f"{date}:{own}" if date else own for date in dates]
    else:
        names = [name or f"b{i}" for name, i in zip(described, usable, strict=True)]
        if not any(described):
            names = [f"b{number}" for number, _ in enumerate(usable, 1)]
    return unique_names(names)


def _date_of(dataset: DatasetReader, index: int) -> str:
    """Return the date of a band of a variable with a time axis, "" if it has none."""
    whole, own = dataset.tags(), dataset.tags(index)
    for name in _TIMES:
        value = own.get(f"NETCDF_DIM_{name}") or own.get(f"DIM_{name}_VALUE")
        unit = _OF_TIME.match(whole.get(f"{name}#units", ""))
        calendar = whole.get(f"{name}#calendar", "standard").lower()
        if value is None or unit is None or calendar not in _CALENDARS:
            continue
        try:
            begin = datetime.fromisoformat(f"{unit[2]}T{unit[3] or '00:00:00'}")
            return (begin + timedelta(**{unit[1]: float(value)})).date().isoformat()
        except (ValueError, OverflowError):
            return ""
    return ""


def _remark_on_times(dataset: DatasetReader, dates: Sequence[str]) -> None:
    """Say that a time axis is not understood; nothing is guessed, its bands are numbered."""
    whole = dataset.tags()
    name = next((name for name in _TIMES if f"{name}#units" in whole), None)
    if name is None or all(dates):
        return
    units = whole[f"{name}#units"]
    calendar = whole.get(f"{name}#calendar", "standard")
    remark(
        f"the time axis in {units!r} of the calendar {calendar!r} is not read as dates, needs "
        "days, hours, minutes or seconds of the standard calendar: the bands are numbered in its "
        "order; one date may be said by date, if there is only one"
    )


def _named(stem: str) -> _Named | None:
    if match := _SENTINEL_2.fullmatch(stem):
        return _Named(match[4], "Sentinel-2 MSI", moment="-".join(match.groups()[:3]))
    if match := _LANDSAT.fullmatch(stem):
        level, band = match[3], match[7]
        is_surface = level.startswith("L2") and band.startswith("SR_B")
        return _Named(
            band, f"Landsat {match[2]} {_INSTRUMENTS[match[1]]}", level,
            "-".join(match.groups()[3:6]), _SURFACE if is_surface else (1.0, 0.0),
        )  # fmt: skip
    return None


def _finest(bands: Sequence[SourceBand]) -> list[SourceBand]:
    """Leave out coarser copies of bands, as level 2A of Sentinel-2 has them by their names."""
    sizes: dict[str, int] = {}
    matches = [_SENTINEL_2.fullmatch(PurePosixPath(band.member).stem) for band in bands]
    for match in matches:
        if match and match[5]:
            name = match[0].rpartition("_")[0]
            sizes[name] = min(int(match[5]), sizes.get(name, 99))
    return [
        band
        for band, match in zip(bands, matches, strict=True)
        if not (match and match[5]) or int(match[5]) == sizes[match[0].rpartition("_")[0]]
    ]


def _distinguished(bands: Sequence[SourceBand], rasters: int) -> list[SourceBand]:
    """Return bands by names of their own; of files of one band each these tell them apart."""
    alone = {band.member for band in bands} and len({b.member for b in bands}) == len(bands)
    unnamed = all(re.fullmatch(r"b\d+", band.name) for band in bands)
    twice = len({band.name for band in bands}) < len(bands)
    if rasters > 1 and alone and (unnamed or twice):
        parts = _differing_parts([PurePosixPath(band.member).stem for band in bands])
        bands = [band.renamed(part) for band, part in zip(bands, parts, strict=True)]
        bands = _with_wavelengths(bands)
    names = unique_names([band.name for band in bands])
    return [band.renamed(name) for band, name in zip(bands, names, strict=True)]


def _with_wavelengths(bands: Sequence[SourceBand]) -> list[SourceBand]:
    known = wavelengths_of([band.name for band in bands])
    # what one name for all of them meant, as b, is none of each
    are_alike = len({band.wavelength for band in bands}) == 1
    return [
        replace(
            band,
            wavelength=(are_alike and guess) or band.wavelength or guess,
            optional=band.name in _QUALITY,
        )
        for band, guess in zip(bands, known, strict=True)
    ]


def _differing_parts(stems: Sequence[str]) -> list[str]:
    """Return what tells names of files apart.

    >>> _differing_parts(["site_B02_10m", "site_B03_10m"])
    ['B02', 'B03']
    """
    split = [re.split(r"[_\-. ]+", stem) for stem in stems]
    if len({len(parts) for parts in split}) > 1:
        return list(stems)
    columns = [column for column in zip(*split, strict=True) if len(set(column)) > 1]
    return ["_".join(parts) for parts in zip(*columns, strict=True)] if columns else list(stems)


def _together(
    delivery: Delivery,
    bands: Sequence[SourceBand],
    told: Sequence[Product],
    rasters: dict[tuple[str, str], Raster],
) -> Product:
    def agreed(values: Sequence[str], what: str) -> str:
        some = sorted({value for value in values if value})
        if len(some) > 1:
            raise InputError(
                f"the files are of several {what}s, {some[0]} and {some[-1]}: import each by "
                "itself; stack-scenes puts scenes together",
                "source",
            )
        return some[0] if some else ""

    sensor = agreed([one.sensor for one in told], "sensor")
    if sensor == "Sentinel-2 MSI":
        remark(
            "scale and offset of single files of Sentinel-2 stand in the metadata of their "
            "product, which is not here: none are declared; give the product's folder instead"
        )
    level = agreed([one.level for one in told], "level")
    if sensor.startswith("Landsat") and level.startswith("L1"):
        remark(
            "scale and offset of level 1 of Landsat stand in its MTL file, which is not here: "
            "none are declared; give the product's folder instead"
        )
    quality = [band for band in bands if band.name in _QUALITY]
    return Product(
        kind="rasters",
        bands=tuple(bands),
        quality=QualityBand(quality[0].name, quality[0].member, quality[0].index)
        if quality
        else None,
        sensor=sensor,
        level=level,
        moment=agreed([one.moment for one in told], "date"),
        product_id=agreed([one.product_id for one in told], "product"),
        rasters=rasters,
    )
