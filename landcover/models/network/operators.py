"""The operators that a network may use; a file that uses another one is refused.

Of each operator is known: the attributes in which it may come, what it makes of the shape of its
input, how far it looks, and what a pixel costs. So the halo, the alignment of blocks, the memory
and the work of a network follow from its graph, and nothing of them has to be believed.

Source: https://onnx.ai/onnx/operators
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from landcover.errors import ModelError

MAX_KERNEL = 31
MAX_DILATION = 32
MAX_SCALE = 64
"""Pixels of the scene, on a side, that a pixel of the coarsest tensor stands for."""
MAX_CHANNELS = 4096


@dataclass(frozen=True)
class Extent:
    """The shape of a tensor (1, channels, H / scale + rows, W / scale + columns).

    H and W are those of the network's input, multiples of the coarsest scale.
    """

    channels: int
    scale: int = 1
    rows: int = 0
    columns: int = 0

    def covers(self, other: "Extent") -> bool:
        """Return whether both have the same pixels."""
        return replace(self, channels=other.channels) == other


@dataclass(frozen=True)
class Reach:
    """Rows and columns of a tensor that are needed beyond a block, on each side.

    A block is rows 0 to B of the input, B a multiple of the coarsest scale; of a tensor it is
    rows 0 to B / scale.
    """

    top: int
    left: int
    bottom: int
    right: int

    def joined(self, other: "Reach | None") -> "Reach":
        """Return what is needed where both are."""
        if other is None:
            return self
        return Reach(
            max(self.top, other.top),
            max(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )


@dataclass(frozen=True)
class Node:
    """One node of a graph, checked as far as it can be seen alone.

    Attributes:
        operator: a key of OPERATORS.
        inputs: names of tensors; "" is an optional input that is left out.
        output: name of the tensor that it gives.
        attributes: by name, as `Operator.attributes` knows them, those left out not included.
    """

    operator: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any]


Values = Extent | np.ndarray | None
"""An input: a tensor that depends on pixels, a constant, or nothing."""


@dataclass(frozen=True)
class Operator:
    """What is known of an operator.

    Attributes:
        attributes: those that it may have, each with the check that its value must pass.
        shape: gives the extent of its output from those of its inputs, or refuses them.
        reach: gives what it needs of its inputs for what is needed of its output.
        work: gives multiplications and additions for one pixel of the output.
    """

    attributes: Mapping[str, Callable[[Any], bool]]
    shape: Callable[[Node, Sequence[Values]], Extent]
    reach: Callable[[Node, Sequence[Values], Reach], Reach] = lambda node, inputs, reach: reach
    work: Callable[[Node, Sequence[Values], Extent], int] = lambda node, inputs, out: out.channels


def refuse(node: Node, fault: str) -> ModelError:
    """Return the error that names an operator and what is wrong with it."""
    return ModelError(f"the network's {node.operator} '{node.output}' {fault}")


def _need(holds: bool | np.bool_, node: Node, fault: str) -> None:
    if not holds:
        raise refuse(node, fault)


def _tensor(node: Node, value: Values) -> Extent:
    if not isinstance(value, Extent):
        raise refuse(node, "computes with constants where it needs what depends on the scene")
    return value


def _constant(node: Node, value: Values, what: str) -> np.ndarray:
    if not isinstance(value, np.ndarray):
        raise refuse(node, f"needs {what} that stands in the file")
    return value


def _counted(node: Node, inputs: Sequence[Values], least: int, most: int) -> None:
    _need(
        least <= len(inputs) <= most,
        node,
        f"has {len(inputs)} inputs, needs {least}" + (f" to {most}" if most > least else ""),
    )


# --- pixel by pixel ---


def _of_one(node: Node, inputs: Sequence[Values]) -> Extent:
    _counted(node, inputs, 1, 1)
    return _tensor(node, inputs[0])


def _softmax(node: Node, inputs: Sequence[Values]) -> Extent:
    _need("axis" in node.attributes, node, "lacks axis")
    return _of_one(node, inputs)


def _clipped(node: Node, inputs: Sequence[Values]) -> Extent:
    _counted(node, inputs, 1, 3)
    for bound in inputs[1:]:
        if bound is not None:
            _need(_constant(node, bound, "bounds").shape in ((), (1,)), node, "has no plain bound")
    return _tensor(node, inputs[0])


def _combined(node: Node, inputs: Sequence[Values]) -> Extent:
    """Two tensors of the same extent, or one and a constant for each channel or all."""
    _counted(node, inputs, 2, 2)
    tensors = [value for value in inputs if isinstance(value, Extent)]
    _need(bool(tensors), node, "computes with constants alone")
    for value in inputs:
        if isinstance(value, np.ndarray):
            shape = (1,) * (4 - value.ndim) + value.shape
            fits = shape in ((1, 1, 1, 1), (1, tensors[0].channels, 1, 1))
            _need(fits, node, f"takes a constant of shape {value.shape}, needs one a channel")
        else:
            fits = _tensor(node, value) == tensors[0]
            _need(fits, node, "combines tensors of different shapes")
    return tensors[0]


def _concatenated(node: Node, inputs: Sequence[Values]) -> Extent:
    tensors = [_tensor(node, value) for value in inputs]
    _need("axis" in node.attributes, node, "lacks axis")
    _need(all(one.covers(tensors[0]) for one in tensors), node, "joins tensors of other sizes")
    return replace(tensors[0], channels=sum(one.channels for one in tensors))


# --- windows ---


@dataclass(frozen=True)
class _Window:
    """How an operator goes over its input: (rows, columns) of each; pads top left bottom right."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]

    @property
    def span(self) -> tuple[int, int]:
        """Rows and columns between the first and the last pixel that one output looks at."""
        rows, columns = self.kernel
        return self.dilations[0] * (rows - 1), self.dilations[1] * (columns - 1)


