"""Names and colours of a map's classes for other programs: in the map, and beside it.

GDAL reads a raster attribute table out of a GeoTIFF from version 3.12 on. All versions, and QGIS
with them, read NAME.tif.aux.xml, which holds the names of the categories besides; QGIS draws by
NAME.qml if it is there. What lies beside can get lost, the table in the map cannot.

Names come from anybody: the XML is built by a library, and signs that XML has not become U+FFFD.

Sources: gdal.org, "Raster Data Model" (categories, attribute tables) and "GeoTIFF File Format";
docs.qgis.org, "Appendix D: QGIS file formats" (QML).
"""

from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from landcover.io.files.atomic import written_beside
from landcover.io.legend import Legend

TABLE_ITEM = "DEFAULT_RASTER_ATTRIBUTE_TABLE"
"""By which GDAL finds an attribute table among the metadata of a GeoTIFF."""
# name, GDALRATFieldType and GDALRATFieldUsage, each with GDAL's word for it
_COLUMNS = (
    ("Value", 0, "Integer", 5, "MinMax"),
    ("Class", 2, "String", 2, "Name"),
    ("Red", 0, "Integer", 6, "Red"),
    ("Green", 0, "Integer", 7, "Green"),
    ("Blue", 0, "Integer", 8, "Blue"),
)


def files_of_legend(raster: Path) -> tuple[Path, Path]:
    """Return where names and colours lie beside a raster: for GDAL, and for QGIS."""
    return raster.with_name(f"{raster.name}.aux.xml"), raster.with_suffix(".qml")


def write_legend_beside(raster: Path, legend: Legend) -> None:
    """Write the names and colours of a map's classes into the two files beside it."""
    for path, root in zip(
        files_of_legend(raster), (_categories(legend), _style(legend)), strict=True
    ):
        with written_beside(path) as beside:
            beside.write_bytes(document(root))


def remove_stale_beside(raster: Path, has_legend: bool) -> None:
    """Remove what lies beside a raster that is being replaced, and is of the old one.

    Args:
        raster: that is about to be written.
        has_legend: whether its style is written anew; of a raster without legend a style is its
            user's own.
    """
    categories, style = files_of_legend(raster)
    for stale in (categories, style) if has_legend else (categories,):
        stale.unlink(missing_ok=True)


def style_of(legend: Legend) -> str:
    """Return a style of QGIS (QML) that draws codes as classes, and no others."""
    return document(_style(legend)).decode()


def categories_of(legend: Legend) -> str:
    """Return names and colours as GDAL reads them from a file beside a raster."""
    return document(_categories(legend)).decode()


def metadata_item(legend: Legend) -> str:
    """Return the item of the TIFF tag GDAL_METADATA that holds the attribute table."""
    item = Element("Item", name=TABLE_ITEM, sample="0", role="rat")
    item.append(_table(legend))
    return tostring(item, encoding="unicode")


def _categories(legend: Legend) -> Element:
    root = Element("PAMDataset")
    band = SubElement(root, "PAMRasterBand", band="1")
    names = SubElement(band, "CategoryNames")
    by_code = {entry.code: entry.name for entry in legend.classes}
    for code in range(max(by_code, default=0) + 1):  # the first is that of code 0
        SubElement(names, "Category").text = legal(by_code.get(code, ""))
    band.append(_table(legend))
    return root


def _table(legend: Legend) -> Element:
    table = Element("GDALRasterAttributeTable", tableType="thematic")
    for index, (name, kind, kind_word, usage, usage_word) in enumerate(_COLUMNS):
        column = SubElement(table, "FieldDefn", index=str(index))
        SubElement(column, "Name").text = name
        SubElement(column, "Type", typeAsString=kind_word).text = str(kind)
        SubElement(column, "Usage", usageAsString=usage_word).text = str(usage)
    for index, entry in enumerate(legend.classes):
        row = SubElement(table, "Row", index=str(index))
        for value in (entry.code, legal(entry.name), *entry.rgb):
            SubElement(row, "F").text = str(value)
    return table


def _style(legend: Legend) -> Element:
    """Return a style of QGIS that draws codes as classes, and no others."""
    root = Element("qgis", version="3.22.0", styleCategories="Symbology")
    pipe = SubElement(root, "pipe")
    renderer = SubElement(
        pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1",
        nodataColor="",
    )  # fmt: skip
    SubElement(renderer, "rasterTransparency")
    palette = SubElement(renderer, "colorPalette")
    for entry in legend.classes:
        SubElement(
            palette, "paletteEntry", value=str(entry.code), color=entry.color, alpha="255",
            label=legal(entry.name),
        )  # fmt: skip
    SubElement(root, "blendMode").text = "0"
    return root


def document(root: Element) -> bytes:
    """Return a document without a declaration, which GDAL would take for the root element."""
    indent(root)
    return tostring(root, encoding="unicode").encode() + b"\n"


def legal(text: str) -> str:
    """Replace the signs that XML 1.0 has not, and line ends, which a legend cannot show."""
    return "".join(
        sign if " " <= sign < "\ud800" or "\ue000" <= sign <= "\ufffd" or sign > "\uffff"
        else " " if sign in "\t\r\n" else "\ufffd" for sign in text
    )  # fmt: skip
