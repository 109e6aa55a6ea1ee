"""Users' servers as processes of this machine, without accounts of the operating system.

Everybody's server runs as the user who started the hub, so this is for one trusted person.
Everything a server started, kernels and what they started too, ends with it.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jupyterhub.spawner import LocalProcessSpawner
from kubespawner.slugs import safe_slug
from traitlets import Dict, Unicode, default

from hub import processes, scratch
from hub.machine import free_port
from landcover.storage.tree import is_folder_name


class EmbeddedSpawner(LocalProcessSpawner):  # type: ignore[misc]  # untyped base
    """Start a server whose home directory is the user's folder in the storage."""

    storage = Unicode(config=True, help="The root of the storage tree.")
    scratch = Unicode(config=True, help="A folder for what is not the users', off their homes.")
    mark = Dict(config=True, help="The variable that all processes of this geoportal carry.")

    @property
    def home(self) -> Path:
        """The user's folder in the storage."""
        return Path(self.storage) / "users" / str(safe_slug(self.user.name))

    @default("popen_kwargs")
    def _in_private_home(self) -> dict[str, Any]:
        return {"cwd": str(self.home), "umask": 0o077}

    def make_preexec_fn(self, name: str) -> None:
        """Change nobody's identity."""

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """Say who and where the user is, without asking the operating system."""
        env = env | {"USER": self.user.name, "HOME": str(self.home), "SHELL": "/bin/bash"}
        own = Path(self.scratch) / self.home.name
        return env | scratch.variables(str(own), str(own / "cache"))

    def load_state(self, state: dict[str, Any]) -> None:
        """Forget the process of an earlier hub: it was ended, and its number may be another's."""
        super().load_state({key: value for key, value in state.items() if key != "pid"})

    async def start(self) -> Any:
        """Prepare the home directory, then start the server in it."""
        (Path(self.scratch) / self.home.name).mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            prepare_home(self.home, [group.name for group in self.user.groups])
        except OSError as error:
            if not self.home.is_dir():
                raise
            # a full disk must not keep anybody out
            self.log.warning("The home directory of %s is not as it should be: %s",
                             self.user.name, error)  # fmt: skip
        self.port = free_port()
        return await super().start()

    async def stop(self, now: bool = False) -> None:
        """End the server, and then whatever it leaves behind."""
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
