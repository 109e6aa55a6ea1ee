"""Bands that are computed from others: indices, terrain, what surrounds a pixel."""
