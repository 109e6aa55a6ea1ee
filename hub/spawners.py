"""Where users' servers run: as processes of this machine, or as pods of a cluster."""

import os
import sys
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field
from traitlets.config import Config

from hub.machine import CHECKOUT, Machine
from hub.profiles import Profile
from hub.strict import Strict

# a first start imports much from a cold disk: 26 s were seen on a busy machine
_PATIENCE_SECONDS = 180
_JUPYTER_CONFIG = CHECKOUT / "hub" / "jupyter"


class Local(Strict):
    """Processes of this machine, all of one operating-system user: for one trusted person."""

    kind: Literal["local"]

    def configure(self, c: Config, profiles: Sequence[Profile]) -> None:
        """Run servers, proxy and database on this machine; profiles are for clusters."""
        machine = Machine.from_environment(os.environ)
        machine.configure(c)
        _patient(c)
        c.JupyterHub.spawner_class = "hub.embedded.EmbeddedSpawner"
        c.EmbeddedSpawner.storage = str(machine.storage)
        c.EmbeddedSpawner.mark = machine.mark
        c.EmbeddedSpawner.environment = machine.mark | {
            "GEOPORTAL_WPS_URL": machine.wps_url,
            "GEOPORTAL_COURSE": str(CHECKOUT / "notebooks"),
            "JUPYTER_CONFIG_PATH": str(_JUPYTER_CONFIG),
        }
        c.EmbeddedSpawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
        c.EmbeddedSpawner.args = ["--allow-root"] * (os.geteuid() == 0)


class Kubernetes(Strict):
    """Pods that mount their user's part of one volume, and what is shared read-only."""

    kind: Literal["kubernetes"]
    claim: str = Field(description="the volume claim, ReadWriteMany, that holds the storage tree")
    home: str = Field(default="/home/jovyan", description="the home directory in the images")
    wps_url: str = "http://proxy-public/services/wps/"

    def configure(self, c: Config, profiles: Sequence[Profile]) -> None:
        """Offer the profiles, each with the same two mounts."""
        _patient(c)
        c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
        c.KubeSpawner.cmd = ["jupyterhub-singleuser"]  # without it KubeSpawner drops args
        c.KubeSpawner.profile_list = [profile.entry for profile in profiles]
        c.KubeSpawner.storage_pvc_ensure = False
        c.KubeSpawner.volumes = [self._volume]
        c.KubeSpawner.volume_mounts = [
            # kubespawner fills in the slug that names the user's folder
            self._mount(self.home, "users/{username}"),
            self._mount(f"{self.home}/shared", "shared") | {"readOnly": True},
        ]
        c.KubeSpawner.environment = {"GEOPORTAL_WPS_URL": self.wps_url}

    @property
    def _volume(self) -> dict[str, Any]:
        return {"name": "storage", "persistentVolumeClaim": {"claimName": self.claim}}

    def _mount(self, path: str, folder: str) -> dict[str, Any]:
        return {"name": "storage", "mountPath": path, "subPath": folder}


def _patient(c: Config) -> None:
    c.Spawner.start_timeout = _PATIENCE_SECONDS
    c.Spawner.http_timeout = _PATIENCE_SECONDS
    c.Spawner.default_url = "/lab"
