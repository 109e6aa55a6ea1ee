"""torch, for tests that train networks: an extra that `make run` does not install."""

import importlib.util
import os

import pytest


def need_torch() -> None:
    """Skip the tests, or fail them where they must run, if torch is not installed."""
    if importlib.util.find_spec("torch") is not None:
        return
    missing = "torch is not installed: make torch"
    if os.environ.get("GEOPORTAL_REQUIRE_TORCH") == "1":
        pytest.fail(missing)
    pytest.skip(missing)
