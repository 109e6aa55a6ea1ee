"""U-Net (Ronneberger, Fischer, Brox 2015) in torch, and as the graph that maps; needs torch.

Nearest pixels instead of transposed convolutions, and padding instead of lost borders.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from landcover.models.network.fitting import block, folded, plain
from landcover.models.network.writer import GraphWriter, Scaling

if TYPE_CHECKING:
    import onnx


class UNet:
    """Scores of classes for each pixel, from ever coarser views of what surrounds it."""

    def __init__(self, bands: int, classes: int, width: int, depth: int) -> None:
        """Make one of random weights that halves its pixels `depth` times."""
        widths = [width << level for level in range(depth + 1)]
        inputs = [bands, *widths[:-1]]
        self._down = nn.ModuleList(
            [_pair(inner, outer) for inner, outer in zip(inputs, widths, strict=True)]
        )
        self._up = nn.ModuleList([_pair(3 * outer, outer) for outer in widths[-2::-1]])
        self._head = nn.Conv2d(width, classes, 1)
        self.parts = nn.ModuleList([self._down, self._up, self._head])
        self._bands, self._classes = bands, classes

    def scores(self, pixels: Any) -> Any:
        """Return scores (B, classes, H, W); H and W are multiples of 2 to the depth."""
        x, views = pixels, []
        for level, pair in enumerate(self._down):
            x = _through(pair, functional.max_pool2d(x, 2) if level else x)
            views.append(x)
        for pair, view in zip(self._up, views[-2::-1], strict=True):
            doubled = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = _through(pair, torch.cat([doubled, view], dim=1))
        return self._head(x)

    def graph(self, scaling: Scaling) -> "onnx.GraphProto":
        """Return the graph that does the same."""
        write = GraphWriter(self._bands)
        x, views = write.scaled(scaling), []
        for level, pair in enumerate(self._down):
            x = _written(write, pair, write.halved(x) if level else x)
            views.append(x)
        for pair, view in zip(self._up, views[-2::-1], strict=True):
            x = _written(write, pair, write.joined(write.doubled(x), view))
        return write.graph(write.conv(x, *plain(self._head)), self._classes)


def _pair(inner: int, outer: int) -> Any:
    return nn.ModuleList([block(inner, outer, 3, 1), block(outer, outer, 3, 1)])


def _through(pair: Any, x: Any) -> Any:
    for layer in pair:
        x = torch.relu(layer(x))
    return x


def _written(write: GraphWriter, pair: Any, x: str) -> str:
    for layer in pair:
        x = write.relu(write.conv(x, *folded(layer), pad=1))
    return x
