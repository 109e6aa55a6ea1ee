"""What the GeoTIFF chips of a samples folder say of their bands.

There may be tens of thousands: GDAL looks at a few, and all others must say the same.
"""

import math
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from rasterio.io import DatasetReader

from landcover.errors import InputError
from landcover.io.raster import Band, alpha_bands, bands_of, mask_bands
from landcover.io.sensors import UNKNOWN, Measured, measured_by
from landcover.progress import remark

_LOOKED_AT = 64
"""Chips that decide whether alpha is a mask."""
_ITEM = re.compile(
    r"<Item (?=[^>]*\b(?:role=|name=\"(?:sensor|level|scale|offset)\"))[^>]*>[^<]*</Item>",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ChipBands:
    """The bands of GeoTIFF chips that are samples of one folder.

    Attributes:
        bands: that are read, in file order.
        described: of each, whether the files name it.
        measured: sensor, level and unit, where known.
        skips_alpha: whether a band tagged alpha is a mask and no band of the samples.
        said: the part of the files' metadata that tells all this; None if only GDAL can read it.
    """

    bands: tuple[Band, ...] = ()
    described: tuple[bool, ...] = ()
    measured: Measured = UNKNOWN
    skips_alpha: bool = False
    said: frozenset[str] | None = frozenset()

    @classmethod
    def of(
        cls, dataset: DatasetReader, skips_alpha: bool, metadata: str | None = None
    ) -> "ChipBands":
        """Return what one chip says.

        Args:
            dataset: the open chip.
            skips_alpha: see the attribute.
            metadata: XML of GDAL in the file, None if only GDAL can read it.
        """
        indexes = indexes_of(dataset, skips_alpha)
        bands = bands_of(dataset)
        return cls(
            bands=tuple(bands[index - 1] for index in indexes),
            described=tuple(
                bool((dataset.descriptions[index - 1] or "").strip()) for index in indexes
            ),
            measured=measured_by(dataset),
            skips_alpha=skips_alpha,
            said=None if metadata is None else said_in(metadata),
        )

    @property
    def names(self) -> list[str]:
        """What the bands are called."""
        return [band.name for band in self.bands]

    def check(self, own: "ChipBands", file: str) -> None:
        """Refuse a chip whose bands have other names or units than those of the others.

        Raises:
            InputError: they have.
        """
        named = any(own.described) or not any(self.described)
        if not named and len(own.bands) == len(self.bands):
            remark(
                "some chips name no bands: they were taken in file order as "
                f"{', '.join(self.names)}"
            )
        elif own.names != self.names:
            raise InputError(
                f"{file} has the bands {', '.join(own.names)}, other chips have "
                f"{', '.join(self.names)}: all need the same"
            )
        units = [(said.measured.scale, said.measured.offset) for said in (self, own)]
        if units[0] != units[1]:
            raise InputError(
                f"{file} has another unit (scale and offset) than other chips: all need the same"
            )


def indexes_of(dataset: DatasetReader, skips_alpha: bool) -> list[int]:
    """Return the bands of a chip, from 1, that are read."""
    skipped = alpha_bands(dataset) if skips_alpha else ()
    return [index for index in dataset.indexes if index not in skipped]


def said_in(metadata: str) -> frozenset[str]:
    """Return the items of GDAL's metadata in a TIFF (tag 42112) that tell names and units."""
    return frozenset(_ITEM.findall(metadata))


def look_at(
    files: Sequence[str],
    opened: Callable[[str], AbstractContextManager[DatasetReader]],
    metadata_of: Callable[[str], str | None],
) -> ChipBands:
    """Inspect GeoTIFF chips.

    Args:
        files: names of all, at least one.
        opened: opens one.
        metadata_of: returns the metadata of one that is read without GDAL, else None.
    """
    masks = [_alpha_is_mask(file, opened) for file in files[:: math.ceil(len(files) / _LOOKED_AT)]]
    skips_alpha = True in masks and False not in masks
    with opened(files[0]) as dataset:
        return ChipBands.of(dataset, skips_alpha, metadata_of(files[0]))


def _alpha_is_mask(
    file: str, opened: Callable[[str], AbstractContextManager[DatasetReader]]
) -> bool | None:
    """Return whether what a chip tags alpha is a mask; None if it tags nothing so."""
    with opened(file) as dataset:
        tagged = alpha_bands(dataset)
        return mask_bands(dataset) == tagged if tagged else None
