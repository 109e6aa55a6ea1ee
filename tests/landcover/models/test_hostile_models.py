"""Models are hostile until checked: one sentence, or trees in which no pixel can get lost.

LANDCOVER_FUZZ_EXAMPLES=100000 makes the fuzzing at the end long.
"""

import gzip
import json
import math
import os
import pickle
import re
import socket
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from copy import deepcopy
from io import BytesIO

import numpy as np
import onnx
import pytest
import rasterio
from onnx import TensorProto, helper

from landcover.cli import main
from landcover.errors import ModelError
from landcover.io.legend import Legend
from landcover.models.file import (
    CARD_KEY,
    QUANTILES,
    Card,
    CardBand,
    Model,
    load_model,
    save_model,
)
from landcover.models.forest import onnx_reader
from landcover.models.forest.ensemble import Tree, joined
from landcover.models.methods import METHODS
from landcover.models.training_set import TrainingSet
from tests.scenes import write_raster

EXAMPLES = int(os.environ.get("LANDCOVER_FUZZ_EXAMPLES", "1500"))
PIXELS = np.random.default_rng(5).uniform(-50, 1050, (9, 2)).astype(np.float32)
STATISTICS = (100.0, 1.0, 1.0, 5.0, 9.0, 200.0, 1000.0)


def card_of(method="random-forest", names=("forest", "town", "water"), bands=2):
    described = (CardBand(f"b{i}", 490, 9.5, 2.0, tuple(sorted(STATISTICS))) for i in range(bands))
    return Card(
        method=method, legend=Legend.of(names), bands=tuple(described),
        correlation=tuple(map(tuple, np.eye(bands).tolist())), dtype="uint16", nodata=0,
        chip_size=1, samples_sha256="0" * 64, code_version="0.1",
        validation={"kind": "spatial", "accuracy_spatial": None},
    )  # fmt: skip


