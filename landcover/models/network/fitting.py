"""The training loop that all networks share; this module needs torch.

AdamW (Loshchilov, Hutter 2019), where asked for with one cycle of the learning rate (Smith, Topin
2019). Everything random is drawn on the processor from one seed, so that the same seed and number
of threads give the same weights to the bit, and a GPU draws what a processor does.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from landcover.errors import InputError
from landcover.models.network.squares import Batch
from landcover.models.network.writer import Scaling, convolutions_in
from landcover.progress import remark, report_metric, report_progress, time_left

if TYPE_CHECKING:
    import onnx

_LOOKS = 12
"""Times that the places held out are looked at."""
_NONE = 1e-6
"""Added to a sum of weights that may be 0: a crop can hold no label."""


class Network(Protocol):
    """A network in torch, that can say itself as a graph."""

    parts: Any
    """Its modules as one; convolutions in the order in which the graph holds them."""

    def scores(self, pixels: Any) -> Any:
        """Return scores (B, classes) or (B, classes, H, W) of pixels (B, bands, H, W)."""

    def graph(self, scaling: Scaling) -> "onnx.GraphProto":
        """Return the graph that maps."""


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes:
        steps: batches to learn from.
        learning_rate: all the time, or at the top of the cycle.
        weight_decay: of AdamW.
        smoothing: share of a label that is given to all classes alike.
        seed: of weights and dropout.
        threads: that compute.
        device: cpu, gpu, or auto: a GPU if there is one.
        cycles: whether the learning rate rises and falls once.
    """

    steps: int
    learning_rate: float
    weight_decay: float
    smoothing: float
    seed: int
    threads: int
    device: str
    cycles: bool = True

    @classmethod
    def of(cls, options: Any, seed: int, cycles: bool = True) -> "Plan":
        """Take it from the options of a method, which have these names."""
        names = {field.name for field in fields(cls)} - {"seed", "cycles"}
        return cls(seed=seed, cycles=cycles, **{name: getattr(options, name) for name in names})


@contextmanager
def computing(plan: Plan) -> Iterator[torch.device]:
    """Give the block its threads, its seed and a device, and leave torch as it was.

    Raises:
        InputError: a GPU is asked for and there is none.
    """
    device = _device(plan.device)
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else cuBLAS may differ by run
    torch.set_num_threads(plan.threads)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.random.fork_rng(devices=[]), _exact_on_gpu():
            torch.manual_seed(plan.seed)
            yield device
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])


