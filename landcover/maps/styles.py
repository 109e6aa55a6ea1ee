"""How other programs draw a map or its polygons: styles of QGIS (QML), and SLD.

Sources: OGC 05-078r4 "Styled Layer Descriptor" and 05-077r4 "Symbology Encoding" in their form 1.0
(OGC 02-070), which QGIS, GeoServer and MapServer read; docs.qgis.org, "Appendix D: QGIS file
formats" (QML).
"""

from xml.etree.ElementTree import Element, SubElement

from landcover.io.legend import Legend
from landcover.io.sidecars.legend_beside import document, legal

_SLD = {
    "version": "1.0.0",
    "xmlns": "http://www.opengis.net/sld",
    "xmlns:ogc": "http://www.opengis.net/ogc",
    "xmlns:xlink": "http://www.w3.org/1999/xlink",
    "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
}
_EDGE = "#333333"


def raster_sld(legend: Legend, layer: str) -> str:
    """Return an SLD that draws codes as classes."""
    root, rule = _rules(layer)
    symbolizer = SubElement(SubElement(rule, "Rule"), "RasterSymbolizer")
    SubElement(symbolizer, "Opacity").text = "1.0"
    colors = SubElement(symbolizer, "ColorMap", type="values")
    for entry in legend.classes:
        SubElement(
            colors, "ColorMapEntry", quantity=str(entry.code), color=entry.color,
            label=legal(entry.name), opacity="1",
        )  # fmt: skip
    return document(root).decode()


def vector_sld(legend: Legend, field: str, layer: str) -> str:
    """Return an SLD that draws polygons by the class that a field names."""
    root, rules = _rules(layer)
    for entry in legend.classes:
        rule = SubElement(rules, "Rule")
        SubElement(rule, "Name").text = legal(entry.name)
        SubElement(rule, "Title").text = legal(entry.name)
        equal = SubElement(SubElement(rule, "ogc:Filter"), "ogc:PropertyIsEqualTo")
        SubElement(equal, "ogc:PropertyName").text = field
        SubElement(equal, "ogc:Literal").text = legal(entry.name)
        symbolizer = SubElement(rule, "PolygonSymbolizer")
        _parameter(SubElement(symbolizer, "Fill"), "fill", entry.color)
        stroke = SubElement(symbolizer, "Stroke")
        _parameter(stroke, "stroke", _EDGE)
        _parameter(stroke, "stroke-width", "0.26")
    return document(root).decode()


def vector_qml(legend: Legend, field: str) -> str:
    """Return a style of QGIS that draws polygons by the class that a field names."""
    root = Element("qgis", version="3.22.0", styleCategories="Symbology")
    renderer = SubElement(
        root, "renderer-v2", type="categorizedSymbol", attr=field, enableorderby="0",
        forceraster="0", symbollevels="0",
    )  # fmt: skip
    categories = SubElement(renderer, "categories")
    symbols = SubElement(renderer, "symbols")
    for number, entry in enumerate(legend.classes):
        SubElement(
            categories, "category", render="true", symbol=str(number), value=legal(entry.name),
            label=legal(entry.name), type="string",
        )  # fmt: skip
        symbol = SubElement(
            symbols, "symbol", type="fill", name=str(number), alpha="1", clip_to_extent="1"
        )
        layer = SubElement(symbol, "layer", {"class": "SimpleFill"}, enabled="1", locked="0")
        options = SubElement(layer, "Option", type="Map")
        for name, value in (
            ("color", _rgba(entry.rgb)), ("outline_color", _rgba((51, 51, 51))),
            ("outline_width", "0.1"), ("style", "solid"), ("outline_style", "solid"),
        ):  # fmt: skip
            SubElement(options, "Option", name=name, value=value, type="QString")
    return document(root).decode()


def _rules(layer: str) -> tuple[Element, Element]:
    """Return a document and the element of its rules."""
    root = Element("StyledLayerDescriptor", _SLD)
    named = SubElement(root, "NamedLayer")
    SubElement(named, "Name").text = legal(layer)
    style = SubElement(named, "UserStyle")
    SubElement(style, "Name").text = legal(layer)
    return root, SubElement(style, "FeatureTypeStyle")


def _parameter(parent: Element, name: str, value: str) -> None:
    SubElement(parent, "CssParameter", name=name).text = value


def _rgba(color: tuple[int, int, int]) -> str:
    return ",".join(map(str, (*color, 255)))
