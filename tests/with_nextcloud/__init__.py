"""A stand-in for Nextcloud, and what tests do with it or with a real one."""
