"""Sentinel-2 level 1C and 2A as delivered: a SAFE folder whose metadata name its images.

Since processing baseline 04.00 counts hold an offset, which the metadata declare; in earlier ones
they declare none.

Source: ESA, Sentinel-2 Products Specification Document 14.9 and 15 (S2-PDGS-TAS-DI-PSD).
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from landcover.errors import InputError
from landcover.io.sensors import SENTINEL_2
from landcover.progress import remark
from landcover.scenes.deliveries import Delivery, text_of
from landcover.scenes.products.product import Product, QualityBand, SourceBand
from landcover.scenes.products.xml import numbers_in, root_of, text_in

_METADATA = re.compile(r"(.*/)?(MTD_MSIL(1C|2A)|S2._OPER_MTD_SAFL(1C|2A)_[^/]*)\.xml")
_IMAGE = re.compile(r".*_(B\d\d|B8A|AOT|WVP|SCL)(?:_(\d\d)m)?")
_BAND_IDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11",
             "B12")  # fmt: skip
"""By the metadata's band_id."""
_AUXILIARY = ("AOT", "WVP", "SCL")
_WITH_OFFSET = 4.0
"""The first processing baseline whose counts hold an offset."""
_NODATA = 0


def read(delivery: Delivery) -> Product | None:
    """Understand a product of Sentinel-2; None if it is none.

    Raises:
        InputError: it holds several products or tiles, or lacks what its values mean.
    """
    found = [name for name in delivery.names if _METADATA.fullmatch(name)]
    if not found:
        return None
    if len(found) > 1:
        raise InputError(
            f"{delivery.title} holds {len(found)} products of Sentinel-2: import one at a time; "
            "stack-scenes puts scenes together"
        )
    root = root_of(text_of(delivery, found[0]), found[0])
    folder = found[0].rpartition("/")[0]
    level = "L1C" if "L1C" in PurePosixPath(found[0]).name else "L2A"
    images = _images(delivery, root, folder)
    baseline = text_in(root, "PROCESSING_BASELINE")
    units = _Units.of(root, level, baseline, delivery.title)
    return Product(
        kind=f"Sentinel-2 {level} of baseline {baseline or 'unknown'}",
        bands=tuple(_bands(images, units, _wavelengths(root))),
        quality=_quality(delivery, images, level),
        sensor=f"{text_in(root, 'SPACECRAFT_NAME') or 'Sentinel-2'} MSI",
        level=level,
        moment=_moment(root),
        product_id=_product_id(root, folder),
        baseline=baseline,
    )


class _Units:
    """From counts to reflectance: (count + offset of the band) / quantification value."""

    def __init__(self, quantification: float, offsets: Mapping[str, float]) -> None:
        self._quantification, self._offsets = quantification, offsets

    @classmethod
    def of(cls, root: Any, level: str, baseline: str, title: str) -> "_Units":
        of_level = ("QUANTIFICATION_VALUE", "RADIO_ADD_OFFSET")
        if level == "L2A":
            of_level = ("BOA_QUANTIFICATION_VALUE", "BOA_ADD_OFFSET")
        quantification = numbers_in(root, of_level[0])
        if not quantification or quantification[0][1] <= 0:
            raise InputError(f"the metadata of {title} lack {of_level[0]}, they may be damaged")
        offsets = {
            _BAND_IDS[int(ids["band_id"])]: value
            for ids, value in numbers_in(root, of_level[1])
            if ids.get("band_id", "").isdecimal() and int(ids["band_id"]) < len(_BAND_IDS)
        }
        if not offsets and _number(baseline) >= _WITH_OFFSET:
            raise InputError(
                f"{title} is of baseline {baseline}, and its metadata lack {of_level[1]}, without "
                "which its values mean nothing: fetch it anew"
            )
        return cls(quantification[0][1], offsets)

    def unit_of(self, band: str) -> tuple[float, float]:
        """Return scale and offset of a band."""
        if self._offsets and band not in self._offsets:
            raise InputError(
                f"the metadata lack the offset of {band}, and have those of other bands: fetch "
                "the product anew"
            )
        return 1 / self._quantification, self._offsets.get(band, 0.0) / self._quantification


def _images(delivery: Delivery, root: Any, folder: str) -> dict[str, str]:
    """Return the finest image of each band, by its name."""
    listed = [element.text or "" for element in root.iter("IMAGE_FILE")]
    granules = {name.split("/")[1] for name in listed if name.count("/") > 1}
    if len(granules) > 1:
        raise InputError(
            f"{delivery.title} holds {len(granules)} tiles: import the tiles one at a time, from "
            "products of one tile each"
        )
    there = set(delivery.names)
    finest: dict[str, tuple[int, str]] = {}
    missing = []
    for name in listed:
        member = f"{folder}/{name.strip()}.jp2".lstrip("/")
        match = _IMAGE.fullmatch(name.strip())
        if match is None:
            continue
        if member not in there:
            missing.append(match[1])
            continue
        size = int(match[2] or 0)
        if match[1] not in finest or size < finest[match[1]][0]:
            finest[match[1]] = (size, member)
    lost = sorted(set(missing) - set(finest))
    if not finest:
        raise InputError(
            f"{delivery.title} holds none of the images that its metadata name: "
            "give the whole product, its folder or zip"
        )
    if lost:
        remark(f"images of {', '.join(lost)} are missing in {delivery.title}: left out")
    return {band: finest[band][1] for band in (*_BAND_IDS, *_AUXILIARY) if band in finest}


def _bands(
    images: Mapping[str, str], units: _Units, wavelengths: Mapping[str, float]
) -> Iterator[SourceBand]:
    for name, member in images.items():
        if name in _AUXILIARY:
            yield SourceBand(name, member, nodata=_NODATA, optional=True)
            continue
        scale, offset = units.unit_of(name)
        yield SourceBand(
            name, member, wavelength=wavelengths.get(name), scale=scale, offset=offset,
            nodata=_NODATA,
        )  # fmt: skip


def _wavelengths(root: Any) -> dict[str, float]:
    """Return centres in nm, by the metadata, else by what is known of the sensor."""
    known = {band.name: band.wavelength for band in SENTINEL_2}
    for element in root.iter("Spectral_Information"):
        name = element.get("physicalBand", "")
        told = numbers_in(element, "CENTRAL")
        padded = re.sub(r"^B(\d)$", r"B0\1", name)
        if told and padded in known:
            known[padded] = told[0][1]
    return known


def _quality(delivery: Delivery, images: Mapping[str, str], level: str) -> QualityBand | None:
    if "SCL" in images:
        return QualityBand("SCL", images["SCL"])
    masks = [name for name in delivery.names if name.endswith("/MSK_CLASSI_B00.jp2")]
    return QualityBand("MSK_CLASSI", masks[0]) if level == "L1C" and len(masks) == 1 else None


def _moment(root: Any) -> str:
    told = text_in(root, "DATATAKE_SENSING_START") or text_in(root, "PRODUCT_START_TIME")
    return told if re.match(r"\d{4}-\d\d-\d\dT", told) else ""


def _product_id(root: Any, folder: str) -> str:
    told = text_in(root, "PRODUCT_URI") or PurePosixPath(folder).name
    return told.removesuffix(".SAFE")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
