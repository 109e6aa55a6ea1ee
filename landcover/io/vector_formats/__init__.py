"""Readers for the forms in which labels come."""
