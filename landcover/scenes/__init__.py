"""Scenes from other scenes: imported, stacked, composed, with indices, terrain and cloud masks."""
