"""Files that come from outside and go out: rasters, vectors, legends, and what a run records."""
