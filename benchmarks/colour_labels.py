"""Labels by colour: the table against OpenCV, and the published filter against scipy and OpenCV.

Without files, on one thread, on a made picture of sea ice; colours lie as rasters hold them, band
by band, and for OpenCV as it wants them.
"""

import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter, median_filter

from benchmarks.measure import ROUNDS, Row, Usage
from landcover.scenes.auto_labels.colours import codes_by_colour, codes_by_level
from landcover.scenes.auto_labels.filters import HALO, brightest, foreground, medians
from landcover.scenes.auto_labels.rules import (
    ClassRule,
    Range,
    RuleSet,
    read_rules,
    table_of_colours,
)

SIDE = 4096
_SMALL = 256
"""Side of what scipy filters: it takes seconds for that."""
_BOXES = (
    ((0, 0, 0), (180, 255, 100)),
    ((80, 10, 101), (130, 255, 190)),
    ((0, 0, 191), (180, 60, 255)),
)
"""Ranges of H, S and V, as published rules have them."""


def rows(side: int) -> list[Row]:
    """Compare look-ups and filters; the side is not used."""
    cv2.setNumThreads(1)
    picture = _picture(SIDE)
    return [*_labels(picture), *_medians(picture[0]), *_filters(picture)]


def _picture(side: int) -> np.ndarray:
    """Return red, green and blue, uint8 (3, side, side): floes, thin ice, water."""
    rng = np.random.default_rng(0)
    rough = gaussian_filter(rng.normal(size=(side, side)), 12)
    level = np.digitize(rough, np.quantile(rough, (1 / 3, 2 / 3)))
    light = np.array([70, 150, 225])[level] + 8 * rng.normal(size=rough.shape)
    tint = np.array([-12, -4, 0])[:, None, None]
    grain = 2 * rng.normal(size=(3, side, side))
    return np.clip(light + tint + grain, 0, 255).astype(np.uint8)


def _labels(picture: np.ndarray) -> list[Row]:
    rules = _rules()
    table = table_of_colours(rules)
    mixed = np.ascontiguousarray(np.moveaxis(picture, 0, -1))
    plain = read_rules("sea-ice").codes({"V": np.arange(256)})
    ladder = tuple(((0, 0, low), (180, 255, high)) for low, high in _LITERATURE)
    return [
        _row("labels by H, S and V, 4096²", lambda: codes_by_colour(picture, table),
             "OpenCV: cvtColor, inRange", lambda: _by_opencv(mixed, _BOXES)),
        _row("labels by V, 4096²", lambda: codes_by_level(brightest(picture), plain),
             "OpenCV: cvtColor, inRange", lambda: _by_opencv(mixed, ladder)),
    ]  # fmt: skip


_LITERATURE = ((0, 30), (31, 204), (205, 255))


def _rules() -> RuleSet:
    legend = read_rules("sea-ice").legend
    classes = tuple(
        ClassRule(str(code), code, (tuple(map(Range, "HSV", low, high)),))
        for code, (low, high) in enumerate(_BOXES, 1)
    )
    return RuleSet("benchmark", legend, classes, ())


def _by_opencv(mixed: np.ndarray, boxes: tuple[tuple[tuple[int, ...], ...], ...]) -> np.ndarray:
    """Return the codes that OpenCV's users would: ranges of classes do not overlap here."""
    hsv = cv2.cvtColor(mixed, cv2.COLOR_RGB2HSV)
    codes = np.full(mixed.shape[:2], 255, np.uint8)
    for code, (low, high) in enumerate(boxes, 1):
        cv2.copyTo(np.full_like(codes, code), cv2.inRange(hsv, low, high), codes)
    return codes


def _medians(band: np.ndarray) -> list[Row]:
    grown = np.pad(band, 10, "edge")
    small, grown_small = band[:_SMALL, :_SMALL], np.pad(band[:_SMALL, :_SMALL], 10, "edge")
    return [
        _row("median of 21 pixels, 256²", lambda: medians(grown_small, 21),
             "scipy", lambda: median_filter(small, 21, mode="nearest")),
        _row("median of 21 pixels, 4096²", lambda: medians(grown, 21),
             "OpenCV", lambda: cv2.medianBlur(band, 21)),
    ]  # fmt: skip


def _filters(picture: np.ndarray) -> list[Row]:
    beyond = ((HALO, HALO), (HALO, HALO))
    small = picture[:, :_SMALL, :_SMALL]
    return [
        _row("published filter, 256², 3 bands", lambda: foreground(small, beyond),
             "scipy", lambda: np.stack([_by_scipy(band) for band in small])),
        _row("published filter, 4096², 3 bands", lambda: foreground(picture, beyond),
             "OpenCV", lambda: np.stack([_filtered(band) for band in picture])),
    ]  # fmt: skip


def _by_scipy(band: np.ndarray) -> np.ndarray:
    dilated = maximum_filter(band, 7, mode="nearest")
    background = median_filter(dilated, 21, mode="nearest")
    return 255 - np.abs(band.astype(int) - background).astype(np.uint8)


def _filtered(band: np.ndarray) -> np.ndarray:
    background = cv2.medianBlur(cv2.dilate(band, np.ones((7, 7), np.uint8)), 21)
    return np.asarray(255 - cv2.absdiff(band, background))


def _row(
    what: str, ours: Callable[[], np.ndarray], peer: str, theirs: Callable[[], np.ndarray]
) -> Row:
    """Compare in turns; the results must be equal."""
    differ = np.count_nonzero(ours() != theirs())
    if differ:
        raise SystemExit(f"{what}: {differ} pixels differ from {peer}")
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for run, times in zip((ours, theirs), taken, strict=True):
            began = time.process_time()
            run()
            times.append(time.process_time() - began)
    usage = [Usage(statistics.median(times), None) for times in taken]
    return Row(what, usage[0], peer, usage[1], f"{ours().size:,} values equal")


if __name__ == "__main__":
    for row in rows(0):
        print(row)
