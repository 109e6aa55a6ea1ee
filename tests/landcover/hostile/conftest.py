"""A desk for each test, with nothing on it."""

import pytest

from tests.landcover.hostile.desk import _desk


@pytest.fixture
def desk(tmp_path):
    return _desk(tmp_path)
