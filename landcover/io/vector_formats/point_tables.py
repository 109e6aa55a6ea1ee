"""Points in a table: CSV with the columns lon and lat, or x and y."""

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import shapely

from landcover.counts import counted
from landcover.errors import InputError
from landcover.io.files.plain_files import read_plain_file
from landcover.io.vector_formats.features import WGS84

MAX_BYTES = 64 * 2**20
_DEGREES = (("lon", "lat"), ("longitude", "latitude"), ("long", "lat"), ("lng", "lat"))
_UNITS = (("x", "y"),)


def read_table(path: Path) -> tuple[str, list[object], list[dict[str, str]]]:
    """Read a CSV of points, separated by comma, semicolon or tabulator.

    Returns:
        The CRS: degrees for lon and lat, "" for x and y, which are in the scene's; a point per
        row; and the row by the names of its columns.

    Raises:
        InputError: it is not UTF-8, has no such columns, or a row has no number there.
    """
    header, rows = _rows_of(path)
    names = [name.strip() for name in header]
    twice = [name for name, n in Counter(names).items() if n > 1 and name]
    if twice:
        raise InputError(f"{path.name} has two columns {twice[0]}, each needs a name of its own")
    x, y, crs = _place_of(names, path.name)
    points: list[object] = []
    records = []
    for number, row in rows:
        if len(row) != len(names):
            raise InputError(
                f"{path.name}: line {number} has {counted(len(row), '# field|fields')}, "
                f"the header has {len(names)}"
            )
        lon, lat = (_number(row[at], path.name, number, names[at]) for at in (x, y))
        if crs and not abs(lat) <= 90:
            raise InputError(
                f"{path.name}: line {number} has latitude {row[y]}, needs -90 to 90: "
                "see that lon and lat are not exchanged"
            )
        points.append(shapely.Point(lon, lat))
        records.append(dict(zip(names, row, strict=True)))
    return crs, points, records


def _rows_of(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Return the header and the rows that are not empty, with their line numbers."""
    try:
        text = read_plain_file(path, MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is not in UTF-8, save it as CSV in UTF-8") from error
    separator = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)

    def rows() -> Iterator[tuple[int, list[str]]]:
        try:
            for row in reader:
                if any(cell.strip() for cell in row):
                    yield reader.line_num, row
        except csv.Error as error:
            raise InputError(f"{path.name}: line {reader.line_num}: {error}") from error

    numbered = rows()
    _, header = next(numbered, (1, []))
    return header, numbered


def _place_of(names: list[str], file: str) -> tuple[int, int, str]:
    """Return the columns of x and y, and the CRS they are in."""
    lower = [name.lower() for name in names]
    for pairs, crs in ((_DEGREES, WGS84), (_UNITS, "")):
        for x, y in pairs:
            if x in lower and y in lower:
                return lower.index(x), lower.index(y), crs
    raise InputError(
        f"{file} has the columns {', '.join(names)}, a table of points needs lon and lat, or x "
        "and y in the scene's coordinate system"
    )


def _number(text: str, file: str, line: int, column: str) -> float:
    try:
        number = float(text.strip().replace(",", "."))  # a comma, where it does not separate
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{file}: line {line} has {text.strip() or 'nothing'} as {column}, "
                         "needs a number")  # fmt: skip
    return number
