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
        around: float32 (N, kinds, bands), of chips that are single pixels the means and
            deviations in windows around them (`landcover.models.forest.window_features`); None
            where they were not asked for.
    """

    chips: np.ndarray
    valid: np.ndarray
    at: np.ndarray
    codes: np.ndarray
    places: np.ndarray
    bands: tuple[Band, ...]
    around: np.ndarray | None = None

    @classmethod
    def of_pixels(
        cls,
        values: np.ndarray,
        codes: np.ndarray,
        places: np.ndarray | None = None,
        bands: Sequence[Band] = (),
        around: np.ndarray | None = None,
    ) -> "TrainingSet":
        """Return single pixels as a training set.

        Args:
            values: (M, bands), all valid.
            codes: uint8 (M,).
            places: int64 (M,); each pixel is its own by default.
            bands: b1, b2 ... by default.
            around: (M, kinds, bands), see the attribute.
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
            around=around,
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
    def width(self) -> int:
        """The number of features."""
        kinds = 0 if self.around is None else self.around.shape[1]
        return (1 + kinds) * len(self.bands)

    @cached_property
    def features(self) -> np.ndarray:
        """The labelled pixels with what is known of the windows around them, float32 (M, n).

        Bands come first, then the other kinds, each of all bands.
        """
        if self.around is None:
            return self.pixels
        chip = self.at[:, 0]
        return np.hstack([self.pixels, self.around[chip].reshape(len(chip), -1)])

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
        around = None if self.around is None else self.around[used]
        return replace(self, chips=self.chips[used], valid=self.valid[used], at=at, around=around)

    def with_band(self, band: int, others: "TrainingSet", which: np.ndarray) -> "TrainingSet":
        """Return the same chips, each with the values of another one in a band.

        Args:
            band: its index; what is known of windows goes with it.
            others: where the values come from.
            which: int (N,), the chip of these for each chip.
        """
        chips = self.chips.copy()
        chips[:, band] = others.chips[which, band]
        if self.around is None or others.around is None:
            return replace(self, chips=chips)
        around = self.around.copy()
        around[:, :, band] = others.around[which][:, :, band]
        return replace(self, chips=chips, around=around)

    def with_kind(self, kind: int, others: "TrainingSet", which: np.ndarray) -> "TrainingSet":
        """Return the same chips, each with the features of another one of a kind, in all bands.

        Args:
            kind: its index in `around`, which there must be.
            others: where the features come from.
            which: int (N,), the chip of these for each chip.
        """
        assert self.around is not None
        assert others.around is not None
        around = self.around.copy()
        around[:, kind] = others.around[which, kind]
        return replace(self, around=around)

    def take(self, which: np.ndarray) -> "TrainingSet":
        """Return a choice of the labelled pixels, by index or bool (M,); the chips are shared."""
        return replace(self, at=self.at[which], codes=self.codes[which], places=self.places[which])
