"""The two sides of every model: a method trains, a classifier is what its file holds.

Mapping, radiometry, validation, previews and serving know `Classifier` only; a forest and a
network are two shapes of it. A new method is one file that defines a `Method`, and one line in
`landcover.models.methods.METHODS`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from landcover.io.legend import NODATA
from landcover.models.training_set import TrainingSet
from landcover.operation import Needs
from landcover.progress import report_progress

if TYPE_CHECKING:
    import onnx


Part = tuple[slice, slice]
"""Rows and columns of an array (..., H, W)."""


class Classifier(ABC):
    """Gives each pixel of a block the probability of each class.

    Several threads may call one classifier at a time; calls change nothing that another sees.

    Attributes:
        codes: uint8 (classes,), legend codes in the order of the probabilities.
        bands: number of bands of a pixel.
        halo: pixels on each side of a block that are looked at but not classified; a multiple of
            `step`.
        step: the row and the column of the scene at which a block begins are multiples of it. Its
            sides may be any: a block that ends elsewhere ends at the edge of the scene.
        opsets: versions of the operators of its graph, by domain.
    """

    codes: np.ndarray
    bands: int
    halo: int = 0
    step: int = 1
    # what TreeEnsembleClassifier 3 needs; readable by every ONNX Runtime since 1.11
    opsets: ClassVar[Mapping[str, int]] = {"": 13, "ai.onnx.ml": 3}

    @abstractmethod
    def probabilities(
        self, block: np.ndarray, valid: np.ndarray, scene: Part | None = None
    ) -> np.ndarray:
        """Return the probability of each class, float32 (classes, H - 2 halo, W - 2 halo).

        Args:
            block: (bands, H, W) of any real type, values as in the training; beyond the scene 0.
            valid: bool (H, W), False beyond the scene; the values of other pixels are ignored,
                and they get the probability 0 of every class.
            scene: what of the block lies in the scene, all of it by default. To a network, which
                pads there, the scene's border is something else than invalid pixels.
        """

    def probabilities_at(self, training_set: TrainingSet) -> np.ndarray:
        """Return the probability of each class of labelled pixels, float32 (classes, M).

        A chip ends as a scene does; what lies beyond is invalid. Progress is reported from chip
        to chip, so that whoever listens can end it.
        """
        if training_set.chips.shape[2:] == (1, 1) and not self.halo:
            block = training_set.pixels.T[:, None]  # (bands, 1, M)
            return self.probabilities(block, np.ones(block.shape[1:], bool))[:, 0]
        found = np.zeros((len(self.codes), len(training_set)), np.float32)
        around = (self.halo, self.halo)
        rows, columns = (
            slice(self.halo, self.halo + side) for side in training_set.chips.shape[2:]
        )
        chips = np.unique(training_set.at[:, 0])
        for done, chip in enumerate(chips):
            report_progress(done / len(chips), "classifying samples")
            which = np.flatnonzero(training_set.at[:, 0] == chip)
            block = np.pad(training_set.chips[chip], ((0, 0), around, around))
            valid = np.pad(training_set.valid[chip], around)
            row, column = training_set.at[which, 1:].T
            found[:, which] = self.probabilities(block, valid, (rows, columns))[:, row, column]
        return found

    @abstractmethod
    def to_graph(self) -> "onnx.GraphProto":
        """Return the ONNX graph that does the same."""

    def slowness(self) -> str:
        """Return why mapping is slower on this machine than it need be, else nothing."""
        return ""

    def classify(
        self, block: np.ndarray, valid: np.ndarray, scene: Part | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Choose a class for each valid pixel of a block.

        Args:
            block: (bands, H, W), as for `probabilities`.
            valid: bool (H, W).
            scene: as for `probabilities`.

        Returns:
            Legend codes and the percentage of the chosen class, uint8 (H - 2 halo, W - 2 halo),
            255 where invalid. Of classes equally probable, the first one of `codes` is chosen.
        """
        codes, confidence, _ = self.classify_with_all(block, valid, scene)
        return codes, confidence

    def classify_every(
        self, block: np.ndarray, valid: np.ndarray, step: int, scene: Part | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Classify every so-maniest pixel of a block, each as `classify_with_all` does.

        Args:
            block: (bands, H, W), as for `probabilities`.
            valid: bool (H, W).
            step: of rows and columns, from the first one inside the halo.
            scene: as for `probabilities`.

        Returns:
            Codes, percentages of the chosen classes and of all classes, as `classify_with_all`
            gives them, of those pixels.
        """
        codes, confidence, every = self.classify_with_all(block, valid, scene)
        return codes[::step, ::step], confidence[::step, ::step], every[:, ::step, ::step]

    def classify_with_all(
        self, block: np.ndarray, valid: np.ndarray, scene: Part | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Choose a class for each valid pixel of a block, and say how probable each class is.

        Args:
            block: (bands, H, W), as for `probabilities`.
            valid: bool (H, W).
            scene: as for `probabilities`.

        Returns:
            Codes and percentages as `classify` gives them; and the percentage of every class,
            uint8 (classes, H - 2 halo, W - 2 halo), 255 where invalid.
        """
        probability = self.probabilities(block, valid, scene)
        return choose(probability, self.codes, without_halo(valid, self.halo))


def choose(
    probability: np.ndarray, codes: np.ndarray, valid: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose the most probable class of each pixel, of several the first.

    Args:
        probability: (classes, H, W), 0..1.
        codes: uint8 (classes,), of the classes.
        valid: bool (H, W).

    Returns:
        Codes and percentages of the chosen classes (H, W), and percentages of all classes
        (classes, H, W), uint8, 255 where invalid.
    """
    percent = np.clip(np.rint(probability * 100), 0, 100)
    percent = np.where(valid, percent, NODATA).astype(np.uint8)
    chosen = np.where(valid, codes[probability.argmax(axis=0)], NODATA).astype(np.uint8)
    return chosen, percent.max(axis=0), percent


def part_of(scene: Part, part: Part) -> Part:
    """Return what of a scene lies in a part of the block, counted from the part's corner."""
    rows, columns = (
        slice(max(whole.start - side.start, 0), max(min(whole.stop, side.stop) - side.start, 0))
        for whole, side in zip(scene, part, strict=True)
    )
    return rows, columns


def without_halo(block: np.ndarray, halo: int) -> np.ndarray:
    """Return the middle of an array (..., H, W), without `halo` pixels on each side."""
    return block[..., halo : block.shape[-2] - halo, halo : block.shape[-1] - halo]


@dataclass(frozen=True)
class Start:
    """A model whose training continues.

    Attributes:
        graph: of its classifier.
        codes: uint8 (classes,), of its classes, as the new legend has them; 0 where it has none.
    """

    graph: "onnx.GraphProto"
    codes: np.ndarray

    def rows(self, classes: np.ndarray) -> np.ndarray:
        """Return where classes (by code) are among those of the model, -1 nowhere."""
        found = self.codes[None] == classes[:, None]
        return np.where(found.any(axis=1), found.argmax(axis=1), -1)


@dataclass(frozen=True)
class Method:
    """How to train a classifier.

    Attributes:
        name: by which train-classifier offers it.
        options: a frozen dataclass; each field has a default, may carry a `Range` or `Literal`,
            and is described under `Attributes:` of its docstring.
        fit: takes a training set, options and a seed; the same three give the same classifier.
        needs: what a training needs of a machine.
        fit_seconds: CPU seconds that `fit` takes with a training set and options, about. It is
            estimated, not measured, so that the same recipe is always validated in the same way;
            None is slow.
        sees_context: whether `fit` looks at what surrounds a labelled pixel; other methods get
            the pixels alone, which takes less memory.
        continues: whether `fit` takes a `Start` as its fourth argument.
        extra: name of the extra that must be installed to train, and of its module; "" is none.
        beside: name of a method that the report measures on the same folds.
        uses_windows: says from options and the pixels that the samples have around each labelled
            pixel whether these get means and deviations of their windows
            (`TrainingSet.around`); raises InputError where that cannot be. None is never.
    """

    name: str
    options: type
    fit: Callable[..., Classifier]
    needs: Needs = field(default_factory=Needs)
    fit_seconds: Callable[[TrainingSet, Any], float] | None = None
    sees_context: bool = False
    continues: bool = False
    extra: str = ""
    beside: str = ""
    uses_windows: Callable[[Any, int], bool] | None = None
