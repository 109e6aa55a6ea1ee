"""A model is one ONNX file with its card: what it was trained on, and how well it did.

Nothing in a model is executed on loading, and a model is hostile until checked: its card in
`landcover.models.card_checks`, its trees in `landcover.models.forest.onnx_reader`, its network in
`landcover.models.network.reader`. What stands around trees must be as `save_model` writes it, or
other systems could read the file otherwise than we do; of a network only what was checked is kept.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landcover.errors import ModelError
from landcover.io.files.atomic import written_beside
from landcover.io.files.paths import AnyPath
from landcover.io.legend import Legend
from landcover.io.records.run_record import RECIPE_KEY, recipe_digest
from landcover.models.card_checks import CARD_VERSION, QUANTILES, checked_card
from landcover.models.classifier import Classifier
from landcover.models.footprint import Footprint
from landcover.models.forest.ensemble import trees_graph
from landcover.models.forest.onnx_reader import from_node, is_forest
from landcover.models.forest.protobuf import BYTES, Field, damaged, fields
from landcover.models.forest.window_features import KINDS
from landcover.models.forest.windowed import FEATURES, WindowedForest, windows_graph
from landcover.models.network.reader import read_network
from landcover.models.spectra import Cluster

if TYPE_CHECKING:
    import onnx

__all__ = ["CARD_KEY", "QUANTILES", "Card", "CardBand", "Model", "load_model", "save_model"]

CARD_KEY = "landcover.card"
MAX_BYTES = 1 << 30
MAX_CARD_BYTES = 8 << 20
_IR_VERSION = 8
# of onnx.proto
_PRODUCER, _PRODUCER_VERSION, _GRAPH, _METADATA = (2, BYTES), (3, BYTES), (7, BYTES), (14, BYTES)
_NODE = (1, BYTES)
_NO_FOREST = "the model is not one forest, other models are not run"


@dataclass(frozen=True)
class CardBand:
    """One band of the training pixels: mean, standard deviation, and QUANTILES."""

    name: str
    wavelength: float | None
    mean: float
    std: float
    quantiles: tuple[float, ...]


@dataclass(frozen=True)
class Card:
    """What a model was trained on and how well it did.

    Attributes:
        method: a key of METHODS.
        legend: the classes it tells apart.
        bands: in the order the model expects, with statistics of the training pixels.
        correlation: of the bands over the training pixels, (bands, bands).
        clusters: of the training pixels of each class; none in other people's models.
        scene_clusters: of all pixels of the training scenes, labelled or not; none where only
            samples are known.
        dtype: of the scene it was trained on.
        nodata: of that scene.
        scale: reflectance per count, where known.
        offset: added after scaling, where known.
        sensor: of that scene, where known.
        level: processing level of that scene, where known.
        chip_size: side of the chips in pixels.
        samples_sha256: of the samples' values and classes, in list order.
        code_version: of this library.
        validation: accuracy_spatial and its interval, accuracy_random, groups (places), skipped
            (classes whose accuracy is not known) and the kind that was asked for.
        options: of the method, all of them; None in models that say nothing of them.
        threads: that the training used; None if unknown.
        seed: of the training; None if unknown.
        places: where on the ground the training pixels lie; None if unknown.
    """

    method: str
    legend: Legend
    bands: tuple[CardBand, ...]
    correlation: tuple[tuple[float, ...], ...]
    dtype: str
    nodata: float | None
    chip_size: int
    samples_sha256: str
    code_version: str
    validation: dict[str, Any]
    options: dict[str, Any] | None = None
    threads: int | None = None
    seed: int | None = None
    scale: float | None = None
    offset: float | None = None
    sensor: str | None = None
    level: str | None = None
    clusters: tuple[Cluster, ...] = ()
    scene_clusters: tuple[Cluster, ...] = ()
    places: Footprint | None = None
    version: int = field(default=CARD_VERSION)

    def to_json(self) -> str:
        """Return the JSON form (contract, Files)."""
        plain = asdict(self) | {"legend": self.legend.to_list()}
        return json.dumps(plain, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Card":
        """Read the JSON form.

        Raises:
            ModelError: it is no card of a version we read.
        """
        return cls.from_plain(checked_card(text))

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Card":
        """Return a card that `checked_card` has read."""
        known = {key: plain[key] for key in cls.__dataclass_fields__ if key in plain}
        known["legend"] = Legend.from_list(plain["legend"])
        known["bands"] = tuple(CardBand(**band) for band in plain["bands"])
        for key in ("clusters", "scene_clusters"):
            known[key] = tuple(Cluster(**one) for one in plain.get(key, ()))
        return cls(**known)


@dataclass(frozen=True)
class Model:
    """A trained classifier with its card."""

    card: Card
    classifier: Classifier


def save_model(path: Path, model: Model) -> None:
    """Write one ONNX file, beside and renamed."""
    import onnx

    proto = _wrapped(model.classifier.to_graph(), model.classifier.opsets)
    proto.producer_name = "landcover-geoportal"
    proto.producer_version = model.card.code_version
    digest = recipe_digest()
    recipe = {} if digest is None else {RECIPE_KEY: digest}
    onnx.helper.set_model_props(proto, {CARD_KEY: model.card.to_json()} | recipe)
    with written_beside(path) as beside:
        beside.write_bytes(proto.SerializeToString())


def load_model(path: AnyPath) -> Model:
    """Read and check a model file.

    Raises:
        ModelError: it is no model of ours, or not safe to run.
    """
    path = Path(path)
    content = _read(path)
    model = fields(memoryview(content))
    graphs = model.pop(_GRAPH, [])
    if len(graphs) != 1:
        raise damaged()
    plain = checked_card(_card_text(model.pop(_METADATA, []), path.name))
    card = Card.from_plain(plain)
    if is_forest(graphs[0]):
        graph = fields(graphs[0])
        forest = _forest(graph.pop(_NODE, []), card)
        _check_wrapping(model, graph, forest)
        return Model(card, forest)
    network = read_network(content, card.legend.codes, [band.mean for band in card.bands])
    if (plain.get("halo") or network.halo) < network.halo:
        raise ModelError(
            f"the model's card says that the network looks {plain['halo']} pixels far, and it "
            f"looks {network.halo}"
        )
    return Model(card, network)


def _forest(nodes: list[memoryview], card: Card) -> Classifier:
    """Read the trees of a graph; before them there is nothing, or all that finds windows."""
    bands, codes = len(card.bands), card.legend.codes
    if not nodes:
        raise ModelError(_NO_FOREST)
    if len(nodes) == 1:
        return from_node(nodes[0], codes, bands)
    trees = from_node(nodes[-1], codes, len(KINDS) * bands, FEATURES)
    before = windows_graph(bands, len(trees.codes)).node
    if nodes[:-1] != [node.SerializeToString() for node in before]:
        raise ModelError(_NO_FOREST)
    return WindowedForest.of(trees)


def _wrapped(graph: "onnx.GraphProto", opsets: Mapping[str, int]) -> "onnx.ModelProto":
    from onnx import helper

    imports = [helper.make_opsetid(name, version) for name, version in opsets.items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=_IR_VERSION)


def _read(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise ModelError(f"{path.name} is no file")
        # should a pipe have taken its place by now, it is not waited for
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            size = os.fstat(descriptor).st_size
            if size > MAX_BYTES:
                raise ModelError(
                    f"{path.name} has {size >> 20} MiB, at most {MAX_BYTES >> 20} are read"
                )
            return file.read(size)
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read: {error.strerror}") from error


def _card_text(metadata: list[memoryview], name: str) -> str:
    key = [CARD_KEY.encode()]
    cards = [entry for entry in map(fields, metadata) if entry.get((1, BYTES)) == key]
    if len(cards) != 1 or len(cards[0].get((2, BYTES), [])) != 1:
        raise ModelError(f"{name} has no card, it needs one: train it with train-classifier")
    card = cards[0][2, BYTES][0]
    if len(card) > MAX_CARD_BYTES:
        raise ModelError(
            f"the model's card has {len(card) >> 20} MiB, at most {MAX_CARD_BYTES >> 20} are read"
        )
    return bytes(card).decode(errors="surrogateescape")


def _check_wrapping(
    model: dict[Field, list[Any]], graph: dict[Field, list[Any]], classifier: Classifier
) -> None:
    """Refuse everything around the nodes but what we write, names and shapes included."""
    classes = len(classifier.codes)
    if isinstance(classifier, WindowedForest):
        ours = windows_graph(classifier.bands, classes)
        del ours.node[:]
    else:
        ours = trees_graph([], classifier.bands, classes)
    if graph != _fields_of(ours):
        raise ModelError("the model takes, returns or holds something else than a forest does")
    expected = _fields_of(_wrapped(ours, classifier.opsets))
    del expected[_GRAPH]
    if {key: model[key] for key in model.keys() - {_PRODUCER, _PRODUCER_VERSION}} != expected:
        raise ModelError(
            "the model needs other versions of operators than a forest, or brings its own"
        )


def _fields_of(proto: "onnx.GraphProto | onnx.ModelProto") -> dict[Field, list[Any]]:
    return fields(memoryview(proto.SerializeToString()))
