"""Is 80 % right in 80 %? What a classifier says of places not trained on, held against the truth.

Reliability by bins of confidence, and the expected calibration error (Naeini, Cooper and
Hauskrecht, AAAI 2015).
"""

from typing import Any

import numpy as np

_BINS = 10


def reliability_of(right: np.ndarray, confidence: np.ndarray) -> dict[str, Any]:
    """Return how often classes are right that a map tells with a confidence.

    Args:
        right: bool (partitions, M), of labelled pixels in places not trained on.
        confidence: (partitions, M), probability of the chosen class, 0..1.

    Returns:
        `error`, the mean distance between confidence and share of right ones; `excess`, by how
        much the mean confidence is greater than the share of right ones; and `bins`, each `from`
        and `to` a confidence, the mean `confidence`, the share `right` and the number of `pixels`
        in it, mean over partitions; bins without pixels are left out.
    """
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1).ravel()
    pixels = np.bincount(bins, minlength=_BINS)
    told = np.bincount(bins, confidence.ravel(), _BINS)
    hits = np.bincount(bins, right.ravel().astype(float), _BINS)
    return {
        "error": float(np.abs(told - hits).sum() / pixels.sum()),
        "excess": float((told - hits).sum() / pixels.sum()),
        "bins": [
            {
                "from": number / _BINS,
                "to": (number + 1) / _BINS,
                "confidence": float(told[number] / pixels[number]),
                "right": float(hits[number] / pixels[number]),
                "pixels": float(pixels[number] / len(right)),
            }
            for number in np.flatnonzero(pixels).tolist()
        ],
    }
