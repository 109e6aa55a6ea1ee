"""A small convolutional network that gives the centre of a chip the class of the chip.

Features of single pixels are learned by 1 x 1 convolutions, and their mean and deviation over the
chip tell the class, as in Deep Sets (Zaheer et al. 2017). torch trains; mapping needs none.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from landcover.errors import InputError
from landcover.models.classifier import Classifier, Method, Start
from landcover.models.network.squares import (
    Batch,
    Corners,
    class_numbers,
    held_out,
    scaled_squares,
    scaling_of,
    turned,
)
from landcover.models.training_set import TrainingSet
from landcover.operation import Needs, Range
from landcover.progress import remark

SIDE_IN_PATCHES = 15


@dataclass(frozen=True)
class Options:
    """Options of the chip network.

    Attributes:
        side: of the square of pixels that tells the class of its centre; 0 is that of the
            samples, of samples in which more than the centre has a class 15.
        width: channels of the first convolutions.
        texture: convolutions of 3 x 3 pixels, for classes that differ in fine patterns; they make
            maps some ten times slower.
        steps: batches that it learns from.
        batch: samples of a step.
        learning_rate: at the top of its cycle.
        weight_decay: of the weights, by AdamW.
        smoothing: share of each label that is given to all classes alike.
        dropout: share of features that a step does not see.
        class_weight: the exponent by which a rare class weighs more; 0 is by its number of
            samples, 0.5 by the square root of it, 1 the same for all classes.
        every: 2 maps every second row and column, and gives the three pixels that follow the same
            class: chips resemble their neighbours, and a map takes about half the time.
        held_out: share of the places of each class that is kept aside in training; the weights
            that did best there are taken. 0 takes the last ones, which is better where places are
            few.
        threads: that train; another number gives slightly other weights.
        device: where to train; gpu asks for a GPU, auto takes one where it is.
    """

    side: Annotated[int, Range(0, 31)] = 0
    width: Annotated[int, Range(4, 256)] = 32
    texture: Annotated[int, Range(0, 3)] = 0
    steps: Annotated[int, Range(1, 100_000)] = 450
    batch: Annotated[int, Range(2, 1024)] = 32
    learning_rate: Annotated[float, Range(1e-6, 1)] = 0.002
    weight_decay: Annotated[float, Range(0, 1)] = 0.01
    smoothing: Annotated[float, Range(0, 0.5)] = 0.05
    dropout: Annotated[float, Range(0, 0.9)] = 0.3
    class_weight: Annotated[float, Range(0, 1)] = 0.5
    every: Annotated[int, Range(1, 2)] = 1
    held_out: Annotated[float, Range(0, 0.5)] = 0.0
    threads: Annotated[int, Range(1, 64)] = 1
    device: Literal["auto", "cpu", "gpu"] = "auto"


def fit(
    training_set: TrainingSet, options: Options, seed: int, start: Start | None = None
) -> Classifier:
    """Train on the squares around the labelled pixels.

    Args:
        training_set: two classes at least.
        options: of the network.
        seed: of weights, batches and places held out.
        start: a model whose training continues.

    Raises:
        InputError: the samples are smaller than the square, or a GPU is asked for and not there.
    """
    from landcover.models.network import fitting
    from landcover.models.network.chip_net import ChipNet
    from landcover.models.network.classifier import NetworkClassifier

    side = _side(training_set, options)
    classes, _ = class_numbers(training_set.codes)
    out = held_out(training_set.codes, training_set.places, options.held_out, seed)
    taught = _Shown(training_set, ~out, side, options, seed)
    plan = fitting.Plan.of(options, seed)
    with fitting.computing(plan) as device:
        network = ChipNet(
            len(training_set.bands), len(classes), side, options.width, options.texture,
            options.dropout,
        )  # fmt: skip
        if start is not None:
            fitting.start_from(network, start.graph, start.rows(classes), taught.draw())
        fitting.train(network, taught.draw, taught.looked_at(out), plan, device)
    graph = network.graph(taught.scaling, options.every)
    return NetworkClassifier.of_graph(graph, classes, taught.scaling.centre)


class _Shown:
    """Gives batches of squares around labelled pixels, epoch after epoch in another order."""

    def __init__(
        self, training_set: TrainingSet, which: np.ndarray, side: int, options: Options, seed: int
    ) -> None:
        self._set, self._side, self._options = training_set, side, options
        self._which = np.flatnonzero(which)
        self._rng = np.random.default_rng(seed)
        self._left = np.zeros(0, np.int64)
        _, self._classes = class_numbers(training_set.codes)
        counts = np.bincount(self._classes[self._which])
        weights = (1 / np.maximum(counts, 1)) ** options.class_weight
        self._weights = weights[self._classes]
        self._weights /= self._weights[self._which].mean()
        self.scaling = scaling_of(training_set, seed)

    def draw(self) -> Batch:
        """Return the next batch, turned and mirrored at random where that shows."""
        size = min(self._options.batch, len(self._which))
        if len(self._left) < size:
            self._left = self._rng.permutation(self._which)
        some, self._left = self._left[:size], self._left[size:]
        batch = self._of(some)
        return turned(batch, self._rng) if self._options.texture else batch

    def looked_at(self, which: np.ndarray) -> list[Batch]:
        """Return other pixels, all of them, in batches."""
        indexes = np.flatnonzero(which)
        return [self._of(indexes[at : at + 256]) for at in range(0, len(indexes), 256)]

    def _of(self, indexes: np.ndarray) -> Batch:
        corners = Corners.around(self._set.at[indexes], self._side)
        pixels = scaled_squares(self._set, corners, self._side, self.scaling)
        weights = self._weights[indexes].astype(np.float32)
        return Batch(pixels, self._classes[indexes], weights)


def _side(training_set: TrainingSet, options: Options) -> int:
    """Return the side of the squares.

    Raises:
        InputError: the convolutions would leave nothing of it.
    """
    height, width = training_set.chips.shape[2:]
    has_centres_only = len(training_set) <= len(training_set.chips)
    side = options.side or (min(height, width) if has_centres_only else SIDE_IN_PATCHES)
    if side == 1:
        remark(
            "the samples are single pixels, of which chip-cnn sees no neighbourhood: extract with "
            "chip_size or context"
        )
    if side <= 2 * options.texture:
        raise InputError(
            f"squares of {side} pixels are too small for {options.texture} convolutions of 3 x 3: "
            "extract with a larger chip_size or context, or give the option texture 0",
            "options",
        )
    return side


METHOD = Method(
    "chip-cnn", Options, fit, Needs(memory_mib=4096), sees_context=True, continues=True,
    extra="torch", beside="random-forest",
)  # fmt: skip
