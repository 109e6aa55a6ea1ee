"""Paths as callers give them."""

import os

AnyPath = str | os.PathLike[str]