def train(
    network: Network,
    draw: Callable[[], Batch],
    held_out: Sequence[Batch],
    plan: Plan,
    device: torch.device,
) -> None:
    """Train, and keep the weights that did best in the places held out, if there are any.

    The loss of each step, and that in the places held out, go into the run record.

    Args:
        network: changed in place.
        draw: gives the batch of a step.
        held_out: batches of places that `draw` never shows.
        plan: how to train.
        device: to compute on.
    """
    parts = network.parts.to(device)
    optimizer = torch.optim.AdamW(
        parts.parameters(), plan.learning_rate, weight_decay=plan.weight_decay
    )
    cycle = (
        torch.optim.lr_scheduler.OneCycleLR(
            optimizer, plan.learning_rate, total_steps=max(plan.steps, 2)
        )
        if plan.cycles
        else None
    )
    best = _Best(parts, held_out)
    began = time.monotonic()
    every = max(1, plan.steps // _LOOKS)
    for step in range(plan.steps):
        loss = _step(network, draw(), plan, optimizer, device)
        if cycle is not None:
            cycle.step()
        report_metric("loss", loss, step)
        if held_out and (step % every == every - 1 or step == plan.steps - 1):
            best.look(network, plan, device, step)
        done = (step + 1) / plan.steps
        report_progress(
            done,
            f"training, step {step + 1:,} of {plan.steps:,}"
            + time_left(time.monotonic() - began, done),
        )
    best.restore()
    parts.to("cpu")
    parts.train(False)


class _Best:
    """The weights with the smallest loss in the places held out."""

    def __init__(self, parts: Any, held_out: Sequence[Batch]) -> None:
        self._parts, self._held_out = parts, held_out
        self._loss = np.inf
        self._state: dict[str, Any] = {}

    def look(self, network: Network, plan: Plan, device: torch.device, step: int) -> None:
        """Measure the loss, and keep the weights if it is the smallest so far."""
        self._parts.train(False)
        parts = []
        with torch.inference_mode():
            for batch in self._held_out:
                report_progress(step / plan.steps, "looking at the places held out")
                parts.append(_loss(network, batch, plan, device))
        self._parts.train(True)
        loss = float(sum(total for total, _ in parts) / (sum(w for _, w in parts) + _NONE))
        report_metric("loss_held_out", loss, step)
        if loss < self._loss:
            self._loss = loss
            self._state = {k: v.clone() for k, v in self._parts.state_dict().items()}

    def restore(self) -> None:
        """Go back to these weights."""
        if self._state:
            self._parts.load_state_dict(self._state)


def _step(
    network: Network, batch: Batch, plan: Plan, optimizer: Any, device: torch.device
) -> float:
    optimizer.zero_grad()
    total, weights = _loss(network, batch, plan, device)
    loss = total / (weights + _NONE)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def _loss(network: Network, batch: Batch, plan: Plan, device: torch.device) -> tuple[Any, Any]:
    """Return the weighted sum of cross-entropies, and the sum of weights.

    Written out, because torch's own is not deterministic on GPUs.
    """
    pixels, classes, weights = (
        torch.from_numpy(part).to(device) for part in (batch.pixels, batch.classes, batch.weights)
    )
    logs = functional.log_softmax(network.scores(pixels), dim=1)
    told = logs.gather(1, classes[:, None])[:, 0]
    smoothed = (1 - plan.smoothing) * told + plan.smoothing * logs.mean(dim=1)
    return -(smoothed * weights).sum(), weights.sum()


def block(inner: int, outer: int, side: int = 1, pad: int = 0) -> Any:
    """Return a convolution and the normalisation of what it gives."""
    return nn.Sequential(
        nn.Conv2d(inner, outer, side, padding=pad, bias=False), nn.BatchNorm2d(outer)
    )


def folded(of_block: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias of the one convolution that a trained `block` is."""
    conv, norm = of_block
    with torch.inference_mode():
        gain = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        weight = conv.weight.double() * gain[:, None, None, None]
        bias = norm.bias.double() - norm.running_mean.double() * gain
    return weight.float().numpy(), bias.float().numpy()


def plain(conv: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias of a convolution without normalisation."""
    return conv.weight.detach().numpy(), conv.bias.detach().numpy()


def dropped(x: Any, share: float, is_training: bool) -> Any:
    """Set a share of the values to 0 in training; drawn on the processor."""
    if not is_training or not share:
        return x
    kept = (torch.rand(x.shape) >= share).to(x.device)
    return x * kept / (1 - share)


def _device(wanted: str) -> torch.device:
    is_there = torch.cuda.is_available()
    if wanted == "gpu" and not is_there:
        raise InputError(
            "the option device is gpu, and torch finds none here: ask for auto, which takes a GPU "
            "where there is one, or run it where one is",
            "options",
        )
    if wanted == "cpu" or not is_there:
        return torch.device("cpu")
    remark(f"trained on {torch.cuda.get_device_name()}")
    return torch.device("cuda")


@contextmanager
def _exact_on_gpu() -> Iterator[None]:
    """Compute with all digits of float32, and choose no algorithm by trying."""
    cudnn, cuda = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, cuda.allow_tf32, cudnn.benchmark
    cudnn.allow_tf32, cuda.allow_tf32, cudnn.benchmark = False, False, False
    try:
        yield
    finally:
        cudnn.allow_tf32, cuda.allow_tf32, cudnn.benchmark = before


def start_from(network: Network, graph: "onnx.GraphProto", rows: np.ndarray, batch: Batch) -> None:
    """Take the weights of a trained graph of the same kind.

    The normalisations that were folded into it are set anew, to what `batch` shows, so that the
    network computes what the graph does and still learns as one that has them.

    Args:
        network: of any weights, on the processor.
        graph: as its `graph` wrote it.
        rows: int (classes,), where each class is among those of the graph, -1 nowhere.
        batch: of what it will learn from.

    Raises:
        InputError: the graph is of another size.
    """
    convs = [m for m in network.parts.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in network.parts.modules() if isinstance(m, nn.BatchNorm2d)]
    pairs = convolutions_in(graph)
    shapes = [tuple(weight.shape) for weight, _ in pairs[:-1]]
    if shapes != [tuple(conv.weight.shape) for conv in convs[:-1]]:
        raise InputError(
            "the model of start is of another size than the options say: give it those that its "
            "card names",
            "start",
        )
    with torch.no_grad():
        for conv, norm, (weight, bias) in zip(convs[:-1], norms, pairs[:-1], strict=True):
            conv.weight.copy_(torch.tensor(weight))
            norm.bias.copy_(torch.tensor(bias))
            norm.weight.fill_((norm.running_var[0] + norm.eps) ** 0.5)
        known = torch.tensor(rows >= 0)
        for of_head, trained in zip((convs[-1].weight, convs[-1].bias), pairs[-1], strict=True):
            of_head[known] = torch.tensor(trained[rows[rows >= 0]])
        _normalise(network, norms, batch)


def _normalise(network: Network, norms: Sequence[Any], batch: Batch) -> None:
    """Let each normalisation take out the mean and deviation of a batch, and put them back."""
    seen: dict[Any, tuple[Any, Any]] = {}

    def watch(norm: Any, inputs: Any) -> None:
        seen[norm] = inputs[0].mean(dim=(0, 2, 3)), inputs[0].var(dim=(0, 2, 3))

    watches = [norm.register_forward_pre_hook(watch) for norm in norms]
    network.parts.train(False)
    network.scores(torch.from_numpy(batch.pixels))
    network.parts.train(True)
    for norm, one in zip(norms, watches, strict=True):
        one.remove()
        mean, variance = seen[norm]
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean)
