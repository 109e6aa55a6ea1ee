"""Leave the halo behind as soon as nothing looks at it any more.

A U-Net looks far only on its way down; what it makes on its way up needs a few pixels around a
block. Where tensors are joined, each is cut to what is still needed, so that a halo costs about a
third of what it would. The cuts are inputs of the graph that is run: on the sides where the scene
ends there is less to cut, or nothing. The numbers of the block stay the same to the bit.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from landcover.models.network.operators import Extent, Node, Reach

Sides = tuple[int, int, int, int]
"""Of a block: top, left, bottom, right."""


@dataclass(frozen=True)
class Trim:
    """A cut of one input of one node.

    Attributes:
        node: number of the node.
        input: number of its input.
        scale: pixels of the scene, on a side, that a pixel of the tensor stands for.
        has: pixels of the tensor around a block whose halo is whole.
        keeps: those that are needed.
    """

    node: int
    input: int
    scale: int
    has: Sides
    keeps: Sides

    @property
    def names(self) -> tuple[str, str, str]:
        """What its node takes instead, and the inputs of the graph: first and last pixels."""
        at = f"{self.node}.{self.input}"
        return f"trimmed {at}", f"first {at}", f"last {at}"

    def cuts(self, margins: Sequence[int]) -> Sides:
        """Return what is cut off where the input has so many pixels around the block."""
        top, left, bottom, right = (
            max(0, min(margin // self.scale, has) - keeps)
            for margin, has, keeps in zip(margins, self.has, self.keeps, strict=True)
        )
        return top, left, bottom, right


def find_trims(
    nodes: Sequence[Node],
    extents: Mapping[str, Extent],
    reaches: Mapping[str, Reach],
    halo: int,
    output: str,
) -> tuple[tuple[Trim, ...], Sides]:
    """Find where a network can be trimmed.

    Args:
        nodes: that the output follows from, in order.
        extents: of all tensors.
        reaches: what is needed of each beyond a block.
        halo: of the network.
        output: name of its output.

    Returns:
        The cuts; and what the output has around a block whose halo is whole.
    """
    if any(extents[name].rows or extents[name].columns for name in reaches):
        return (), (halo, halo, halo, halo)  # it loses its borders by itself
    coarsest = max(extents[name].scale for name in reaches)
    evens = _halved_later(nodes, extents)
    margins = {name: _all(halo) for name in extents if extents[name].scale == 1}
    trims: list[Trim] = []
    for number, node in enumerate(nodes):
        inputs = [(at, name) for at, name in enumerate(node.inputs) if name in extents]
        scale = extents[node.output].scale
        if len(inputs) > 1:
            even = coarsest // scale if node.output in evens else 1
            keeps = _rounded(reaches[node.output], even)
            trims += [
                Trim(number, at, scale, margins[name], keeps)
                for at, name in inputs
                if margins[name] != keeps
            ]
            margins[node.output] = keeps
        else:
            (_, name) = inputs[0]
            margins[node.output] = _rescaled(margins[name], extents[name].scale, scale)
    return tuple(trims), margins[output]


def _halved_later(nodes: Sequence[Node], extents: Mapping[str, Extent]) -> set[str]:
    """Return the tensors from which a coarser one follows: their pixels must stay in pairs."""
    found: set[str] = set()
    for node in reversed(nodes):
        for name in node.inputs:
            is_halved = name in extents and extents[name].scale < extents[node.output].scale
            if is_halved or node.output in found:
                found.add(name)
    return found


def _all(side: int) -> Sides:
    return side, side, side, side


def _rounded(reach: Reach, even: int) -> Sides:
    top, left, bottom, right = (
        -(-max(side, 0) // even) * even
        for side in (reach.top, reach.left, reach.bottom, reach.right)
    )
    return top, left, bottom, right


def _rescaled(margins: Sides, before: int, after: int) -> Sides:
    top, left, bottom, right = (side * before // after for side in margins)
    return top, left, bottom, right


def trimmed(nodes: Sequence[Node], trims: Sequence[Trim]) -> Iterator[Node]:
    """Yield nodes that take trimmed inputs, each after the cuts that it needs."""
    for number, node in enumerate(nodes):
        inputs = list(node.inputs)
        for trim in trims:
            if trim.node == number:
                name, first, last = trim.names
                yield Node("Slice", (inputs[trim.input], first, last, AXES), name, {})
                inputs[trim.input] = name
        yield replace(node, inputs=tuple(inputs))


AXES = "trimmed axes"
"""Name of the constant that says that rows and columns are cut."""
