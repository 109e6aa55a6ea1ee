"""Legends under their public name; they live in `landcover.io.legend`."""

from landcover.io.legend import NODATA, Legend, LegendClass, color_of

__all__ = ["NODATA", "Legend", "LegendClass", "color_of"]
