"""Which kernel passes pixels through trees: the one in C if it was built, else numba's.

Both give the same sums to the last bit. `LANDCOVER_KERNEL`, c or numba, names one for tests and
benchmarks.
"""

import os
from typing import Protocol

import numpy as np

from landcover.classifiers.ranked_trees import RankedTrees


class Kernel(Protocol):
    """Passes pixels through trees, without the GIL.

    Values are uint8, uint16 or float32 (bands, N), of any stride between bands; the first two are
    the bits of integers, looked up in `ranks` (columns, 256 or 65536). `valid` is bool (N,).
    """

    def sums(self, values: np.ndarray, ranks: np.ndarray | None, valid: np.ndarray) -> np.ndarray:
        """Return what the trees say of valid pixels in all: float64 (valid, scores)."""

    def choose(
        self,
        values: np.ndarray,
        ranks: np.ndarray | None,
        valid: np.ndarray,
        codes: np.ndarray,
        confidence: np.ndarray,
    ) -> None:
        """Write the greatest sum's code and percentage, uint8 (N,), where pixels are valid."""


def kernel_of(ranked: RankedTrees) -> Kernel:
    """Return the fastest kernel that there is."""
    name = os.environ.get("LANDCOVER_KERNEL", "")
    if name != "numba":
        from landcover.classifiers.compiled import CompiledKernel, library

        loaded = library()
        if loaded is not None:
            return CompiledKernel(ranked, loaded)
        if name == "c":
            raise RuntimeError("LANDCOVER_KERNEL is c, but the C kernel was not built")
    from landcover.classifiers.tree_walk import NumbaKernel

    return NumbaKernel(ranked)
