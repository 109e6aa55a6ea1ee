"""The schema of the chart's values: what Helm checks before it touches the cluster.

The hub's part is derived from its Settings, so that Helm and the hub refuse the same mistakes;
`python -m helm.values_schema > helm/geoportal/values.schema.json` writes it anew.
"""

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from hub.settings import Settings
from portal.base_model import Strict

_QUANTITY = r"^\d+(\.\d+)?([kKMGTPE]i?|m)?$"


class Camel(Strict):
    """Names in camelCase, as Helm advises for values."""

    model_config = ConfigDict(alias_generator=to_camel)


class Volume(Camel):
    """The volume with the files of all users."""

    create: bool
    size: str = Field(pattern=_QUANTITY)
    storage_class: str
    access_mode: Literal["ReadWriteMany", "ReadWriteOnce"]
    own_as_root: bool


class Service(Camel):
    """The processing service."""

    image: str = Field(min_length=1)
    replicas: int = Field(ge=1)
    database_secret: str
    state_size: str = Field(pattern=_QUANTITY)
    state_storage_class: str
    resources: dict[str, Any]
    extra_env: list[dict[str, Any]]
    extra_volumes: list[dict[str, Any]]
    extra_volume_mounts: list[dict[str, Any]]


class Placement(Camel):
    """Which nodes a pod may go to."""

    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: list[dict[str, Any]] = Field(default_factory=list)


class Placements(Camel):
    """Which nodes jobs go to."""

    cpu: Placement
    cuda: Placement


class JobQuota(Camel):
    """What all jobs together get."""

    jobs: int = Field(ge=1)
    cores: int = Field(ge=1)
    memory_mib: int = Field(ge=512)


class Jobs(Camel):
    """Where jobs compute, and what one may have."""

    run_in: Literal["kubernetes", "processes"]
    image: str
    cuda_image: str
    most_cores: int = Field(ge=1)
    most_memory_mib: int = Field(ge=512)
    most_gpus: int = Field(ge=1)
    parts: int = Field(ge=1, le=64)
    longest_seconds: int = Field(ge=60)
    quota: JobQuota
    placement: Placements


class NetworkPolicy(Camel):
    """Who may talk to WPS and jobs."""

    enabled: bool
    dns: list[dict[str, Any]]
    wps_egress: list[dict[str, Any]]


class Custom(Strict):
    """What z2jh mounts into the hub as it is."""

    geoportal: Settings


class Jupyterhub(BaseModel):
    """z2jh, whose own schema checks the rest."""

    model_config = ConfigDict(extra="allow")
    custom: Custom


class Values(Camel):
    """All values of the chart."""

    storage: Volume
    wps: Service
    jobs: Jobs
    network_policy: NetworkPolicy
    jupyterhub: Jupyterhub
    # Helm's own, for values of all charts
    global_: dict[str, Any] = Field(default_factory=dict, alias="global")


def schema() -> dict[str, Any]:
    """Return the schema of values.yaml, as JSON Schema."""
    made = Values.model_json_schema()
    kinds = made["$defs"]
    # a site that chooses this kind cannot take the other's keys out of values.yaml; the chart does
    others = dict.fromkeys(kinds["Nextcloud"]["properties"], True)
    kinds["SharedPassword"]["properties"] = others | kinds["SharedPassword"]["properties"]
    # nobody's in values.yaml; geoportal.check asks for them in a sentence
    for name in ("url", "callback_url"):
        address = kinds["Nextcloud"]["properties"][name]
        address["pattern"] = f"^$|{address['pattern']}"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2, sort_keys=True))
