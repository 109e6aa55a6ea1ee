"""Formats other than GeoTIFF, each checked before GDAL opens it."""
