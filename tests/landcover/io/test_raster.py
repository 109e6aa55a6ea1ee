import numpy as np
import pytest
import rasterio

from landcover.io.raster import open_raster, windows_of
from tests.scenes import CRS, TRANSFORM


def sparse(path, side, block, bands):
    """Write a raster of almost no bytes."""
    with rasterio.open(
        path, "w", driver="GTiff", width=side, height=side, count=bands, dtype="uint8", crs=CRS,
        transform=TRANSFORM, tiled=True, blockxsize=block, blockysize=block, SPARSE_OK=True,
        interleave="band",
    ):  # fmt: skip
        return path


@pytest.mark.parametrize(("side", "block", "bands"), [(5000, 4096, 1), (1500, 512, 1000)])
def test_windows_are_smaller_than_blocks_where_these_are_too_large(tmp_path, side, block, bands):
    seen = np.zeros((side, side), np.uint8)
    with open_raster(sparse(tmp_path / "scene.tif", side, block, bands)) as dataset:
        for window in windows_of(dataset):
            assert window.width * window.height * bands <= 2**26
            assert window.width * window.height <= 2**20
            seen[window.toslices()] += 1
    assert (seen == 1).all()


def test_windows_hold_whole_blocks_where_these_are_of_common_size(tmp_path):
    with open_raster(sparse(tmp_path / "scene.tif", 2500, 1024, 13)) as dataset:
        shapes = {(window.height, window.width) for window in windows_of(dataset)}
    assert shapes == {(1024, 1024), (1024, 452), (452, 1024), (452, 452)}
