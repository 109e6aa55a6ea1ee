"""Polygons written to a GeoPackage, some at a time, with styles that other programs draw them by.

QGIS keeps the styles of a layer in the table `layer_styles` beside it, in its own form (QML) and
as Styled Layer Descriptor (SLD). Source: docs.qgis.org, "Saving styles in a database".
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import shapely

from landcover.io.files.atomic import written_beside
from landcover.io.gdal_drivers import load_pyogrio
from landcover.io.records.run_record import recipe_tag
from landcover.io.vector import undated

pyogrio = load_pyogrio()
STYLES = "layer_styles"


class PolygonWriter:
    """Takes polygons as they come.

    Attributes:
        count: polygons so far.
    """

    def __init__(self, path: Path, layer: str, crs: str) -> None:
        """Write to a file that is not there yet.

        Args:
            path: of the file.
            layer: its name.
            crs: WKT.
        """
        self._path, self._layer, self._crs = path, layer, crs
        self.count = 0

    def write(self, polygons: np.ndarray, fields: Sequence[tuple[str, np.ndarray]]) -> None:
        """Write polygons (N,) with fields of N values each, the same ones each time."""
        if not len(polygons):
            return
        names, values = zip(*fields, strict=True)
        with undated():
            pyogrio.raw.write(
                self._path,
                geometry=shapely.to_wkb(polygons),
                field_data=list(values),
                fields=list(names),
                geometry_type="Polygon",
                crs=self._crs,
                driver="GPKG",
                layer=self._layer,
                append=self.count > 0,
                dataset_metadata=None if self.count else recipe_tag(),
            )
        self.count += len(polygons)

    def write_style(self, qml: str, sld: str) -> None:
        """Add the style by which QGIS draws the layer."""
        row = {
            "f_table_catalog": "", "f_table_schema": "", "f_table_name": self._layer,
            "f_geometry_column": "geom", "styleName": self._layer, "styleQML": qml,
            "styleSLD": sld, "useAsDefault": True, "description": "", "owner": "",
        }  # fmt: skip
        with undated():
            pyogrio.raw.write(
                self._path,
                geometry=None,
                field_data=[
                    np.array([value], bool if isinstance(value, bool) else object)
                    for value in row.values()
                ],
                fields=list(row),
                geometry_type=None,
                driver="GPKG",
                layer=STYLES,
                append=False,
            )


@contextmanager
def writing_polygons(target: Path, crs: str, qml: str, sld: str) -> Iterator[PolygonWriter]:
    """Write a GeoPackage of polygons; it appears when the block ends well.

    Args:
        target: where it appears; its layer is called as the file.
        crs: WKT.
        qml: style of QGIS.
        sld: Styled Layer Descriptor.
    """
    with written_beside(target) as beside:
        writer = PolygonWriter(beside, target.stem, crs)
        yield writer
        if writer.count:
            writer.write_style(qml, sld)
