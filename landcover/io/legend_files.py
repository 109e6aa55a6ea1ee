"""Legends in files: what codes mean and their colours, from an earlier map, QGIS or by hand.

Source of QML: docs.qgis.org, "Appendix D: QGIS file formats".
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from landcover.errors import InputError
from landcover.io.files.atomic import written_beside
from landcover.io.files.paths import AnyPath
from landcover.io.files.plain_files import read_plain_file
from landcover.io.legend import Legend, is_whole_number
from landcover.io.raster import legend_of, open_raster
from landcover.io.sidecars.legend_beside import style_of

MAX_BYTES = 2**20
MAX_JSON_BYTES = 2**23
"""Samples that were drawn bring their legend, and may be thousands."""
_SHOWN = 24
"""Letters of a cell that a sentence shows."""
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_legend(path: AnyPath | None) -> Legend | None:
    """Read the legend that an operation was given.

    Args:
        path: a CSV with the columns code, name and, if wanted, color and parent; JSON, which is a
            list of {code, name, color}, an object that holds one as `legend` (samples.json, a
            model's card) or an object of names by code; a style of QGIS (QML) that draws codes as
            classes; a GeoTIFF with a legend; or a folder with a samples.json. None if none was
            given.

    Raises:
        InputError: it is none of these, or holds what no legend can.
    """
    if path is None:
        return None
    file = Path(path)
    if file.is_dir():
        file = file / "samples.json"
    content = read_plain_file(file, MAX_JSON_BYTES) if not _is_tiff(file) else b""
    try:
        legend = _of_text(content) if content else _of_raster(file)
        if not legend.classes:
            raise InputError("it holds no class")
    except InputError as error:
        raise InputError(f"the legend in {file.name} is invalid: {error}") from error
    return legend


def write_legend(path: Path, legend: Legend) -> None:
    """Write a legend as a file that `read_legend`, and other programs, read.

    Args:
        path: NAME.csv (code,name,color,parent), NAME.json or NAME.qml; QML has no parents.
        legend: with at least one class.

    Raises:
        InputError: the name has another ending.
    """
    content = _WRITERS.get(path.suffix.lower())
    if content is None:
        raise InputError(f"{path.name} needs to end in {', '.join(_WRITERS)}")
    with written_beside(path) as beside:
        beside.write_text(content(legend), encoding="utf-8", newline="")


def _to_csv(legend: Legend) -> str:
    text = io.StringIO()
    rows = csv.DictWriter(text, ("code", "name", "color", "parent"), restval="")
    rows.writeheader()
    rows.writerows(legend.to_list())
    return text.getvalue()


def _to_json(legend: Legend) -> str:
    return json.dumps(legend.to_list(), ensure_ascii=False, indent=1) + "\n"


_WRITERS = {".csv": _to_csv, ".json": _to_json, ".qml": style_of}


def _is_tiff(file: Path) -> bool:
    """Return whether a file begins as a TIFF does; a map is larger than any list of classes."""
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(4) in _TIFF


def _of_raster(file: Path) -> Legend:
    if not _is_tiff(file):
        raise InputError("it is empty")
    with open_raster(file) as dataset:
        legend = legend_of(dataset)
    if legend is None:
        raise InputError("the raster names no classes: give a CSV of code,name for its codes")
    return legend


def _of_text(content: bytes) -> Legend:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("it is not in UTF-8, save it so") from error
    if "\0" in text:
        raise InputError("it is no text")
    match text.lstrip()[:1]:
        case "{" | "[":
            return _of_json(text)
        case "<":
            return _of_qml(text)
    return _of_csv(text)


def _of_json(text: str) -> Legend:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("it cannot be read as JSON") from error
    if isinstance(found, Mapping):
        found = found["legend"] if "legend" in found else _named_codes(found)
    return Legend.from_list(found)


def _of_qml(text: str) -> Legend:
    try:
        root = fromstring(text, forbid_dtd=False)  # QGIS declares `<!DOCTYPE qgis ...>`
    except (ParseError, DefusedXmlException, RecursionError) as error:
        raise InputError("it cannot be read as a style of QGIS") from error
    found = [*_palette(root), *_categories(root)]
    if not found:
        raise InputError(
            "the style draws no classes: in QGIS, choose Paletted/Unique values for a raster or "
            "Categorized for a layer, and save it again"
        )
    return Legend.from_list(found)


def _palette(root: Element) -> Iterator[dict[str, Any]]:
    """Yield the classes of a raster's palette, without those of no data and of code 0."""
    for entry in root.iterfind(".//rasterrenderer[@type='paletted']//paletteEntry"):
        code = entry.get("value", "")
        if code not in ("0", "255"):
            yield _class_in({**entry.attrib, "code": code, "name": entry.get("label", "")})


def _categories(root: Element) -> Iterator[dict[str, Any]]:
    """Yield the classes of a layer whose features are drawn by a value, numbered from 1."""
    colors = {
        symbol.get("name"): _color_of_symbol(symbol)
        for symbol in root.iterfind(".//renderer-v2[@type='categorizedSymbol']/symbols/symbol")
    }
    listed = root.iterfind(".//renderer-v2[@type='categorizedSymbol']/categories/category")
    named = [entry for entry in listed if entry.get("value")]
    for number, entry in enumerate(named, 1):
        value = entry.get("value", "")
        code = value if is_whole_number(value) else str(number)
        name = entry.get("label") or value if is_whole_number(value) else value
        yield _class_in({"code": code, "name": name, "color": colors.get(entry.get("symbol"), "")})


def _color_of_symbol(symbol: Element) -> str:
    """Return the fill of a symbol as #rrggbb, "" where it has none; QGIS writes r,g,b,a."""
    for option in (*symbol.iterfind(".//Option[@name='color']"), *symbol.iterfind(".//prop")):
        if option.get("k", "color") == "color":
            parts = (option.get("value") or option.get("v") or "").split(",")[:3]
            if len(parts) == 3 and all(part.isdigit() and int(part) < 256 for part in parts):
                return "#" + "".join(f"{int(part):02x}" for part in parts)
    return ""


def _named_codes(names: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the classes of an object of names by code; None if it is another object."""
    if not names or not all(is_whole_number(key) for key in names):
        return None
    return [{"code": int(code), "name": name} for code, name in names.items()]


def _of_csv(text: str) -> Legend:
    if len(text) > MAX_BYTES:
        raise InputError(f"a table has more than {MAX_BYTES:,} bytes, which are the most read")
    header, _, _ = text.partition("\n")
    delimiter = next((sign for sign in ";\t" if sign in header), ",")
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(row)]
    except csv.Error as error:
        raise InputError("it cannot be read as CSV") from error
    if not rows:
        raise InputError("it is empty")
    columns = [column.strip().lower() for column in rows[0]]
    if not {"code", "name"} <= set(columns):
        raise InputError("the first line of a CSV needs to be code,name,color or code,name")
    listed = [dict(zip(columns, map(str.strip, row), strict=False)) for row in rows[1:]]
    return Legend.from_list([_class_in(row) for row in listed])


def _class_in(row: Mapping[str, str]) -> dict[str, Any]:
    code = row.get("code", "").removesuffix(".0")
    if not is_whole_number(code):
        shown = code[:_SHOWN] or "an empty cell"
        raise InputError(f"{shown} is no code, needs a whole number 1 to 254")
    if not row.get("name"):
        raise InputError(f"code {code} has no name")
    kept = {key: row.get(key, "") for key in ("name", "color", "parent")}
    return {"code": int(code), **kept}
