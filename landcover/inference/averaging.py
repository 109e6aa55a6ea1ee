"""Several models as one classifier: the mean of the probabilities that each gives a class.

Models of one legend and the same bands, by their names, can be averaged. Each takes the bands of
the scene that it knows, corrected as it needs them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from landcover.errors import InputError
from landcover.inference.block import BlockClassifier, corrected
from landcover.io.raster import unique_names
from landcover.models.classifier import Classifier, Part, part_of
from landcover.models.file import Card, Model
from landcover.progress import remark

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class _Member:
    """A model's part in a mean.

    Attributes:
        blocks: the model, with its bands of the scene and their correction.
        at: where its bands are among those that are read.
        order: where each class of the first model is among its own.
    """

    blocks: BlockClassifier
    at: list[int]
    order: list[int]


@dataclass(frozen=True)
class MeanClassifier(Classifier):
    """Gives the mean of what several models give; of the codes of the first."""

    members: tuple[_Member, ...]
    codes: np.ndarray
    bands: int
    halo: int
    step: int

    def probabilities(
        self, block: np.ndarray, valid: np.ndarray, scene: Part | None = None
    ) -> np.ndarray:
        """Return the mean probability of each class, float64 (classes, H - 2 halo, W - 2 halo)."""
        height, width = (side - 2 * self.halo for side in valid.shape)
        total = np.zeros((len(self.codes), height, width))
        for member in self.members:
            total += self._of(member, block, valid, scene)
        return np.asarray(total / len(self.members))

    def to_graph(self) -> "onnx.GraphProto":
        """Refuse: a mean is computed from its models and never saved."""
        raise NotImplementedError("a mean of models has no graph, save the models")

    def _of(
        self, member: _Member, block: np.ndarray, valid: np.ndarray, scene: Part | None
    ) -> np.ndarray:
        classifier = member.blocks.classifier
        spare = self.halo - classifier.halo
        rows, columns = (slice(spare, side - spare) for side in valid.shape)
        values = corrected(block[:, rows, columns][member.at], member.blocks.correction)
        within = None if scene is None else part_of(scene, (rows, columns))
        return classifier.probabilities(values, valid[rows, columns], within)[member.order]


def mean_of(parts: Sequence[BlockClassifier], cards: Sequence[Card]) -> BlockClassifier:
    """Return one classifier of blocks that averages several; a single one stays what it is.

    Args:
        parts: models on one scene.
        cards: of these, which `need_alike` has seen.
    """
    if len(parts) == 1:
        return parts[0]
    bands = sorted({band for part in parts for band in part.bands})
    wanted = _class_names(parts[0].classifier, cards[0])
    members = tuple(
        _Member(
            part,
            [bands.index(band) for band in part.bands],
            [_class_names(part.classifier, card).index(name) for name in wanted],
        )
        for part, card in zip(parts, cards, strict=True)
    )
    reach = reach_of([part.classifier for part in parts])
    mean = MeanClassifier(members, parts[0].classifier.codes, len(bands), *reach)
    return BlockClassifier(mean, bands)


def reach_of(classifiers: Sequence[Classifier]) -> tuple[int, int]:
    """Return halo and step of blocks that several classifiers can take."""
    step = math.lcm(*(classifier.step for classifier in classifiers))
    return step * math.ceil(max(classifier.halo for classifier in classifiers) / step), step


def need_alike(models: Sequence[tuple[str, Model]]) -> None:
    """Refuse to average models of other classes or bands than the first has, by name.

    Args:
        models: each with how it is called.

    Raises:
        InputError: they differ; it says in what.
    """
    (first, one), *others = models
    for name, other in others:
        _need_same("classes", first, one.card.legend.names, name, other.card.legend.names)
        known = (_class_names(m.classifier, m.card) for m in (one, other))
        _need_same("trained classes", first, next(known), name, next(known))
        bands = (unique_names([band.name for band in m.card.bands]) for m in (one, other))
        _need_same("bands", first, next(bands), name, next(bands))
        if _codes(one.card) != _codes(other.card):
            remark(f"{name} has other codes of classes than {first}: the map has those of {first}")


def _need_same(
    what: str, first: str, of_first: Sequence[str], name: str, own: Sequence[str]
) -> None:
    missing, further = set(of_first) - set(own), set(own) - set(of_first)
    if missing or further:
        said = [f"lacks {', '.join(sorted(missing))}"] if missing else []
        said += [f"has {', '.join(sorted(further))} besides"] if further else []
        raise InputError(
            f"{name} has other {what} than {first}, it {' and '.join(said)}: only models of the "
            "same classes and bands are averaged"
        )


def _class_names(classifier: Classifier, card: Card) -> list[str]:
    """Return the names of the classes that a model gives probabilities of, in their order."""
    by_code = {entry.code: entry.name for entry in card.legend.classes}
    return [by_code[int(code)] for code in classifier.codes]


def _codes(card: Card) -> dict[str, int]:
    return {entry.name: entry.code for entry in card.legend.classes}
