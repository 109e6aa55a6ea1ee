"""Scenes: whatever a provider delivers becomes one GeoTIFF with named bands."""