def stump(*weights):
    """Five nodes: band 0 at the root, band 1 to its right."""
    values = np.zeros((5, 3), np.float32)
    values[[1, 3, 4]] = weights
    return Tree(
        feature=np.array([0, 0, 1, 0, 0]),
        threshold=np.array([500, 0, 300, 0, 0], np.float32),
        left=np.array([1, -1, 3, -1, -1]),
        right=np.array([2, -1, 4, -1, -1]),
        values=values,
    )


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The bytes of a forest of two stumps, three classes and two bands."""
    trees = [stump((0.5, 0, 0), (0, 0.5, 0), (0.1, 0.1, 0.3)), stump(*np.eye(3) / 2)]
    path = tmp_path_factory.mktemp("good") / "model.onnx"
    save_model(path, Model(card_of(), joined(trees, np.array([1, 2, 3]), "NONE", 2)))
    return path.read_bytes()


@pytest.fixture
def refused(tmp_path):
    """A function that needs a file of these bytes to be refused, and returns the sentence."""

    def refuses(content):
        path = tmp_path / "m.onnx"
        path.write_bytes(content)
        with pytest.raises(ModelError) as caught:
            load_model(path)
        sentence = str(caught.value)
        assert sentence.isprintable()
        assert len(sentence) < 600
        return sentence

    return refuses


# --- the forest ---------------------------------------------------------------------------------


def ints(name, at, value):
    def change(proto, attributes):
        attributes[name].ints[at] = value

    return change


def floats(name, at, value):
    def change(proto, attributes):
        attributes[name].floats[at] = value

    return change


def mode(text):
    def change(proto, attributes):
        attributes["nodes_modes"].strings[0] = text

    return change


def without(name):
    def change(proto, attributes):
        proto.graph.node[0].attribute.remove(attributes[name])

    return change


def also(name, value, **kind):
    def change(proto, attributes):
        proto.graph.node[0].attribute.append(helper.make_attribute(name, value, **kind))

    return change


def instead(name, value):
    def change(proto, attributes):
        without(name)(proto, attributes)
        also(name, value)(proto, attributes)

    return change


def transform(text):
    def change(proto, attributes):
        attributes["post_transform"].s = text

    return change


def whole_list(name, field, values):
    def change(proto, attributes):
        del getattr(attributes[name], field)[:]
        getattr(attributes[name], field).extend(values)

    return change


def all_of(*changes):
    def change(proto, attributes):
        for one in changes:
            one(proto, attributes)

    return change


def outside_tensor():
    tensor = TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[10])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


TRUE, FALSE = "nodes_truenodeids", "nodes_falsenodeids"
FORESTS = {
    "child is itself": (ints(TRUE, 0, 0), "before its parent"),
    "right child is itself": (ints(FALSE, 2, 2), "before its parent"),
    "cycle upwards": (ints(FALSE, 2, 0), "before its parent"),
    "child in the next tree": (ints(FALSE, 0, 5), "outside its tree"),
    "child far away": (ints(TRUE, 0, 2**31 - 1), "outside its tree"),
    "child of the last tree far away": (ints(TRUE, 5, 10), "outside its tree"),
    "child beyond int32": (ints(TRUE, 0, 2**31), "out of range"),
    "child beyond int32, small after wrapping": (ints(TRUE, 0, 2**32 + 1), "out of range"),
    "child beyond everything": (ints(TRUE, 0, 2**63 - 1), "out of range"),
    "child negative": (ints(TRUE, 0, -1), "out of range"),
    "both children one": (ints(FALSE, 0, 1), "child of none or of two"),
    "child shared": (ints(FALSE, 2, 3), "child of none or of two"),
    "child shared by two parents": (ints(TRUE, 0, 3), "child of none or of two"),
    "node cut off": (
        all_of(ints(TRUE, 0, 2), ints(FALSE, 0, 2)), "child of none or of two"
    ),
    "band beyond": (ints("nodes_featureids", 0, 2), "compares a band it lacks"),
    "band far beyond": (ints("nodes_featureids", 0, 2**31 - 1), "compares a band it lacks"),
    "band negative": (ints("nodes_featureids", 0, -1), "out of range"),
    "band wraps": (ints("nodes_featureids", 0, 2**32), "out of range"),
    "threshold NaN": (floats("nodes_values", 0, math.nan), "threshold that is no number"),
    "threshold infinite": (floats("nodes_values", 0, -math.inf), "threshold that is no number"),
    "weight NaN": (floats("class_weights", 0, math.nan), "class weight that is no number"),
    "weight infinite": (floats("class_weights", 0, math.inf), "class weight that is no number"),
    "weight negative": (floats("class_weights", 0, -0.1), "share of a class below 0"),
    "weights that overflow when summed": (
        all_of(*(whole_list(f"class_{k}", "ints", [0, 0]) for k in ("treeids", "ids")),
               whole_list("class_nodeids", "ints", [1, 1]),
               whole_list("class_weights", "floats", [3e38, 3e38])),
        "weighs a class twice",
    ),
    "class at a branch": (ints("class_nodeids", 0, 0), "class at a branch"),
    "class at no node": (ints("class_nodeids", 0, 5), "class at a node it lacks"),
    "class in no tree": (ints("class_treeids", 0, 2), "class in a tree it lacks"),
    "class that is none": (ints("class_ids", 0, 3), "class outside its legend"),
    "class negative": (ints("class_ids", 0, -1), "out of range"),
    "tree negative": (ints("nodes_treeids", 0, -1), "out of range"),
    "trees not in order": (ints("nodes_treeids", 0, 1), "number its trees and nodes"),
    "no first node": (ints("nodes_nodeids", 0, 1), "no first node"),
    "node twice": (ints("nodes_nodeids", 2, 1), "number its trees and nodes"),
    "a root too many": (ints("nodes_nodeids", 2, 0), "number its trees and nodes"),
    "other comparison": (mode(b"BRANCH_GT"), "another way than <="),
    "comparison of NUL at its end": (mode(b"LEAF\0"), "another way than <="),
    "comparison of one byte": (mode(b"\1"), "another way than <="),
    "comparison of nothing": (mode(b""), "another way than <="),
    "comparison that is two": (mode(b"LEAFJ\x04LEAF"), "another way than <="),
    "comparison of a megabyte": (mode(b"x" * 1_000_000), "another way than <="),
    "a mode less": (
        whole_list("nodes_modes", "strings", [b"BRANCH_LEQ", b"LEAF"]), "different lengths"
    ),
    "a threshold less": (whole_list("nodes_values", "floats", [0.5] * 9), "different lengths"),
    "a band more": (whole_list("nodes_featureids", "ints", [0] * 11), "different lengths"),
    "a weight more": (whole_list("class_weights", "floats", [0.5] * 99), "different lengths"),
    "no nodes": (
        all_of(*(whole_list(f"nodes_{k}", "ints", []) for k in
                 ("treeids", "nodeids", "featureids", "truenodeids", "falsenodeids")),
               whole_list("nodes_values", "floats", []),
               whole_list("nodes_modes", "strings", [])),
        "has 0 nodes",
    ),
    "unknown label": (ints("classlabels_int64s", 0, 77), "classes outside its legend"),
    "label 0": (ints("classlabels_int64s", 0, 0), "classes outside its legend"),
    "label 255": (ints("classlabels_int64s", 0, 255), "classes outside its legend"),
    "label wraps in a byte": (ints("classlabels_int64s", 0, 257), "classes outside its legend"),
    "label negative": (ints("classlabels_int64s", 0, -255), "out of range"),
    "label twice": (ints("classlabels_int64s", 0, 2), "names a class twice"),
    "one label": (whole_list("classlabels_int64s", "ints", [1]), "tells 1 classes apart"),
    "many labels": (
        whole_list("classlabels_int64s", "ints", range(10**6)), "tells 1000000 classes apart"
    ),
    "labels are texts": (
        also("classlabels_strings", ["a", "b", "c"]), "the attribute classlabels_strings"
    ),
    "base values": (also("base_values", [0.5]), "the attribute base_values"),
    "hit rates": (also("nodes_hitrates", [1.0] * 10), "the attribute nodes_hitrates"),
    "missing values go left": (
        also("nodes_missing_value_tracks_true", [1] * 10), "nodes_missing_value_tracks_true"
    ),
    "other aggregation": (also("aggregate_function", "MAX"), "the attribute aggregate_function"),
    "thresholds outside": (
        also("nodes_values_as_tensor", outside_tensor()), "the attribute nodes_values_as_tensor"
    ),
    "thresholds outside, under another name": (
        instead("nodes_values", outside_tensor()), "nodes_values in a form"
    ),
    "thresholds are float16": (
        instead("nodes_values", helper.make_tensor("t", TensorProto.FLOAT16, [10], [1.0] * 10)),
        "nodes_values in a form",
    ),
    "thresholds are whole": (instead("nodes_values", [1] * 10), "nodes_values in a form"),
    "bands are broken": (instead("nodes_featureids", [0.5] * 10), "nodes_featureids in a form"),
    "bands are text": (instead("nodes_featureids", "0"), "nodes_featureids in a form"),
    "bands are a graph": (
        instead("nodes_featureids", helper.make_graph([], "g", [], [])),
        "nodes_featureids in a form",
    ),
    "modes are whole": (instead("nodes_modes", [0] * 10), "nodes_modes in a form"),
    "an attribute twice": (also("class_ids", [0]), "class_ids twice"),
    "an attribute of no name": (also("", [0]), "the attribute ,"),
    "an attribute of a name of control characters": (also("\x1b[2J", [0]), r"x1b"),
    "soft maximum of zero": (transform(b"SOFTMAX_ZERO"), "transform that is not run"),
    "probit": (transform(b"PROBIT"), "transform that is not run"),
    "transform of NUL at its end": (transform(b"NONE\0"), "transform that is not run"),
    "transform that is long": (transform(b"N" * 300), "transform that is not run"),
} | {
    f"no {name}": (without(name), f"lacks {name}") for name in onnx_reader._KINDS
}  # fmt: skip


def changed(content, change):
    proto = onnx.load_from_string(content)
    change(proto, {a.name: a for a in proto.graph.node[0].attribute})
    return proto.SerializeToString()


@pytest.mark.parametrize("case", FORESTS)
def test_a_forest_that_could_lead_astray_is_refused(good, refused, case):
    change, sentence = FORESTS[case]
    assert sentence in refused(changed(good, change))


def many_nodes(trees, size, left, right):
    """Return a change to forests of other nodes; each tree has its children given."""
    leaf = np.array(left) == 0

    def change(proto, attributes):
        for name, of_tree in (("nodeids", np.arange(size)), ("featureids", np.zeros(size, int)),
                              ("truenodeids", left), ("falsenodeids", right)):  # fmt: skip
            whole_list(f"nodes_{name}", "ints", np.tile(of_tree, trees))(proto, attributes)
        whole_list("nodes_treeids", "ints", np.repeat(range(trees), size))(proto, attributes)
        whole_list("nodes_values", "floats", np.zeros(trees * size))(proto, attributes)
        modes = [b"LEAF" if is_leaf else b"BRANCH_LEQ" for is_leaf in leaf] * trees
        whole_list("nodes_modes", "strings", modes)(proto, attributes)
        for name in ("treeids", "nodeids", "ids"):
            whole_list(f"class_{name}", "ints", [0])(proto, attributes)
        whole_list("class_nodeids", "ints", [int(np.flatnonzero(leaf)[0])])(proto, attributes)
        whole_list("class_weights", "floats", [1.0])(proto, attributes)

    return change


def chain(levels):
    """Children of a tree in which every right child is a branch again, but the last."""
    node = np.arange(2 * levels + 1)
    branch = (node % 2 == 0) & (node < 2 * levels)
    return len(node), np.where(branch, node + 1, 0), np.where(branch, node + 2, 0)


def test_a_pixel_walks_a_bounded_way(good, refused, tmp_path, monkeypatch):
    (tmp_path / "deep.onnx").write_bytes(changed(good, many_nodes(1, *chain(4096))))
    trees = load_model(tmp_path / "deep.onnx").classifier
    expected = [reference_walk(trees, x).argmax() + 1 for x in PIXELS]
    assert trees.predict(PIXELS).tolist() == expected
    assert "more than 4096 levels" in refused(changed(good, many_nodes(1, *chain(4097))))
    monkeypatch.setattr(onnx_reader, "MAX_STEPS", 5999)
    assert "up to 6000 times" in refused(changed(good, many_nodes(2, *chain(3000))))
    one_leaf = many_nodes(100_001, 1, np.zeros(1, int), np.zeros(1, int))
    assert "100001 trees" in refused(changed(good, one_leaf))


def test_nodes_are_bounded_and_so_is_what_they_hold(good, refused, monkeypatch):
    monkeypatch.setattr(onnx_reader, "MAX_NODES", 9)
    assert "has 10 nodes, 1 to 9 are run" in refused(good)
    monkeypatch.setattr(onnx_reader, "MAX_NODES", 10)
    monkeypatch.setattr(onnx_reader, "MAX_VALUES", 29)
    assert "too many nodes for its classes" in refused(good)


@pytest.mark.parametrize(("name", "sentence"), [("SOFTMAX", "SOFTMAX of one score")])
def test_one_score_for_two_classes_is_read_as_others_read_it(good, refused, name, sentence):
    two = all_of(
        whole_list("classlabels_int64s", "ints", [1, 2]),
        whole_list("class_ids", "ints", [0]),
        whole_list("class_treeids", "ints", [0]),
        whole_list("class_nodeids", "ints", [1]),
        whole_list("class_weights", "floats", [0.5]),
        transform(name.encode()),
    )
    assert sentence in refused(changed(good, two))


# --- what stands around the forest --------------------------------------------------------------


def proto_change(text):
    """Return a change in words of the onnx API, where g is the graph and n its node."""

    def change(proto, attributes):
        names = {"p": proto, "g": proto.graph, "n": proto.graph.node[0]}
        exec(text, names | {"helper": helper, "outside_tensor": outside_tensor})

    return change


TAKES, NEEDS = "takes, returns or holds something else", "other versions of operators"
FOREST, MORE = "not one forest", "more than one forest and its card"
WRAPPINGS = {
    "g.node.append(helper.make_node('Loop', ['a'], ['b']))": FOREST,
    "g.node.append(helper.make_node('If', ['a'], ['b']))": FOREST,
    "g.node.append(helper.make_node('Scan', ['a'], ['b']))": FOREST,
    "g.node.append(n)": FOREST,
    "del g.node[:]": "has 0 operators",
    "n.op_type = 'Loop'": "the operator Loop",
    "n.op_type = 'TreeEnsembleRegressor'": "the operator TreeEnsembleRegressor",
    "n.op_type = 'TreeEnsemble'": "the operator TreeEnsemble of the domain ai.onnx.ml",
    "n.domain = ''": FOREST,
    "n.domain = 'com.microsoft'": FOREST,
    "n.overload = 'x'": FOREST,
    "n.doc_string = 'x' * 10**6": FOREST,
    "n.input[0] = 'other'": FOREST,
    "n.input.append('other')": FOREST,
    "n.output.pop()": FOREST,
    "n.output.reverse()": FOREST,
    "g.initializer.append(outside_tensor())": TAKES,
    "g.sparse_initializer.add()": TAKES,
    "g.value_info.add(name='x')": TAKES,
    "g.quantization_annotation.add()": TAKES,
    "g.doc_string = 'x' * 10**6": TAKES,
    "g.name = ''": TAKES,
    "g.input[0].name = 'other'": TAKES,
    "g.input[0].type.tensor_type.elem_type = 11": TAKES,
    "g.input[0].type.tensor_type.shape.dim[1].dim_value = 3": TAKES,
    "g.input[0].type.tensor_type.shape.dim[0].dim_value = 1": TAKES,
    "g.input[0].type.tensor_type.shape.dim.add()": TAKES,
    "g.input[0].type.sequence_type.SetInParent()": TAKES,
    "g.input.append(g.input[0])": TAKES,
    "del g.input[:]": TAKES,
    "g.output[0].type.tensor_type.elem_type = 1": TAKES,
    "g.output[1].type.tensor_type.shape.dim[1].dim_value = 2": TAKES,
    "g.output.pop()": TAKES,
    "p.ir_version = 2**62": NEEDS,
    "p.ir_version = -8": NEEDS,
    "p.ir_version = 3": NEEDS,
    "p.ClearField('ir_version')": NEEDS,
    "p.opset_import[1].version = 5": NEEDS,
    "p.opset_import[1].version = 1": NEEDS,
    "p.opset_import[0].version = 2**62": NEEDS,
    "p.opset_import.append(p.opset_import[1])": NEEDS,
    "p.opset_import.add(domain='com.evil', version=1)": NEEDS,
    "del p.opset_import[:]": NEEDS,
    "p.functions.add(name='f', domain='d')": NEEDS,
    "p.training_info.add()": NEEDS,
    "p.domain = 'x'": NEEDS,
    "p.model_version = 2": NEEDS,
    "p.doc_string = 'x' * 10**7": NEEDS,
    "p.ClearField('graph')": "damaged",
    "del p.metadata_props[:]": "has no card",
    "p.metadata_props.append(p.metadata_props[0])": "has no card",
    "p.metadata_props[0].key = 'landcover.card '": "has no card",
    "p.metadata_props[0].ClearField('value')": "has no card",
    "p.metadata_props.extend([p.metadata_props[0]] * 2000)": MORE,
    "[g.node.add() for _ in range(2000)]": MORE,
}


@pytest.mark.parametrize("change", WRAPPINGS, ids=lambda text: text[:60])
def test_anything_but_one_forest_in_our_form_is_refused(good, refused, change):
    assert WRAPPINGS[change] in refused(changed(good, proto_change(change)))


def test_other_metadata_does_not_matter(good, tmp_path):
    path = tmp_path / "m.onnx"
    change = "p.metadata_props.add(key='note', value='of a colleague'); p.producer_version = '9'"
    path.write_bytes(changed(good, proto_change(change)))
    assert load_model(path).classifier.bands == 2


def varint(number):
    encoded = b""
    while number > 127:
        encoded, number = encoded + bytes([number & 127 | 128]), number >> 7
    return encoded + bytes([number])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def nested(depth):
    """A graph in an attribute of a node of a graph, and so on."""
    content = b""
    for _ in range(depth):
        content = field(1, field(5, field(6, content)))
    return field(7, content)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"\xff" * 50, b"\x80" * 50, b"not a model", b"\x3a\xff\xff\xff\xff\x0f",
     b"\x3a\x00", b"\x3a" + b"\xff" * 9 + b"\x01", b"\x3b" * 1000, b"\x3d" * 1000, b"\x39" * 1000,
     field(7, b"") * 2, nested(3000), field(7, b"\x0b" * 5000), pickle.dumps([1]),
     pickle.dumps(os.getcwd), gzip.compress(b"x" * 10**6, mtime=0), b"PK\x03\x04" + bytes(99)],
    ids=lambda content: repr(content[:12]),
)  # fmt: skip
def test_a_file_that_is_no_model_is_refused(refused, content):
    assert re.search(r"damaged|has no card|more than one forest", refused(content))


def archives(content):
    for kind in ("zip", "tar", "npz", "gzip"):
        file = BytesIO()
        if kind == "zip":
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("model.onnx", content)
        elif kind == "tar":
            with tarfile.open(fileobj=file, mode="w") as archive:
                archive.addfile(tarfile.TarInfo("model.onnx"))
        elif kind == "npz":
            np.savez_compressed(file, np.zeros(10**6))
        else:
            file.write(gzip.compress(content))
        yield file.getvalue()


def test_archives_are_not_opened(good, refused):
    for archive in archives(good):
        assert "damaged" in refused(archive)


def test_a_pickle_is_never_run(refused, tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "evil"),))

    refused(pickle.dumps(Evil()))
    assert not (tmp_path / "evil").exists()


def test_a_model_cut_short_anywhere_is_refused(good, refused):
    for end in range(0, len(good), 1 if EXAMPLES > 1500 else 3):
        refused(good[:end])


def test_what_follows_a_model_is_not_passed_over(good, refused):
    for more in (b"\0", b"\x08", good, field(7, b""), field(99, b"x"), varint(8) + varint(7)):
        refused(good + more)


def test_numbers_written_wide_mean_the_same(good, tmp_path):
    """Protobuf allows a number in more bytes than it needs."""
    path = tmp_path / "m.onnx"
    assert good[:2] == b"\x08\x08"
    path.write_bytes(b"\x88\x00\x88\x80\x00" + good[2:])
    assert onnx.load(path).ir_version == 8
    assert load_model(path).classifier.bands == 2


# --- the card -----------------------------------------------------------------------------------


CLUSTER = {"code": 0, "mean": [1, 1], "covariance": [[1, 0], [0, 1]], "share": 0.5}
BAND = {"name": "b", "wavelength": None, "mean": 1, "std": 1, "quantiles": list(range(7))}
NAN, INF = float("nan"), float("inf")
CARDS = [
    ("version", [2, 0, -1, 10**400, 10**30], "has version"),
    ("version", [True, "1", 1.0, None, [1], {}], "damaged or not ours"),
    ("method", ["", "chip-cnn2", 1, None, ["random-forest"], {}], "has an invalid method"),
    ("dtype", ["", "complex64", "object", "V99999", 1, None, ["uint8"]], "has an invalid dtype"),
    ("nodata", ["0", True, [0], {}, 10**400], "has an invalid nodata"),
    ("scale", [0, -0.1, "1", True, [1], {}, 10**400], "has an invalid scale"),
    ("offset", ["1", False, [1], {}], "has an invalid offset"),
    ("sensor", [1, True, ["S2"], {}], "has an invalid sensor"),
    ("level", [1, True, ["L2A"], {}], "has an invalid level"),
    ("options", [1, ["a"], {"a": [1]}, {"a": None}], "has an invalid options"),
    ("threads", [-1, 1.5, "two", True], "has an invalid threads"),
    ("code_version", [None, 1, ["a"]], "has an invalid code_version"),
    ("samples_sha256", [None, 1, ["a"]], "has an invalid samples_sha256"),
    ("chip_size", [-1, 1.0, 1.5, True, "1", None, [1], 2**31, 10**400], "an invalid chip_size"),
    ("validation", [None, [], "x", 1], "has an invalid validation"),
    ("legend", [None, 1, "x", {}, [1], [[]], [{}], [None], [{"code": 1}]], "card"),
    ("legend", [[{"code": code, "name": "a"}] for code in (0, 255, -1, True, 1.5, "1", 10**400)],
     "legend"),
    ("legend", [[{"code": 1, "name": name}] for name in ("", " ", None, 1, ["a"])], "legend"),
    ("legend", [[{"code": 1, "name": "a", "color": color}] for color in
                ("red", "#12345\n", "#123456;}", ["#123456"], None, {})], "card"),
    ("legend", [[{"code": 1, "name": "a"}] * 2, [{"code": 1, "name": "a"}] * 10**5], "card"),
    ("legend", [[{"code": 1, "name": "a"}, {"code": 2, "name": " a"}]], "stands twice"),
    ("legend", [[]], "classes outside its legend"),
    ("bands", [None, 1, "x", {}, [], [1, 2], [[], []], [{}, {}], "ab"], "has an invalid bands"),
    ("bands", [[BAND | {key: value}] * 2 for key, value in (
        ("name", None), ("name", 1), ("name", ["b"]), ("wavelength", "490"), ("wavelength", [490]),
        ("wavelength", True), ("wavelength", 10**400), ("mean", None), ("mean", "1"),
        ("mean", 10**400), ("mean", []), ("mean", -1e39), ("std", 1e39),
        ("std", -1), ("std", "1"), ("std", None),
        ("quantiles", []), ("quantiles", 1), ("quantiles", "1234567"), ("quantiles", {}),
        ("quantiles", [1] * 6), ("quantiles", [1] * 8), ("quantiles", [7, 6, 5, 4, 3, 2, 1]),
        ("quantiles", [1, 2, 3, 4, 5, 6, None]), ("quantiles", [[1]] * 7),
        ("quantiles", [1, 2, 3, 4, 5, 6, 1e39]),
        ("quantiles", [1, 2, 3, 4, 5, 6, 10**400]))], "has an invalid bands"),
    ("bands", [[BAND], [BAND] * 3, [BAND] * 9999], "bands and a correlation of 2"),
    ("bands", [[BAND] * 70_000], "has an invalid bands"),
    ("correlation", [None, 1, "x", {}, [], [[]], [1, 0], [[1, 0]], [[1], [1]], [[1, 0], [0]],
                     [[1, 0.5], [0.4, 1]], [[1, 1.5], [1.5, 1]], [[1, None], [None, 1]],
                     [["1", "0"], ["0", "1"]], [[[1], [0]], [[0], [1]]], [[1, 10**400], [0, 1]],
                     [[-2, 0], [0, 1]], [[True, False], [False, True]]],
     "has an invalid correlation"),
    ("correlation", [[[1]], [[1, 0, 0], [0, 1, 0], [0, 0, 1]]], "and a correlation of"),
    ("scene_clusters", [None, 1, "x", {}, [1], [{}], [CLUSTER] * 11, *(
        [CLUSTER | {key: value}] for key, value in (
            ("mean", []), ("mean", ["1", "1"]), ("mean", [1e39, 1]), ("covariance", []),
            ("covariance", [[1, 0], [0]]), ("covariance", [[1, 2], [0, 1]]),
            ("covariance", [[0, 0], [0, 1]]), ("share", 0), ("share", 1.5), ("share", "1")))],
     "has an invalid scene_clusters"),
    ("scene_clusters", [[CLUSTER | {"mean": [1], "covariance": [[1]]}]], "clusters of another"),
]  # fmt: skip


def card_json(content):
    return json.loads(onnx.load_from_string(content).metadata_props[0].value)


def with_card(content, text):
    """Exchange the card for a text or bytes, which need not be UTF-8."""
    proto = onnx.load_from_string(content)
    del proto.metadata_props[:]
    value = text if isinstance(text, bytes) else text.encode()
    return proto.SerializeToString() + field(14, field(1, CARD_KEY.encode()) + field(2, value))


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [(key, value, sentence) for key, values, sentence in CARDS for value in values],
    ids=lambda part: repr(part)[:40],
)
def test_a_card_of_wrong_values_is_refused(good, refused, key, value, sentence):
    try:
        text = json.dumps(card_json(good) | {key: value})
    except ValueError:  # a number of more digits than Python writes
        pytest.fail("the test needs smaller numbers")
    assert sentence in refused(with_card(good, text))


@pytest.mark.parametrize(
    "key",
    ["method", "legend", "bands", "correlation", "dtype", "nodata", "chip_size", "samples_sha256",
     "code_version", "validation"],
)  # fmt: skip
def test_a_card_that_lacks_a_part_is_refused(good, refused, key):
    card = card_json(good)
    del card[key]
    assert f"lacks {key}" in refused(with_card(good, json.dumps(card)))


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b"{}\xff", b"\0" * 9, b"[" * 100_000,
     b'{"version": 1, "x": ' + b"[" * 100_000, b'{"a": ' * 9_999, b'{"version": 1' + b"0" * 9_999],
    ids=lambda text: repr(text[:20]),
)  # fmt: skip
def test_a_card_that_is_no_object_is_refused(good, refused, text):
    assert "card is damaged or not ours" in refused(with_card(good, text))


@pytest.mark.parametrize(
    "member",
    ['"x": NaN', '"x": Infinity', '"x": [-Infinity]', '"x": 1e400', '"scale": -1e999',
     '"x": ' + "9" * 5000, r'"author": "\ud800"', r'"\udfff": 1', '"version": 1', '"x": 1, "x": 1',
     '"x": {"y": 1, "y": 2}', '"x": "\x01"', '"x": ' + "[" * 50_000 + "]" * 50_000],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_json_that_is_none_or_means_two_things_is_refused(good, refused, member):
    text = json.dumps(card_json(good))[:-1] + f", {member}}}"
    assert "card is damaged or not ours" in refused(with_card(good, text))


def test_bytes_that_are_no_text_in_a_card_are_refused(good, refused):
    text = json.dumps(card_json(good)).encode()
    for no_text in (b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xe2\x82"):
        spoilt = with_card(good, text.replace(b"water", no_text))
        assert "card is damaged or not ours" in refused(spoilt)


def test_a_card_may_say_more_than_we_know(good, tmp_path):
    path = tmp_path / "m.onnx"
    more = {"footprint": [[1, 2], {"x": None}], "scale": 0.0001, "offset": -0.1, "sensor": "S2",
            "level": "L2A", "to_json": 1, "__class__": "x"}  # fmt: skip
    path.write_bytes(with_card(good, json.dumps(card_json(good) | more)))
    card = load_model(path).card
    assert (card.scale, card.offset, card.sensor, card.level) == (0.0001, -0.1, "S2", "L2A")
    assert isinstance(card.to_json(), str)


def test_a_card_of_many_megabytes_is_refused(good, refused):
    text = json.dumps(card_json(good) | {"x": "x" * (9 << 20)})
    assert "card has 9 MiB, at most 8" in refused(with_card(good, text))


def test_odd_names_stay_text(good, tmp_path):
    """They are escaped where they are shown: in sentences, tags and pages."""
    path = tmp_path / "m.onnx"
    name = "<script>\x01\n\u202e{{ 7*7 }}</script>"
    card = card_json(good)
    card["legend"][0]["name"] = card["bands"][0]["name"] = name
    path.write_bytes(with_card(good, json.dumps(card)))
    scene = write_raster(tmp_path / "s.tif", np.ones((2, 4, 4), np.uint16) * 9)
    arguments = ["classify-scene", f"--scene={scene}", f"--model={path}", f"--workdir={tmp_path}"]
    assert main(arguments) == 0
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert Legend.from_tag(dataset.tags()["LANDCOVER_LEGEND"]).names[0] == name


# --- the file -----------------------------------------------------------------------------------


def no_files(folder, good):
    """Yield paths that are no model files, and what is said of them."""
    (folder / "folder.onnx").mkdir()
    yield folder / "folder.onnx", "folder.onnx is no file"
    yield folder / "absent.onnx", "cannot be read: No such file"
    (folder / "dead.onnx").symlink_to("absent")
    yield folder / "dead.onnx", "cannot be read: No such file"
    (folder / "loop.onnx").symlink_to("loop.onnx")
    yield folder / "loop.onnx", "cannot be read: Too many levels"
    yield "/dev/zero", "zero is no file"
    yield "/dev/tty", "tty is no file"
    yield "/proc/self/mem", "damaged"
    os.mkfifo(folder / "pipe.onnx")
    yield folder / "pipe.onnx", "pipe.onnx is no file"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(folder / "socket.onnx"))
        yield folder / "socket.onnx", "socket.onnx is no file"
    with (folder / "vast.onnx").open("wb") as file:
        file.truncate(1 << 40)
    yield folder / "vast.onnx", "has 1048576 MiB, at most 1024 are read"
    (folder / "link.onnx").symlink_to("vast.onnx")
    yield folder / "link.onnx", "has 1048576 MiB"
    yield folder / ("x" * 300), "cannot be read: File name too long"


def test_paths_that_lead_to_no_model_are_refused_without_waiting(good, tmp_path):
    for path, sentence in no_files(tmp_path, good):
        with pytest.raises(ModelError, match=re.escape(sentence)):
            load_model(path)


def test_a_link_to_a_model_is_followed(good, tmp_path):
    (tmp_path / "model.onnx").write_bytes(good)
    (tmp_path / "link.onnx").symlink_to("model.onnx")
    assert load_model(tmp_path / "link.onnx").classifier.bands == 2


MEASURED = """
import re, sys, time
from pathlib import Path
from landcover.errors import ModelError
from landcover.models.file import load_model
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
before = peak()
try:
    load_model(sys.argv[1])
