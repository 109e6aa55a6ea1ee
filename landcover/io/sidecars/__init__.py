"""What lies beside a raster and belongs to it: masks, nodata, category names."""
