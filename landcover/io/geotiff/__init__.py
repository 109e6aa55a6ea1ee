"""GeoTIFF by its bytes: cloud-optimized ones are written, small ordinary ones are read."""
