"""What a method learns from: labelled pixels, with what surrounds them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

import numpy as np

from landcover.io.raster import Band


@dataclass(frozen=True)
class TrainingSet:
    """Labelled pixels in the chips they lie in.

    A chip may be a single pixel, a sample with context around it, a chip with a class for each
    pixel, or a patch that holds pixels of several places. A fold is a choice of labelled pixels
    (`take`), so that it can part by the place of the pixel and never by the chip.

    Attributes:
        chips: (N, bands, H, W), values as in the scene.
        valid: bool (N, H, W), False where any band is nodata, NaN or masked.
        at: int64 (M, 3), chip, row and column of each labelled pixel; all are valid.
        codes: uint8 (M,), the class of each.
        places: int64 (M,), the place of each; pixels of one place are never parted.
        bands: of the chips, in their order.
    """

    chips: np.ndarray
    valid: np.ndarray
    at: np.ndarray
    codes: np.ndarray
    places: np.ndarray
    bands: tuple[Band, ...]

    @classmethod
    def of_pixels(
        cls,
        values: np.ndarray,
        codes: np.ndarray,
        places: np.ndarray | None = None,
        bands: Sequence[Band] = (),
    ) -> "TrainingSet":
        """Return single pixels as a training set.

        Args:
            values: (M, bands), all valid.
            codes: uint8 (M,).
            places: int64 (M,); each pixel is its own by default.
            bands: b1, b2 ... by default.
        """
        count, width = values.shape
        at = np.zeros((count, 3), np.int64)
        at[:, 0] = np.arange(count)
        return cls(
            chips=values[:, :, None, None],
            valid=np.ones((count, 1, 1), bool),
            at=at,
            codes=codes,
            places=np.arange(count) if places is None else places,
            bands=tuple(bands) or tuple(Band(f"b{i}", None) for i in range(1, width + 1)),
        )

    def __len__(self) -> int:
        """Return the number of labelled pixels."""
        return len(self.codes)

    @cached_property
    def pixels(self) -> np.ndarray:
        """The labelled pixels alone, float32 (M, bands)."""
        chip, row, column = self.at.T
        return self.chips[chip, :, row, column].astype(np.float32, copy=False)

    @property
    def dates(self) -> tuple[date | None, ...]:
        """The date of each band of a date stack; None where a band names none."""
        return tuple(band.date for band in self.bands)

    @cached_property
    def masks(self) -> np.ndarray:
        """The labels as images, uint8 (N, H, W): codes, and 255 where unlabelled."""
        masks = np.full(self.valid.shape, 255, np.uint8)
        masks[tuple(self.at.T)] = self.codes
        return masks

    def alone(self) -> "TrainingSet":
        """Return only the chips in which a pixel is labelled."""
        used, chip = np.unique(self.at[:, 0], return_inverse=True)
        if len(used) == len(self.chips):
            return self
        at = np.column_stack([chip, self.at[:, 1:]])
        return replace(self, chips=self.chips[used], valid=self.valid[used], at=at)

    def with_band(self, band: int, values: np.ndarray) -> "TrainingSet":
        """Return the same chips with other values (N, H, W) in one band."""
        chips = self.chips.copy()
        chips[:, band] = values
        return replace(self, chips=chips)

    def take(self, which: np.ndarray) -> "TrainingSet":
        """Return a choice of the labelled pixels, by index or bool (M,); the chips are shared."""
        return replace(self, at=self.at[which], codes=self.codes[which], places=self.places[which])
