"""Partitions of places into folds: what is tested lies in places that were not trained on."""

import numpy as np

FOLDS = 5
_FEW_PLACES = FOLDS * FOLDS
"""Leaving out one place at a time costs no more than five partitions, and trains on most."""


def partitions_by_place(
    codes: np.ndarray, places: np.ndarray, most: int, seed: int
) -> list[np.ndarray]:
    """Return the fold of each pixel, int (M,), once for each partition.

    Where a class has fewer than five places and there are few places in all, each is left out
    alone, in a single partition.

    Args:
        codes: uint8 (M,), the class of each pixel.
        places: int (M,).
        most: partitions at most.
        seed: of the partitions; each deals the places differently.
    """
    _, place = np.unique(places, return_inverse=True)
    main = main_class(codes, place)
    rarest = np.unique(main, return_counts=True)[1].min()
    if len(main) <= FOLDS or (most > 1 and rarest < FOLDS and len(main) <= _FEW_PLACES):
        return [place]
    rng = np.random.default_rng(seed)
    return [_dealt(main, np.bincount(place), rng)[place] for _ in range(most)]


def main_class(codes: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return the class of most pixels of each place, uint8 (places,).

    Args:
        codes: uint8 (M,).
        place: int (M,), numbered from 0.
    """
    counts = np.bincount(place * 256 + codes, minlength=256 * (place.max() + 1))
    return np.asarray(counts.reshape(-1, 256).argmax(axis=1)).astype(np.uint8)


def at_random(count: int, seed: int) -> np.ndarray:
    """Return folds that know no places, int (count,)."""
    return np.random.default_rng(seed).permutation(count) % FOLDS


def _dealt(main: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Deal the places of each class, the largest first, to the folds with the least of it."""
    fold = np.zeros(len(main), int)
    pixels = np.zeros(FOLDS)
    shuffled = rng.permutation(len(main))
    by_size = shuffled[np.argsort(-np.log2(sizes[shuffled]).round(), kind="stable")]
    for code in np.unique(main):
        held = np.zeros(FOLDS, int)
        for place in by_size[main[by_size] == code]:
            chosen = min(range(FOLDS), key=lambda f: (held[f], pixels[f]))
            fold[place] = chosen
            held[chosen] += 1
            pixels[chosen] += sizes[place]
    return fold
