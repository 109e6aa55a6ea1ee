"""Mask clouds: which pixels of a scene show the ground, as the other operations take it."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import numpy as np
from rasterio.io import DatasetReader

from landcover.errors import InputError
from landcover.io.files.paths import AnyPath
from landcover.io.geotiff.cog import CogWriter, writing_cog
from landcover.io.geotiff.cog_header import TILE
from landcover.io.raster import Grid, open_raster, windows_of
from landcover.io.records.checkpoints import resumable
from landcover.io.records.run_record import DISTRIBUTION, input_digests
from landcover.operation import GeoTIFF, Range, SceneFile
from landcover.progress import Pace, remark, report_progress
from landcover.scenes.clouds.detection import CLEAR, CLOUDY, Detector
from landcover.scenes.clouds.network import NEEDED as NEEDED_BY_NETWORK
from landcover.scenes.clouds.network import Network, need_network
from landcover.scenes.clouds.quality_bands import QUALITY_BANDS, quality_band_of
from landcover.scenes.clouds.reflectance import reflectance_of
from landcover.scenes.clouds.rule import NEEDED as NEEDED_BY_RULE
from landcover.scenes.clouds.rule import Rule

UNFINISHED = (".mask.tif.tiles", ".confidence.tif.tiles")
_CACHE_MIB = 32

Way = Literal["auto", "quality-band", "rule", "network"]


@dataclass(frozen=True)
class CloudMask:
    """Which pixels are clear.

    Attributes:
        mask: 1 where the ground is seen, 0 where clouds or their shadows are, 255 where the scene
            is nodata; what the input mask of the other operations takes.
        confidence: how likely each pixel is what the mask says, in percent. Only of the rule.
        clear: share of the scene's valid pixels that are clear.
    """

    mask: GeoTIFF
    confidence: GeoTIFF | None
    clear: Annotated[float, Range(0, 1)]


def mask_clouds(scene: SceneFile, method: Way = "auto", workdir: AnyPath = "") -> CloudMask:
    """Find clouds and their shadows in a scene of one date.

    Args:
        scene: GeoTIFF or COG of reflectances, or with a quality band (SCL of Sentinel-2, QA_PIXEL
            of Landsat).
        method: quality-band takes that of the scene; rule finds what is bright, white and no
            snow, with dark land near it, and says how sure it is; network is a trained one, of
            the extra clouds; auto takes the quality band where there is one, else the rule.
        workdir: folder to write to.

    Raises:
        InputError: there is no quality band, the network is not installed, or bands or units that
            are needed are not known.
    """
    path, folder = Path(scene), Path(workdir)
    with open_raster(path, _CACHE_MIB) as dataset:
        detector = detector_of(dataset, method)
        way = type(detector).__name__
        seal = {
            "scene": input_digests("scene", [path]),
            "way": way,
            "code": version(DISTRIBUTION),
        }
        with resumable(folder, UNFINISHED, seal) as spools:
            _write(detector, Grid.of(dataset), folder, spools)
    clear = _clear_share(folder / "mask.tif")
    if not clear:
        remark("no pixel of the scene is clear")
    confidence = folder / "confidence.tif" if isinstance(detector, Rule) else None
    return CloudMask(folder / "mask.tif", confidence, clear)


def detector_of(dataset: DatasetReader, method: Way) -> Detector:
    """Return what finds clouds, and say how far it can be trusted.

    Raises:
        InputError: the scene lacks what the method needs, or the method is not installed.
    """
    quality = quality_band_of(dataset) if method in ("auto", "quality-band") else None
    if quality is not None:
        return quality
    name = Path(dataset.name).name
    if method == "quality-band":
        raise InputError(
            f"{name} has no quality band, which would be called {' or '.join(QUALITY_BANDS)}: "
            "import the scene with its clouds kept, or use method rule",
            "method",
        )
    if method == "network":
        need_network()
        return Network(reflectance_of(dataset, NEEDED_BY_NETWORK))
    _remark_on_strips(dataset)
    rule = Rule(reflectance_of(dataset, NEEDED_BY_RULE))
    rule.remark_on_trust()
    return rule


def _remark_on_strips(dataset: DatasetReader) -> None:
    """Say why it takes long: what lies around a window is decoded with its whole rows."""
    if dataset.block_shapes[0][1] > 4 * TILE:
        remark(
            f"{Path(dataset.name).name} is stored in strips, which are decoded many times: with "
            "gdal_translate -co TILED=YES it takes a fraction of the time"
        )


def _write(detector: Detector, grid: Grid, folder: Path, spools: Sequence[BinaryIO]) -> None:
    """Write mask and, if it is known, confidence, window by window."""
    tags: dict[str, Any] = {"CLOUDS": type(detector).__name__}
    with ExitStack() as opened:
        writers = [
            opened.enter_context(
                writing_cog(folder / "mask.tif", grid, "clear", None, tags, spools[0])
            )
        ]
        if isinstance(detector, Rule):
            writers.append(
                opened.enter_context(
                    writing_cog(
                        folder / "confidence.tif", grid, "confidence in percent", None, tags,
                        spools[1],
                    )
                )
            )  # fmt: skip
        _detect_missing(detector, grid, writers)
        if not writers[0].filled:
            raise InputError("the scene holds no valid pixel: is its nodata value right?")
        report_progress(1, "writing the mask")


def _detect_missing(detector: Detector, grid: Grid, writers: Sequence[CogWriter]) -> None:
    windows = grid.windows(detector.side, detector.side)
    missing = [window for window in windows if any(writer.lacks(window) for writer in writers)]
    pace = Pace("finding clouds", grid.pixels, sum(w.width * w.height for w in missing))
    pace.report()
    for window in missing:
        for writer, values in zip(writers, detector.detect(window), strict=True):
            writer.write(values, window)
        pace.advance(window.width * window.height)
        pace.report()


def _clear_share(path: Path) -> float:
    """Return which share of the pixels that are not nodata is clear."""
    count = np.zeros(256, np.int64)
    with open_raster(path) as dataset:
        for window in windows_of(dataset):
            count += np.bincount(dataset.read(1, window=window).ravel(), minlength=256)
    return float(count[CLEAR] / (count[CLEAR] + count[CLOUDY]))
