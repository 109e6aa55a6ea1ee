"""Check the graph of a network, hostile until checked, and write what passed anew.

Of a graph from anybody only what is known here is kept: nodes of the positive list in
`landcover.models.network.operators`, their weights, one input and one output. The rest is refused
where it would change what is computed, and left behind where it only describes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from landcover.errors import ModelError
from landcover.io.legend import MAX_CODE
from landcover.models.network.operators import (
    MAX_CHANNELS,
    OPERATORS,
    Extent,
    Node,
    Reach,
    Values,
    refuse,
)
from landcover.models.network.trimming import AXES, Sides, Trim, find_trims, trimmed

if TYPE_CHECKING:
    import onnx

INPUT, OUTPUT = "pixels", "probability"
OPSETS = (13, 22)
"""The oldest and the newest in which the operators mean what we take them for."""
IR_VERSION = 8
MAX_NODES = 2_000
MAX_WEIGHTS = 20_000_000
"""Numbers of all initialisers: 80 MB, which a child reads within its bounds."""
MAX_WORK = 2_000_000
"""Multiplications and additions for one pixel; a U-Net of 400,000 weights needs some 45,000."""
MEMORY_AT_ONCE = 160 << 20
"""Bytes of the tensors that one block may need together."""
_MEMORY_WANTED = 48 << 20
"""Bytes that it needs where its halo leaves the choice: larger ones are not faster."""
LEAST_BLOCK = 64
"""Pixels on a side that a block must have besides its halo, or a map would take for ever."""


@dataclass(frozen=True)
class Plan:
    """How a network is run, as its graph says.

    Attributes:
        opset: in which its operators are meant.
        bands: channels of its input.
        classes: channels of its output.
        step: blocks begin and end at multiples of it, counted from the scene's corner.
        halo: pixels on each side of a block that it looks at, a multiple of the step.
        before: rows and columns that its output lacks at the top and left, without padding.
        after: those that it lacks at the bottom and right.
        work: multiplications and additions for one pixel.
        pixel_bytes: of all tensors that are needed at one time, for one pixel of the input.
        trims: where it leaves parts of the halo behind.
        margins: what its output has around a block whose halo is whole.
    """

    opset: int
    bands: int
    classes: int
    step: int
    halo: int
    before: tuple[int, int]
    after: tuple[int, int]
    work: int
    pixel_bytes: float
    trims: tuple[Trim, ...]
    margins: Sides

    @property
    def block(self) -> int:
        """Pixels on a side, halo included, that are run at once."""
        least = min(4 * self.halo + LEAST_BLOCK, self._side(MEMORY_AT_ONCE))
        return max(least, self._side(_MEMORY_WANTED)) // self.step * self.step

    def _side(self, memory: int) -> int:
        return math.isqrt(int(memory / self.pixel_bytes))

    @classmethod
    def of_dict(cls, plain: Mapping[str, Any]) -> "Plan":
        """Read what `dataclasses.asdict` gives, after it was JSON."""
        of_sides = {name: tuple(plain[name]) for name in ("before", "after", "margins")}
        trims = tuple(
            Trim(**trim | {name: tuple(trim[name]) for name in ("has", "keeps")})
            for trim in plain["trims"]
        )
        return cls(**dict(plain) | of_sides | {"trims": trims})


@dataclass(frozen=True)
class Checked:
    """A network that passed.

    Attributes:
        model: written anew of checked parts only, serialised.
        runs: the same with the plan's trims and without its Softmax, which ONNX Runtime takes ten
            times as long for as numpy: it gives scores.
        plan: how it is run.
    """

    model: bytes
    runs: bytes
    plan: Plan


@dataclass(frozen=True)
class _Tensors:
    """What is known of each tensor, by its name: an extent or the numbers of a constant."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, np.ndarray]
    extents: Mapping[str, Extent]

    def inputs(self, node: Node) -> list[Values]:
        return [_value(name, self.constants, self.extents) for name in node.inputs]

    def kept(self, reaches: Mapping[str, Reach]) -> tuple[Node, ...]:
        """Return the nodes that the output follows from."""
        return tuple(node for node in self.nodes if node.output in reaches)


