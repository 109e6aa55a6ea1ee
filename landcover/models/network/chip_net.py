"""The network of chip-cnn in torch, and as the graph that maps every pixel; needs torch.

Convolutions see one pixel, or 3 x 3 where texture is asked for, none is padded; the head sees the
mean and the deviation of what they give over the chip. So the chip at every pixel of a scene is a
box mean, and the map is what chips cut out at each pixel would be told.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from landcover.models.network.fitting import block, dropped, folded, plain
from landcover.models.network.writer import GraphWriter, Scaling

if TYPE_CHECKING:
    import onnx

_LEAST_VARIANCE = 1e-3
"""Mean of squares less square of mean loses digits; both ways of computing must agree."""


class ChipNet:
    """Scores of classes from the mean and deviation of learned features of a chip."""

    def __init__(
        self, bands: int, classes: int, side: int, width: int, texture: int, dropout: float
    ) -> None:
        """Make one of random weights, for chips of `side` pixels."""
        first = [block(bands, width), block(width, 3 * width // 2)]
        wider = [block(3 * width // 2, 3 * width // 2, 3) for _ in range(texture)]
        self._body = nn.ModuleList([*first, *wider, block(3 * width // 2, 2 * width)])
        self._head = nn.Conv2d(4 * width, classes, 1)
        self.parts = nn.ModuleList([self._body, self._head])
        self._bands, self._classes, self._side = bands, classes, side
        self._texture, self._dropout = texture, dropout

    def scores(self, pixels: Any) -> Any:
        """Return scores (B, classes) of chips (B, bands, side, side)."""
        x = pixels
        for layer in self._body:
            x = torch.relu(layer(x))
        mean, square = x.mean(dim=(2, 3)), (x * x).mean(dim=(2, 3))
        variance = (square - mean * mean).clamp_min(0) + _LEAST_VARIANCE
        seen = torch.cat([mean, variance.sqrt()], dim=1)
        dropped_out = dropped(seen, self._dropout, self.parts.training)
        return self._head(dropped_out[:, :, None, None])[:, :, 0, 0]

    def graph(self, scaling: Scaling, every: int = 1) -> "onnx.GraphProto":
        """Return the graph that gives each pixel what its chip is told.

        Args:
            scaling: of the values.
            every: 2 asks the chips of every second row and column alone; the three pixels that
                follow get the same.
        """
        write = GraphWriter(self._bands)
        x = write.scaled(scaling)
        for layer in self._body:
            weight, bias = folded(layer)
            x = write.relu(write.conv(x, weight, bias, pad=weight.shape[-1] // 2))
        reach = self._side // 2 - self._texture, (self._side - 1) // 2 - self._texture
        mean, square = (_box(write, y, reach, every) for y in (x, write.node("Mul", x, x)))
        variance = write.node("Sub", square, write.node("Mul", mean, mean))
        least = write.constant("least_variance", torch.tensor(_LEAST_VARIANCE).numpy())
        raised = write.node("Add", write.clipped(variance, 0), least)
        seen = write.joined(mean, write.node("Sqrt", raised))
        scores = write.conv(seen, *plain(self._head))
        return write.graph(write.doubled(scores) if every == 2 else scores, self._classes)


def _box(write: GraphWriter, x: str, reach: tuple[int, int], every: int) -> str:
    """Take the mean of the box around each pixel, or around every second one."""
    before, after = reach
    if every == 1:
        return write.box_mean(x, before, after)
    if before % 2 == 0 and after % 2 == 1:  # made of whole squares of 2 x 2
        return write.box_mean(write.averaged(x), before // 2, after // 2)
    return write.node("MaxPool", write.box_mean(x, before, after), kernel_shape=[1, 1],
                      strides=[2, 2])  # fmt: skip
