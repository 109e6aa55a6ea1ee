"""What an administrator chose for jobs in a cluster."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from wps_processes.environment import FromEnvironment, Whole

_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_PREFIX = "GEOPORTAL_JOB_"


class Placement(BaseModel):
    """On which nodes pods may run.

    Attributes:
        node_selector: labels that a node must have.
        tolerations: taints of nodes that do not keep the pods away.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    node_selector: dict[str, str] = Field(default={}, alias="nodeSelector")
    tolerations: list[dict[str, Any]] = []


def _parsed(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


class ClusterSettings(FromEnvironment):
    """How jobs run in the cluster; each field is the variable GEOPORTAL_JOB_FIELD."""

    model_config = ConfigDict(alias_generator=lambda name: f"{_PREFIX}{name.upper()}")

    image: str = Field(
        description="image of jobs on processors",
        json_schema_extra={"needs": "the name of an image"},
    )
    image_cuda: str = Field(
        default="",
        description="image of jobs on GPUs; without it such jobs are refused",
        json_schema_extra={"needs": "the name of an image", "default": "none"},
    )
    claim: str = Field(
        description="volume claim with the storage tree, mounted here at `GEOPORTAL_STORAGE`",
        json_schema_extra={"needs": "the name of a volume claim"},
    )
    namespace: str = Field(
        description="where Jobs are made",
        json_schema_extra={"needs": "the name of a namespace", "default": "the service's own"},
    )
    report_url: str = Field(
        pattern=r"^https?://[^\s/]+\S*$",
        description="the route for jobs as pods reach it",
        json_schema_extra={
            "needs": "an address such as http://geoportal-wps:8000/services/wps/runs"
        },
    )
    placement: Annotated[dict[Literal["cpu", "cuda"], Placement], BeforeValidator(_parsed)] = (
        Field(
            default={},
            description="nodes for jobs on processors (`cpu`) and on GPUs (`cuda`)",
            json_schema_extra={
                "needs": 'JSON such as {"cpu": {"nodeSelector": {}, "tolerations": []}}',
                "default": "any node",
            },
        )
    )
    longest_seconds: Whole = Field(
        default=86_400,
        ge=1,
        le=2**31 - 1,
        description="seconds after which a Job is ended, its wait for a node included; sooner if "
        "its operation says that it takes no longer",
    )
    most_cores: Whole = Field(
        default=16, ge=1, le=4_096, description="cores; more than these no job gets"
    )
    parts: Whole = Field(
        default=1,
        ge=1,
        le=64,
        description="pods that compute the parts of one job on large files; 1: each job is a pod",
    )
    most_memory_mib: Whole = Field(
        default=65_536, ge=1, le=2**30, description="MiB; a job that needs more is refused"
    )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read them; the namespace is the pod's own if none is named.

        Raises:
            SettingsError: one is missing or invalid.
        """
        own = {}
        if _NAMESPACE.exists():
            own[f"{_PREFIX}NAMESPACE"] = _NAMESPACE.read_text().strip()
        return super().from_environment(own | {k: v for k, v in environ.items() if v})
