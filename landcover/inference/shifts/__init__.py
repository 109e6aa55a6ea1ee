"""What could have happened to a scene's values, and how a model would take it."""
