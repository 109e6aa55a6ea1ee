"""Slope, aspect and hillshade of a height model, by Horn's method.

Source: Horn, Proceedings of the IEEE 69 (1981) 14: differences over 3 x 3 pixels, those beside
the centre with double weight. Length of a degree: Snyder, USGS Professional Paper 1395 (1987),
equations 4-19 and 4-21 (radii of curvature).
"""

import numpy as np
import pyproj

from landcover.errors import InputError
from landcover.io.raster import Grid

BANDS = {
    "slope": "degrees, 0 is flat",
    "aspect": "degrees clockwise from north that the slope faces, -1 where it is flat",
    "hillshade": "0 to 255, light from 315 degrees at 45 degrees above the horizon",
}
_AZIMUTH, _ZENITH = np.radians(315), np.radians(45)
_MOST_STRETCH = 0.02
"""By which the pixels of a projection may differ from true metres: UTM's do by 0.001."""
_RADIUS, _ECCENTRICITY_SQUARED = 6_378_137.0, 0.006_694_38


def metres_per_pixel(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return width and height of pixels in metres, (rows, 1): in degrees each row has its own.

    Raises:
        InputError: the grid is rotated, or its units are not those of the ground.
    """
    across, down = abs(grid.transform.a), abs(grid.transform.e)
    if grid.transform.b or grid.transform.d:
        raise InputError("the scene is rotated: slopes need a grid with north up, see gdalwarp")
    if grid.crs.is_geographic:
        return _degrees(grid, across, down)
    factor = grid.crs.linear_units_factor[1]
    _need_true_metres(grid)
    ones = np.ones((grid.height, 1))
    return ones * across * factor, ones * down * factor


def _degrees(grid: Grid, across: float, down: float) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(grid.height)[:, None] + 0.5
    latitude = np.radians(grid.transform.f + grid.transform.e * rows)
    curved = np.sqrt(1 - _ECCENTRICITY_SQUARED * np.sin(latitude) ** 2)
    along_parallel = _RADIUS / curved * np.cos(latitude)
    along_meridian = _RADIUS * (1 - _ECCENTRICITY_SQUARED) / curved**3
    if not (np.abs(latitude) < np.pi / 2).all():
        raise InputError("the scene reaches over a pole, where degrees have no width")
    return np.radians(across) * along_parallel, np.radians(down) * along_meridian


def _need_true_metres(grid: Grid) -> None:
    """Refuse projections that stretch, as Web Mercator does by half at 48 degrees."""
    system = pyproj.CRS.from_wkt(grid.crs.to_wkt())
    x, y = grid.transform @ (grid.width / 2, grid.height / 2)
    to_degrees = pyproj.Transformer.from_crs(system, system.geodetic_crs, always_xy=True)
    factors = pyproj.Proj(system).get_factors(*to_degrees.transform(x, y))
    stretch = max(abs(factors.meridional_scale - 1), abs(factors.parallel_scale - 1))
    if not stretch <= _MOST_STRETCH:
        raise InputError(
            f"pixels of {system.name} differ by {stretch:.0%} from true metres here, slopes would "
            "be wrong: bring the scene to UTM with gdalwarp"
        )


def terrain_of(heights: np.ndarray, width: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Return slope, aspect and hillshade, (3, H, W); NaN where a height around is missing.

    Args:
        heights: metres, (H + 2, W + 2), north up; NaN where unknown.
        width: of the pixels in metres, (H, 1).
        height: alike.
    """
    north, middle, south = heights[:-2], heights[1:-1], heights[2:]
    columns = north + 2 * middle + south
    to_east = (columns[:, 2:] - columns[:, :-2]) / (8 * width)
    rows = south - north
    to_south = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / (8 * height)
    steepness = np.hypot(to_east, to_south)
    slope = np.arctan(steepness)
    downhill = np.arctan2(-to_east, to_south)  # clockwise from north
    light = np.cos(_ZENITH) * np.cos(slope)
    light = light + np.sin(_ZENITH) * np.sin(slope) * np.cos(_AZIMUTH - downhill)
    unknown = np.isnan(middle[:, 1:-1]) | np.isnan(steepness)
    aspect = np.where(steepness > 0, np.degrees(downhill) % 360, -1.0)
    found = np.stack([np.degrees(slope), aspect, 255 * np.maximum(light, 0)])
    return np.where(unknown, np.nan, found)
