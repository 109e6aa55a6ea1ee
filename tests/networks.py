"""Small networks made with onnx.helper, as another program would write them."""

from dataclasses import dataclass, field

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from landcover.io.legend import Legend
from landcover.io.records.run_record import RECIPE_KEY
from landcover.models.file import CARD_KEY, Card, CardBand

NEAREST = {
    "mode": "nearest",
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
}


@dataclass
class Made:
    """Collects nodes and weights; methods return the name of what a node gives."""

    seed: int = 0
    nodes: list = field(default_factory=list)
    weights: list = field(default_factory=list)

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)

    def constant(self, values, name=None):
        name = name or f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def node(self, operator, *inputs, output=None, **attributes):
        output = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def scaled(self, bands):
        centred = self.node("Sub", "pixels", self.constant(np.full((1, bands, 1, 1), 500)))
        return self.node("Mul", centred, self.constant(np.full((1, bands, 1, 1), 1 / 300)))

    def conv(self, x, given, gives, kernel=3, pad=None, **more):
        weight = self.rng.normal(0, np.sqrt(2 / (given * kernel**2)),
                                 (gives, given, kernel, kernel))  # fmt: skip
        bias = self.rng.normal(0, 0.1, gives)
        pads = [kernel // 2 if pad is None else pad] * 4
        return self.node("Conv", x, self.constant(weight), self.constant(bias),
                         kernel_shape=[kernel, kernel], pads=pads, **more)  # fmt: skip

    def block(self, x, given, gives):
        x = self.node("Relu", self.conv(x, given, gives))
        return self.node("Relu", self.conv(x, gives, gives))

    def doubled(self, x):
        return self.node("Resize", x, "", self.constant([1, 1, 2, 2]), **NEAREST)

    def graph(self, scores, bands, classes):
        self.node("Softmax", scores, output="probability", axis=1)
        return helper.make_graph(
            self.nodes, "net", [port("pixels", bands)], [port("probability", classes)],
            self.weights,
        )  # fmt: skip


def port(name, channels, height="h", width="w", kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, [1, channels, height, width])


def unet(bands=3, classes=4, base=4, depth=2, seed=0):
    """A U-Net: pools, nearest doubling, concatenations, zero padding in each convolution."""
    made = Made(seed)
    x, kept, given, width = made.scaled(bands), [], bands, base
    for _ in range(depth):
        x = made.block(x, given, width)
        kept.append((x, width))
        x, given, width = (
            made.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]),
            width,
            (2 * width),
        )
    x, given = made.block(x, given, width), width
    for skip, gives in reversed(kept):
        x = made.node("Concat", made.doubled(x), skip, axis=1)
        x, given = made.block(x, given + gives, gives), gives
    return made.graph(made.conv(x, given, classes, 1), bands, classes)


def chip_net(bands=3, classes=4, chip=16, seed=0):
    """Convolutions without padding, then mean and deviation over what is left of a chip."""
    made = Made(seed)
    x = made.node("Relu", made.conv(made.scaled(bands), bands, 8, 1))
    x = made.node("Relu", made.conv(x, 8, 8, 3, 0))
    left = chip - 2
    mean = made.node("AveragePool", x, kernel_shape=[left, left])
    square = made.node("AveragePool", made.node("Mul", x, x), kernel_shape=[left, left])
    spread = made.node("Sub", square, made.node("Mul", mean, mean))
    spread = made.node("Clip", spread, made.constant(0.0))
    spread = made.node("Sqrt", made.node("Add", spread, made.constant(1e-5)))
    x = made.node("Concat", mean, spread, axis=1)
    return made.graph(made.conv(x, 16, classes, 1), bands, classes)


def model_of(graph, opset=17):
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def card_for(bands=3, classes=4, mean=500.0):
    """A card as another program writes it."""
    quantiles = tuple(np.quantile(np.arange(1, 1000), (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)))
    return Card(
        method="network", legend=Legend.of(f"c{i}" for i in range(classes)),
        bands=tuple(CardBand(f"b{i}", None, mean, 288.0, tuple(map(float, quantiles)))
                    for i in range(1, bands + 1)),
        correlation=tuple(map(tuple, np.eye(bands).tolist())), dtype="uint16", nodata=0,
        chip_size=1, samples_sha256="0" * 64, code_version="elsewhere",
        validation={"kind": "spatial", "accuracy_spatial": None},
    )  # fmt: skip


def write_network(path, graph, card=None, opset=17):
    """Write a model file without a line of the library that reads it."""
    proto = model_of(graph, opset)
    classes = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    bands = graph.input[0].type.tensor_type.shape.dim[1].dim_value
    text = (card or card_for(bands, classes)).to_json()
    helper.set_model_props(proto, {CARD_KEY: text, RECIPE_KEY: "0" * 64})
    path.write_bytes(proto.SerializeToString())
    return path
