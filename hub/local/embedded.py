"""Users' servers as processes of this machine, without accounts of the operating system.

Everybody's server runs as the user who started the hub, so this is for one trusted person. Only
shared/ is kept from being written by mistake, but by administrators (`hub.local.read_only`).
Everything a server started, kernels and what they started too, ends with it.
"""

import asyncio
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyterhub.spawner import LocalProcessSpawner
from jupyterhub.utils import can_connect, exponential_backoff
from kubespawner.slugs import safe_slug
from traitlets import Dict, Unicode, default

from hub.local import processes, read_only, scratch
from hub.local.machine import LOOPBACK, free_port
from landcover.disk import Reserve
from landcover.storage.tree import is_folder_name

# JupyterHub itself would look less and less often, in the end every 5 s
_GLANCE_SECONDS = 0.1
_ROOM = 2 << 20
"""Bytes that the start of a server and its first kernel take off the home directory."""


class EmbeddedSpawner(LocalProcessSpawner):  # type: ignore[misc]  # untyped base
    """Start a server whose home directory is the user's folder in the storage."""

    storage = Unicode(config=True, help="The root of the storage tree.")
    scratch = Unicode(config=True, help="A folder for what is not the users', off their homes.")
    reserve = Unicode(config=True, help="The file whose room is given up on a full disk.")
    mark = Dict(config=True, help="The variable that all processes of this geoportal carry.")

    @property
    def home(self) -> Path:
        """The user's folder in the storage."""
        return Path(self.storage) / "users" / str(safe_slug(self.user.name))

    @property
    def shared(self) -> Path:
        """What all users read."""
        return (Path(self.storage) / "shared").resolve()

    @property
    def _own(self) -> Path:
        """What is the server's, off the home directory."""
        return Path(self.scratch) / self.home.name

    @property
    def _temporary(self) -> dict[str, str]:
        """Another folder for temporary files if shared/ lies below theirs."""
        if Path(tempfile.gettempdir()).resolve() in self.shared.parents:
            return {"TMPDIR": str(self._own / "temporary")}
        return {}

    @default("popen_kwargs")
    def _in_private_home(self) -> dict[str, Any]:
        return {"cwd": str(self.home), "umask": 0o077}

    def make_preexec_fn(self, name: str) -> None:
        """Change nobody's identity."""

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """Return the user's environment without asking the operating system."""
        env = env | {"USER": self.user.name, "HOME": str(self.home), "SHELL": "/bin/bash"}
        return env | scratch.variables(str(self._own), str(self._own / "cache")) | self._temporary

    def load_state(self, state: dict[str, Any]) -> None:
        """Forget the process of an earlier hub: it was ended, and its number may be another's."""
        super().load_state({key: value for key, value in state.items() if key != "pid"})

    async def start(self) -> Any:
        """Prepare the home directory, then start the server in it."""
        Reserve(Path(self.reserve)).give(_ROOM)
        (self._own / "temporary").mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            prepare_home(self.home, [group.name for group in self.user.groups])
        except OSError as error:
            if not self.home.is_dir():
                raise
            # a full disk must not keep anybody out
            self.log.warning("The home directory of %s is not as it should be: %s",
                             self.user.name, error)  # fmt: skip
        is_kept = self.shared.is_dir() and not self.user.admin
        self.shell_cmd = read_only.command(self.shared) if is_kept else []
        self.port = free_port()
        where = await super().start()
        await self._until_it_listens()
        return where

    async def _until_it_listens(self) -> None:
        """Return as soon as the server listens, or has ended; what that means JupyterHub says."""
        while await self.poll() is None and not can_connect(LOOPBACK, self.port):
            await asyncio.sleep(_GLANCE_SECONDS)

    async def wait_for_death(self, timeout: float = 10) -> bool:
        """Wait until the server has ended; False after so many seconds."""

        async def is_dead() -> bool:
            return await self.poll() is not None

        with suppress(TimeoutError):
            return bool(await exponential_backoff(
                is_dead, "The server runs on", max_wait=_GLANCE_SECONDS, timeout=timeout
            ))  # fmt: skip
        return False

    async def stop(self, now: bool = False) -> None:
        """Stop the server, and then whatever it leaves behind."""
        belongings = self.mark | {"JUPYTERHUB_SERVICE_PREFIX": self.server.base_url}
        await super().stop(now)
        await asyncio.to_thread(processes.stop_marked, belongings)


def prepare_home(home: Path, groups: Iterable[str] = ()) -> None:
    """Make a home directory below users/, with links to what is shared and to the teams.

    Args:
        home: the directory.
        groups: of the user; each that can have a folder gets one in team/, as in a cluster.
    """
    root = home.parents[1]
    home.mkdir(parents=True, exist_ok=True)
    for name in ("shared", "team"):
        (root / name).mkdir(parents=True, exist_ok=True)
        link = home / name
        if not link.is_symlink() and not link.exists():
            link.symlink_to(Path("..", "..", name))
    for group in filter(is_folder_name, groups):
        (root / "team" / group).mkdir(exist_ok=True)
