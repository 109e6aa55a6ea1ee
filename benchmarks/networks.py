"""Networks: a scene in blocks with halo against overlapping windows and the network alone.

The network is a U-Net of 10 bands, 8 classes, 16 channels and three halvings, of random weights:
what it finds is noise, and what it costs is what a trained one costs.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import rasterio
from onnx import TensorProto, helper, numpy_helper

from benchmarks import made
from benchmarks.measure import LANDCOVER, PEERS, Row, compare
from landcover.io.legend import Legend
from landcover.models.file import Card, Model, load_model, save_model
from landcover.models.forest.ensemble import Tree, joined
from landcover.models.network.classifier import NetworkClassifier

SIDE = 2048
WHOLE = 1024
"""Side of the corner that is held against the network's answer for it in one piece."""
CLASSES, WIDTH, DEPTH = 8, 16, 3
MEAN, SPREAD = 2000.0, 1000.0


def rows(side: int) -> list[Row]:
    """Compare from scene to map."""
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        scene = made.spectral_scene(folder / "scene.tif", side or SIDE)
        model = write_model(folder / "model.onnx")
        bare = folder / "bare.onnx"
        bare.write_bytes(_model().SerializeToString())
        ours = (*LANDCOVER, "classify-scene", "--scene", scene, "--model", model,
                "--radiometry", "ignore", "--workdir", folder)  # fmt: skip
        peers = {
            name: (*PEERS, peer, scene, bare, folder / f"{peer}.tif")
            for name, peer in (
                ("overlapping windows of 256", "classify_overlapping"),
                ("floor: the network in tiles of 512, borders wrong", "classify_in_tiles"),
            )
        }
        return compare(f"classify-scene, {side or SIDE}², U-Net", ours, peers,
                       lambda: _equal(folder, scene))  # fmt: skip


def write_model(path: Path) -> Path:
    """Write the network with a card of made spectra."""
    leaf = Tree(*(np.array([value]) for value in (0, 0.0, -1, -1)), np.ones((1, CLASSES)))
    classes = np.arange(1, CLASSES + 1)
    trees = joined([leaf], classes, "NONE", made.BANDS)
    card = load_model(made.model(path, trees)).card
    legend = Legend.of_codes(classes.tolist())
    bands = tuple(replace(band, mean=MEAN) for band in card.bands)
    means = np.full(made.BANDS, MEAN)
    network = NetworkClassifier.of_graph(graph(), classes, means)
    own: Card = replace(card, method="network", legend=legend, bands=bands)
    save_model(path, Model(own, network))
    return path


def graph(bands: int = made.BANDS, seed: int = 0) -> onnx.GraphProto:
    """Return a U-Net of random weights, one convolution a level on its way up."""
    rng = np.random.default_rng(seed)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def constant(values: np.ndarray) -> str:
        weights.append(numpy_helper.from_array(values.astype(np.float32), f"w{len(weights)}"))
        return str(weights[-1].name)

    def node(operator: str, *inputs: str, **how: object) -> str:
        nodes.append(helper.make_node(operator, inputs, [f"t{len(nodes)}"], **how))
        return str(nodes[-1].output[0])

    def conv(x: str, given: int, gives: int, side: int = 3) -> str:
        weight = rng.normal(0, np.sqrt(2 / (given * side**2)), (gives, given, side, side))
        bias = constant(rng.normal(0, 0.1, gives))
        return node("Conv", x, constant(weight), bias, pads=[side // 2] * 4)

    def layer(x: str, given: int, gives: int) -> str:
        return node("Relu", conv(x, given, gives))

    x = node("Sub", "pixels", constant(np.full((1, bands, 1, 1), MEAN)))
    x = node("Mul", x, constant(np.full((1, bands, 1, 1), 1 / SPREAD)))
    given, views = bands, []
    for level in range(DEPTH + 1):
        gives = WIDTH << level
        x = layer(layer(x, given, gives), gives, gives)
        views.append((x, gives))
        given = gives
        if level < DEPTH:
            x = node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    scales = constant(np.array([1, 1, 2, 2]))
    for view, gives in views[-2::-1]:
        x = node("Resize", x, "", scales, mode="nearest", nearest_mode="floor",
                 coordinate_transformation_mode="asymmetric")  # fmt: skip
        x = layer(node("Concat", x, view, axis=1), given + gives, gives)
        given = gives
    scores = conv(x, given, CLASSES, 1)
    nodes.append(helper.make_node("Softmax", [scores], ["probability"], axis=1))
    ports = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, "h", "w"])]
        for name, channels in (("pixels", bands), ("probability", CLASSES))
    )
    return helper.make_graph(nodes, "unet", *ports, weights)


def _model() -> onnx.ModelProto:
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph(), opset_imports=opsets, ir_version=8)


def _equal(folder: Path, scene: Path) -> str:
    """Hold a corner of the map against the network's answer for a larger one in one piece."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "bare.onnx")
    with rasterio.open(scene) as dataset, rasterio.open(folder / "map.tif") as mapped:
        side = min(dataset.width, WHOLE + 64)
        window = rasterio.windows.Window(0, 0, side, side)
        values = dataset.read(window=window)[None].astype(np.float32)
        inner = side if side == dataset.width else WHOLE
        codes = mapped.read(1)[:inner, :inner]
    (probability,) = session.run(None, {"pixels": values})
    whole = probability[0, :, :inner, :inner].argmax(axis=0) + 1
    differ = int((codes != whole).sum())
    if differ:
        raise SystemExit(f"{differ} labels differ from the scene in one piece")
    return f"0 of {codes.size:,} labels differ from one piece"
