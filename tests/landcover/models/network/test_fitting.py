"""Networks in torch, and that their graphs do the same."""

import numpy as np
import pytest

from landcover.errors import InputError, Stopped
from landcover.models.network.classifier import NetworkClassifier
from landcover.models.network.squares import Batch
from landcover.models.network.writer import Scaling
from landcover.progress import collecting_notes, progress_to
from tests.needs_torch import need_torch

SCALING = Scaling(np.float32([500, 300, 80]), np.float32([0.002, 0.004, 0.01]), 3.0)


@pytest.fixture(scope="module", autouse=True)
def torch():
    need_torch()
    import torch

    return torch


@pytest.fixture
def fitting():
    from landcover.models.network import fitting

    return fitting


def plan_of(fitting, **changes):
    plain = {"steps": 40, "learning_rate": 0.02, "weight_decay": 0.01, "smoothing": 0.0,
             "seed": 0, "threads": 1, "device": "cpu"}  # fmt: skip
    return fitting.Plan(**(plain | changes))


def settled(network, torch):
    """Give normalisations what a training would leave in them, and stop training."""
    torch.manual_seed(1)
    for norm in (m for m in network.parts.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        for of_norm, low, high in ((norm.running_mean, -0.3, 0.3), (norm.running_var, 0.5, 2),
                                   (norm.weight, 0.5, 1.5), (norm.bias, -0.2, 0.2)):  # fmt: skip
            torch.nn.init.uniform_(of_norm, low, high)
    network.parts.train(False)
    return network


def spread(network, torch, chips):
    """Let the classes share the chips: random weights would give all of them one class."""
    with torch.no_grad():
        head = network.parts[-1]
        scores = network.scores(torch.from_numpy(chips))
        spread_of_one = (scores - scores.mean(dim=0)).std().clamp_min(0.05)
        head.weight.div_(spread_of_one)
        head.bias.sub_(scores.mean(dim=0)).div_(spread_of_one)


def scene(height, width, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal((500, 300, 80), (150, 80, 30), (height, width, 3)).transpose(2, 0, 1)
    values *= np.linspace(0.2, 2, width)
    values[1] *= np.linspace(2, 0.2, height)[:, None]
    return values.astype(np.float32)


def told(torch, network, chips):
    with torch.inference_mode():
        scores = network.scores(torch.from_numpy(chips))
        return torch.softmax(scores, dim=1).numpy()


@pytest.mark.parametrize(("side", "texture"), [(16, 0), (15, 0), (1, 0), (12, 1), (9, 1)])
def test_map_of_chips_is_what_each_chip_is_told(side, texture, torch):
    from landcover.models.network.chip_net import ChipNet

    torch.manual_seed(0)
    network = settled(ChipNet(3, 5, side, 8, texture, 0.3), torch)
    values = scene(44, 51)
    valid = np.ones(values.shape[1:], bool)
    views = np.lib.stride_tricks.sliding_window_view(
        SCALING(values, valid), (side, side), axis=(1, 2)
    )
    # the chip whose upper left pixel is (r, c) has its centre at r + side // 2
    rows, columns = (length - 2 * (side // 2) for length in values.shape[1:])
    chips = views[:, :rows, :columns].transpose(1, 2, 0, 3, 4).reshape(-1, 3, side, side).copy()
    spread(network, torch, chips)
    codes = np.array([2, 3, 5, 7, 11], np.uint8)
    found = NetworkClassifier.of_graph(network.graph(SCALING), codes, SCALING.centre)
    assert found.halo == side // 2
    dense = found.probabilities(values, valid)
    of_chips = told(torch, network, chips).T.reshape(dense.shape)
    np.testing.assert_allclose(dense, of_chips, atol=1e-4)
    second, best = np.sort(of_chips, axis=0)[-2:]
    clear = best - second > 2e-4
    assert clear.mean() > 0.95
    np.testing.assert_array_equal(dense.argmax(axis=0)[clear], of_chips.argmax(axis=0)[clear])
    assert len(np.unique(dense.argmax(axis=0))) > 1


@pytest.mark.parametrize(("side", "texture"), [(16, 0), (15, 0), (1, 0), (12, 1)])
def test_a_map_of_every_second_pixel_repeats_what_chips_are_told(side, texture, torch):
    from landcover.models.network.chip_net import ChipNet

    torch.manual_seed(0)
    network = settled(ChipNet(3, 5, side, 8, texture, 0.3), torch)
    values = scene(38, 42)
    valid = np.ones(values.shape[1:], bool)

    def mapped(every):
        graph = network.graph(SCALING, every)
        found = NetworkClassifier.of_graph(graph, np.arange(1, 6), SCALING.centre)
        assert found.step == every
        around = ((found.halo, found.halo), (found.halo, found.halo))
        inside = tuple(slice(found.halo, found.halo + length) for length in valid.shape)
        padded = np.pad(values, ((0, 0), *around))
        return found.probabilities(padded, np.pad(valid, around), inside)

    all_pixels, some = mapped(1), mapped(2)
    assert all_pixels.std() > 0
    np.testing.assert_allclose(some[:, ::2, ::2], all_pixels[:, ::2, ::2], atol=1e-5)
    for rows, columns in ((1, 0), (0, 1), (1, 1)):
        np.testing.assert_array_equal(some[:, rows::2, columns::2], some[:, ::2, ::2])


@pytest.mark.parametrize("texture", [2, 3])
def test_map_of_chips_with_texture_is_what_each_chip_is_told(texture, fitting, torch):
    from landcover.models.network.chip_net import ChipNet

    side, values = 9, scene(24, 27)
    scaled = SCALING(values, np.ones(values.shape[1:], bool))
    views = np.lib.stride_tricks.sliding_window_view(scaled, (side, side), axis=(1, 2))
    rows, columns = (length - 2 * (side // 2) for length in values.shape[1:])
    chips = views[:, :rows, :columns].transpose(1, 2, 0, 3, 4).reshape(-1, 3, side, side).copy()
    classes = np.arange(len(chips)) % columns * 3 // columns  # of light that grows to the right
    rng = np.random.default_rng(0)

    def draw():
        some = rng.integers(len(chips), size=32)
        return Batch(chips[some], classes[some], np.ones(32, np.float32))

    plan = plan_of(fitting)
    with fitting.computing(plan) as device:
        network = ChipNet(3, 3, side, 8, texture, 0.0)
        fitting.train(network, draw, (), plan, device)
    codes = np.array([1, 2, 3], np.uint8)
    found = NetworkClassifier.of_graph(network.graph(SCALING), codes, SCALING.centre)
    dense = found.probabilities(values, np.ones(values.shape[1:], bool))
    of_chips = told(torch, network, chips).T.reshape(dense.shape)
    assert (of_chips.argmax(axis=0).ravel() == classes).mean() > 0.8
    np.testing.assert_allclose(dense, of_chips, atol=1e-4)


def test_graph_of_a_unet_is_what_torch_computes(torch):
    from landcover.models.network.unet_net import UNet

    torch.manual_seed(0)
    network = settled(UNet(3, 4, 6, 2), torch)
    codes = np.arange(1, 5, dtype=np.uint8)
    found = NetworkClassifier.of_graph(network.graph(SCALING), codes, SCALING.centre)
    assert found.step == 4
    values = scene(40, 48)
    halo = found.halo
    around = ((0, 0), (halo, halo), (halo, halo))
    inside = (slice(halo, halo + 40), slice(halo, halo + 48))
    valid = np.pad(np.ones((40, 48), bool), around[1:])
    mapped = found.probabilities(np.pad(values, around), valid, inside)
    (expected,) = told(torch, network, SCALING(values, np.ones((40, 48), bool))[None])
    np.testing.assert_allclose(mapped, expected, atol=1e-5)


def test_equal_weights_are_equal_bytes_without_paths(torch):
    from landcover.models.network.unet_net import UNet

    torch.manual_seed(0)
    network = settled(UNet(3, 4, 6, 2), torch)
    first, again = (network.graph(SCALING).SerializeToString() for _ in range(2))
    assert first == again
    assert b".py" not in first
    assert {node.op_type for node in network.graph(SCALING).node} == {
        "Sub", "Mul", "Clip", "Conv", "Relu", "MaxPool", "Resize", "Concat", "Softmax",
    }  # fmt: skip


def a_task(seed, count=64):
    """Return chips of two classes that differ in one band."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(2, size=count)
    pixels = rng.normal(0, 1, (count, 3, 4, 4)).astype(np.float32)
    pixels[:, 1] += 2 * classes[:, None, None] - 1
    return Batch(pixels, classes, np.ones(count, np.float32))


def trained(fitting, draw, held_out=(), **changes):
    from landcover.models.network.chip_net import ChipNet

    plan = plan_of(fitting, **changes)
    with fitting.computing(plan) as device:
        network = ChipNet(3, 2, 4, 4, 0, 0.2)
        fitting.train(network, draw, held_out, plan, device)
    return network


def test_the_weights_that_did_best_in_held_out_places_are_kept(fitting, torch):
    right = [a_task(seed) for seed in range(20)]
    wrong = [Batch(b.pixels, 1 - b.classes, b.weights) for b in right]
    shown = iter(right + wrong)
    with collecting_notes(lambda sentence: None) as notes:
        network = trained(fitting, lambda: next(shown), [a_task(99)])
    held = [m.value for m in notes.metrics if m.name == "loss_held_out"]
    assert held[-1] > 2 * min(held)  # what it was shown last was false
    given = told(torch, network, a_task(7).pixels)
    assert (given.argmax(axis=1) == a_task(7).classes).mean() > 0.9
    losses = [m for m in notes.metrics if m.name == "loss"]
    assert [m.step for m in losses] == list(range(40))


def test_pixels_of_weight_0_teach_nothing(fitting, torch):
    task = a_task(0)
    half = np.arange(64) < 32
    weights = half.astype(np.float32)
    nonsense = np.where(half, task.classes, 1 - task.classes)
    networks = [
        trained(fitting, lambda classes=classes: Batch(task.pixels, classes, weights), steps=5)
        for classes in (task.classes, nonsense)
    ]
    one, other = (told(torch, network, task.pixels) for network in networks)
    np.testing.assert_array_equal(one, other)


def test_a_batch_without_any_label_is_no_number_that_spoils_all(fitting, torch):
    task = a_task(0)
    nothing = Batch(task.pixels, task.classes, np.zeros(64, np.float32))
    network = trained(fitting, lambda: nothing, steps=3)
    assert np.isfinite(told(torch, network, task.pixels)).all()


def test_torch_is_left_as_it_was(fitting, torch):
    before = torch.get_num_threads(), torch.get_rng_state()
    trained(fitting, lambda: a_task(0), steps=2)
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_dismissed_training_ends_at_the_next_step(fitting, torch):
    shown, threads = [], torch.get_num_threads()

    def draw():
        shown.append(1)
        return a_task(0)

    def listen(fraction, sentence):
        if len(shown) == 3:
            raise Stopped("dismissed")

    with progress_to(listen), pytest.raises(Stopped):
        trained(fitting, draw, steps=1000)
    assert len(shown) == 3
    assert torch.get_num_threads() == threads


def test_a_gpu_that_is_not_there_is_named(fitting, torch):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(InputError, match="torch finds none here: ask for auto"):
        trained(fitting, lambda: a_task(0), device="gpu")


def test_a_gpu_gives_what_a_processor_does(fitting, torch):
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    given = []
    for device in ("cpu", "gpu"):
        tasks = iter([a_task(seed) for seed in range(40)])
        network = trained(fitting, lambda tasks=tasks: next(tasks), device=device)
        given.append(told(torch, network, a_task(99).pixels))
    np.testing.assert_allclose(given[0], given[1], atol=1e-3)


def test_a_start_computes_what_its_graph_does_and_new_classes_begin_anew(fitting, torch):
    from landcover.models.network.chip_net import ChipNet

    tasks = [a_task(seed) for seed in range(20)]
    shown = iter(tasks * 2)
    old = trained(fitting, lambda: next(shown))
    graph = old.graph(SCALING)
    torch.manual_seed(5)
    new = ChipNet(3, 3, 4, 4, 0, 0.2)
    fitting.start_from(new, graph, np.array([1, -1, 0]), tasks[0])
    new.parts.train(False)
    with torch.inference_mode():
        chips = torch.from_numpy(a_task(50).pixels)
        before, after = old.scores(chips), new.scores(chips)
    np.testing.assert_allclose(after[:, [2, 0]], before, atol=1e-4)
    assert after[:, 1].std() > 0


def test_a_start_of_another_size_is_refused(fitting):
    from landcover.models.network.chip_net import ChipNet

    graph = ChipNet(3, 2, 4, 8, 0, 0.2).graph(SCALING)
    with pytest.raises(InputError, match="start is of another size than the options say"):
        fitting.start_from(ChipNet(3, 2, 4, 4, 0, 0.2), graph, np.array([0, 1]), a_task(0))
