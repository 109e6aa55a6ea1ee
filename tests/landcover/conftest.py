"""What the tests of the library share: a process that keeps every driver of GDAL."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def every_driver():
    """`restrict_process` is for a process of its own; what it forgets other tests would miss."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("landcover.cli.restrict_process", lambda: None)
        yield
