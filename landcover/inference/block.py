"""Classify blocks of a scene: the part of mapping that only computes, in any thread or process."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landcover.errors import Stopped
from landcover.io.legend import NODATA
from landcover.io.raster import BLOCK, parts_of, read_grown
from landcover.models.classifier import Classifier, Part, part_of

_PIXELS_AT_ONCE = 64 * 512
"""Of a classifier without halo, between two looks whether the work is to stop."""
_HALOS = 32
"""Sides of a part in halos: what is looked at and not classified is an eighth of it."""

Correction = tuple[np.ndarray, np.ndarray]
"""Gain and offset, each (bands,), that bring a scene's values to those of the training."""


@dataclass(frozen=True)
class BlockClassifier:
    """A classifier, with what it needs to read of a scene.

    Attributes:
        classifier: of the model.
        bands: of the scene, from 1, in the model's order.
        correction: of the scene's values, None where they are as in the training.
    """

    classifier: Classifier
    bands: list[int]
    correction: Correction | None = None

    def read(self, dataset: DatasetReader, window: Window) -> tuple[np.ndarray, np.ndarray, Part]:
        """Return a window grown by the halo: values (bands, H, W), validity (H, W), and scene.

        The scene is what of the rows and columns lies in it.
        """
        halo = self.classifier.halo
        rows, columns = (
            slice(max(halo - first, 0), halo - first + min(first + side + halo, whole))
            for first, side, whole in (
                (window.row_off, window.height, dataset.height),
                (window.col_off, window.width, dataset.width),
            )
        )
        return *read_grown(dataset, window, self.bands, halo), (rows, columns)

    def classify(
        self,
        values: np.ndarray,
        valid: np.ndarray,
        scene: Part | None,
        is_stopped: Callable[[], bool],
        with_all: bool = False,
    ) -> tuple[np.ndarray, ...]:
        """Classify the window for which `read` gave these arrays.

        Args:
            values: (bands, H, W), grown by the halo.
            valid: bool (H, W).
            scene: what of the rows and columns lies in the scene; None is all.
            is_stopped: asked now and then.
            with_all: whether the percentages of all classes are needed.

        Returns:
            Codes and confidence, uint8 (H, W) without the halo; and, if asked for, the percentage
            of every class, uint8 (classes, H, W).

        Raises:
            Stopped: as soon as `is_stopped` says so.
        """
        halo = self.classifier.halo
        height, width = (side - 2 * halo for side in valid.shape)
        found = self._nothing(height, width, with_all)
        chosen = self.classifier.classify_with_all if with_all else self.classifier.classify
        for part in self._parts(height, width):
            if is_stopped():
                raise Stopped("the classification was told to stop")
            rows, columns = part.toslices()
            grown = _grown(rows, halo), _grown(columns, halo)
            parts = chosen(
                corrected(values[(slice(None), *grown)], self.correction),
                valid[grown],
                None if scene is None else part_of(scene, grown),
            )
            for whole, classified in zip(found, parts, strict=True):
                whole[..., rows, columns] = classified
        return found

    def _parts(self, height: int, width: int) -> Iterator[Window]:
        """Cut a block into what is classified at once, which bounds what a network holds."""
        whole = Window(0, 0, width, height)
        halo, step = self.classifier.halo, self.classifier.step
        if not halo:
            return parts_of(whole, max(1, _PIXELS_AT_ONCE // width), width)
        side = aligned(min(_HALOS * halo, BLOCK), step)
        return parts_of(whole, side, side)

    def _nothing(self, height: int, width: int, with_all: bool) -> tuple[np.ndarray, ...]:
        shapes: list[tuple[int, ...]] = [(height, width)] * 2
        shapes += [(len(self.classifier.codes), height, width)] if with_all else []
        return tuple(np.full(shape, NODATA, np.uint8) for shape in shapes)


def aligned(side: int, step: int) -> int:
    """Return the greatest multiple of a step that is no longer than a side, at least one step."""
    return max(1, side // step) * step


def _grown(side: slice, halo: int) -> slice:
    """Return where a part of a window lies, halo and all, in the grown window."""
    return slice(side.start, side.stop + 2 * halo)


def corrected(values: np.ndarray, correction: Correction | None) -> np.ndarray:
    """Return values (bands, H, W) brought to those of the training."""
    if correction is None:
        return values
    gain, offset = (part.astype(np.float32)[:, None, None] for part in correction)
    return values.astype(np.float32) * gain + offset
