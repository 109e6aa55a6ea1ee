"""Which kernel passes pixels through trees: the one in C if it was built, else numpy's.

Both give the same sums to the last bit.
"""

from typing import Protocol

import numpy as np

from landcover.models.forest.kernel_c import CompiledKernel, library
from landcover.models.forest.kernel_numpy import NumpyKernel
from landcover.models.forest.layout import RankedTrees

SLOW = (
    "the classes are the same, but trees are walked about ten times as slowly: the C kernel "
    "was not built when the geoportal was installed; install it again with a C compiler on the "
    "machine, or where pip can get the package ziglang"
)


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
    loaded = library()
    return NumpyKernel(ranked) if loaded is None else CompiledKernel(ranked, loaded)


def slowness() -> str:
    """Return why forests are slow here, nothing where the kernel in C was built."""
    return SLOW if library() is None else ""
