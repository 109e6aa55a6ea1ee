"""A model is one ONNX file with its card: what it was trained on, and how well it did.

Nothing in a model is executed on loading, and a model is hostile until checked
(`landcover.classifiers.tree_ensemble`).
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import helper

from landcover.classifiers.tree_ensemble import TreeEnsemble, from_node
from landcover.errors import InputError, ModelError
from landcover.legend import Legend
from landcover.operation import AnyPath
from landcover.writing import written_beside

CARD_KEY = "landcover.card"
CARD_VERSION = 1
MAX_BYTES = 1 << 30
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
# what TreeEnsembleClassifier 3 needs; readable by every ONNX Runtime since 1.11
_OPSETS = {"": 13, "ai.onnx.ml": 3}
_IR_VERSION = 8


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
        method: a key of CLASSIFIERS.
        legend: the classes it tells apart.
        bands: in the order the model expects, with statistics of the training pixels.
        correlation: of the bands over the training pixels, (bands, bands).
        dtype: of the scene it was trained on.
        nodata: of that scene.
        scale: reflectance per count, where known.
        offset: added after scaling, where known.
        sensor: of that scene, where known.
        level: processing level of that scene, where known.
        chip_size: side of the chips in pixels.
        samples_sha256: of the samples' values and classes, in list order.
        code_version: of this library.
        validation: accuracy_spatial, accuracy_random and the kind that was asked for.
        created: RFC 3339, UTC.
        author: who trained it, "" if unknown.
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
    created: str
    author: str = ""
    scale: float | None = None
    offset: float | None = None
    sensor: str | None = None
    level: str | None = None
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
        try:
            plain = json.loads(text)
            if plain["version"] == CARD_VERSION:
                return cls._from_plain(plain)
        except (ValueError, TypeError, KeyError, AttributeError, InputError) as error:
            raise ModelError("the model's card is damaged or not ours") from error
        raise ModelError(f"the model's card has version {plain['version']}, needs {CARD_VERSION}")

    @classmethod
    def _from_plain(cls, plain: dict[str, Any]) -> "Card":
        known = {key: plain[key] for key in cls.__dataclass_fields__ if key in plain}
        known["legend"] = Legend.from_list(plain["legend"])
        known["bands"] = tuple(_card_band(band) for band in plain["bands"])
        return cls(**known)


@dataclass(frozen=True)
class Model:
    """A trained classifier with its card."""

    card: Card
    trees: TreeEnsemble


def save_model(path: Path, model: Model) -> None:
    """Write one ONNX file, beside and renamed."""
    proto = helper.make_model(
        model.trees.to_graph(),
        opset_imports=[helper.make_opsetid(name, v) for name, v in _OPSETS.items()],
        ir_version=_IR_VERSION,
        producer_name="landcover-geoportal",
        producer_version=model.card.code_version,
    )
    helper.set_model_props(proto, {CARD_KEY: model.card.to_json()})
    with written_beside(path) as beside:
        beside.write_bytes(proto.SerializeToString())


def load_model(path: AnyPath) -> Model:
    """Read and check a model file.

    Raises:
        ModelError: it is no model of ours, or not safe to run.
    """
    proto = _parse(Path(path))
    card = Card.from_json(_card_text(proto, Path(path).name))
    _check_container(proto)
    trees = from_node(proto.graph.node[0], card.legend.codes, len(card.bands))
    return Model(card, trees)


def _parse(path: Path) -> onnx.ModelProto:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ModelError(
                f"{path.name} has {size >> 20} MiB, at most {MAX_BYTES >> 20} are read"
            )
        proto = onnx.ModelProto()
        proto.ParseFromString(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read: {error.strerror}") from error
    except DecodeError as error:
        raise ModelError(f"{path.name} is no ONNX file, or damaged") from error
    return proto


def _card_text(proto: onnx.ModelProto, name: str) -> str:
    cards = [p.value for p in proto.metadata_props if p.key == CARD_KEY]
    if len(cards) != 1:
        raise ModelError(f"{name} has no card, it needs one: train it with train-classifier")
    return str(cards[0])


def _check_container(proto: onnx.ModelProto) -> None:
    """Refuse everything but one TreeEnsembleClassifier of the opsets we write."""
    if proto.functions or {o.domain for o in proto.opset_import} - {"", "ai.onnx", "ai.onnx.ml"}:
        raise ModelError("the model brings operators of its own, which are not run")
    graph = proto.graph
    if graph.initializer or graph.sparse_initializer:
        raise ModelError("the model refers to data, which a forest does not need")
    kinds = [(node.domain, node.op_type) for node in graph.node]
    if kinds != [("ai.onnx.ml", "TreeEnsembleClassifier")]:
        raise ModelError("the model is not one forest, other models are not run")


def _card_band(plain: dict[str, Any]) -> CardBand:
    quantiles = tuple(float(value) for value in plain["quantiles"])
    mean, std = float(plain["mean"]), float(plain["std"])
    if len(quantiles) != len(QUANTILES) or not np.isfinite((mean, std, *quantiles)).all():
        raise ValueError("band statistics")
    return CardBand(str(plain["name"]), plain.get("wavelength"), mean, std, quantiles)
