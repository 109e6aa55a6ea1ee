"""The walk of pixels through trees, compiled; in a module of its own, loaded when needed."""

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def add_trees(
    pixels: np.ndarray, roots: np.ndarray, nodes: np.ndarray, values: np.ndarray, sums: np.ndarray
) -> None:
    """Add what every tree says of every pixel.

    Args:
        pixels: float32 (N, bands).
        roots: int32 (trees,), indexes of nodes.
        nodes: records of feature, threshold, left, right (nodes,); nothing is checked.
        values: float32 (nodes, scores), what a leaf adds.
        sums: float64 (N, scores), added to in place.
    """
    # one tree over all pixels: the tree stays in the cache, the pixels stream; the comparison
    # chooses an index, not a branch, which a processor could not foresee
    for root in roots:
        for pixel in range(pixels.shape[0]):
            at = root
            node = nodes[at]
            while node.left >= 0:
                to_right = not pixels[pixel, node.feature] <= node.threshold
                at = node.left + to_right * (node.right - node.left)
                node = nodes[at]
            for column in range(values.shape[1]):
                sums[pixel, column] += values[at, column]
