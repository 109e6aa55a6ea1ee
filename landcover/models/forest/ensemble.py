"""Trees as arrays: to ONNX and back, checked, and evaluated.

A forest leaves as an ONNX TreeEnsembleClassifier, which other systems can load. We evaluate its
arrays ourselves, because ONNX Runtime is slow on forests. The kernels check no bounds, so nothing
reaches them from a file that `tree_reading` has not checked.

Kept from the trainer: for x of float32, x <= t of float64 is x <= t rounded down to
float32.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from landcover.io.legend import NODATA
from landcover.models.classifier import Classifier, Part, choose
from landcover.models.forest.kernel import Kernel, kernel_of, slowness
from landcover.models.forest.layout import RankedTrees, rank_trees

if TYPE_CHECKING:
    import onnx

Transform = Literal["NONE", "SOFTMAX", "LOGISTIC"]

AT_ONCE = 16384
"""Pixels that a kernel is given at once: what they need in between fits into a cache."""
_BRANCH, _LEAF = b"BRANCH_LEQ", b"LEAF"


@dataclass(frozen=True)
class Tree:
    """One tree; nodes in an order in which children follow their parent.

    Attributes:
        feature: (nodes,) band compared at a branch.
        threshold: float32 (nodes,); left if value <= threshold.
        left: (nodes,) index of the left child, -1 at a leaf.
        right: (nodes,) index of the right child, -1 at a leaf.
        values: float32 (nodes, scores), what a leaf adds to each score; 0 at branches.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class TreeEnsemble(Classifier):
    """Many trees in one set of arrays; children are indexes into them, always greater.

    There is a score per class; of two classes there is one, the second one's, which is the form
    that ONNX Runtime expects.

    Attributes:
        roots: int32 (trees,).
        feature: int32 (nodes,).
        threshold: float32 (nodes,).
        left: int32 (nodes,), -1 at a leaf.
        right: int32 (nodes,), -1 at a leaf.
        values: float32 (nodes, scores).
        codes: uint8 (classes,), legend codes in the order of the scores.
        transform: how sums become probabilities; NONE if they are.
        bands: number of bands of a pixel.
    """

    roots: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    values: np.ndarray
    codes: np.ndarray
    transform: Transform
    bands: int

    def __getstate__(self) -> dict[str, Any]:
        """Return the arrays alone: kernels hold pointers, and another process makes its own."""
        return {f.name: self.__dict__[f.name] for f in fields(self)}

    def predict_proba(self, pixels: np.ndarray) -> np.ndarray:
        """Return the probability of each class: float64 (N, classes), from float32 (N, bands)."""
        self._need_bands(pixels.shape[1])
        valid = np.ones(AT_ONCE, bool)
        parts = []
        for start in range(0, max(len(pixels), 1), AT_ONCE):
            values = np.ascontiguousarray(pixels[start : start + AT_ONCE].T, np.float32)
            parts.append(
                self._probability(self._kernel.sums(values, None, valid[: values.shape[1]]))
            )
        return np.concatenate(parts)

    def probabilities_of_rows(self, rows: np.ndarray) -> np.ndarray:
        """Return the probability of each class, float32 (classes, N), from (N, bands)."""
        every = np.ones((1, len(rows)), bool)
        return self.probabilities(rows.T[:, None], every)[:, 0]

    def probabilities(
        self, block: np.ndarray, valid: np.ndarray, scene: Part | None = None
    ) -> np.ndarray:
        """Return the probability of each class, float32 (classes, H, W); 0 where invalid."""
        return self._exactly(block, valid).astype(np.float32)

    def classify_with_all(
        self, block: np.ndarray, valid: np.ndarray, scene: Part | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Choose as `classify` does, to the last bit, and give the percentage of every class."""
        return choose(self._exactly(block, valid), self.codes, valid)

    def classify_every(
        self, block: np.ndarray, valid: np.ndarray, step: int, scene: Part | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Classify every so-maniest pixel; see `Classifier`."""
        some = (slice(None, None, step),) * 2
        return self.classify_with_all(np.ascontiguousarray(block[(..., *some)]), valid[some])

    def _exactly(self, block: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Return the probability of each class, float64 (classes, H, W); 0 where invalid."""
        # to rank every value of a type takes longer than to compare few pixels
        flat, ranks, inside = self._read(block, valid, ranked=valid.size >= AT_ONCE)
        probability = np.zeros((len(self.codes), valid.size))
        for start in range(0, valid.size, AT_ONCE):
            part = slice(start, start + AT_ONCE)
            here = inside[part]
            if here.any():
                sums = self._kernel.sums(_as_floats(flat[:, part], ranks), ranks, here)
                probability[:, part][:, here] = self._probability(sums).T
        return probability.reshape(-1, *valid.shape)

    def classify(
        self, block: np.ndarray, valid: np.ndarray, scene: Part | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Choose a class for each valid pixel of a block; other threads run meanwhile.

        Args:
            block: (bands, H, W) of any real type; compared as float32.
            valid: bool (H, W).
            scene: as for `Classifier.probabilities`; a tree looks at no border.

        Returns:
            Legend codes and the percentage of the chosen class, uint8 (H, W), 255 where invalid.
            Of classes equally probable, the first one in the order of `codes` is chosen.

        Raises:
            ValueError: the shapes do not match.
        """
        flat, ranks, inside = self._read(block, valid)
        codes, confidence = (np.full(valid.size, NODATA, np.uint8) for _ in range(2))
        for start in range(0, valid.size, AT_ONCE):
            part = slice(start, start + AT_ONCE)
            if inside[part].any():
                self._choose(flat[:, part], ranks, inside[part], codes[part], confidence[part])
        return codes.reshape(valid.shape), confidence.reshape(valid.shape)

    def _read(
        self, block: np.ndarray, valid: np.ndarray, ranked: bool = True
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Return a block as kernels take it: values (bands, N), their ranks, validity (N,)."""
        self._need_bands(len(block))
        if valid.shape != block.shape[1:]:
            raise ValueError(f"{valid.shape} pixels are said to be valid of {block.shape[1:]}")
        flat, inside = block.reshape(len(block), -1), np.ravel(valid).astype(bool, copy=False)
        if flat.strides[1] != flat.itemsize:  # bands pixel by pixel
            flat = np.ascontiguousarray(flat)
        is_small = block.dtype.kind in "iu" and block.itemsize <= 2 and block.dtype.isnative
        if ranked and is_small:
            return flat.view(f"u{block.itemsize}"), self._ranked.table(block.dtype), inside
        return flat, None, inside

    def _choose(
        self,
        values: np.ndarray,
        ranks: np.ndarray | None,
        valid: np.ndarray,
        codes: np.ndarray,
        confidence: np.ndarray,
    ) -> None:
        """Write codes and confidence of valid pixels (N,), from values (bands, N)."""
        values = _as_floats(values, ranks)
        if self.transform == "NONE":
            self._kernel.choose(values, ranks, valid, codes, confidence)
            return
        probability = self._probability(self._kernel.sums(values, ranks, valid))
        best = probability.argmax(axis=1)
        codes[valid] = self.codes[best]
        percent = np.rint(probability[np.arange(len(best)), best] * 100)
        confidence[valid] = np.clip(percent, 0, 100)

    def slowness(self) -> str:
        """Return why mapping is slow here; see `Classifier`."""
        return slowness()

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Return the most probable class: uint8 (N,), legend codes."""
        return np.asarray(self.codes[self.predict_proba(pixels).argmax(axis=1)])

    def to_node(self, source: str = "pixels") -> "onnx.NodeProto":
        """Return the ONNX operator (ai.onnx.ml) that does the same.

        Args:
            source: name of what it takes, float32 (N, bands).
        """
        from onnx import helper

        leaf = self.left < 0
        tree = np.repeat(np.arange(len(self.roots)), self._sizes)
        node = np.arange(len(self.feature)) - self.roots[tree]
        leaves, column = np.nonzero(leaf[:, None] & (self.values != 0))
        offset = self.roots[tree]
        return helper.make_node(
            "TreeEnsembleClassifier",
            [source],
            ["code", "probability"],
            domain="ai.onnx.ml",
            nodes_treeids=tree.tolist(),
            nodes_nodeids=node.tolist(),
            nodes_featureids=self.feature.tolist(),
            nodes_values=self.threshold.tolist(),
            nodes_modes=[_LEAF if is_leaf else _BRANCH for is_leaf in leaf],
            nodes_truenodeids=np.where(leaf, 0, self.left - offset).tolist(),
            nodes_falsenodeids=np.where(leaf, 0, self.right - offset).tolist(),
            class_treeids=tree[leaves].tolist(),
            class_nodeids=node[leaves].tolist(),
            class_ids=column.tolist(),
            class_weights=self.values[leaves, column].tolist(),
            classlabels_int64s=self.codes.astype(int).tolist(),
            post_transform=self.transform,
        )

    def to_graph(self) -> "onnx.GraphProto":
        """Return an ONNX graph: float32 (N, bands) to codes (N,) and probabilities."""
        return trees_graph([self.to_node()], self.bands, len(self.codes))

    def _probability(self, sums: np.ndarray) -> np.ndarray:
        """Return probabilities (N, classes) from sums (N, scores)."""
        probability = _TRANSFORMS[self.transform](sums)
        if len(self.codes) == 2:
            return np.hstack([1 - probability, probability])
        return probability

    def _need_bands(self, bands: int) -> None:
        if bands != self.bands:
            raise ValueError(f"pixels have {bands} bands, the model needs {self.bands}")

    @cached_property
    def _ranked(self) -> RankedTrees:
        return rank_trees(self.roots, self.feature, self.threshold, self.left, self.right,
                          self.values, self.codes)  # fmt: skip

    @cached_property
    def _kernel(self) -> Kernel:
        return kernel_of(self._ranked)

    @cached_property
    def _sizes(self) -> np.ndarray:
        return np.diff(np.append(self.roots, len(self.feature)))


def trees_graph(nodes: Sequence["onnx.NodeProto"], bands: int, classes: int) -> "onnx.GraphProto":
    """Return an ONNX graph: float32 (N, bands) to codes (N,) and probabilities (N, classes)."""
    from onnx import TensorProto, helper

    return helper.make_graph(
        list(nodes),
        "landcover",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [None, bands])],
        [
            helper.make_tensor_value_info("code", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None, classes]),
        ],
    )


