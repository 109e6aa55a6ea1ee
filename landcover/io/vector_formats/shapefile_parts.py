"""What lies beside a .shp: whether it is complete, and the encoding of its texts.

GDAL reads texts whose encoding nobody declares as Latin-1 and says nothing. Here an encoding comes
from the .cpg, else from the language driver of the .dbf, else the text must be ASCII or UTF-8.

Source: ESRI technical article 000013192 (.cpg); dBASE language driver IDs.
"""

import codecs
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from landcover.errors import InputError
from landcover.io.files.plain_files import read_plain_file

AS_BYTES = "ISO-8859-1"
"""The encoding by which GDAL returns each byte of a text as one letter."""
_MOST_OF_CPG = 4096
_LANGUAGE_DRIVER = 29
"""Its place in a .dbf."""
_CODE_PAGES = {
    0x01: "cp437", 0x02: "cp850", 0x03: "cp1252", 0x04: "mac_roman", 0x13: "cp932",
    0x26: "cp866", 0x4D: "cp936", 0x4E: "cp949", 0x4F: "cp950", 0x50: "cp874", 0x58: "cp1252",
    0x59: "cp1252", 0x64: "cp852", 0x65: "cp866", 0x66: "cp865", 0x67: "cp861", 0x6A: "cp737",
    0x6B: "cp857", 0x78: "cp950", 0x79: "cp949", 0x7A: "cp936", 0x7B: "cp932", 0x7C: "cp874",
    0x7D: "cp1255", 0x7E: "cp1256", 0x96: "mac_cyrillic", 0x97: "mac_latin2",
    0x98: "mac_greek", 0xC8: "cp1250", 0xC9: "cp1251", 0xCA: "cp1254", 0xCB: "cp1253",
    0xCC: "cp1257",
}  # fmt: skip
"""By language driver; 0x57 says no more than that it is not that of DOS."""
_OFFERED = ("cp1251", "cp1252", "cp866")


def need_parts(shapefile: Path) -> None:
    """Refuse a .shp without the index or the attributes beside it.

    Raises:
        InputError: one of them is missing.
    """
    missing = [ending for ending in (".shx", ".dbf") if part_of(shapefile, ending) is None]
    if missing:
        names = " and ".join(f"{shapefile.stem}{ending}" for ending in missing)
        raise InputError(
            f"{shapefile.name} lacks {names}: a Shapefile is .shp, .shx, .dbf and .prj together"
        )


def part_of(shapefile: Path, ending: str) -> Path | None:
    """Return a part that lies beside a .shp, None if it does not."""
    candidates = (shapefile.with_suffix(ending), shapefile.with_suffix(ending.upper()))
    return next((path for path in candidates if path.is_file()), None)


def decoded(texts: Sequence[object], shapefile: Path) -> np.ndarray:
    """Decode texts that were read as bytes; what is no text stays what it is.

    Raises:
        InputError: a text is not ASCII and nothing says what it is.
    """
    raw = [t.encode(AS_BYTES) if isinstance(t, str) else None for t in texts]
    strange = [text for text in raw if text is not None and not text.isascii()]
    if not strange:
        return np.array(texts, object)
    encoding = _declared(shapefile) or _utf8(strange)
    if not encoding:
        raise InputError(_undeclared(strange[0], shapefile))
    try:
        read = [t if b is None else _text(b, encoding) for t, b in zip(texts, raw, strict=True)]
    except UnicodeDecodeError as error:
        raise InputError(
            f"the texts of {shapefile.name} are not in {encoding}, which {shapefile.stem}.cpg or "
            ".dbf declares: put the right one into the .cpg"
        ) from error
    return np.array(read, object)


def _text(raw: bytes, encoding: str) -> str:
    # a field cut off at its width may end within a letter: what is not whole is left
    return codecs.getincrementaldecoder(encoding)().decode(raw)


def _declared(shapefile: Path) -> str:
    cpg = part_of(shapefile, ".cpg")
    if cpg is not None:
        told = _codec_of(read_plain_file(cpg, _MOST_OF_CPG).decode("ascii", "replace").strip())
        if told:
            return told
    dbf = part_of(shapefile, ".dbf")
    if dbf is None:
        return ""
    with dbf.open("rb") as file:
        header = file.read(_LANGUAGE_DRIVER + 1)
    return _CODE_PAGES.get(header[_LANGUAGE_DRIVER], "") if len(header) > _LANGUAGE_DRIVER else ""


def _codec_of(told: str) -> str:
    """Return the codec that a .cpg names, "" if nobody knows it."""
    number = re.fullmatch(r"(?i)(?:(?:ansi|oem|cp|ibm|windows)[ _-]*)?(\d{3,5})", told)
    name = told
    if number:
        digits = number[1]
        name = "utf-8" if digits == "65001" else f"cp{digits}"
        name = f"iso8859-{digits[4:]}" if digits.startswith("8859") else name
    try:
        b"a".decode(name)  # of no bytes Python asks no codec
        return name
    except (LookupError, ValueError):
        return ""


def _utf8(texts: Sequence[bytes]) -> str:
    """Return utf-8 if all texts are, which texts in a code page hardly ever happen to be."""
    try:
        for text in texts:
            text.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return "utf-8"


def _undeclared(example: bytes, shapefile: Path) -> str:
    readings = " or ".join(
        f"{encoding.upper()} if it is {example.decode(encoding, 'replace')}"
        for encoding in _OFFERED
    )
    return (
        f"{shapefile.name} does not say the encoding of its texts: put its name into "
        f"{shapefile.stem}.cpg; of the first text {readings}"
    )
