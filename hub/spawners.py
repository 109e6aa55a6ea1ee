"""Where users' servers run: as processes of this machine, or as pods of a cluster."""

import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

from pydantic import Field
from traitlets.config import Config

from hub.kubernetes.profiles import Profile, offered
from hub.local import scratch
from hub.local.machine import CHECKOUT, Machine
from hub.services.quotas import Quota, quota_variables
from portal.base_model import Strict

# a first start imports much from a cold disk: 26 s were seen on a busy machine
_PATIENCE_SECONDS = 180
# between the spawner's giving up in words and JupyterHub's without
_FAREWELL_SECONDS = 30
_ROUTES_SECONDS = 10
_STORAGE = "storage"
# A mount cannot be renamed from within: an ordinary folder could, and with a file in its place no
# container would start again. Its one page of memory has no room for what is put beside the teams,
# so that this is refused and not lost at the end. Not read-only: the mounts in it are made there.
_TEAMS = {"name": "teams", "emptyDir": {"medium": "Memory", "sizeLimit": "4Ki"}}
# of every file in the storage, whatever user an image has
_UID, _GID = 1000, 100
_JUPYTER_CONFIG = CHECKOUT / "hub" / "jupyter"


class Local(Strict):
    """Processes of this machine, all of one operating-system user: for one trusted person."""

    kind: Literal["local"]
    home_quota: Quota | None = None

    @property
    def proxy_url(self) -> str:
        """Where services of the hub reach users' servers."""
        return Machine.from_environment(os.environ).url

    @property
    def wps_url(self) -> str:
        """Where users' servers reach the WPS."""
        return Machine.from_environment(os.environ).wps_url

    def configure(self, c: Config, profiles: Sequence[Profile]) -> None:
        """Run servers, proxy and database on this machine; profiles are for clusters."""
        machine = Machine.from_environment(os.environ)
        machine.configure(c)
        _patient(c)
        c.JupyterHub.spawner_class = "hub.local.embedded.EmbeddedSpawner"
        c.EmbeddedSpawner.storage = str(machine.storage)
        c.EmbeddedSpawner.scratch = str(machine.state / "scratch")
        c.EmbeddedSpawner.reserve = str(machine.reserve.file)
        c.EmbeddedSpawner.mark = machine.mark
        c.EmbeddedSpawner.environment = (
            machine.mark
            | quota_variables(self.home_quota)
            | {
                "GEOPORTAL_WPS_URL": machine.wps_url,
                "GEOPORTAL_COURSE": str(CHECKOUT / "notebooks"),
                "JUPYTER_CONFIG_PATH": str(_JUPYTER_CONFIG),
            }
        )
        c.EmbeddedSpawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
        c.EmbeddedSpawner.args = [*scratch.DELETE, *["--allow-root"] * (os.geteuid() == 0)]


class Kubernetes(Strict):
    """Pods that mount their user's part of one volume, and what is shared read-only."""

    kind: Literal["kubernetes"]
    claim: str = Field(description="the volume claim, ReadWriteMany, that holds the storage tree")
    home: str = Field(default="/home/jovyan", description="the home directory in the images")
    wps_url: str = "http://proxy-public/services/wps/"
    start_seconds: int = Field(
        default=600, gt=0, description="a server may wait so long for its image or a GPU"
    )
    proxy_url: str = Field(
        default="http://proxy-public", description="where services reach users' servers"
    )
    home_quota: Quota | None = None
    temporary_size: str = Field(
        default="20Gi",
        pattern=r"^[1-9]\d*(Mi|Gi|Ti)$",
        description="the most that temporary files and caches of one server take",
    )

    def configure(self, c: Config, profiles: Sequence[Profile]) -> None:
        """Offer the profiles, all with the same mounts and the same few rights."""
        _patient(c)
        # of KubeSpawner, because z2jh sets it there
        c.KubeSpawner.start_timeout = self.start_seconds + _FAREWELL_SECONDS
        c.KubeSpawner.k8s_api_request_retry_timeout = self.start_seconds
        c.JupyterHub.spawner_class = "hub.kubernetes.spawner.PodSpawner"
        # a proxy that was lost comes back without a route; the hub looks so often (z2jh: 60 s)
        c.JupyterHub.last_activity_interval = _ROUTES_SECONDS
        c.PodSpawner.patience = self.start_seconds
        c.PodSpawner.home = self.home
        c.PodSpawner.storage = _STORAGE
        # an image may set another; what members of a team make is then the team's
        c.KubeSpawner.cmd = ["sh", "-c", 'umask 007 && exec "$0" "$@"', "jupyterhub-singleuser"]
        # a function makes a page of choices, also of none
        c.KubeSpawner.profile_list = partial(offered, profiles) if profiles else []
        c.KubeSpawner.storage_pvc_ensure = False
        c.KubeSpawner.args = list(scratch.DELETE)
        c.KubeSpawner.volumes = [
            self._volume,
            _TEAMS,
            *scratch.pod_volumes(self.temporary_size),
        ]
        c.KubeSpawner.volume_mounts = [
            # kubespawner fills in the slug that names the user's folder
            self._mount(self.home, "users/{username}"),
            self._mount(f"{self.home}/shared", "shared") | {"readOnly": True},
            # also of who is in no group yet; the spawner mounts the groups' folders in it
            {"name": _TEAMS["name"], "mountPath": f"{self.home}/team"},
            *scratch.POD_MOUNTS,
        ]
        # an image that somebody brings knows neither
        c.KubeSpawner.working_dir = self.home
        c.KubeSpawner.environment = {
            "HOME": self.home,
            "GEOPORTAL_WPS_URL": self.wps_url,
            **scratch.POD_VARIABLES,
            **quota_variables(self.home_quota),
        }
        self._confine(c)

    def _confine(self, c: Config) -> None:
        """Run any image as one unprivileged user, as restricted Pod Security requires."""
        c.KubeSpawner.uid = _UID
        c.KubeSpawner.gid = _GID
        c.KubeSpawner.fs_gid = _GID
        c.KubeSpawner.privileged = False
        c.KubeSpawner.allow_privilege_escalation = False
        c.KubeSpawner.automount_service_account_token = False
        c.KubeSpawner.pod_security_context = {
            "runAsNonRoot": True,
            "fsGroup": _GID,
            # do not walk through all files at every start
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        c.KubeSpawner.container_security_context = {
            "runAsUser": _UID,
            "runAsGroup": _GID,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }

    @property
    def _volume(self) -> dict[str, Any]:
        return {"name": _STORAGE, "persistentVolumeClaim": {"claimName": self.claim}}

    def _mount(self, path: str, folder: str) -> dict[str, Any]:
        return {"name": _STORAGE, "mountPath": path, "subPath": folder}


def _patient(c: Config) -> None:
    c.Spawner.start_timeout = _PATIENCE_SECONDS
    c.Spawner.http_timeout = _PATIENCE_SECONDS
    c.Spawner.default_url = "/lab"
