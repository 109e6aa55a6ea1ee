"""A network from anybody keeps to the list of operators, or is refused by name."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import psutil
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from landcover.errors import ModelError
from landcover.models import child
from landcover.models.file import CARD_KEY, load_model, save_model
from landcover.models.network.operators import OPERATORS
from tests.networks import NEAREST, Made, card_for, chip_net, model_of, port, unet, write_network


def written(path, proto, card=None):
    helper.set_model_props(proto, {CARD_KEY: card or card_for().to_json()})
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.fixture
def refused(tmp_path):
    """A function that needs a model to be refused, and returns the sentence."""

    def refuses(proto, card=None):
        with pytest.raises(ModelError) as caught:
            load_model(written(tmp_path / "m.onnx", proto, card))
        sentence = str(caught.value)
        assert sentence.isprintable()
        assert len(sentence) < 600
        return sentence

    return refuses


def made_of(*nodes, weights=(), bands=3, classes=4):
    """A network whose last node gives scores `s` of as many classes."""
    end = helper.make_node("Softmax", ["s"], ["probability"], axis=1)
    return model_of(helper.make_graph(
        [*nodes, end], "net", [port("pixels", bands)], [port("probability", classes)],
        [numpy_helper.from_array(np.asarray(value, np.float32), name)
         for name, value in dict(weights).items()],
    ))  # fmt: skip


ones = np.ones((4, 3, 1, 1))


def conv(weight=ones, **attributes):
    node = helper.make_node("Conv", ["pixels", "w"], ["s"], **attributes)
    return made_of(node, weights={"w": weight})


def test_an_honest_network_is_taken(tmp_path):
    path = written(tmp_path / "m.onnx", conv())
    model = load_model(path)
    assert (model.classifier.halo, model.classifier.step, model.classifier.bands) == (0, 1, 3)
    assert model.card.method == "network"


# --- operators ----------------------------------------------------------------------------------

BRANCH = helper.make_graph([helper.make_node("Relu", ["pixels"], ["s"])], "b", [], [port("s", 4)])
FOREIGN = {
    "Loop": {"body": BRANCH},
    "Scan": {"body": BRANCH, "num_scan_inputs": 1},
    "If": {"then_branch": BRANCH, "else_branch": BRANCH},
    "Gather": {}, "Shape": {}, "Slice": {}, "Reshape": {}, "MatMul": {}, "Einsum": {}, "Cast": {},
    "ConstantOfShape": {}, "RandomNormal": {}, "Tile": {}, "Expand": {}, "Pad": {}, "LSTM": {},
    "ConvTranspose": {}, "Upsample": {}, "DequantizeLinear": {}, "Div": {}, "Pow": {}, "Exp": {},
    "NonMaxSuppression": {}, "OptionalGetElement": {}, "SequenceAt": {}, "StringNormalizer": {},
    "Constant": {"value_float": 1.0}, "BatchNormalization": {}, "Identity": {}, "": {},
}  # fmt: skip


@pytest.mark.parametrize("operator", FOREIGN)
def test_an_operator_off_the_list_is_named(refused, operator):
    node = helper.make_node(operator, ["pixels"], ["s"], **FOREIGN[operator])
    sentence = refused(made_of(node))
    assert f"the operator {operator}" in sentence


@pytest.mark.parametrize("domain", ["com.microsoft", "ai.onnx.ml", "ai.onnx.training", "evil"])
def test_operators_of_other_domains_are_named(refused, domain):
    sentence = refused(made_of(helper.make_node("Relu", ["pixels"], ["s"], domain=domain)))
    assert f"the operator Relu of the domain {domain}" in sentence


def test_a_sub_graph_in_an_operator_of_the_list_is_refused(refused):
    node = helper.make_node("Relu", ["pixels"], ["s"], body=BRANCH)
    assert "sub-graph in the operator Relu" in refused(made_of(node))
    many = AttributeProto(name="body", type=AttributeProto.GRAPHS, graphs=[BRANCH])
    node = helper.make_node("Relu", ["pixels"], ["s"])
    node.attribute.append(many)
    assert "sub-graph in the operator Relu" in refused(made_of(node))


def test_functions_and_trainings_are_refused(refused):
    proto = conv()
    proto.functions.append(helper.make_function(
        "", "Relu", ["a"], ["b"], [helper.make_node("Exp", ["a"], ["b"])],
        [helper.make_opsetid("", 17)],
    ))  # fmt: skip
    assert "functions of its own (Relu)" in refused(proto)
    proto = conv()
    proto.training_info.add()
    assert "training" in refused(proto)


# --- attributes, kernels, constants -------------------------------------------------------------

BIG = np.ones((4, 3, 33, 33))
WINDOWS = {
    "kernel of 33": conv(BIG),
    "dilated by 33": conv(np.ones((4, 3, 3, 3)), dilations=[33, 33]),
    "has strides": conv(strides=[3, 3]),
    "has strides (1, 2)": conv(strides=[1, 2]),
    "has strides (2, 1)": conv(strides=[2, 1]),
    "has strides [0, 0]": conv(strides=[0, 0]),
    "more than its kernel reaches": conv(pads=[1, 1, 1, 1]),
    "has pads [-1": conv(pads=[-1, 0, 0, 0]),
    "has pads [1, 1]": conv(np.ones((4, 3, 3, 3)), pads=[1, 1]),
    "has auto_pad SAME_UPPER": conv(auto_pad="SAME_UPPER"),
    "another size than its kernel_shape": conv(kernel_shape=[3, 3]),
    "takes 5 channels and is given 3": conv(np.ones((4, 5, 1, 1))),
    "needs four axes": conv(np.ones((4, 3, 1))),
    "the attribute ceil_mode": conv(ceil_mode=1),
    "has group 0": conv(group=0),
    "has group 1.5": conv(group=1.5),
    "takes 9 channels": conv(group=3),
}


@pytest.mark.parametrize("fault", WINDOWS)
def test_windows_are_bounded_and_plain(refused, fault):
    sentence = refused(WINDOWS[fault])
    assert fault in sentence
    assert "network's Conv 's'" in sentence


def pool(operator="MaxPool", **attributes):
    node = helper.make_node(operator, ["a"], ["s"], **attributes)
    return made_of(helper.make_node("Conv", ["pixels", "w"], ["a"]), node, weights={"w": ones})


@pytest.mark.parametrize(
    ("fault", "proto"),
    [
        ("lacks kernel_shape", pool()),
        ("kernel of 40", pool("AveragePool", kernel_shape=[40, 40])),
        ("ceil_mode 1", pool(kernel_shape=[2, 2], ceil_mode=1)),
        ("storage_order 1", pool(kernel_shape=[2, 2], storage_order=1)),
        ("kernel_shape [2, 2, 2]", pool(kernel_shape=[2, 2, 2])),
        ("kernel_shape of another type", pool(kernel_shape=["2", "2"])),
        ("other pixels than those of the scene", pool(kernel_shape=[2, 2], strides=[2, 2])),
    ],
)
def test_pools_are_bounded_and_plain(refused, fault, proto):
    assert fault in refused(proto)


def resized(scales=(1, 1, 2, 2), inputs=("p", "", "x"), **attributes):
    return made_of(
        helper.make_node("Conv", ["pixels", "w"], ["a"]),
        helper.make_node("MaxPool", ["a"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Resize", list(inputs), ["s"], **(NEAREST | attributes)),
        weights={"w": ones, "x": scales, "roi": np.zeros(8)},
    )


@pytest.mark.parametrize(
    ("fault", "proto"),
    [
        ("scales by [1.0, 1.0, 3.0, 3.0]", resized((1, 1, 3, 3))),
        ("scales by", resized((1, 1, 2, 1))),
        ("scales by", resized((2, 1, 2, 2))),
        ("scales by", resized((1, 1, 1e9, 1e9))),
        ("scales by", resized([[1, 1, 2, 2]])),
        ("finer than those of the scene", resized(inputs=("a", "", "x"))),
        ("mode linear", resized(mode="linear")),
        ("nearest_mode ceil", resized(nearest_mode="ceil")),
        ("coordinate_transformation_mode half_pixel",
         resized(coordinate_transformation_mode="half_pixel")),
        ("region of interest", resized(inputs=("p", "roi", "x"))),
        ("has 4 inputs", resized(inputs=("p", "", "", "x"))),
        ("scales that stands in the file", resized(inputs=("p", "", "p"))),
        ("antialias 1", resized(antialias=1)),
    ],
)  # fmt: skip
def test_only_a_plain_doubling_is_run(refused, fault, proto):
    sentence = refused(proto)
    assert fault in sentence
    assert "Resize 's'" in sentence


def combined(operator, inputs, **weights):
    first = helper.make_node("Conv", ["pixels", "w"], ["a"])
    return made_of(first, helper.make_node(operator, inputs, ["s"]),
                   weights={"w": ones} | weights)  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "proto"),
    [
        ("constant of shape (1, 1, 5, 5)", combined("Add", ["a", "c"], c=np.ones((1, 1, 5, 5)))),
        ("constant of shape (7, 4, 1, 1)", combined("Mul", ["a", "c"], c=np.ones((7, 4, 1, 1)))),
        ("constant of shape (4,)", combined("Sub", ["a", "c"], c=np.ones(4))),
        ("tensors of different shapes", combined("Add", ["a", "pixels"])),
        ("constants alone", combined("Add", ["c", "c"], c=np.ones(()))),
        ("needs what depends on the scene", combined("Relu", ["w"])),
        ("has 1 inputs", combined("Add", ["a"])),
        ("no plain bound", combined("Clip", ["a", "c"], c=np.ones(4))),
        ("lacks axis", combined("Concat", ["a", "a"])),
        ("a depends on the scene", combined("Clip", ["a", "a"])),
    ],
)
def test_what_is_combined_fits(refused, fault, proto):
    expected = fault.replace("a depends on the scene", "bounds that stands in the file")
    assert expected in refused(proto)


# --- weights ------------------------------------------------------------------------------------


def with_weight(change):
    proto = conv()
    change(proto.graph.initializer[0])
    return proto


def outside(tensor):
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    tensor.ClearField("raw_data")


def said_to_be_outside(tensor):
    tensor.external_data.add(key="location", value="../weights.bin")


def set_dims(*axes):
    def change(tensor):
        tensor.dims[:] = axes

    return change


def set_number(value):
    def change(tensor):
        tensor.raw_data = np.full(12, value, np.float32).tobytes()

    return change


@pytest.mark.parametrize(
    ("fault", "change"),
    [
        ("'w' in another file (external data)", outside),
        ("'w' in another file (external data)", said_to_be_outside),
        ("'w' that is no number", set_number(np.nan)),
        ("'w' that is no number", set_number(-np.inf)),
        ("'w' that does not fill its shape", set_dims(4, 3, 2, 2)),
        ("more than 20000000 weights", set_dims(2**20, 2**20, 2**20, 2**2)),
        ("'w' of an invalid shape", set_dims(-4, -3, 1, 1)),
        ("'w' of an invalid shape", set_dims(4, 3, 1, 1, 1)),
        ("'w' that is not float32", lambda tensor: setattr(tensor, "data_type", 11)),
        ("'w' that is not float32", lambda tensor: setattr(tensor, "data_type", 8)),
        ("'w' in segments", lambda tensor: tensor.segment.SetInParent()),
    ],
)
def test_weights_are_numbers_in_the_file(refused, fault, change):
    assert fault in refused(with_weight(change))


def test_sparse_and_doubled_initialisers_are_refused(refused):
    proto = conv()
    proto.graph.sparse_initializer.add()
    assert "sparse initialisers" in refused(proto)
    proto = conv()
    proto.graph.initializer.append(proto.graph.initializer[0])
    assert "names a weight 'w' twice" in refused(proto)


# --- the graph ----------------------------------------------------------------------------------


def graph_with(nodes, weights=(("w", ones),)):
    return made_of(*(helper.make_node(*node) for node in nodes), weights=weights)


@pytest.mark.parametrize(
    ("fault", "nodes"),
    [
        ("takes 'b' before anything gives it, as in a cycle",
         [("Relu", ["b"], ["a"]), ("Relu", ["a"], ["b"]), ("Conv", ["b", "w"], ["s"])]),
        ("takes 's' before anything gives it", [("Relu", ["s"], ["s"])]),
        ("takes 'nowhere' before", [("Relu", ["nowhere"], ["s"])]),
        ("gives a tensor that there is already",
         [("Conv", ["pixels", "w"], ["s"]), ("Conv", ["pixels", "w"], ["s"])]),
        ("gives a tensor that there is already", [("Conv", ["pixels", "w"], ["w"])]),
        ("gives a tensor that there is already", [("Conv", ["pixels", "w"], ["pixels"])]),
        ("takes 2 outputs of the operator MaxPool",
         [("Conv", ["pixels", "w"], ["a"]), ("MaxPool", ["a"], ["s", "at"])]),
    ],
)  # fmt: skip
def test_tensors_come_from_somewhere_once(refused, fault, nodes):
    assert fault in refused(graph_with(nodes))


def test_what_does_not_end_in_probabilities_is_refused(refused):
    proto = conv()
    proto.graph.node[-1].op_type = "Relu"
    del proto.graph.node[-1].attribute[:]
    assert "ends in no Softmax" in refused(proto)
    proto = conv()
    proto.graph.node[-1].attribute[0].i = 2
    assert "has axis 2" in refused(proto)
    proto = conv()
    proto.graph.node.pop()
    assert "gives no probability" in refused(proto)


def test_too_many_nodes_are_refused(refused):
    nodes = [("Relu", ["pixels"], [f"t{i}"]) for i in range(2001)]
    assert "has 2003 operators, 1 to 2000" in refused(
        graph_with([*nodes, ("Conv", ["pixels", "w"], ["s"])])
    )


@pytest.mark.parametrize(
    ("fault", "change"),
    [
        ("the input image, needs pixels", lambda g: setattr(g.input[0], "name", "image")),
        ("the input pixels, more", lambda g: g.input.append(port("more", 3))),
        ("the input none", lambda g: g.ClearField("input")),
        ("pixels of another type", lambda g: g.input[0].CopyFrom(port("pixels", 3, kind=11))),
        ("needs 1 x 3 x any x any", lambda g: g.input[0].CopyFrom(port("pixels", 5))),
        ("of 1 x 3 x 256 x 256", lambda g: g.input[0].CopyFrom(port("pixels", 3, 256, 256))),
        ("of no shape", lambda g: g.input[0].type.tensor_type.ClearField("shape")),
        ("the output probability, more", lambda g: g.output.append(port("more", 3))),
        ("needs 1 x 4 x any x any", lambda g: g.output[0].CopyFrom(port("probability", 9))),
        ("of 1 x 4 x 1 x 1", lambda g: g.output[0].CopyFrom(port("probability", 4, 1, 1))),
        ("annotated", lambda g: g.quantization_annotation.add()),
    ],
)
def test_input_and_output_are_those_of_the_card(refused, fault, change):
    proto = conv()
    change(proto.graph)
    assert fault in refused(proto)


@pytest.mark.parametrize(
    ("fault", "change"),
    [
        ("needs opset 12", lambda p: setattr(p.opset_import[0], "version", 12)),
        ("needs opset 99", lambda p: setattr(p.opset_import[0], "version", 99)),
        ("operators of none", lambda p: p.ClearField("opset_import")),
        ("ONNX, com.evil", lambda p: p.opset_import.add(domain="com.evil", version=1)),
        ("IR version 3", lambda p: setattr(p, "ir_version", 3)),
        ("IR version 99", lambda p: setattr(p, "ir_version", 99)),
    ],
)
def test_versions_that_mean_something_else_are_refused(refused, fault, change):
    proto = conv()
    change(proto)
    assert fault in refused(proto)


# --- the card -----------------------------------------------------------------------------------


def test_a_card_of_other_bands_or_classes_is_refused(refused):
    assert "needs 1 x 2 x any x any" in refused(conv(), card_for(2).to_json())
    assert "needs 1 x 5 x any x any" in refused(conv(), card_for(3, 5).to_json())
    proto = conv()
    del proto.graph.output[0].type.tensor_type.shape.dim[1:]
    assert "probability of 1, needs" in refused(proto)
    proto = conv()
    proto.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "classes"
    assert "gives 4 classes and its card 5" in refused(proto, card_for(3, 5).to_json())


def test_a_network_without_card_or_method_is_refused(refused, tmp_path):
    (tmp_path / "bare.onnx").write_bytes(conv().SerializeToString())
    with pytest.raises(ModelError, match="has no card"):
        load_model(tmp_path / "bare.onnx")
    assert "invalid method" in refused(conv(), replace(card_for(), method="magic").to_json())


def test_a_card_that_makes_the_halo_small_is_refused(refused, tmp_path):
    proto = model_of(unet())
    card = json.loads(card_for().to_json())
    halo = load_model(written(tmp_path / "m.onnx", proto)).classifier.halo
    assert halo == 24
    sentence = refused(proto, json.dumps(card | {"halo": 8}))
    assert "looks 8 pixels far, and it looks 24" in sentence
    assert "halo" in refused(proto, json.dumps(card | {"halo": -1}))
    load_model(written(tmp_path / "m.onnx", proto, json.dumps(card | {"halo": halo})))


# --- what it costs ------------------------------------------------------------------------------


def chain(count, channels, kernel=3, dilation=1):
    made = Made()
    x = made.conv("pixels", 3, channels, 1)
    for _ in range(count):
        x = made.conv(x, channels, channels, kernel, (kernel - 1) * dilation // 2,
                      dilations=[dilation] * 2)  # fmt: skip
    return model_of(made.graph(made.conv(x, channels, 4, 1), 3, 4))


def test_work_and_memory_of_a_pixel_are_bounded(refused):
    assert "times a pixel, at most 2000000" in refused(chain(1, 512))
    assert "would need more than 160 MiB" in refused(chain(30, 4, 31, 32))
    assert "5000 channels, at most 4096" in refused(chain(0, 5000))
    made = Made()
    x = "pixels"
    for _ in range(7):
        x = made.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    assert "coarsens 128 times" in refused(model_of(made.graph(x, 3, 4)))


def test_what_joins_itself_again_and_again_is_refused(refused):
    made = Made()
    x = "pixels"
    for _ in range(40):
        x = made.node("Concat", x, x, axis=1)
    assert "channels, at most 4096" in refused(model_of(made.graph(x, 3, 4)))


def test_what_nothing_follows_from_is_left_behind(tmp_path):
    proto = conv()
    proto.graph.node.insert(0, helper.make_node("Relu", ["pixels"], ["aside"]))
    proto.graph.initializer.append(numpy_helper.from_array(np.ones(9, np.float32), "spare"))
    proto.graph.value_info.append(port("s", 77))
    proto.graph.doc_string = proto.graph.node[1].doc_string = "/home/me/train.py"
    proto.graph.node[1].metadata_props.add(key="trace", value="/home/me/train.py")
    graph = load_model(written(tmp_path / "m.onnx", proto)).classifier.to_graph()
    assert [node.op_type for node in graph.node] == ["Conv", "Softmax"]
    assert [weight.name for weight in graph.initializer] == ["w"]
    assert b"/home/me" not in graph.SerializeToString()
    assert not graph.value_info


# --- files --------------------------------------------------------------------------------------


def test_a_network_cut_short_or_with_flipped_bits_is_refused_or_stays_inside(tmp_path):
    whole = write_network(tmp_path / "whole.onnx", unet(base=2, depth=1)).read_bytes()
    rng = np.random.default_rng(int(os.environ.get("LANDCOVER_FUZZ_SEED", "0")))
    path = tmp_path / "m.onnx"
    for _ in range(int(os.environ.get("LANDCOVER_FUZZ_EXAMPLES", "60"))):
        spoilt = bytearray(whole)
        if rng.random() < 0.3:
            del spoilt[rng.integers(len(spoilt)) :]
        for at in rng.integers(0, max(1, len(spoilt)), rng.integers(1, 4)):
            if at < len(spoilt):
                spoilt[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(spoilt)
        try:
            classifier = load_model(path).classifier
        except ModelError:
            continue
        assert {node.op_type for node in classifier.to_graph().node} <= OPERATORS.keys()


def test_a_child_that_takes_too_much_is_ended(monkeypatch):
    monkeypatch.setattr(child, "MEMORY", 64 << 20)
    with pytest.raises(ModelError, match="cannot be read with 64 MiB"):
        child.in_child(lambda: bytes(np.ones(100 << 20, np.uint8))[:1], "the network", 10)
    with pytest.raises(ModelError, match="the network cannot be read"):
        child.in_child(lambda: os.kill(os.getpid(), 9), "the network", 10)
    with pytest.raises(ModelError, match="the network cannot be read"):
        child.in_child(lambda: os._exit(0), "the network", 10)
    with pytest.raises(ModelError, match="the network cannot be read"):
        child.in_child(lambda: bytes(10_000), "the network", 10)
    assert child.in_child(lambda: b"answer", "the network", 10) == b"answer"
    head = (6).to_bytes(8)
    assert child._whole(b"+" + head + b"answer") == (b"+", b"answer")
    assert child._whole(b"+" + head + b"answ") == child._whole(b"") == (b"", b"")


def test_a_child_says_what_it_refuses_and_leaves_no_process(tmp_path):
    def refuse():
        raise ModelError("for a reason")

    before = {process.pid for process in psutil.Process().children()}
    with pytest.raises(ModelError, match="for a reason"):
        child.in_child(refuse, "the network", 10)
    assert {process.pid for process in psutil.Process().children()} <= before


def test_no_process_parses_a_network_but_the_child(tmp_path):
    """The process that loads a network has not read its file with ONNX."""
    path = write_network(tmp_path / "m.onnx", unet())
    code = (
        "import sys, landcover.models.file as f; m = f.load_model(sys.argv[1]);"
        "print(m.classifier.halo, 'onnx' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["24", "False", "False"]


@pytest.mark.parametrize("graph", [unet(), chip_net()], ids=["unet", "chips"])
def test_a_network_survives_saving_bit_by_bit(tmp_path, graph):
    model = load_model(write_network(tmp_path / "m.onnx", graph, opset=18))
    save_model(tmp_path / "a.onnx", model)
    again = load_model(tmp_path / "a.onnx")
    assert again.classifier.network == model.classifier.network
    assert again.card == model.card
    save_model(tmp_path / "b.onnx", again)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    onnx.checker.check_model(onnx.load(tmp_path / "a.onnx"), full_check=True)
    assert onnx.load(tmp_path / "a.onnx").opset_import[0].version == 18
