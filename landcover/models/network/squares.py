"""Squares of pixels as networks learn from them, and the places that training leaves aside."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landcover.models.network.writer import Scaling
from landcover.models.training_set import TrainingSet
from landcover.progress import remark

_LOW, _HIGH, LIMIT = 0.01, 0.99, 3.0
"""Quantiles of a band that are 2 apart after scaling, and where outliers are cut then."""
_LOOKED_AT = 100_000
_LEAST_PLACES = 4
"""Of a class that can spare one."""
_NONE_HELD_OUT = (
    "a training held out no place to find the best weights by, as fewer than two classes have "
    f"{_LEAST_PLACES} places: the last weights were taken"
)


def means_of(training_set: TrainingSet) -> np.ndarray:
    """Return the mean of each band over the labelled pixels, float32 (bands,), as on the card."""
    means = training_set.pixels.astype(np.float64).mean(axis=0)
    return np.asarray(means, np.float32)


def scaling_of(training_set: TrainingSet, seed: int) -> Scaling:
    """Return a scaling by the labelled pixels' mean and the quantiles of all labelled chips."""
    used = training_set.alone()
    chip, row, column = np.nonzero(used.valid)
    if len(chip) > _LOOKED_AT:
        some = np.random.default_rng(seed).choice(len(chip), _LOOKED_AT, replace=False)
        chip, row, column = chip[some], row[some], column[some]
    values = used.chips[chip, :, row, column].astype(np.float64)
    low, high = np.quantile(values, (_LOW, _HIGH), axis=0)
    half = np.where(high > low, (high - low) / 2, 1.0)
    return Scaling(means_of(training_set), (1 / half).astype(np.float32), LIMIT)


@dataclass(frozen=True)
class Batch:
    """What a network learns from in one step.

    Attributes:
        pixels: float32 (B, bands, H, W), scaled.
        classes: int64 (B,) or (B, H, W), numbers of classes; any where the weight is 0.
        weights: float32, of the same shape.
    """

    pixels: np.ndarray
    classes: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Corners:
    """Upper left pixels of squares in chips; they may lie outside.

    Attributes:
        chip: int (B,).
        top: int (B,).
        left: int (B,).
    """

    chip: np.ndarray
    top: np.ndarray
    left: np.ndarray

    @classmethod
    def around(cls, at: np.ndarray, side: int) -> "Corners":
        """Return those of squares around pixels (B, 3), as chips lie around theirs."""
        chip, row, column = at.T
        return cls(chip, row - side // 2, column - side // 2)

    def moved_inside(self, sides: Sequence[int], side: int) -> "Corners":
        """Return those of squares moved into chips of the given height and width."""
        height, width = sides
        return Corners(
            self.chip,
            np.clip(self.top, 0, max(height - side, 0)),
            np.clip(self.left, 0, max(width - side, 0)),
        )

    def cut(self, array: np.ndarray, side: int, fill: float) -> np.ndarray:
        """Return squares (B, ..., side, side) of an array (N, ..., H, W), `fill` beyond it."""
        found = np.full((len(self.chip), *array.shape[1:-2], side, side), fill, array.dtype)
        for square, chip, top, left in zip(found, self.chip, self.top, self.left, strict=True):
            rows, columns = slice(max(top, 0), top + side), slice(max(left, 0), left + side)
            part = array[chip][..., rows, columns]
            down, right = max(-top, 0), max(-left, 0)
            square[..., down : down + part.shape[-2], right : right + part.shape[-1]] = part
        return found


def scaled_squares(
    training_set: TrainingSet, corners: Corners, side: int, scaling: Scaling
) -> np.ndarray:
    """Return squares float32 (B, bands, side, side), 0 where nothing valid is."""
    values = corners.cut(training_set.chips, side, 0)
    return scaling(values, corners.cut(training_set.valid, side, False))


def turned(batch: Batch, rng: np.random.Generator) -> Batch:
    """Return a batch turned by a quarter, a half or three, or not, and mirrored or not."""
    quarters, is_mirrored = int(rng.integers(4)), bool(rng.integers(2))

    def turn(array: np.ndarray) -> np.ndarray:
        if array.ndim == 1:  # of whole squares
            return array
        array = np.rot90(array, quarters, (-2, -1))
        return np.ascontiguousarray(array[..., ::-1] if is_mirrored else array)

    return Batch(turn(batch.pixels), turn(batch.classes), turn(batch.weights))


def class_numbers(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes, sorted uint8 (classes,), and the number of each pixel's, int64 (M,)."""
    classes, numbers = np.unique(codes, return_inverse=True)
    return classes.astype(np.uint8), numbers.astype(np.int64)


def held_out(codes: np.ndarray, places: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Choose the pixels of some places of each class that has a few, for early stopping.

    Args:
        codes: uint8 (M,).
        places: int (M,).
        share: of the places of each class.
        seed: of the choice.

    Returns:
        bool (M,); nothing is held out where fewer than two classes could spare a place.
    """
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    sparing = 0
    for code in np.unique(codes):
        of_class = np.unique(places[codes == code])
        if len(of_class) >= _LEAST_PLACES and share:
            count = max(1, round(share * len(of_class)))
            chosen += rng.choice(of_class, count, replace=False).tolist()
            sparing += 1
    out: np.ndarray = np.isin(places, chosen)
    still_taught = len(np.unique(codes[~out])) == len(np.unique(codes))
    if sparing > 1 and still_taught:
        return out
    if share:
        remark(_NONE_HELD_OUT)
    return np.zeros(len(codes), bool)