def _window(node: Node, kernel: tuple[int, int]) -> _Window:
    found = node.attributes
    window = _Window(
        kernel,
        tuple(found.get("strides", (1, 1))),
        tuple(found.get("dilations", (1, 1))),
        tuple(found.get("pads", (0, 0, 0, 0))),
    )
    largest = max(kernel)
    _need(largest <= MAX_KERNEL, node, f"has a kernel of {largest}, at most {MAX_KERNEL} is run")
    dilation = max(window.dilations)
    _need(
        dilation <= MAX_DILATION,
        node,
        f"is dilated by {dilation}, at most by {MAX_DILATION} is run",
    )
    _need(window.strides in ((1, 1), (2, 2)), node, f"has strides {window.strides}, needs 1 or 2")
    within = all(pad <= span for pad, span in zip(window.pads, window.span * 2, strict=True))
    _need(within, node, f"pads by {window.pads}, more than its kernel reaches")
    return window


def _kernel(node: Node, inputs: Sequence[Values]) -> tuple[int, int]:
    if node.operator != "Conv":
        _need("kernel_shape" in node.attributes, node, "lacks kernel_shape")
        return tuple(node.attributes["kernel_shape"])
    rows, columns = _constant(node, inputs[1], "weights").shape[2:]
    return rows, columns


def _over(node: Node, tensor: Extent, kernel: tuple[int, int], channels: int) -> Extent:
    """Return the extent of what a window gives; (n + pads - span - 1) // stride + 1 rows."""
    window = _window(node, kernel)
    stride, pads, span = window.strides[0], window.pads, window.span
    scale = tensor.scale * stride
    _need(scale <= MAX_SCALE, node, f"coarsens {scale} times, at most {MAX_SCALE} times is run")
    rows = (tensor.rows + pads[0] + pads[2] - span[0] - 1) // stride + 1
    columns = (tensor.columns + pads[1] + pads[3] - span[1] - 1) // stride + 1
    return Extent(channels, scale, rows, columns)


def _convolved(node: Node, inputs: Sequence[Values]) -> Extent:
    _counted(node, inputs, 2, 3)
    tensor, weights = _tensor(node, inputs[0]), _constant(node, inputs[1], "weights")
    _need(weights.ndim == 4, node, f"has weights of shape {weights.shape}, needs four axes")
    group = node.attributes.get("group", 1)
    channels, per_group = weights.shape[:2]
    fits = per_group * group == tensor.channels and channels % group == 0
    _need(fits, node, f"takes {per_group * group} channels and is given {tensor.channels}")
    if len(inputs) == 3 and inputs[2] is not None:
        bias = _constant(node, inputs[2], "a bias").shape
        _need(bias == (channels,), node, f"has a bias of shape {bias}, needs {channels} numbers")
    kernel = _kernel(node, inputs)
    stated = node.attributes.get("kernel_shape", kernel)
    _need(tuple(stated) == kernel, node, "has weights of another size than its kernel_shape")
    return _over(node, tensor, kernel, channels)


def _pooled(node: Node, inputs: Sequence[Values]) -> Extent:
    _counted(node, inputs, 1, 1)
    tensor = _tensor(node, inputs[0])
    return _over(node, tensor, _kernel(node, inputs), tensor.channels)


