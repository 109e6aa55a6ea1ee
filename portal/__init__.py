"""What the faces share: the look, and what hub and WPS know of settings and addresses."""
