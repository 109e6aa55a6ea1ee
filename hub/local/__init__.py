"""The geoportal on one machine: launcher, folders and processes."""
