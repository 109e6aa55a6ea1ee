"""What hub and WPS share about Kubernetes."""
