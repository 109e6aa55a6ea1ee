"""ENVI: the header is read here, and GDAL gets one that says nothing but what is known.

Source: NV5 Geospatial, ENVI documentation, "ENVI header files".
"""

import math
import re
from datetime import UTC, datetime
from pathlib import Path

from landcover.errors import InputError
from landcover.io.files.plain_files import read_plain_file
from landcover.io.raster import MOST_BANDS

ENDINGS = (".img", ".dat", ".bil", ".bip", ".bsq", ".raw", "")
"""Of data files; the header is NAME.hdr, or NAME.ENDING.hdr."""
_MOST_BYTES = 16 << 20
_PASSED_ON = (
    "samples", "lines", "bands", "header offset", "data type", "interleave", "byte order",
    "map info", "projection info", "coordinate system string", "band names", "wavelength",
    "wavelength units", "data ignore value", "data gain values", "data offset values",
)  # fmt: skip
_BYTES = {1: 1, 2: 2, 3: 4, 4: 4, 5: 8, 6: 8, 9: 16, 12: 2, 13: 4, 14: 8, 15: 8}
"""Of a pixel, by the header's `data type`."""
_FIELD = re.compile(r"^\s*([^=\n{}]+?)\s*=\s*(\{[^}]*\}|[^\n{]*)", re.MULTILINE)
_ACQUIRED = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)\s*(Z|UTC|[+-]\d\d:?\d\d)?)?"
)
_ORDINARY = ("", "envi standard", "envi", "standard")


def is_header(start: bytes) -> bool:
    """Return whether a file's first bytes are those of a header."""
    return start[:5].strip() == b"ENVI"


def fields_of(header: Path) -> dict[str, str]:
    """Return the fields of a header, by their names in small letters.

    Raises:
        InputError: it is none, or larger than headers are.
    """
    text = read_plain_file(header, _MOST_BYTES)
    if not is_header(text):
        raise InputError(f"{header.name} is no header of ENVI, which begins with ENVI")
    found = _FIELD.finditer(text[4:].decode("utf-8", "replace"))
    return {" ".join(match[1].lower().split()): match[2].strip() for match in found}


def acquired(header: Path) -> str:
    """Return when the image was taken, as 2023-08-01 or 2023-08-01T10:15:59Z; "" if unknown."""
    told = fields_of(header).get("acquisition time", "").strip("{} ")
    match = _ACQUIRED.fullmatch(told)
    if match is None:
        return ""
    day, time, zone = match.groups()
    zone = "+00:00" if zone in ("Z", "UTC") else zone or ""
    try:
        moment = datetime.fromisoformat(f"{day}T{time or '00:00'}{zone}")
    except ValueError:
        return ""
    if time is None or not zone:  # which day it was in UTC is not told
        return day
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_checked_header(data: Path, header: Path | None, name: str, target: Path) -> None:
    """Write what is known of a header for GDAL to read.

    Raises:
        InputError: the header is missing, names other files, or the data file is too short.
    """
    if header is None:
        raise InputError(f"{name} has no header: ENVI files need {Path(name).stem}.hdr beside")
    fields = fields_of(header)
    _need_one_file(fields, header.name)
    _need_size(fields, data, name)
    fields = _gain_of_reflectance(fields) | fields
    lines = [f"{key} = {fields[key]}" for key in _PASSED_ON if key in fields]
    target.write_text("\n".join(["ENVI", *lines, ""]), "utf-8")


def _gain_of_reflectance(fields: dict[str, str]) -> dict[str, str]:
    """Return `reflectance scale factor`, by which values are divided, as gains of the bands."""
    try:
        factor, bands = float(fields["reflectance scale factor"]), int(fields["bands"])
    except (KeyError, ValueError):
        return {}
    if not (math.isfinite(factor) and factor > 0 and bands <= MOST_BANDS):
        return {}
    return {"data gain values": f"{{{', '.join([repr(1 / factor)] * bands)}}}"}


def _need_one_file(fields: dict[str, str], header: str) -> None:
    """Refuse a header by which pixels lie in other files."""
    for key, value in fields.items():
        if re.fullmatch(r"(data )?(file|filename|file name)s?( names?)?", key):
            raise InputError(
                f"{header} names {value} as its data, other files are not followed: save the "
                "image as one ENVI file"
            )
    kind = fields.get("file type", "").lower()
    if kind not in _ORDINARY or fields.get("file compression", "0") not in ("", "0"):
        what = "compressed" if kind in _ORDINARY else f"of type {kind}"
        raise InputError(f"{header} says that the data are {what}, needs an ENVI Standard file")


def _need_size(fields: dict[str, str], data: Path, name: str) -> None:
    try:
        samples, lines, bands = (int(fields[key]) for key in ("samples", "lines", "bands"))
        pixel = _BYTES[int(fields["data type"])]
        begin = int(fields.get("header offset") or 0)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"the header of {name} lacks a number: needs samples, lines, bands and data type"
        ) from error
    needed = begin + samples * lines * bands * pixel
    if min(samples, lines, bands, begin + 1) < 1 or data.stat().st_size < needed:
        raise InputError(
            f"{name} has {data.stat().st_size:,} bytes, by its header it needs {needed:,}"
        )
