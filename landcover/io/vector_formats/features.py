"""Features with attributes, as every reader of vectors returns them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

WGS84 = "EPSG:4326"


@dataclass(frozen=True)
class Features:
    """What a vector file holds.

    Attributes:
        crs: as pyproj takes it, coordinates longitude or easting first; empty where the file
            leaves it open.
        geometries: shapely geometries (N,), None where a feature has none.
        fields: names of its attributes.
        columns: those that were asked for and that it has, N values each.
    """

    crs: str
    geometries: np.ndarray
    fields: tuple[str, ...]
    columns: Mapping[str, np.ndarray]

    @classmethod
    def of_records(
        cls,
        crs: str,
        geometries: Sequence[object],
        records: Sequence[Mapping[str, str]],
        wanted: Sequence[str],
    ) -> "Features":
        """Return features with a record of attributes each, not all of the same ones."""
        fields = tuple(dict.fromkeys(name for record in records for name in record))
        columns = {
            name: np.array([record.get(name) for record in records], object)
            for name in wanted if name in fields
        }  # fmt: skip
        shapes = np.empty(len(geometries), object)
        shapes[:] = geometries
        return cls(crs, shapes, fields, columns)
