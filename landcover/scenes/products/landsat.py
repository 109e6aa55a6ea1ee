"""Landsat Collection 2, level 1 and 2: GeoTIFFs beside a file of metadata, MTL.

Values of level 1 are reflectance after a division by the sine of the sun's elevation, which is
part of the scale here; values of level 2 are surface reflectance and temperature.

Sources: USGS, Landsat 8-9 Collection 2 Level 1 Data Format Control Book (LSDS-1822); Level 2
Science Product Guide (LSDS-1619); Landsat 8 Data Users Handbook, section 5.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from landcover import strict_json
from landcover.errors import InputError
from landcover.io.sensors import wavelengths_of
from landcover.progress import remark
from landcover.scenes.deliveries import Delivery, text_of
from landcover.scenes.products.product import Product, QualityBand, SourceBand
from landcover.scenes.products.xml import root_of

_METADATA = re.compile(r"(.*/)?L[COTEM]\d\d_L\w{3}_[^/]*_MTL\.(txt|xml|json)")
_LINE = re.compile(r'^\s*(\w+)\s*=\s*"?(.*?)"?\s*$')
_FILE = re.compile(r"FILE_NAME_BAND_(ST_B)?(\d+)(_VCID_[12])?")
_THERMAL = re.compile(r"B(10|11|6)")
"""Names of level 1: 10 and 11 of Landsat 8 and 9, 6 of Landsat 4 and 5."""
_SPECTRAL = re.compile(r"(?:SR_)?B(\d+)")
_PANCHROMATIC = "B8"
_NODATA = 0
_ROOT = "LANDSAT_METADATA_FILE"
Groups = Mapping[str, Mapping[str, str]]


def read(delivery: Delivery) -> Product | None:
    """Understand a product of Landsat Collection 2; None if it is none.

    Raises:
        InputError: it holds several products, is of Collection 1, or lacks what its values mean.
    """
    found = [name for name in delivery.names if _METADATA.fullmatch(name)]
    products = {name.rpartition("_MTL.")[0] for name in found}
    if not found:
        return None
    if len(products) > 1:
        raise InputError(
            f"{delivery.title} holds {len(products)} products of Landsat: import one at a time; "
            "stack-scenes puts scenes together"
        )
    chosen = min(found, key=lambda name: ("txt", "xml", "json").index(name.rpartition(".")[2]))
    groups = _groups(text_of(delivery, chosen), chosen)
    contents, image = _group(groups, "PRODUCT_CONTENTS"), _group(groups, "IMAGE_ATTRIBUTES")
    if not contents or contents.get("COLLECTION_NUMBER") not in ("02", "2"):
        raise InputError(
            f"{delivery.title} is no product of Landsat Collection 2, others are not read: order "
            "the scene as Collection 2"
        )
    sensor = _sensor(image)
    files = _files(delivery, contents, chosen.rpartition("/")[0])
    level = contents.get("PROCESSING_LEVEL", "")
    return Product(
        kind=f"Landsat Collection 2 {level}",
        bands=tuple(_bands(files, groups, sensor, level)),
        quality=QualityBand("QA_PIXEL", files["QA_PIXEL"]) if "QA_PIXEL" in files else None,
        sensor=sensor,
        level=level,
        moment=_moment(image),
        product_id=contents.get("LANDSAT_PRODUCT_ID", ""),
    )


def _groups(text: bytes, name: str) -> Groups:
    """Return the members of each group of the metadata; groups within groups by their own name."""
    try:
        decoded = text.decode()
        if name.endswith(".xml"):
            root = root_of(text, name)
            return {e.tag: {c.tag: (c.text or "").strip() for c in e} for e in root}
        if name.endswith(".json"):
            told = strict_json.loads(decoded)[_ROOT]
            return {k: {n: str(v) for n, v in told[k].items()} for k in told}
        return _groups_of_text(decoded)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{name} is no MTL that can be read, it may be damaged") from error


def _groups_of_text(text: str) -> Groups:
    groups: dict[str, dict[str, str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        key, value = match.groups()
        if key == "GROUP":
            current.append(value)
        elif key == "END_GROUP":
            current = current[:-1]
        elif current:
            groups.setdefault(current[-1], {})[key] = value
    return groups


def _group(groups: Groups, name: str) -> Mapping[str, str]:
    return groups.get(name, {})


def _sensor(image: Mapping[str, str]) -> str:
    spacecraft = image.get("SPACECRAFT_ID", "LANDSAT").replace("_", " ").title()
    return f"{spacecraft} {image.get('SENSOR_ID', '')}".strip()


def _moment(image: Mapping[str, str]) -> str:
    day, time = image.get("DATE_ACQUIRED", ""), image.get("SCENE_CENTER_TIME", "")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", day):
        return ""
    return f"{day}T{time[:8]}Z" if re.match(r"\d\d:\d\d:\d\d", time) else day


def _files(delivery: Delivery, contents: Mapping[str, str], folder: str) -> dict[str, str]:
    """Return the members of the delivery that hold bands, by the bands' names."""
    there = set(delivery.names)
    found, lost = {}, []
    for key, file in contents.items():
        is_quality = key == "FILE_NAME_QUALITY_L1_PIXEL"
        if not (_FILE.fullmatch(key) or is_quality):
            continue
        member = f"{folder}/{file}".lstrip("/")
        band = _band_of(file)
        if member in there:
            found[band] = member
        else:
            lost.append(band)
    if not found:
        raise InputError(
            f"{delivery.title} holds none of the bands that its metadata name: give the whole "
            "product, its folder or tar"
        )
    if lost:
        remark(f"files of {', '.join(sorted(lost))} are missing in {delivery.title}: left out")
    return found


