"""Maps made in code."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from landcover.io.legend import Legend
from tests.scenes import write_raster

LEGEND = Legend.of(["forest", "town", "water"])


@pytest.fixture
def write_map(tmp_path: Path) -> Callable[..., Path]:
    """Write codes as a map of forest (1), town (2) and water (3)."""

    def write(name: str, codes: np.ndarray, legend: Legend = LEGEND, **how: object) -> Path:
        return write_raster(
            tmp_path / name, codes, nodata=255, LANDCOVER_LEGEND=legend.to_tag(), **how
        )

    return write


@pytest.fixture
def speckled() -> np.ndarray:
    """Codes of three classes (90, 120) in patches of all sizes, and a corner without any."""
    rng = np.random.default_rng(5)
    blocks = np.kron(rng.integers(1, 4, (9, 12)), np.ones((10, 10), int)).astype(np.uint8)
    noise = rng.random(blocks.shape) < 0.15
    blocks[noise] = rng.integers(1, 4, noise.sum())
    blocks[:7, :9] = 255
    return blocks
