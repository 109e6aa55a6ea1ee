"""What a user may start in a cluster: an image and its share of a machine."""

from typing import Any

from pydantic import Field

from hub.strict import Strict


class Profile(Strict):
    """One choice on the page that starts a server."""

    slug: str = Field(pattern=r"^[a-z]([a-z0-9-]*[a-z0-9])?$")
    title: str = Field(min_length=1)
    image: str = Field(min_length=1)
    cores: float = Field(gt=0)
    memory: str = Field(pattern=r"^\d+[MGT]$", description="with its unit: 8G")
    gpus: int = Field(default=0, ge=0)

    @property
    def entry(self) -> dict[str, Any]:
        """This profile as KubeSpawner's profile_list has it."""
        return {
            "slug": self.slug,
            "display_name": self.title,
            "kubespawner_override": {
                "image": self.image,
                "cpu_limit": self.cores,
                "mem_limit": self.memory,
                # what is promised is what is given: a busy neighbour takes nothing away
                "cpu_guarantee": self.cores,
                "mem_guarantee": self.memory,
                "extra_resource_limits": {"nvidia.com/gpu": str(self.gpus)} if self.gpus else {},
            },
        }
