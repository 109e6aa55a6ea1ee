"""A forest that looks at the neighbourhood of a pixel: trees over the features of its windows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from landcover.errors import InputError
from landcover.models.classifier import Classifier, Part, without_halo
from landcover.models.forest.ensemble import AT_ONCE, TreeEnsemble
from landcover.models.forest.window_features import KINDS, REACH, WINDOWS, window_features
from landcover.models.training_set import TrainingSet

if TYPE_CHECKING:
    import onnx

FEATURES = "features"
"""What the trees of the graph take."""
_MOST_FEATURES = 1 << 21
"""Of all pixels together that pass through the trees at once, 8 MiB."""
_END = np.iinfo(np.int64).max
_Pass = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, ...]]


Windows = Literal["auto", "3,7", "none"]
"""An option of forests: sides of the windows; auto takes them where samples have the context."""
USED, UNUSED = "3,7", "none"


def uses_windows(options: Any, context: int) -> bool:
    """Return whether forests of these options get windows of samples with this context.

    Args:
        options: with `windows`.
        context: pixels that the samples have on each side of a labelled one.

    Raises:
        InputError: windows are asked for, and the context is too small.
    """
    if options.windows == USED and context < REACH:
        raise InputError(
            f"option windows is {USED}, which needs a context of {REACH} pixels around each "
            f"sample, and the samples have {context}: extract them anew by extract-samples with "
            f"--context {REACH}",
            "options",
        )
    return options.windows != UNUSED and context >= REACH


def forest_over(trees: TreeEnsemble, training_set: TrainingSet) -> Classifier:
    """Return trees that were trained on the features of a training set as a classifier."""
    return trees if training_set.around is None else WindowedForest.of(trees)


@dataclass(frozen=True)
class WindowedForest(Classifier):
    """Classifies pixels by their bands and the means and deviations of the windows around them.

    Attributes:
        trees: over the features, of which there are len(KINDS) for each band.
        codes: uint8 (classes,), legend codes in the order of the probabilities.
        bands: number of bands of a pixel.
        halo: of its blocks.
    """

    trees: TreeEnsemble
    codes: np.ndarray
    bands: int
    halo: int = REACH

    @classmethod
    def of(cls, trees: TreeEnsemble) -> "WindowedForest":
        """Return trees over features as a classifier of bands."""
        return cls(trees, trees.codes, trees.bands // len(KINDS))

    def probabilities(
        self, block: np.ndarray, valid: np.ndarray, scene: Part | None = None
    ) -> np.ndarray:
        """Return the probability of each class, float32; see `Classifier`."""

        def of_strip(features: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, ...]:
            return (self.trees.probabilities(features, inside),)

        return self._in_strips(block, valid, of_strip)[0]

    def probabilities_at(self, training_set: TrainingSet) -> np.ndarray:
        """Return the probability of each class of labelled pixels; see `Classifier`."""
        return self.trees.probabilities_of_rows(training_set.features)

    def classify(
        self, block: np.ndarray, valid: np.ndarray, scene: Part | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Choose a class for each valid pixel of a block; see `Classifier`."""
        codes, confidence = self._in_strips(block, valid, self.trees.classify)
        return codes, confidence

    def classify_with_all(
        self, block: np.ndarray, valid: np.ndarray, scene: Part | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Choose as `classify` does, and give the percentage of every class."""
        codes, confidence, every = self._in_strips(block, valid, self.trees.classify_with_all)
        return codes, confidence, every

    def classify_every(
        self, block: np.ndarray, valid: np.ndarray, step: int, scene: Part | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Classify every so-maniest pixel; features are found of all, the trees pass those."""

        def of_strip(features: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, ...]:
            return self.trees.classify_every(features, inside, step)

        codes, confidence, every = self._in_strips(block, valid, of_strip, step)
        return codes, confidence, every

    def slowness(self) -> str:
        """Return why mapping is slow here; see `Classifier`."""
        return self.trees.slowness()

    def to_graph(self) -> "onnx.GraphProto":
        """Return an ONNX graph: a block and its validity to codes and probabilities of its pixels.

        What lies beyond the block is invalid. It computes in 64 bits as `window_features` does,
        so that any ONNX runtime finds the same features.
        """
        graph = windows_graph(self.bands, len(self.codes))
        graph.node.append(self.trees.to_node(FEATURES))
        return graph

    def _in_strips(
        self, block: np.ndarray, valid: np.ndarray, trees: _Pass, multiple: int = 1
    ) -> tuple[np.ndarray, ...]:
        """Pass rows through the trees, so many at a time that their features fit into a cache.

        Strips begin at multiples of a number of rows.
        """
        if len(block) != self.bands:
            raise ValueError(f"pixels have {len(block)} bands, the model needs {self.bands}")
        inside = without_halo(valid, REACH)
        rows, width = inside.shape
        pixels = min(AT_ONCE, _MOST_FEATURES // self.trees.bands)
        step = max(1, pixels // max(width, 1) // multiple) * multiple
        parts = []
        for top in range(0, rows, step):
            grown = slice(top, top + step + 2 * REACH)
            features = window_features(block[:, grown], valid[grown])
            parts.append(trees(features, inside[top : top + step]))
        return tuple(np.concatenate(part, axis=-2) for part in zip(*parts, strict=True))


def windows_graph(bands: int, classes: int) -> "onnx.GraphProto":
    """Return the graph of a windowed forest but for its trees, which take `FEATURES`.

    Args:
        bands: of a pixel.
        classes: that the trees tell apart.
    """
    from onnx import TensorProto, helper, numpy_helper

    writer = _Writer()
    features = writer.features(bands)
    assert features == FEATURES
    sides: list[str | int | None] = [bands, "rows", "columns"]
    return helper.make_graph(
        writer.nodes,
        "landcover",
        [
            helper.make_tensor_value_info("pixels", TensorProto.FLOAT, sides),
            helper.make_tensor_value_info("valid", TensorProto.BOOL, sides[1:]),
        ],
        [
            helper.make_tensor_value_info("code", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None, classes]),
        ],
        [numpy_helper.from_array(value, name) for name, value in writer.constants.items()],
    )


class _Writer:
    """Collects the nodes of a graph; every node has one output, which is its name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}

    def features(self, bands: int) -> str:
        """Write what `window_features` does; bands come first, pixels row by row."""
        from onnx import TensorProto

        known = self._node("Where", "valid", "pixels", self._float(0), name="known")
        counted = self._node("Cast", "valid", to=TensorProto.DOUBLE)
        counted = self._padded(self._node("Unsqueeze", counted, self._whole(0)))
        exact = self._padded(self._node("Cast", known, to=TensorProto.DOUBLE))
        squares = self._node("Mul", exact, exact)
        every = self._node("Concat", exact, squares, counted, axis=0)
        kinds = [known]
        for side in WINDOWS:
            sums = self._sums(self._sums(every, side, axis=1), side, axis=2)
            values, of_squares, count = (
                self._slice(sums, first, last, axis=0)
                for first, last in ((0, bands), (bands, 2 * bands), (2 * bands, _END))
            )
            one = self._double(1)
            share = self._node("Div", one, self._node("Max", count, one))
            mean = self._node("Mul", values, share)
            variance = self._node(
                "Sub", self._node("Mul", of_squares, share), self._node("Mul", mean, mean)
            )
            deviation = self._node("Sqrt", self._node("Max", variance, self._double(0)))
            kinds += [self._node("Cast", one, to=TensorProto.FLOAT) for one in (mean, deviation)]
        table = self._node("Concat", *kinds, axis=0)
        table = self._node("Reshape", table, self._whole(len(KINDS) * bands, -1))
        return self._node("Transpose", table, name=FEATURES)

    def _padded(self, source: str) -> str:
        return self._node("Pad", source, self._whole(0, REACH, REACH, 0, REACH, REACH))

    def _sums(self, source: str, side: int, axis: int) -> str:
        """Add the rows or the columns of windows, in their order."""
        parts = self._shifted(source, side, axis)
        total = next(parts)
        for part in parts:
            total = self._node("Add", total, part)
        return total

    def _shifted(self, source: str, side: int, axis: int) -> Iterator[str]:
        first = REACH - side // 2
        for start in range(first, first + side):
            yield self._slice(source, start, start - 2 * REACH or _END, axis)

    def _slice(self, source: str, start: int, stop: int, axis: int) -> str:
        return self._node("Slice", source, *map(self._whole, (start, stop, axis)))

    def _node(self, operator: str, *sources: str, name: str = "", **attributes: Any) -> str:
        from onnx import helper

        name = name or f"{operator.lower()}_{len(self.nodes)}"
        node = helper.make_node(operator, list(sources), [name], **attributes)
        self.nodes.append(node)
        return name

    def _whole(self, *values: int) -> str:
        return self._constant(np.array(values, np.int64))

    def _double(self, value: float) -> str:
        return self._constant(np.array(value, np.float64))

    def _float(self, value: float) -> str:
        return self._constant(np.array(value, np.float32))

    def _constant(self, value: np.ndarray) -> str:
        name = f"{value.dtype}_{'_'.join(str(number) for number in value.ravel())}"
        self.constants[name] = value
        return name