def _reach_of_window(node: Node, inputs: Sequence[Values], reach: Reach) -> Reach:
    window = _window(node, _kernel(node, inputs))
    stride, (top, left, *_), (rows, columns) = window.strides[0], window.pads, window.span
    return Reach(
        top=stride * reach.top + top,
        left=stride * reach.left + left,
        bottom=stride * (reach.bottom - 1) + 1 - top + rows,
        right=stride * (reach.right - 1) + 1 - left + columns,
    )


def _work_of_convolution(node: Node, inputs: Sequence[Values], out: Extent) -> int:
    return int(_constant(node, inputs[1], "weights").size)


def _work_of_pool(node: Node, inputs: Sequence[Values], out: Extent) -> int:
    rows, columns = _kernel(node, inputs)
    return int(rows * columns * out.channels)


def _doubled(node: Node, inputs: Sequence[Values]) -> Extent:
    _counted(node, inputs, 3, 3)
    _need(inputs[1] is None, node, "has a region of interest, which is not run")
    tensor, scales = _tensor(node, inputs[0]), _constant(node, inputs[2], "scales")
    _need(scales.tolist() == [1, 1, 2, 2], node, f"scales by {scales.tolist()}, needs 1, 1, 2, 2")
    _need(tensor.scale % 2 == 0, node, "makes pixels that are finer than those of the scene")
    for name, value in _NEAREST.items():
        _need(node.attributes.get(name) == value, node, f"needs {name} {value.decode()}")
    return Extent(tensor.channels, tensor.scale // 2, 2 * tensor.rows, 2 * tensor.columns)


def _reach_of_doubling(node: Node, inputs: Sequence[Values], reach: Reach) -> Reach:
    """Of rows j .. k, rows floor(j / 2) .. floor(k / 2) are needed."""
    return Reach(*(-(-side // 2) for side in (reach.top, reach.left, reach.bottom, reach.right)))


# --- the list ---


def _whole(least: int, most: int, count: int) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        is_list = isinstance(value, list) and len(value) == count
        return is_list and all(least <= number <= most for number in value)

    return check


def _one_of(*known: Any) -> Callable[[Any], bool]:
    return lambda value: any(type(value) is type(one) and value == one for one in known)


_LARGEST = 1 << 16  # bounded more closely, and with a better sentence, where shapes are known
_NEAREST = {
    "mode": b"nearest",
    "coordinate_transformation_mode": b"asymmetric",
    "nearest_mode": b"floor",
}
_OF_WINDOWS: dict[str, Callable[[Any], bool]] = {
    "auto_pad": _one_of(b"NOTSET"),
    "kernel_shape": _whole(1, _LARGEST, 2),
    "strides": _whole(1, _LARGEST, 2),
    "dilations": _whole(1, _LARGEST, 2),
    "pads": _whole(0, _LARGEST, 4),
}
_OF_POOLS = _OF_WINDOWS | {"ceil_mode": _one_of(0)}
_COMBINES = Operator({}, _combined)
_OF_ONE = Operator({}, _of_one)

OPERATORS: dict[str, Operator] = {
    "Add": _COMBINES,
    "AveragePool": Operator(
        _OF_POOLS | {"count_include_pad": _one_of(0, 1)}, _pooled, _reach_of_window, _work_of_pool
    ),
    "Clip": Operator({}, _clipped),
    "Concat": Operator({"axis": _one_of(1, -3)}, _concatenated),
    "Conv": Operator(
        _OF_WINDOWS | {"group": lambda value: type(value) is int and 1 <= value <= MAX_CHANNELS},
        _convolved,
        _reach_of_window,
        _work_of_convolution,
    ),
    "MaxPool": Operator(
        _OF_POOLS | {"storage_order": _one_of(0)}, _pooled, _reach_of_window, _work_of_pool
    ),
    "Mul": _COMBINES,
    "Relu": _OF_ONE,
    "Resize": Operator(
        {
            "mode": _one_of(_NEAREST["mode"]),
            "coordinate_transformation_mode": _one_of(_NEAREST["coordinate_transformation_mode"]),
            "nearest_mode": _one_of(_NEAREST["nearest_mode"]),
            "antialias": _one_of(0),
            "exclude_outside": _one_of(0),
            "cubic_coeff_a": lambda value: True,  # of another mode
            "extrapolation_value": lambda value: True,
            "keep_aspect_ratio_policy": _one_of(b"stretch"),
        },
        _doubled,
        _reach_of_doubling,
    ),
    "Softmax": Operator({"axis": _one_of(1, -3)}, _softmax),
    "Sqrt": _OF_ONE,
    "Sub": _COMBINES,
}
"""By name; opsets 13 to 22 of ONNX mean the same by them."""
