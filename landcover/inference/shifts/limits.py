"""How much better a change must fit than none, to be taken for real."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """By how many nats a pixel a change must fit better than none, to be taken for real.

    Attributes:
        alike: a unit, or one gain, offset or haze for all bands.
        per_band: gains and offsets of each band, which bend to many scenes.
        block: a part of the scene, and the rest as much worse; None where parts are not judged.
        fitting: share of the pixels that must be known after a correction.
    """

    alike: float
    per_band: float
    block: float | None
    fitting: float

    def of_bands(self, bands: int) -> "Limits":
        """Return the limits for so many bands: above six they grow with the square."""
        more = max(1.0, (bands / _USUAL_BANDS) ** 2)
        block = None if self.block is None else more * self.block
        return Limits(more * self.alike, more * self.per_band, block, self.fitting)

    def of_mixture(self, other: float) -> "Limits":
        """Return the limits at home for land mixed otherwise than the whole training scene's.

        Args:
            other: `Spectra.other_mixture` of the pixels, in nats.
        """
        block = None if self.block is None else self.block + _MIXED_BLOCK * other
        return Limits(self.alike + MIXED_ALIKE * other, self.per_band + _MIXED_BAND * other,
                       block, self.fitting)  # fmt: skip

    def at_most(self, other: "Limits") -> "Limits":
        """Return these limits, none above another's."""
        block = None
        if self.block is not None and other.block is not None:
            block = min(self.block, other.block)
        return Limits(min(self.alike, other.alike), min(self.per_band, other.per_band), block,
                       self.fitting)  # fmt: skip


_USUAL_BANDS = 6
"""More bands tell more of a pixel, and land differs from land in more ways."""
MIXED_ALIKE, _MIXED_BAND, _MIXED_BLOCK = 0.3, 1.2, 2.0
"""By so much of a nat the limits grow for each by which the land is mixed otherwise."""
AT_HOME = Limits(0.05, 0.2, 0.2, 0.98)
"""Where the model was trained: its land is known, so that little is left to chance."""
ELSEWHERE = Limits(0.3, 1.0, 1.0, 0.8)
"""On other land, whose mixture of classes may do what a small gain does."""
WEAK = Limits(0.1, 0.35, None, 0.98)
"""What is less is not even mentioned."""
OF_LABELS = Limits(1.0, 2.0, None, 0.2)
"""For models whose card knows labelled land only, or many bands by a sketch."""
