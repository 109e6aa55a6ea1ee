"""Apply a model to a scene, once its radiometry is known to fit."""
