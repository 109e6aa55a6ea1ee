"""What a user may start in a cluster: an image, its share of a machine, and for whom it is."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic_core import CoreSchema
from tornado.web import HTTPError

from kube.quantities import GPU
from portal.base_model import Strict

T = TypeVar("T")


class NotOffered(HTTPError):
    """Somebody asks for what is not offered to them."""

    def __init__(self, sentence: str) -> None:
        """Answer 403 with a sentence."""
        super().__init__(403, sentence)
        self.jupyterhub_message = sentence


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(values)) < len(values):
        raise ValueError("the same choice twice")
    return values


class _OneOrSeveral:
    """Tells the schema of settings what `_listed` takes."""

    @staticmethod
    def __get_pydantic_json_schema__(
        core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        several = handler(core)
        return {"anyOf": [several["items"], several]}


Choices = Annotated[
    tuple[T, ...],
    BeforeValidator(_listed),
    Field(min_length=1),
    AfterValidator(_distinct),
    _OneOrSeveral,
]
"""One value, or several of which the first is the default."""
Cores = Annotated[float, Field(gt=0)]
Memory = Annotated[str, Field(pattern=r"^[1-9]\d*[MGT]$", description="with its unit: 8G")]
Gpus = Annotated[int, Field(ge=0)]


class Toleration(Strict):
    """A taint of nodes that does not keep the pod away, as Kubernetes writes it."""

    key: str | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None

    @model_validator(mode="after")
    def _says_what(self) -> "Toleration":
        if self.operator == "Exists" and self.value is not None:
            raise ValueError("operator Exists takes no value")
        if self.operator == "Equal" and self.key is None:
            raise ValueError("operator Equal needs a key")
        return self


class Expression(Strict):
    """A demand on one label of a node, as Kubernetes writes it."""

    key: str = Field(min_length=1)
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_its_values(self) -> "Expression":
        if self.operator in ("Exists", "DoesNotExist"):
            if self.values:
                raise ValueError(f"operator {self.operator} takes no values")
        elif self.operator in ("Gt", "Lt"):
            if len(self.values) != 1 or not self.values[0].isdecimal():
                raise ValueError(f"operator {self.operator} takes one whole number")
        elif not self.values:
            raise ValueError(f"operator {self.operator} needs values")
        return self


class Term(Strict):
    """Demands that a node must meet all."""

    matchExpressions: tuple[Expression, ...] = Field(min_length=1)  # Kubernetes' word


class Preference(Strict):
    """A term that is better met than not."""

    weight: int = Field(ge=1, le=100)
    preference: Term


class Affinity(Strict):
    """Which nodes a pod must, or would rather, run on."""

    required: tuple[Term, ...] = Field(default=(), description="one of them must hold")
    preferred: tuple[Preference, ...] = ()


class Profile(Strict):
    """One choice on the page that starts a server."""

    slug: str = Field(pattern=r"^[a-z]([a-z0-9-]*[a-z0-9])?$")
    title: str = Field(min_length=1)
    description: str = ""
    image: str = Field(min_length=1)
    cores: Choices[Cores]
    memory: Choices[Memory]
    gpus: Choices[Gpus] = (0,)
    groups: frozenset[str] = Field(
        default=frozenset(), description="only for their members; empty is for everybody"
    )
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    affinity: Affinity = Affinity()
    own_image: bool = Field(default=False, description="whether users may name another image")

    def is_for(self, groups: Iterable[str]) -> bool:
        """Return whether a member of these groups may see and start it."""
        return not self.groups or not self.groups.isdisjoint(groups)

    @property
    def entry(self) -> dict[str, Any]:
        """This profile as KubeSpawner's profile_list has it."""
        choices = {
            "cores": ("Cores", {_plain(cores): _cores(cores) for cores in self.cores}),
            "memory": ("Memory", {memory: _memory(memory) for memory in self.memory}),
            "gpus": ("GPUs", {_plain(gpus): _gpus(gpus) for gpus in self.gpus}),
        }
        fixed: dict[str, Any] = {"image": self.image, "own_image": ""} | self._place
        for _, overrides in choices.values():
            if len(overrides) == 1:
                fixed |= next(iter(overrides.values()))
        return {
            "slug": self.slug,
            "display_name": self.title,
            "description": self.description,
            "kubespawner_override": fixed,
            "profile_options": {
                name: _option(title, overrides)
                for name, (title, overrides) in choices.items()
                if len(overrides) > 1
            }
            | ({"image": _IMAGE} if self.own_image else {}),
        }

    @property
    def _place(self) -> dict[str, Any]:
        """Where it runs; what is not said is left to the chart."""
        said = {
            "node_selector": dict(self.node_selector),
            "tolerations": [_written(toleration) for toleration in self.tolerations],
            "node_affinity_required": [_written(term) for term in self.affinity.required],
            "node_affinity_preferred": [_written(term) for term in self.affinity.preferred],
        }
        return {name: value for name, value in said.items() if value}