def check_graph(graph: "onnx.GraphProto", opset: int, bands: int, classes: int) -> Checked:
    """Check a graph and return it with what follows from it.

    Args:
        graph: from anybody.
        opset: in which its operators are meant.
        bands: of the model's card.
        classes: of the card's legend.

    Raises:
        ModelError: it holds what is not on the list, does not fit the card, or costs too much;
            the sentence names the operator or the part.
    """
    nodes = _nodes(graph)
    _check_frame(graph, bands, classes)
    constants = _constants(graph)
    found = _Tensors(nodes, constants, _extents(nodes, constants, bands))
    reaches = _reaches(found)
    plan = _plan(found, reaches, opset, classes)
    kept = found.kept(reaches)
    model = _written(kept, found.constants, plan, OUTPUT)
    *before, softmax = trimmed(kept, plan.trims)
    runs = _written(before, found.constants, plan, softmax.inputs[0])
    _take_cuts(runs, plan)
    return Checked(model.SerializeToString(), runs.SerializeToString(), plan)


# --- what stands around the nodes ---


def _check_frame(graph: "onnx.GraphProto", bands: int, classes: int) -> None:
    _need(2 <= classes <= MAX_CODE, f"tells {classes} classes apart, 2 to {MAX_CODE} are run")
    _need(not graph.sparse_initializer, "holds sparse initialisers, which are not read")
    _need(not graph.quantization_annotation, "is annotated for quantisation, which is not run")
    _check_port(graph.input, "input", INPUT, bands)
    _check_port(graph.output, "output", OUTPUT, classes)


def _check_port(
    ports: Sequence["onnx.ValueInfoProto"], what: str, name: str, channels: int
) -> None:
    from onnx import TensorProto

    names = ", ".join(port.name[:40] for port in ports[:5]) or "none"
    _need([port.name for port in ports] == [name], f"has the {what} {names}, needs {name} alone")
    tensor = ports[0].type.tensor_type
    is_float = ports[0].type.HasField("tensor_type") and tensor.elem_type == TensorProto.FLOAT
    _need(is_float, f"has the {what} {name} of another type than float32")
    known = [axis.dim_value if axis.HasField("dim_value") else None for axis in tensor.shape.dim]
    fits = len(known) == 4 and known[0] in (None, 1) and known[1] in (None, channels)
    fits &= known[2:] == [None, None]
    shown = " x ".join("any" if size is None else str(size) for size in known[:8]) or "no shape"
    _need(fits, f"has the {what} {name} of {shown}, needs 1 x {channels} x any x any")


def _constants(graph: "onnx.GraphProto") -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    left = MAX_WEIGHTS
    for tensor in graph.initializer:
        _need(tensor.name not in (*found, INPUT, ""), f"names a weight '{tensor.name}' twice")
        found[tensor.name] = _numbers(tensor, left)
        left -= found[tensor.name].size
    return found


def _numbers(tensor: "onnx.TensorProto", left: int) -> np.ndarray:
    """Return the numbers of an initialiser, float32, at most `left` of them."""
    from onnx import TensorProto, numpy_helper

    name = f"weight '{tensor.name}'"
    is_outside = tensor.data_location == TensorProto.EXTERNAL or tensor.external_data
    _need(not is_outside, f"keeps its {name} in another file (external data)")
    _need(tensor.data_type == TensorProto.FLOAT, f"has a {name} that is not float32")
    _need(not tensor.HasField("segment"), f"has a {name} in segments")
    axes = list(tensor.dims)
    size = math.prod(axes)
    _need(len(axes) <= 4 and min(axes, default=1) >= 1, f"has a {name} of an invalid shape")
    _need(size <= left, f"has more than {MAX_WEIGHTS} weights")
    held = len(tensor.raw_data) / 4 if tensor.HasField("raw_data") else len(tensor.float_data)
    _need(held == size, f"has a {name} that does not fill its shape")
    numbers = np.array(numpy_helper.to_array(tensor), np.float32)
    _need(np.isfinite(numbers).all(), f"has a {name} that is no number (NaN or infinite)")
    return numbers


# --- nodes ---


def _nodes(graph: "onnx.GraphProto") -> tuple[Node, ...]:
    count = len(graph.node)
    _need(0 < count <= MAX_NODES, f"has {count} operators, 1 to {MAX_NODES} are run")
    return tuple(map(_node, graph.node))


