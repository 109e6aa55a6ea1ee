"""The place a hub runs in: its folders, its address, and what this machine provides for it.

All of it comes from the environment, and goes on to the children in the same variables. In a
cluster the chart provides proxy, database and addresses, and only the folders are asked here.
"""

import os
import random
import socket
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from traitlets.config import Config

from landcover.disk import Reserve, keep_pages
from portal.errors import CannotStart

CHECKOUT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"
DEFAULT_PORT = "8000"
# characters that traefik refuses in encoded form unless told otherwise, legal in file names
_ENCODED = ("Slash", "BackSlash", "Semicolon", "Percent", "QuestionMark", "Hash")


@dataclass(frozen=True)
class Machine:
    """Where one geoportal lives.

    Attributes:
        state: the folder for everything that lasts; two geoportals never share one.
        storage: the root of the storage tree, with users/, team/ and shared/.
        settings: the YAML file of settings.
        port: the port of the public address on this machine; 0 is any free one.
    """

    state: Path
    storage: Path
    settings: Path
    port: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Machine":
        """Read GEOPORTAL_STATE, _STORAGE, _SETTINGS and _PORT; absent or empty is the default.

        Raises:
            CannotStart: GEOPORTAL_PORT is no port.
        """
        state = Path(environment.get("GEOPORTAL_STATE") or CHECKOUT / ".geoportal").resolve()
        return cls(
            state=state,
            storage=Path(environment.get("GEOPORTAL_STORAGE") or state / "storage").resolve(),
            settings=Path(
                environment.get("GEOPORTAL_SETTINGS") or CHECKOUT / "hub" / "local.yaml"
            ).resolve(),
            port=_port(environment.get("GEOPORTAL_PORT") or DEFAULT_PORT),
        )

    @property
    def environment(self) -> dict[str, str]:
        """The variables from which a child reads the same machine."""
        return {
            "GEOPORTAL_STATE": str(self.state),
            "GEOPORTAL_STORAGE": str(self.storage),
            "GEOPORTAL_SETTINGS": str(self.settings),
            "GEOPORTAL_PORT": str(self.port),
        }

    @property
    def mark(self) -> dict[str, str]:
        """The variable that everything started for this geoportal carries, so that it is found."""
        return {"GEOPORTAL_INSTANCE": str(self.state)}

    @property
    def url(self) -> str:
        """The address for people, without a slash at the end."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def wps_url(self) -> str:
        """The address of the WPS."""
        return f"{self.url}/services/wps/"

    @property
    def api_url(self) -> str:
        """The address of the hub's API."""
        return f"{self.url}/hub/api"

    @property
    def password_file(self) -> Path:
        """Where the shared password is kept."""
        return self.state / "password"

    @property
    def admin_password_file(self) -> Path:
        """Where the administrator's password is kept."""
        return self.state / "admin-password"

    @property
    def endpoint_file(self) -> Path:
        """Where clients of this machine find the running geoportal."""
        return self.state / "endpoint.json"

    @property
    def reserve(self) -> Reserve:
        """The room that is given up when the disk is full."""
        return Reserve(self.state / "reserve")

    @property
    def routes_file(self) -> Path:
        """Where the proxy finds its routes while a hub runs."""
        return self.state / "routes.toml"

    def keep_private(self) -> None:
        """Make files of this process and its children private to their owner from now on.

        Raises:
            CannotStart: the state folder cannot be made, or is somebody else's.
        """
        os.umask(0o077)
        make_private(self.state, "GEOPORTAL_STATE")

    def configure(self, c: Config) -> None:
        """Set what a chart would provide: addresses, proxy and database, all on loopback."""
        c.JupyterHub.bind_url = self.url
        c.JupyterHub.hub_bind_url = free_address()
        c.JupyterHub.db_url = f"sqlite:///{self.state / 'hub.sqlite'}"
        c.JupyterHub.upgrade_db = True  # JupyterHub keeps a copy of the old one
        c.JupyterHub.db_kwargs = {"pool_events": [(_keep_pages, "connect")]}
        c.JupyterHub.cookie_secret_file = str(self.state / "cookie-secret")
        c.JupyterHub.proxy_class = "traefik_file"
        c.TraefikProxy.traefik_api_url = free_address()
        c.TraefikProxy.traefik_api_username = "hub"
        c.TraefikProxy.extra_static_config = _TRAEFIK
        c.TraefikProxy.extra_dynamic_config = _UNAVAILABLE
        c.TraefikFileProviderProxy.static_config_file = str(self.state / "traefik.toml")
        c.TraefikFileProviderProxy.dynamic_config_file = str(self.routes_file)


_TRAEFIK = {
    "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
    "entryPoints": {
        "http": {
            "http": {
                "encodedCharacters": {f"allowEncoded{name}": True for name in _ENCODED},
                # traefik would drop all of DataInputs=a=1;b=2 from the first semicolon on
                "encodeQuerySemicolons": True,
                "middlewares": ["unavailable@file"],
            },
            # traefik would cut uploads after a minute
            "transport": {"respondingTimeouts": {"readTimeout": "0s"}},
        }
    },
}

# What is not there at the moment is unavailable: neither unknown (404), as to a proxy that has not
# heard of the hub yet, nor a fault of who is behind it (502), as when hub or WPS start again.
_UNAVAILABLE = {
    "http": {
        "routers": {
            "nobody": {
                "entryPoints": ["http"],
                "rule": "PathPrefix(`/`)",
                "priority": 1,  # of all routes the last one
                "service": "nobody",
            }
        },
        "services": {"nobody": {"loadBalancer": {"servers": []}}},  # traefik answers 503
        "middlewares": {
            "unavailable": {
                "errors": {
                    "status": ["502", "504"],
                    "statusRewrites": {"502-504": 503},
                    "service": "nobody",
                    "query": "/",
                }
            }
        },
    }
}


def _keep_pages(connection: sqlite3.Connection, _: object) -> None:
    """Keep room for sign-ins and tokens on a full disk."""
    connection.execute("PRAGMA journal_mode = WAL")  # another journal would be made each time
    keep_pages(connection)


def make_folder(folder: Path, variable: str) -> None:
    """Make a folder that a variable names, unless it is there.

    Raises:
        CannotStart: it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, variable, error) from error


def make_private(folder: Path, variable: str) -> None:
    """Make a folder, or one that is there, its owner's alone.

    Raises:
        CannotStart: it cannot be made, or is somebody else's.
    """
    make_folder(folder, variable)
    try:
        folder.chmod(0o700)
    except OSError as error:
        raise unwritable(folder, variable, error) from error


def unwritable(folder: Path, variable: str, error: OSError) -> CannotStart:
    """Return what is said of a folder that cannot be written."""
    return CannotStart(
        f"The folder {folder} cannot be written ({error.strerror}): name another with {variable}."
    )


# others a system gives to connections that go out, maybe before anybody listens there
_QUIET_PORTS = range(10_000, 30_000)


def free_port() -> int:
    """Return a port of the loopback address on which nobody listens, for a process yet to start.

    Raises:
        CannotStart: nothing can listen there.
    """
    for port in random.sample(_QUIET_PORTS, 100):
        with suppress(OSError), socket.create_server((LOOPBACK, port)):
            return port
    raise CannotStart(f"No port of {LOOPBACK} is free: is the loopback interface up?")


def free_address() -> str:
    """Return an http address on loopback on which nobody listens."""
    return f"http://{LOOPBACK}:{free_port()}"


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) < 2**16:
        return int(text)
    raise CannotStart(f"GEOPORTAL_PORT is {text}, needs a number from 0 (any free port) to 65535.")
