"""The kernel in C, tree_walk.c, where it was built: called with the addresses of arrays."""

import ctypes
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from landcover.models.forest.build import FOLDER, library_name
from landcover.models.forest.layout import CHOICE, LEAF, RankedTrees

_TYPES = {"u1": 0, "u2": 1, "f4": 2}
_ARRAYS: dict[str, DTypeLike] = {
    "band": np.int32,
    "first_threshold": np.int64,
    "steps": np.int32,
    "thresholds": np.float32,
    "codes": np.uint8,
    "first_choice": np.int64,
    "choices": CHOICE,
    "first_exit": np.int64,
    "score": np.int32,
    "weights": np.float64,
    "rows": np.float64,
    "exits": np.int32,
    "nodes": np.int64,
    "blind": np.int32,
    "leaf": np.int32,
    "leaves": LEAF,
}
"""What the pointers of struct Trees point to, in their order."""


class _Trees(ctypes.Structure):
    """The struct Trees of tree_walk.c."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in
          ("trees", "columns", "scores", "padded", "form")),
        *((name, ctypes.c_void_p) for name in _ARRAYS),
    )  # fmt: skip


class _Pixels(ctypes.Structure):
    """The struct Pixels of tree_walk.c."""

    _fields_ = (
        ("values", ctypes.c_void_p),
        ("stride", ctypes.c_int64),
        ("valid", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("type", ctypes.c_int64),
        ("ranks", ctypes.c_void_p),
    )


@cache
def library(folder: Path = FOLDER) -> ctypes.CDLL | None:
    """Return the library of this very source, None if it was not built or does not load here."""
    try:
        loaded = ctypes.CDLL(str(folder / library_name()))
        loaded.pass_pixels.argtypes = (ctypes.c_void_p,) * 5
        loaded.pass_pixels.restype = ctypes.c_int64
        loaded.window_features.argtypes = (ctypes.c_void_p,)
        loaded.window_features.restype = ctypes.c_int64
        loaded.code_colours.argtypes = (*(ctypes.c_void_p,) * 5, ctypes.c_int64)
        loaded.code_colours.restype = None
        loaded.code_levels.argtypes = (*(ctypes.c_void_p,) * 3, ctypes.c_int64)
        loaded.code_levels.restype = None
        loaded.medians_of_windows.argtypes = (*(ctypes.c_void_p,) * 2, *(ctypes.c_int64,) * 3)
        loaded.medians_of_windows.restype = ctypes.c_int64
    except (OSError, AttributeError):
        return None
    return loaded


class CompiledKernel:
    """Passes pixels through trees with the library."""

    def __init__(self, ranked: RankedTrees, loaded: ctypes.CDLL) -> None:
        """Store the addresses; the arrays live as long as the kernel."""
        columns = ranked.columns
        found = {**vars(columns), **vars(ranked), "first_threshold": columns.first}
        self._ranked = ranked
        self._pass = loaded.pass_pixels
        self._arrays = {name: np.ascontiguousarray(found[name], dtype)
                        for name, dtype in _ARRAYS.items()}  # fmt: skip
        self._trees = _Trees(
            trees=len(ranked.first_exit) - 1,
            columns=len(columns.band),
            scores=ranked.scores,
            padded=ranked.rows.shape[1],
            form=ranked.form,
            **{name: array.ctypes.data for name, array in self._arrays.items()},
        )

    def sums(self, values: np.ndarray, ranks: np.ndarray | None, valid: np.ndarray) -> np.ndarray:
        """Return the sums of valid pixels, float64 (valid, scores); see `kernel.Kernel`."""
        sums = np.empty((np.count_nonzero(valid), self._ranked.scores))
        self._run(values, ranks, valid, sums.ctypes.data, None, None)
        return sums

    def choose(
        self,
        values: np.ndarray,
        ranks: np.ndarray | None,
        valid: np.ndarray,
        codes: np.ndarray,
        confidence: np.ndarray,
    ) -> None:
        """Write codes and confidence where pixels are valid; see `kernel.Kernel`."""
        self._run(values, ranks, valid, None, codes.ctypes.data, confidence.ctypes.data)

    def _run(
        self,
        values: np.ndarray,
        ranks: np.ndarray | None,
        valid: np.ndarray,
        *results: int | None,
    ) -> None:
        if values.shape[1] > 1 and values.strides[1] != values.itemsize:
            raise ValueError("the pixels of a band do not lie side by side")
        pixels = _Pixels(
            values=values.ctypes.data,
            stride=values.strides[0] // values.itemsize,
            valid=valid.ctypes.data,
            count=valid.size,
            type=_TYPES[values.dtype.str[1:]],
            ranks=None if ranks is None else ranks.ctypes.data,
        )
        trees, block = ctypes.addressof(self._trees), ctypes.addressof(pixels)
        if self._pass(trees, block, *results) < 0:
            raise MemoryError("no memory to classify in")
