"""What hub and WPS share about settings and addresses."""
