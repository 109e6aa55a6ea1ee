"""Samples: from labels over a scene to a balanced folder of chips."""
