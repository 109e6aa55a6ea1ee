"""What runs beside the hub: the WPS, the culler, quotas."""