def _node(proto: "onnx.NodeProto") -> Node:
    shown = f"the operator {proto.op_type[:60]}"
    of_others = f" of the domain {proto.domain[:60]}" if proto.domain else ""
    _need(not proto.domain and not proto.overload, f"uses {shown}{of_others}, which is not run")
    for attribute in proto.attribute:
        is_graph = attribute.HasField("g") or attribute.graphs
        _need(not is_graph, f"has a sub-graph in {shown}, which is not run")
    listed = ", ".join(OPERATORS)
    _need(proto.op_type in OPERATORS, f"uses {shown}, which is not run; those that are: {listed}")
    _need(len(proto.output) == 1, f"takes {len(proto.output)} outputs of {shown}, one is run")
    node = Node(proto.op_type, tuple(proto.input), proto.output[0], {})
    return replace(node, attributes=_attributes(proto, node))


def _attributes(proto: "onnx.NodeProto", node: Node) -> dict[str, Any]:
    known = OPERATORS[node.operator].attributes
    found: dict[str, Any] = {}
    for attribute in proto.attribute:
        name = attribute.name[:60]
        if name not in known:
            raise refuse(node, f"has the attribute {name}, which is not run")
        if name in found:
            raise refuse(node, f"has the attribute {name} twice")
        found[name] = value = _plain(attribute)
        if value is None or not known[name](value):
            raise refuse(node, f"has {name} {_shown(value)}, which is not run")
    return found


def _plain(attribute: "onnx.AttributeProto") -> Any:
    """Return the value of an attribute of a plain type, else None."""
    kinds = {1: "f", 2: "i", 3: "s", 7: "ints"}  # AttributeProto.AttributeType
    if attribute.type not in kinds or attribute.ref_attr_name:
        return None
    value = getattr(attribute, kinds[attribute.type])
    return list(value[:8]) if attribute.type == 7 else value


def _shown(value: Any) -> str:
    if value is None:
        return "of another type"
    return value[:60].decode(errors="replace") if isinstance(value, bytes) else str(value)[:60]


# --- what follows from them ---


def _extents(
    nodes: Sequence[Node], constants: Mapping[str, np.ndarray], bands: int
) -> dict[str, Extent]:
    extents = {INPUT: Extent(bands)}
    for node in nodes:
        if node.output in extents or node.output in constants or not node.output:
            raise refuse(node, "gives a tensor that there is already")
        inputs = [_value(name, constants, extents, node) for name in node.inputs]
        extent = OPERATORS[node.operator].shape(node, inputs)
        if not 0 < extent.channels <= MAX_CHANNELS:
            raise refuse(node, f"has {extent.channels} channels, at most {MAX_CHANNELS} are run")
        extents[node.output] = extent
    return extents


def _value(
    name: str,
    constants: Mapping[str, np.ndarray],
    extents: Mapping[str, Extent],
    node: Node | None = None,
) -> Values:
    if not name:
        return None
    if name in constants:
        return constants[name]
    if name not in extents and node is not None:
        raise refuse(node, f"takes '{name[:60]}' before anything gives it, as in a cycle")
    return extents[name]