def offered(profiles: Sequence[Profile], spawner: Any) -> list[dict[str, Any]]:
    """Return the profiles that the owner of a server may start, as KubeSpawner has them.

    Raises:
        NotOffered: there are profiles, and none is for this user.
    """
    groups = {group.name for group in getattr(spawner.user, "groups", ())}
    mine = [profile.entry for profile in profiles if profile.is_for(groups)]
    if profiles and not mine:
        raise NotOffered(
            "No server is offered to you: every profile is for groups that you are not in. "
            "An administrator can put you into one."
        )
    return mine


def check_choice(entries: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> None:
    """Refuse a choice that nobody could make on the page, as a forged request can.

    Args:
        entries: the profiles offered to the user.
        options: what the request asks for: profile, and the choices within it.

    Raises:
        NotOffered: the profile or one of its choices is not offered.
    """
    if not entries:
        return
    slug = options.get("profile") or entries[0]["slug"]  # kubespawner takes the first
    entry = next((entry for entry in entries if entry["slug"] == slug), None)
    if entry is None:
        raise NotOffered(
            f"The profile {slug!r} is not offered to you; there "
            f"{'is' if len(entries) == 1 else 'are'} {_named(e['slug'] for e in entries)}."
        )
    for name, option in entry["profile_options"].items():
        if options.get(f"{name}--unlisted-choice"):
            if option.get("unlisted_choice"):
                continue
            raise NotOffered(f"The profile {slug} leaves no free choice of {name}.")
        wanted = options.get(name)
        if wanted is not None and wanted not in [*option["choices"]]:
            raise NotOffered(
                f"{wanted!r} is no choice for {name} of the profile {slug}; "
                f"there are {_named(option['choices'])}."
            )


_IMAGE = {
    "display_name": "Image",
    "choices": {
        "offered": {"display_name": "of this profile", "default": True, "kubespawner_override": {}}
    },
    "unlisted_choice": {
        "enabled": True,
        "display_name_in_choices": "one's own",
        "display_name": "Its name",
        "validation_message": "such as ghcr.io/team/image:1.0",
        # looked at before anything is started
        "kubespawner_override": {"own_image": "{value}"},
    },
}


def _option(title: str, overrides: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    choices = {
        value: {"display_name": value, "default": number == 0, "kubespawner_override": override}
        for number, (value, override) in enumerate(overrides.items())
    }
    return {"display_name": title, "choices": choices}


def _cores(cores: float) -> dict[str, Any]:
    # what is promised is what is given: a busy neighbour takes nothing away
    return {"cpu_limit": cores, "cpu_guarantee": cores}


def _memory(memory: str) -> dict[str, Any]:
    return {"mem_limit": memory, "mem_guarantee": memory}


def _gpus(gpus: int) -> dict[str, Any]:
    return {"extra_resource_limits": {GPU: str(gpus)} if gpus else {}}


def _plain(number: float) -> str:
    return f"{number:g}"


def _written(model: Strict) -> dict[str, Any]:
    """Return a part of a pod as Kubernetes writes it."""
    return model.model_dump(mode="json", exclude_none=True, exclude_defaults=True)


def _named(names: Iterable[str]) -> str:
    return ", ".join(names)