def _band_of(file: str) -> str:
    """Return the last part of a file's name.

    >>> _band_of("LC08_L2SP_193026_20230801_20230811_02_T1_SR_B4.TIF")
    'SR_B4'
    """
    return re.sub(r"^.*_(RT|T1|T2)_|\.tiff?$", "", file, flags=re.IGNORECASE)


def _bands(
    files: Mapping[str, str], groups: Groups, sensor: str, level: str
) -> Iterator[SourceBand]:
    # the panchromatic and thermal bands have no table, and would hide that of the others
    units = {name: _unit(name, groups, level) for name in files}
    spectral = [name for name in files if units[name] and name != _PANCHROMATIC]
    known = dict(zip(spectral, wavelengths_of(spectral, sensor), strict=True))
    for name, member in files.items():
        if name == "QA_PIXEL":
            yield SourceBand(name, member, optional=True, nodata=0)  # which no pixel has
            continue
        scale, offset = units[name] or _other_unit(name, groups)
        yield SourceBand(
            name, member, wavelength=known.get(name), scale=scale, offset=offset,
            nodata=_NODATA, optional=name not in spectral,
        )  # fmt: skip


def _unit(band: str, groups: Groups, level: str) -> tuple[float, float] | None:
    """Return scale and offset to reflectance; None of bands that measure none."""
    number = _SPECTRAL.fullmatch(band)
    if number is None:
        return None
    is_surface = level.startswith("L2")
    group = (
        "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS" if is_surface else "LEVEL1_RADIOMETRIC_RESCALING"
    )
    unit = _numbers(_group(groups, group), f"REFLECTANCE_{{}}_BAND_{number[1]}")
    if unit is None and not _THERMAL.fullmatch(band) and band != _PANCHROMATIC:
        raise InputError(
            f"the MTL lacks REFLECTANCE_MULT_BAND_{number[1]} or its ADD, without which values "
            f"of {band} mean nothing: fetch the metadata anew"
        )
    if unit is None or is_surface:
        return unit
    sine = _sine_of_sun(_group(groups, "IMAGE_ATTRIBUTES"))
    return unit[0] / sine, unit[1] / sine


def _sine_of_sun(image: Mapping[str, Any]) -> float:
    try:
        sine = math.sin(math.radians(float(image["SUN_ELEVATION"])))
    except (KeyError, ValueError):
        sine = 0.0
    if not sine > 0:
        raise InputError("the MTL has no SUN_ELEVATION above 0, without which no reflectance is")
    return sine


def _other_unit(band: str, groups: Groups) -> tuple[float, float]:
    """Return scale and offset of a thermal band, to kelvin or to radiance; 1 and 0 of others."""
    temperature = _group(groups, "LEVEL2_SURFACE_TEMPERATURE_PARAMETERS")
    radiance = _group(groups, "LEVEL1_RADIOMETRIC_RESCALING")
    return (
        _numbers(temperature, f"TEMPERATURE_{{}}_BAND_{band}")
        or _numbers(radiance, f"RADIANCE_{{}}_BAND_{band.removeprefix('B')}")
        or (1.0, 0.0)
    )


def _numbers(group: Mapping[str, str], key: str) -> tuple[float, float] | None:
    try:
        scale, offset = (float(group[key.format(part)]) for part in ("MULT", "ADD"))
    except (KeyError, ValueError):
        return None
    return (scale, offset) if math.isfinite(scale) and math.isfinite(offset) and scale else None
