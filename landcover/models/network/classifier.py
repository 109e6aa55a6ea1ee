"""A network as a classifier, run by ONNX Runtime.

Threads run one classifier together, each on a block of its own and with one thread inside, so
that a map uses all cores and gives the same numbers each time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any

import numpy as np

from landcover.cpus import cores
from landcover.errors import InputError, ModelError
from landcover.models.classifier import Classifier, Part, without_halo
from landcover.models.network.graph import (
    INPUT,
    MEMORY_AT_ONCE,
    Checked,
    Plan,
    check_graph,
)
from landcover.models.network.trimming import Sides

if TYPE_CHECKING:
    import onnx
    import onnxruntime

OPSET = 17
"""Of the graphs that methods write."""
_MEMORY = MEMORY_AT_ONCE
"""Bytes of tensors that all threads may need together."""
_END = np.iinfo(np.int64).max
"""Where a slice ends that cuts nothing off."""
_NO_NUMBER = (
    "the network gives no number for a valid pixel, its weights or the scene's values are too "
    "large: train it on scenes of such values, or use another model"
)
_NO_RUNTIME = (
    "the model is a network, which needs onnxruntime: install it with "
    "pip install 'onnxruntime>=1.20'"
)


@dataclass(frozen=True)
class NetworkClassifier(Classifier):
    """A network over the pixels of a block and what surrounds them.

    The graph takes `pixels`, float32 (1, bands, H, W), values as in the scene, and gives
    `probability`, float32 (1, classes, H - lost, W - lost), the classes in ascending order of
    their codes. What it loses at its borders, without padding, is centred: of a loss of 15, its
    first pixel is the input's at (8, 8), as the centre of a chip of 16.

    Beyond the scene's border a network sees what it pads with, and nothing else, as at the border
    of a chip in training; what it needs there without padding is invalid. Invalid pixels are the
    mean of their band in the training, and get no probability themselves.

    Attributes:
        network: that passed the checks.
        codes: uint8 (classes,), legend codes, ascending.
        means: float32 (bands,), of the training pixels.
    """

    network: Checked
    codes: np.ndarray
    means: np.ndarray

    @classmethod
    def of_graph(
        cls, graph: "onnx.GraphProto", codes: np.ndarray, means: np.ndarray, opset: int = OPSET
    ) -> "NetworkClassifier":
        """Return a graph that a method has trained and written as a classifier.

        Args:
            graph: of operators in `landcover.models.network.operators`.
            codes: (classes,), legend codes, ascending.
            means: (bands,), of the training pixels, as the card will hold them.
            opset: in which the graph's operators are meant.

        Raises:
            ModelError: it would not be read from a file.
        """
        network = check_graph(graph, opset, len(means), len(codes))
        return cls(network, np.asarray(codes, np.uint8), np.asarray(means, np.float32))

    @property
    def plan(self) -> Plan:
        """How it is run."""
        return self.network.plan

    def __getstate__(self) -> dict[str, Any]:
        """Return the network without the session, which another process opens anew."""
        return {f.name: self.__dict__[f.name] for f in fields(self)}

    @property
    def bands(self) -> int:  # type: ignore[override]
        """Number of bands of a pixel."""
        return self.plan.bands

    @property
    def halo(self) -> int:  # type: ignore[override]
        """Pixels on each side of a block that are looked at, as the graph says."""
        return self.plan.halo

    @property
    def opsets(self) -> dict[str, int]:  # type: ignore[override]
        """Versions of the operators of its graph, by domain."""
        return {"": self.plan.opset}

    @property
    def step(self) -> int:  # type: ignore[override]
        """Blocks begin at rows and columns of the scene that are multiples of it."""
        return self.plan.step

    def probabilities(
        self, block: np.ndarray, valid: np.ndarray, scene: Part | None = None
    ) -> np.ndarray:
        """Return the probability of each class, float32 (classes, H - 2 halo, W - 2 halo).

        Raises:
            ModelError: the network gives no number for a valid pixel.
        """
        self._check(block, valid)
        scene = scene or (slice(0, valid.shape[0]), slice(0, valid.shape[1]))
        height, width = (side - 2 * self.halo for side in valid.shape)
        found = np.zeros((len(self.codes), height, width), np.float32)
        for tile in self._tiles(height, width):
            self._run(found, block, valid, tile, scene)
        return found

    def to_graph(self) -> "onnx.GraphProto":
        """Return the checked graph."""
        import onnx

        return onnx.load_model_from_string(self.network.model).graph

    def open(self) -> None:
        """Open it before it is first used, and so find out whether ONNX Runtime takes it.

        Raises:
            InputError: onnxruntime is not installed.
            ModelError: ONNX Runtime does not take it.
        """
        assert self._session

    def _check(self, block: np.ndarray, valid: np.ndarray) -> None:
        if len(block) != self.bands:
            raise ValueError(f"pixels have {len(block)} bands, the model needs {self.bands}")
        if valid.shape != block.shape[1:]:
            raise ValueError(f"{valid.shape} pixels are said to be valid of {block.shape[1:]}")

    def _tiles(self, height: int, width: int) -> Iterator[Part]:
        """Cut a block into parts of which each can be run at once."""
        for rows in self._cut(height):
            for columns in self._cut(width):
                yield rows, columns

    def _cut(self, length: int) -> list[slice]:
        """Cut a side into parts of about the same length."""
        parts = -(-length // (self.plan.block - 2 * self.halo))
        side = -(-length // (parts * self.step)) * self.step
        return [slice(start, min(start + side, length)) for start in range(0, length, side)]

    def _run(
        self, found: np.ndarray, block: np.ndarray, valid: np.ndarray, tile: Part, scene: Part
    ) -> None:
        """Run the network for one part of what is to be found, and write there what it gives."""
        lost = zip(self.plan.before, self.plan.after, strict=True)
        rows, columns = (
            _side(part, within, *of_side, trimmed, self.halo, self.step)
            for part, within, of_side, trimmed in zip(
                tile, scene, lost, self.plan.margins[:2], strict=True
            )
        )
        at = (rows.puts, columns.puts)
        inside = without_halo(valid, self.halo)[at]
        if not inside.any():
            return
        part = (slice(None), rows.reads, columns.reads)
        pixels = self._pixels(block[part], valid[part[1:]], (rows.length, columns.length))
        margins = (rows.before, columns.before, rows.after, columns.after)
        given = _softmax(self._scores(pixels, margins)[:, rows.takes, columns.takes])
        if not np.isfinite(given[:, inside]).all():
            raise ModelError(_NO_NUMBER)
        np.copyto(found[(slice(None), *at)], given, where=inside)

    def _pixels(self, block: np.ndarray, valid: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Return what the network takes, float32 (1, bands, *shape): means where invalid."""
        pixels = np.empty((1, self.bands, *shape), np.float32)
        pixels[...] = self.means[:, None, None]
        height, width = valid.shape
        with np.errstate(over="ignore"):  # what is beyond float32 is infinite, and so refused
            np.copyto(pixels[0, :, :height, :width], block, where=valid, casting="unsafe")
        return pixels

    def _scores(self, pixels: np.ndarray, margins: Sides) -> np.ndarray:
        """Return what the network gives before its Softmax, float32 (classes, rows, columns).

        Args:
            pixels: float32 (1, bands, height, width).
            margins: pixels around the block.
        """
        feeds = {INPUT: pixels}
        for trim in self.plan.trims:
            _, first, last = trim.names
            top, left, bottom, right = trim.cuts(margins)
            feeds[first] = np.array([top, left])
            feeds[last] = np.array([-bottom or _END, -right or _END])
        with self._room:
            (given,) = self._session.run(None, feeds)
        return np.asarray(given[0])

    @cached_property
    def _room(self) -> BoundedSemaphore:
        """So many threads may run it together that they do not fill the memory."""
        of_one = self.plan.block**2 * self.plan.pixel_bytes
        return BoundedSemaphore(max(1, min(cores(), int(_MEMORY // of_one))))

    @cached_property
    def _session(self) -> "onnxruntime.InferenceSession":
        return open_session(self.network.runs)


def _softmax(scores: np.ndarray) -> np.ndarray:
    """Return probabilities, float32, of scores (classes, ...)."""
    with np.errstate(invalid="ignore"):  # infinite scores give no number, and are refused
        powers = np.exp(scores - scores.max(axis=0))
        return np.asarray(powers / powers.sum(axis=0))


def open_session(model: bytes) -> "onnxruntime.InferenceSession":
    """Return ONNX Runtime's session of a checked network, of one thread a call.

    Raises:
        InputError: onnxruntime is not installed.
        ModelError: ONNX Runtime does not take the network.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(_NO_RUNTIME) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.enable_mem_pattern = False  # it keeps memory for each shape of block there was
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of classes that ONNX Runtime does not export
        raise ModelError(f"ONNX Runtime does not take the network: {error}") from error


@dataclass(frozen=True)
class _Side:
    """One side of a part, in rows or in columns.

    Attributes:
        reads: of the block.
        length: of what the network is given: those, and invalid ones after them.
        before: of these, what lies before the part.
        after: what lies after it.
        takes: of what the network gives.
        puts: of what is found, where the network's are written.
    """

    reads: slice
    length: int
    before: int
    after: int
    takes: slice
    puts: slice


def _side(
    part: slice, scene: slice, before: int, after: int, trimmed: int, halo: int, step: int
) -> _Side:
    """Lay out one side of a part; it ends where the scene does and what the network loses there.

    Args:
        part: of what is to be found; its row 0 is the block's row `halo`.
        scene: what of the block lies in the scene.
        before: rows that the network loses at the beginning.
        after: rows that it loses at the end.
        trimmed: rows that its output has before a part whose halo is whole.
        halo: of the network.
        step: of the network.
    """
    start = max(part.start, scene.start - -(-before // step) * step)
    stop = min(part.stop + 2 * halo, scene.stop + after)
    first = max(part.start + halo, scene.start)
    last = max(first, min(part.stop + halo, scene.stop))
    length = -(-(stop - start) // step) * step
    margin = part.start + halo - start
    own = -(-(last - margin - start) // step) * step
    at = min(margin, trimmed) - margin - start - before
    return _Side(
        slice(start, stop),
        length,
        margin,
        length - margin - own,
        slice(first + at, last + at),
        slice(first - halo, last - halo),
    )
