"""What an administrator chose for jobs in a cluster."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_DAY = 86_400


class Placement(BaseModel):
    """On which nodes pods may run.

    Attributes:
        node_selector: labels that a node must have.
        tolerations: taints of nodes that do not keep the pods away.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    node_selector: dict[str, str] = Field(default={}, alias="nodeSelector")
    tolerations: list[dict[str, Any]] = []


class ClusterSettings(BaseModel):
    """How jobs run in the cluster.

    Attributes:
        image: of jobs on processors.
        image_cuda: of jobs on GPUs; "" refuses such jobs.
        claim: the volume claim that holds the storage tree.
        namespace: where Jobs are made.
        report_url: address of the service's route for jobs, as their pods reach it.
        placement: nodes for jobs on processors and for those on GPUs.
        longest_seconds: a Job is ended after it, its wait for a node included.
        most_cores: no job gets more, whatever it would like.
        most_memory_mib: a job that needs more is refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: str = Field(min_length=1)
    image_cuda: str = ""
    claim: str = Field(min_length=1)
    namespace: str = Field(min_length=1)
    report_url: str
    placement: dict[Literal["cpu", "cuda"], Placement] = {}
    longest_seconds: int = Field(default=_DAY, gt=0)
    most_cores: int = Field(default=16, gt=0)
    most_memory_mib: int = Field(default=65_536, gt=0)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "ClusterSettings":
        """Read them from GEOPORTAL_JOB_...

        Raises:
            SystemExit: one is missing or senseless; the sentence names it.
        """
        given: dict[str, Any] = {
            name: environ[_variable(name)]
            for name in cls.model_fields
            if environ.get(_variable(name))
        }
        if "namespace" not in given and _NAMESPACE.exists():
            given["namespace"] = _NAMESPACE.read_text().strip()
        try:
            if "placement" in given:
                given["placement"] = _PLACEMENTS.validate_json(given["placement"])
            settings = cls(**given)
        except ValidationError as error:
            first = error.errors()[0]
            names = [str(part) for part in first["loc"]] or ["placement"]
            if names[0] not in cls.model_fields:  # a key of the placement's JSON
                names.insert(0, "placement")
            place = ".".join([_variable(names[0]), *names[1:]])
            raise SystemExit(f"{place}: {first['msg']}") from error
        if urlsplit(settings.report_url).scheme not in ("http", "https"):
            raise SystemExit(
                f"{_variable('report_url')} is {settings.report_url}, needs http://..."
            )
        return settings


_PLACEMENTS = TypeAdapter(dict[Literal["cpu", "cuda"], Placement])


def _variable(name: str) -> str:
    return f"GEOPORTAL_JOB_{name.upper()}"
