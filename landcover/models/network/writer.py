"""Write the graph of a network with `onnx.helper`: the same weights give the same bytes.

torch's own exporter writes weights into a second file and source paths into the graph. A network
takes raw values and gives probabilities: normalisation and softmax are part of it.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

PIXELS, PROBABILITY = "pixels", "probability"
"""Names of the input, float32 (1, bands, H, W), and the output, float32 (1, classes, H, W)."""
CENTRE, GAIN = "centre", "gain"
"""Initialisers of the scaling, float32 (1, bands, 1, 1)."""

Pads = tuple[int, int, int, int]
"""Pixels added above, left, below and right."""


@dataclass(frozen=True)
class Scaling:
    """How raw values become those that a network computes with: (value - centre) * gain, clipped.

    Attributes:
        centre: float32 (bands,); an invalid pixel has it in every band.
        gain: float32 (bands,), positive.
        limit: of the magnitude after scaling.
    """

    centre: np.ndarray
    gain: np.ndarray
    limit: float

    def __call__(self, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Return values (..., bands, H, W) as float32, 0 where not valid (..., H, W)."""
        scaled = (values.astype(np.float32) - self.centre[:, None, None]) * _as_image(self.gain)
        inside = np.expand_dims(valid, -3)
        return np.where(inside, np.clip(scaled, -self.limit, self.limit), np.float32(0))


@dataclass
class GraphWriter:
    """Collects the nodes of a graph; each method adds some and returns the name of what they give.

    Attributes:
        bands: of a pixel.
    """

    bands: int
    _nodes: "list[onnx.NodeProto]" = field(default_factory=list)
    _weights: "list[onnx.TensorProto]" = field(default_factory=list)

    def scaled(self, scaling: Scaling) -> str:
        """Scale the raw values of the input."""
        centre = self.constant(CENTRE, scaling.centre.reshape(1, -1, 1, 1))
        gain = self.constant(GAIN, scaling.gain.reshape(1, -1, 1, 1))
        centred = self.node("Sub", PIXELS, centre)
        return self.clipped(self.node("Mul", centred, gain), -scaling.limit, scaling.limit)

    def conv(self, x: str, weight: np.ndarray, bias: np.ndarray, pad: int = 0) -> str:
        """Convolve with a weight (out, in, k, k) and add a bias (out,)."""
        at = len(self._nodes)
        names = self.constant(f"weight_{at}", weight), self.constant(f"bias_{at}", bias)
        side = list(weight.shape[2:])
        return self.node("Conv", x, *names, kernel_shape=side, pads=[pad] * 4)

    def relu(self, x: str) -> str:
        """Set what is negative to 0."""
        return self.node("Relu", x)

    def halved(self, x: str) -> str:
        """Take the greatest of each 2 x 2 pixels."""
        return self.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])

    def averaged(self, x: str) -> str:
        """Take the mean of each 2 x 2 pixels."""
        return self.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])

    def doubled(self, x: str) -> str:
        """Repeat each pixel in 2 x 2."""
        scales = self.constant(f"scales_{len(self._nodes)}", np.array([1, 1, 2, 2]))
        return self.node(
            "Resize", x, "", scales, mode="nearest",
            coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip

    def box_mean(self, x: str, before: int, after: int) -> str:
        """Take the mean of a box that reaches from `before` pixels before to `after` after each.

        At the border it is the mean of what lies inside. Rows and then columns take a fraction
        of the additions that the box would.
        """
        side = before + after + 1
        for kernel, pads in (
            ([side, 1], [before, 0, after, 0]),
            ([1, side], [0, before, 0, after]),
        ):
            x = self.node("AveragePool", x, kernel_shape=kernel, pads=pads, count_include_pad=0)
        return x

    def joined(self, *parts: str) -> str:
        """Put channels one after another."""
        return self.node("Concat", *parts, axis=1)

    def clipped(self, x: str, low: float, high: float | None = None) -> str:
        """Bound values from below and, if told, from above."""
        at = len(self._nodes)
        bounds = [self.constant(f"low_{at}", np.array(low))]
        bounds += [] if high is None else [self.constant(f"high_{at}", np.array(high))]
        return self.node("Clip", x, *bounds)

    def constant(self, name: str, value: np.ndarray) -> str:
        """Add an array as float32."""
        from onnx import numpy_helper

        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(value, "<f4"), name))
        return name

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add one node of the default domain."""
        from onnx import helper

        name = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def graph(self, scores: str, classes: int) -> "onnx.GraphProto":
        """Return the graph that gives the softmax of some scores."""
        from onnx import TensorProto, helper

        self.node("Softmax", scores, axis=1)
        self._nodes[-1].output[0] = PROBABILITY
        sides: list[int | str] = ["height", "width"]
        return helper.make_graph(
            self._nodes,
            "landcover",
            [helper.make_tensor_value_info(PIXELS, TensorProto.FLOAT, [1, self.bands, *sides])],
            [helper.make_tensor_value_info(PROBABILITY, TensorProto.FLOAT, [1, classes, *sides])],
            self._weights,
        )


def convolutions_in(graph: "onnx.GraphProto") -> list[tuple[np.ndarray, np.ndarray]]:
    """Return weight and bias of each convolution of a graph, in their order."""
    from onnx import numpy_helper

    held = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    return [
        (held[node.input[1]], held[node.input[2]])
        for node in graph.node
        if node.op_type == "Conv" and len(node.input) == 3
    ]


def _as_image(of_bands: np.ndarray) -> np.ndarray:
    return of_bands[:, None, None]
