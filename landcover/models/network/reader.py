"""Read a network from a model file, in a small process of its own."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from landcover.errors import ModelError
from landcover.models.child import in_child
from landcover.models.network.classifier import NetworkClassifier
from landcover.models.network.graph import MAX_WEIGHTS, OPSETS, Checked, Plan, check_graph

if TYPE_CHECKING:
    import onnx

MAX_BYTES = 128 << 20
"""Of a file: all weights that may be, and a card."""
_IR_VERSIONS = (4, 13)
"""Of the first, weights need not be inputs; of the last, nothing we read has changed."""


def read_network(
    content: bytes, codes: Sequence[int], means: Sequence[float]
) -> NetworkClassifier:
    """Read and check a network.

    Args:
        content: of the file, from anybody.
        codes: of the card's legend; the network gives their probabilities in ascending order.
        means: of the card's bands.

    Raises:
        ModelError: it is damaged, does not keep to the list of operators, does not fit the card,
            or costs too much.
    """
    if len(content) > MAX_BYTES:
        raise ModelError(
            f"the network has {len(content) >> 20} MiB, at most {MAX_BYTES >> 20} are read"
        )
    answer = in_child(
        lambda: _checked(content, len(means), len(codes)), "the network", 10 * MAX_WEIGHTS
    )
    line, _, models = answer.partition(b"\n")
    said = json.loads(line)
    classifier = NetworkClassifier(
        Checked(models[: said["model"]], models[said["model"] :], Plan.of_dict(said["plan"])),
        np.array(sorted(codes), np.uint8),
        np.array(means, np.float32),
    )
    classifier.open()
    return classifier


def _checked(content: bytes, bands: int, classes: int) -> bytes:
    """Return the plan as a line of JSON, and then the network written anew, twice."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        proto = onnx.load_model_from_string(content)
        _check_additions(proto)
        checked = check_graph(proto.graph, _opset(proto), bands, classes)
        _check_versions(proto)
        for model in (checked.model, checked.runs):
            onnx.checker.check_model(model, full_check=True)
    except MemoryError as error:
        raise ModelError("the network needs too much memory to be read") from error
    except (DecodeError, UnicodeDecodeError) as error:
        raise ModelError("the model is damaged, or the file is no ONNX file") from error
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"the network is no valid ONNX: {str(error).splitlines()[0]}") from error
    said = {"plan": asdict(checked.plan), "model": len(checked.model)}
    return b"\n".join((json.dumps(said).encode(), checked.model + checked.runs))


def _check_additions(proto: "onnx.ModelProto") -> None:
    """Refuse what stands beside a graph and can be run."""
    brought = ", ".join(function.name[:60] for function in proto.functions)
    if brought:
        raise ModelError(f"the network brings functions of its own ({brought}), none are run")
    if proto.training_info:
        raise ModelError("the network brings a training, which is not run")


def _opset(proto: "onnx.ModelProto") -> int:
    return max((entry.version for entry in proto.opset_import if not entry.domain), default=0)


def _check_versions(proto: "onnx.ModelProto") -> None:
    """Refuse operators of other meanings than those that were checked."""
    domains = [entry.domain for entry in proto.opset_import]
    if domains != [""]:
        others = ", ".join(domain[:60] or "ONNX" for domain in domains) or "none"
        raise ModelError(f"the network needs operators of {others}, those of ONNX alone are run")
    least, most = OPSETS
    version = _opset(proto)
    if not least <= version <= most:
        raise ModelError(f"the network needs opset {version}, {least} to {most} are run")
    first, last = _IR_VERSIONS
    if not first <= proto.ir_version <= last:
        raise ModelError(
            f"the network has the IR version {proto.ir_version}, {first} to {last} are read"
        )
