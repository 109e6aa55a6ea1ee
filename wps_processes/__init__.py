"""The OGC face: every operation as a WPS process, every call as a job that is not lost."""