def joined(
    trees: Sequence[Tree],
    codes: np.ndarray,
    transform: Transform,
    bands: int,
) -> TreeEnsemble:
    """Merge trees into one set of arrays."""
    roots = np.cumsum([0, *(len(tree.feature) for tree in trees)])[:-1]

    def moved(children: np.ndarray, root: int) -> np.ndarray:
        return np.where(children < 0, -1, children + root)

    pairs = list(zip(trees, roots.tolist(), strict=True))
    return TreeEnsemble(
        roots=roots.astype(np.int32),
        feature=np.concatenate([t.feature for t in trees]).astype(np.int32),
        threshold=np.concatenate([t.threshold for t in trees]).astype(np.float32),
        left=np.concatenate([moved(t.left, root) for t, root in pairs]).astype(np.int32),
        right=np.concatenate([moved(t.right, root) for t, root in pairs]).astype(np.int32),
        values=np.concatenate([t.values for t in trees]).astype(np.float32),
        codes=np.asarray(codes, np.uint8),
        transform=transform,
        bands=bands,
    )


def round_down(thresholds: np.ndarray) -> np.ndarray:
    """Round float64 to the next float32 that is not greater."""
    with np.errstate(over="ignore"):
        nearest = thresholds.astype(np.float32)
    lower = np.where(nearest > thresholds, np.nextafter(nearest, np.float32(-np.inf)), nearest)
    limit = np.finfo(np.float32)
    return np.clip(lower, limit.min, limit.max).astype(np.float32)


def _as_floats(values: np.ndarray, ranks: np.ndarray | None) -> np.ndarray:
    """Return values as kernels compare them, unless they have ranks."""
    if ranks is not None or values.dtype == np.float32:
        return values
    with np.errstate(over="ignore"):  # beyond float32 lies infinity, as in training
        return values.astype(np.float32, order="C")


def _none(sums: np.ndarray) -> np.ndarray:
    return sums


def _softmax(sums: np.ndarray) -> np.ndarray:
    grown = np.exp(sums - sums.max(axis=1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True))


def _logistic(sums: np.ndarray) -> np.ndarray:
    return np.asarray((1 + np.tanh(sums / 2)) / 2)  # never overflows


_TRANSFORMS: dict[Transform, Callable[[np.ndarray], np.ndarray]] = {
    "NONE": _none,
    "SOFTMAX": _softmax,
    "LOGISTIC": _logistic,
}
