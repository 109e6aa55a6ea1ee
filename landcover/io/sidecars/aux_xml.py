"""What GDAL and QGIS keep beside a raster in NAME.aux.xml, parsed within bounds."""

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, fromstring

from landcover.io.files.plain_files import read_plain_file

MAX_BYTES = 4 * 2**20


def root_of(path: Path) -> Element | None:
    """Return the root element, None if the file is no XML that may be read.

    Raises:
        InputError: it is no plain file, or too large.
    """
    try:
        text = read_plain_file(path, MAX_BYTES).decode("utf-8-sig")
        # GDAL writes no document type, and entities of one can grow without bound
        return None if "<!DOCTYPE" in text else fromstring(text)
    except (ParseError, ValueError):
        return None