def _lacking(found: _Tensors) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the rows and columns that the output lacks at its beginning and at its end."""
    out = found.extents[OUTPUT]
    before = ((1 - out.rows) // 2, (1 - out.columns) // 2)
    return before, (-out.rows - before[0], -out.columns - before[1])


def _reaches(found: _Tensors) -> dict[str, Reach]:
    """Return of each tensor that the output follows from what is needed beyond a block."""
    _check_output(found)
    (top, left), _ = _lacking(found)
    # output row j belongs to row j + top of the input
    reaches = {OUTPUT: Reach(top, left, -top, -left)}
    for node in reversed(found.nodes):
        if node.output in reaches:
            inputs = found.inputs(node)
            reach = OPERATORS[node.operator].reach(node, inputs, reaches[node.output])
            for name in node.inputs:
                if name in found.extents:
                    reaches[name] = reach.joined(reaches.get(name))
    return reaches


def _check_output(found: _Tensors) -> None:
    last = next((node for node in found.nodes if node.output == OUTPUT), None)
    _need(last is not None, f"gives no {OUTPUT}")
    _need(
        last is not None and last.operator == "Softmax", f"ends in no Softmax: {OUTPUT} needs one"
    )
    out = found.extents[OUTPUT]
    fits = out.scale == 1 and out.rows <= 0 and out.columns <= 0
    _need(fits, f"gives {OUTPUT} for other pixels than those of the scene")


def _plan(found: _Tensors, reaches: Mapping[str, Reach], opset: int, classes: int) -> Plan:
    channels = found.extents[OUTPUT].channels
    _need(channels == classes, f"gives {channels} classes and its card {classes}")
    _need(INPUT in reaches, f"does not look at {INPUT}")
    seen = reaches[INPUT]
    step = max(found.extents[name].scale for name in reaches)
    halo = max(seen.top, seen.left, seen.bottom, seen.right, 0)
    before, after = _lacking(found)
    halo = -(-halo // step) * step
    trims, margins = find_trims(found.kept(reaches), found.extents, reaches, halo, OUTPUT)
    plan = Plan(
        opset=opset,
        bands=found.extents[INPUT].channels,
        classes=classes,
        step=step,
        halo=halo,
        before=before,
        after=after,
        work=_work(found, reaches),
        pixel_bytes=_pixel_bytes(found, reaches),
        trims=trims,
        margins=margins,
    )
    _need(plan.work <= MAX_WORK, f"computes {plan.work} times a pixel, at most {MAX_WORK} is run")
    _need(
        plan.block >= 2 * plan.halo + max(LEAST_BLOCK, step),
        f"looks {plan.halo} pixels far and needs {plan.pixel_bytes:.0f} bytes a pixel: one block "
        f"would need more than {MEMORY_AT_ONCE >> 20} MiB",
    )
    return plan


def _work(found: _Tensors, reaches: Mapping[str, Reach]) -> int:
    return math.ceil(
        sum(
            OPERATORS[node.operator].work(node, found.inputs(node), found.extents[node.output])
            / found.extents[node.output].scale ** 2
            for node in found.nodes
            if node.output in reaches
        )
    )


def _pixel_bytes(found: _Tensors, reaches: Mapping[str, Reach]) -> float:
    """Return the bytes of all tensors that are needed together, where those are most."""
    last = {name: at for at, node in enumerate(found.nodes) for name in node.inputs}
    alive = {INPUT: _bytes_of(found.extents[INPUT])}
    most = 0.0
    for at, node in enumerate(found.nodes):
        if node.output in reaches:
            alive[node.output] = _bytes_of(found.extents[node.output])
            most = max(most, sum(alive.values()))
            alive = {name: size for name, size in alive.items() if last.get(name, at) > at}
    return most


def _bytes_of(extent: Extent) -> float:
    return 4 * extent.channels / extent.scale**2


# --- the same, written anew ---


def _written(
    nodes: Sequence[Node], constants: Mapping[str, np.ndarray], plan: Plan, output: str
) -> "onnx.ModelProto":
    from onnx import TensorProto, helper, numpy_helper

    used = {name for node in nodes for name in node.inputs}
    gives: list[int | str] = [1, plan.classes, "rows", "columns"]
    takes: list[int | str] = [1, plan.bands, "height", "width"]
    graph = helper.make_graph(
        [
            helper.make_node(node.operator, node.inputs, [node.output], **node.attributes)
            for node in nodes
        ],
        "landcover",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, takes)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, gives)],
        [
            numpy_helper.from_array(numbers, name)
            for name, numbers in constants.items()
            if name in used
        ],
    )
    opsets = [helper.make_opsetid("", plan.opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def _take_cuts(model: "onnx.ModelProto", plan: Plan) -> None:
    """Let a graph with trims take their cuts as inputs."""
    from onnx import TensorProto, helper, numpy_helper

    for trim in plan.trims:
        for name in trim.names[1:]:
            cut = helper.make_tensor_value_info(name, TensorProto.INT64, [2])
            model.graph.input.append(cut)
    if plan.trims:
        rows_and_columns = numpy_helper.from_array(np.array([2, 3]), AXES)
        model.graph.initializer.append(rows_and_columns)


def _need(holds: Any, fault: str) -> None:
    if not holds:
        raise ModelError(f"the network {fault}")