except ModelError:
    pass
print(peak() - before)
"""


def megabytes_to_load(path):
    done = subprocess.run([sys.executable, "-c", MEASURED, str(path)], capture_output=True,
                          text=True, check=True, timeout=60)  # fmt: skip
    return float(done.stdout)


def test_memory_is_bounded_by_the_file(good, tmp_path):
    ten = 5_000_000
    files = {
        "nodes": field(7, b"\x0a\x00" * ten),
        "tensors": field(7, b"\x2a\x00" * ten),
        "opsets": b"\x42\x00" * ten,
        "graphs": field(7, field(1, field(5, field(1, b"class_ids") + b"\x5a\x00" * ten))),
        "ints": field(7, field(1, field(5, field(1, b"class_ids") + b"\x40\x00" * ten))),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        assert megabytes_to_load(tmp_path / name) < 40, name


def test_a_large_forest_is_loaded_lean(tmp_path):
    inner, size = 2047, 4095  # twelve full levels
    node = np.arange(size)
    leaf = node >= inner
    values = np.where(leaf[:, None], np.eye(8, dtype=np.float32)[node % 8], 0)
    tree = Tree(node % 10 * ~leaf, (node * ~leaf).astype(np.float32),
                np.where(leaf, -1, 2 * node + 1), np.where(leaf, -1, 2 * node + 2),
                values)  # fmt: skip
    trees = joined([tree] * 100, np.arange(1, 9), "SOFTMAX", 10)
    path = tmp_path / "large.onnx"
    save_model(path, Model(card_of(names=tuple("abcdefgh"), bands=10), trees))
    assert path.stat().st_size > 12 << 20
    assert megabytes_to_load(path) < 110


# --- the command --------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["cycle", "cut", "text", "pipe", "absent"])
def test_the_command_refuses_in_one_sentence_and_leaves_nothing(good, tmp_path, case):
    inputs, out = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    out.mkdir()
    model = inputs / "hostile.onnx"
    if case == "pipe":
        os.mkfifo(model)
    elif case != "absent":
        model.write_bytes({"cycle": changed(good, ints(TRUE, 0, 0)), "cut": good[:-9],
                           "text": b"no model"}[case])  # fmt: skip
    scene = write_raster(inputs / "scene.tif", np.ones((2, 4, 4), np.uint16))
    done = subprocess.run(
        [sys.executable, "-m", "landcover", "classify-scene", "--scene", str(scene),
         "--model", str(model), "--workdir", str(out)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"landcover: \S.*\n", done.stderr)
    assert list(out.iterdir()) == []
    assert len(list(inputs.iterdir())) == (1 if case == "absent" else 2)


# --- fuzzing ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """Files of small models as they are trained: both methods, two classes and three."""
    rng = np.random.default_rng(1)
    x = rng.integers(0, 1000, (60, 2)).astype(np.float32)
    folder = tmp_path_factory.mktemp("healthy")
    files = {}
    trees = {name: method for name, method in METHODS.items() if not method.extra}
    for name, method in trees.items():
        for classes in (2, 3):
            y = (1 + (x[:, 0] > 500) + (x[:, 1] > 700) * (classes == 3)).astype(np.uint8)
            path = folder / f"{name}-{classes}.onnx"
            card = card_of(name, ("forest", "town", "water")[:classes])
            save_model(
                path, Model(card, method.fit(TrainingSet.of_pixels(x, y), method.options(), 0))
            )
            files[path.stem] = path.read_bytes()
    return files


def test_a_healthy_model_survives_a_round_trip_bit_by_bit(healthy, good, tmp_path):
    for content in (*healthy.values(), good):
        (tmp_path / "one.onnx").write_bytes(content)
        save_model(tmp_path / "two.onnx", load_model(tmp_path / "one.onnx"))
        assert (tmp_path / "two.onnx").read_bytes() == content
        onnx.save(onnx.load(tmp_path / "one.onnx"), tmp_path / "three.onnx")
        onnx.checker.check_model(tmp_path / "three.onnx")
        assert load_model(tmp_path / "three.onnx").card == load_model(tmp_path / "one.onnx").card


def reference_walk(trees, pixel):
    """Sum the leaves that a pixel reaches, with every bound checked; float64 (scores,)."""
    count = len(trees.feature)
    assert {len(trees.threshold), len(trees.left), len(trees.right), len(trees.values)} == {count}
    sums = np.zeros(trees.values.shape[1])
    for root in trees.roots.tolist():
        at = root
        for _ in range(count):
            assert 0 <= at < count
            if trees.left[at] < 0:
                break
            assert 0 <= trees.feature[at] < trees.bands
            at = int((trees.left if pixel[trees.feature[at]] <= trees.threshold[at]
                      else trees.right)[at])  # fmt: skip
        else:
            pytest.fail("a walk without end")
        sums += trees.values[at]
    return sums


def probabilities(trees, sums):
    if trees.transform == "SOFTMAX":
        grown = np.exp(sums - sums.max())
        return grown / grown.sum()
    if trees.transform == "LOGISTIC":
        sums = (1 + np.tanh(sums / 2)) / 2
    return np.array([1 - sums[0], sums[0]]) if len(sums) == 1 else sums


def check_inside(trees):
    assert trees.values.shape[1] == (1 if len(trees.codes) == 2 else len(trees.codes))
    expected = np.array([probabilities(trees, reference_walk(trees, x)) for x in PIXELS[:3]])
    found = trees.predict_proba(PIXELS[:3])
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def check_read_alike(content, trees):
    """The classes of onnx find the same forest in the file."""
    proto = onnx.load_from_string(content)
    assert len(proto.graph.node) == 1
    found = {a.name: helper.get_attribute_value(a) for a in proto.graph.node[0].attribute}
    branch = np.array([mode == b"BRANCH_LEQ" for mode in found["nodes_modes"]])
    np.testing.assert_array_equal(branch, trees.left >= 0)
    assert np.array(found["nodes_values"], "f4").tobytes() == trees.threshold.tobytes()
    offset = trees.roots[np.array(found["nodes_treeids"])]
    for name, ours, start in ((TRUE, trees.left, offset), (FALSE, trees.right, offset),
                              ("nodes_featureids", trees.feature, 0 * offset)):  # fmt: skip
        np.testing.assert_array_equal((np.array(found[name]) + start)[branch], ours[branch])
    where = trees.roots[np.array(found["class_treeids"], int)] + found["class_nodeids"]
    values = np.zeros_like(trees.values)
    np.add.at(values, (where, found["class_ids"]), np.array(found["class_weights"], "f4"))
    np.testing.assert_array_equal(values, trees.values)
    assert found["classlabels_int64s"] == trees.codes.tolist()
    assert found["post_transform"].decode() == trees.transform


def spoil_bytes(content, rng):
    """Flip, cut, double or move a few bytes; half of the time near the end, where the card is."""
    spoilt = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(spoilt) + 1) if rng.random() < 0.7
                 else len(spoilt) - rng.integers(min(len(spoilt) + 1, 2000)))  # fmt: skip
        size = int(2 ** rng.integers(0, 7))
        kind = rng.integers(6)
        if kind <= 1 and at < len(spoilt):
            spoilt[at] ^= int(1 << rng.integers(8))
        elif kind == 2 and at < len(spoilt):
            spoilt[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF]))
        elif kind == 3:
            del spoilt[at : at + size]
        elif kind == 4:
            spoilt[at:at] = spoilt[at : at + size]
        else:
            other = int(rng.integers(len(spoilt) + 1))
            spoilt[at : at + size] = spoilt[other : other + size]
    if rng.random() < 0.1:
        del spoilt[int(rng.integers(len(spoilt) + 1)) :]
    return bytes(spoilt)


ODD_INTS = (-(2**63), -(2**31), -1, 0, 1, 2, 3, 5, 255, 256, 2**31 - 1, 2**31, 2**32, 2**63 - 1)
ODD_FLOATS = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 3e38, -3e38, 1e-45)
ODD_JSON = (None, True, 0, 1, -1, 1.5, 10**400, "", "x", [], {}, [[]], [0], "\x00", "a" * 500)


def spoil_attribute(proto, rng):
    attributes = proto.graph.node[0].attribute
    one, other = (attributes[int(rng.integers(len(attributes)))] for _ in range(2))
    values = next((v for v in (one.ints, one.floats, one.strings) if len(v)), None)
    kind = rng.integers(10)
    if values is None or kind == 0:
        one.s = bytes(rng.choice([b"NONE", b"SOFTMAX", b"LOGISTIC", b"PROBIT", b""]))
    elif kind <= 5:
        odd = ODD_INTS if values is one.ints else ODD_FLOATS
        at = int(rng.integers(len(values)))
        if one.strings:
            one.strings[at] = bytes(rng.choice([b"LEAF", b"BRANCH_LEQ", b"BRANCH_LT", b""]))
        else:
            values[at] = odd[int(rng.integers(len(odd)))]
            if one.ints and rng.random() < 0.5:
                one.ints[at] = one.ints[int(rng.integers(len(one.ints)))]
    elif kind == 6:
        values.extend(values[: int(rng.integers(3))])
    elif kind == 7:
        del values[int(rng.integers(len(values))) :]
    elif kind == 8:
        one.CopyFrom(other) if rng.random() < 0.5 else attributes.remove(one)
    else:
        one.name, other.name = other.name, one.name


def spoil_card(proto, rng):
    card = json.loads(proto.metadata_props[0].value)
    place = card
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        if not keys:
            break
        key = keys[int(rng.integers(len(keys)))]
        if isinstance(place[key], dict | list) and rng.random() < 0.6:
            place = place[key]
            continue
        place[key] = deepcopy(ODD_JSON[int(rng.integers(len(ODD_JSON)))])
        if rng.random() < 0.1:
            del place[key]
        break
    proto.metadata_props[0].value = json.dumps(card)


def spoil_fields(content, rng):
    """Change the forest or the card as the onnx API can."""
    proto = onnx.load_from_string(content)
    for _ in range(rng.integers(1, 3)):
        (spoil_card if rng.random() < 0.3 else spoil_attribute)(proto, rng)
    return proto.SerializeToString()


@pytest.mark.timeout(0 if EXAMPLES > 1500 else 300)
@pytest.mark.parametrize("spoil", [spoil_bytes, spoil_fields])
def test_a_spoilt_model_is_refused_or_stays_inside(healthy, good, tmp_path, spoil):
    files = [*[good] * 8, *healthy.values()]
    path = tmp_path / "m.onnx"
    seen = Counter()
    for number in range(EXAMPLES):
        rng = np.random.default_rng(number)
        content = spoil(files[number % len(files)], rng)
        path.write_bytes(content)
        try:
            model = load_model(path)
        except ModelError:
            seen["refused"] += 1
        else:
            check_inside(model.classifier)
            check_read_alike(content, model.classifier)
            assert len(model.card.bands) == model.classifier.bands
            assert all(len(band.quantiles) == len(QUANTILES) for band in model.card.bands)
            model.card.to_json().encode()
            seen["run"] += 1
    print(spoil.__name__, dict(seen))
    assert min(seen["refused"], seen["run"]) > EXAMPLES // 50
