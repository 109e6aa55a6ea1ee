"""What a run leaves beside its results: recipe, run, checkpoints; what a folder holds."""
