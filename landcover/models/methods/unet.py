"""U-Net from sparse polygons: what surrounds a pixel tells its class, near and far.

Crops are drawn by polygon, so that large ones do not teach alone; pixels without a label have no
part in the loss. torch trains; mapping needs none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

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

_LABELS_OF_A_PLACE = 50
"""Pixels whose weight a place has at most, as if it had no more."""
_LOOKED_AT = 64
"""Crops of places held out, at most."""
_NONE = -1


@dataclass(frozen=True)
class Options:
    """Options of the U-Net.

    Attributes:
        width: channels at full resolution; each coarser view has twice as many.
        depth: times that the resolution is halved.
        steps: batches that it learns from.
        batch: crops of a step.
        crop: side of a crop in pixels, a multiple of 2 to the depth.
        learning_rate: of AdamW, the same in all steps.
        weight_decay: of the weights, by AdamW.
        smoothing: share of each label that is given to all classes alike.
        noise: deviation of the gain and of the offset that each crop is given, as light differs,
            as a share of the spread of its values.
        held_out: share of the places of each class that is kept aside in training; the weights
            that did best there are taken. 0 takes the last ones.
        threads: that train; another number gives slightly other weights.
        device: where to train; gpu asks for a GPU, auto takes one where it is.
    """

    width: Annotated[int, Range(4, 128)] = 16
    depth: Annotated[int, Range(1, 4)] = 3
    steps: Annotated[int, Range(1, 100_000)] = 100
    batch: Annotated[int, Range(1, 256)] = 16
    crop: Annotated[int, Range(16, 512)] = 48
    learning_rate: Annotated[float, Range(1e-6, 1)] = 0.002
    weight_decay: Annotated[float, Range(0, 1)] = 0.05
    smoothing: Annotated[float, Range(0, 0.5)] = 0.1
    noise: Annotated[float, Range(0, 1)] = 0.1
    held_out: Annotated[float, Range(0, 0.5)] = 0.15
    threads: Annotated[int, Range(1, 64)] = 1
    device: Literal["auto", "cpu", "gpu"] = "auto"


def fit(
    training_set: TrainingSet, options: Options, seed: int, start: Start | None = None
) -> Classifier:
    """Train on crops around labelled pixels.

    Args:
        training_set: two classes at least, in chips or patches; crops do not leave them.
        options: of the network.
        seed: of weights, crops and places held out.
        start: a model whose training continues.

    Raises:
        InputError: a GPU is asked for and not there.
    """
    from landcover.models.network import fitting
    from landcover.models.network.classifier import NetworkClassifier
    from landcover.models.network.unet_net import UNet

    classes, _ = class_numbers(training_set.codes)
    out = held_out(training_set.codes, training_set.places, options.held_out, seed)
    crops = _Crops(training_set, options, seed)
    plan = fitting.Plan.of(options, seed, cycles=False)
    taught = crops.drawn(~out)
    with fitting.computing(plan) as device:
        network = UNet(len(training_set.bands), len(classes), options.width, options.depth)
        if start is not None:
            fitting.start_from(network, start.graph, start.rows(classes), next(taught))
        fitting.train(network, lambda: next(taught), crops.looked_at(out), plan, device)
    graph = network.graph(crops.scaling)
    return NetworkClassifier.of_graph(graph, classes, crops.scaling.centre)


class _Crops:
    """Gives batches of crops of the chips, with the classes and weights of their pixels."""

    def __init__(self, training_set: TrainingSet, options: Options, seed: int) -> None:
        self._set, self._options = training_set, options
        step = 1 << options.depth
        self._side = max(step, options.crop // step * step)
        self._rng = np.random.default_rng(seed)
        _, self._classes = class_numbers(training_set.codes)
        _, self._place = np.unique(training_set.places, return_inverse=True)
        counts = np.bincount(self._place)
        self._weights = np.minimum(1, _LABELS_OF_A_PLACE / counts)[self._place]
        self.scaling = scaling_of(training_set, seed)

    def drawn(self, which: np.ndarray) -> Iterator[Batch]:
        """Yield batches of crops: a class is drawn, one of its places, and one of its pixels.

        Classes are drawn by the square root of their number of places: weights in the loss
        besides would favour the rare ones twice.

        Args:
            which: bool (M,), the pixels that are shown.
        """
        groups = self._groups(which)
        shares = np.sqrt([len(places) for places in groups])
        shares /= shares.sum()
        labels = self._labels(which)
        while True:
            drawn = self._rng.choice(len(groups), self._options.batch, p=shares)
            centres = np.array([self._one_of(groups[number]) for number in drawn])
            yield self._disturbed(turned(self._of(centres, *labels), self._rng))

    def looked_at(self, which: np.ndarray) -> list[Batch]:
        """Return crops around some of other pixels, a few of each place."""
        labels, groups = self._labels(which), self._groups(which)
        places = [pixels for group in groups for pixels in group][:_LOOKED_AT]
        centres = [pixels[len(pixels) // 2] for pixels in places]
        return [
            self._of(np.array(centres[at : at + self._options.batch]), *labels)
            for at in range(0, len(centres), self._options.batch)
        ]

    def _groups(self, which: np.ndarray) -> list[list[np.ndarray]]:
        """Return the indexes of the pixels of each place of each class."""
        indexes = np.flatnonzero(which)
        return [
            [
                of_class[self._place[of_class] == place]
                for place in np.unique(self._place[of_class])
            ]
            for number in np.unique(self._classes[indexes])
            for of_class in (indexes[self._classes[indexes] == number],)
        ]

    def _one_of(self, places: list[np.ndarray]) -> int:
        pixels = places[self._rng.integers(len(places))]
        return int(pixels[self._rng.integers(len(pixels))])

    def _labels(self, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return classes, -1 where there is none, and weights of the pixels of all chips."""
        shape = self._set.valid.shape
        classes, weights = np.full(shape, _NONE, np.int16), np.zeros(shape, np.float32)
        at = tuple(self._set.at[which].T)
        classes[at], weights[at] = self._classes[which], self._weights[which]
        return classes, weights

    def _of(self, centres: np.ndarray, classes: np.ndarray, weights: np.ndarray) -> Batch:
        corners = Corners.around(self._set.at[centres], self._side)
        corners = corners.moved_inside(self._set.valid.shape[1:], self._side)
        numbers = corners.cut(classes, self._side, _NONE)
        return Batch(
            scaled_squares(self._set, corners, self._side, self.scaling),
            np.maximum(numbers, 0).astype(np.int64),
            corners.cut(weights, self._side, 0),
        )

    def _disturbed(self, batch: Batch) -> Batch:
        """Give each crop another gain and offset."""
        shape = (len(batch.pixels), 1, 1, 1)
        gain = 1 + self._options.noise * self._rng.standard_normal(shape, np.float32)
        offset = self._options.noise / 2 * self._rng.standard_normal(shape, np.float32)
        pixels = np.where(batch.pixels == 0, 0, batch.pixels * gain + offset)
        return Batch(pixels.astype(np.float32), batch.classes, batch.weights)


METHOD = Method(
    "unet", Options, fit, Needs(memory_mib=4096), sees_context=True, continues=True,
    extra="torch", beside="random-forest",
)  # fmt: skip
