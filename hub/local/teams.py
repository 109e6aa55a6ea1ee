"""Teams of the embedded geoportal, which has no Nextcloud to say who works with whom.

A team is a group of the hub with a folder in the storage, team/NAME, that its members read and
write. An administrator of this machine makes one while the geoportal runs:

    python -m hub team NAME USER ...

The hub knows the administrator by a token that only who runs it reads.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from traitlets.config import Config

from hub.local.client import local_session
from hub.local.machine import Machine
from hub.local.passwords import kept_password
from landcover.storage.tree import is_folder_name
from portal.errors import CannotStart

PRACTICE, MEMBERS = "practice", ("demo", "guest")
"""The team that there is from the start, to try sharing with."""
_SERVICE = "administrator"
_SCOPES = ["admin:users", "admin:groups"]
_TIMEOUT_SECONDS = 60
_THERE = 409  # status of what was made before


def configure(c: Config, machine: Machine) -> None:
    """Allow the administrator's command to create users and groups."""
    c.JupyterHub.services.append({"name": _SERVICE, "api_token": _token(machine)})
    role = {"name": _SERVICE, "scopes": _SCOPES, "services": [_SERVICE]}
    c.JupyterHub.load_roles.append(role)


def gather(machine: Machine, team: str, members: Sequence[str]) -> None:
    """Make a team, or add members to it; users who have never signed in are made known.

    Args:
        machine: with the running geoportal.
        team: its name, of which a folder can be made.
        members: names of users.

    Raises:
        CannotStart: the name is invalid, or the hub does not answer or refused.
    """
    if not is_folder_name(team) or not team.isprintable() or team != team.strip():
        raise CannotStart(f"A team cannot be called {team!r}: its name becomes a folder's.")
    for user in members:
        _post(machine, f"users/{quote(user, safe='')}")
    group = f"groups/{quote(team, safe='')}"
    _post(machine, group)
    if members:
        _post(machine, f"{group}/users", {"users": list(members)})
    (machine.storage / "team" / team).mkdir(parents=True, exist_ok=True)


def gather_practice(machine: Machine) -> None:
    """Make the first team at the first start; who changes or deletes it keeps that."""
    mark = machine.state / "practice-team"
    if not mark.exists():
        gather(machine, PRACTICE, MEMBERS)
        mark.touch()


def command(arguments: Sequence[str], machine: Machine) -> str:
    """Do what `python -m hub team NAME USER ...` asks, and return what was done in words.

    Raises:
        CannotStart: no geoportal runs here, or the team cannot be made.
    """
    if not arguments:
        raise CannotStart("A team needs a name, and its members: python -m hub team NAME USER ...")
    team, *members = arguments
    url = _running(machine.endpoint_file)
    gather(_at(machine, url), team, members)
    said = ", ".join(members) or "nobody yet"
    return f"The team {team} has its folder team/{team}; added: {said}."


def _at(machine: Machine, url: str) -> Machine:
    return Machine(machine.state, machine.storage, machine.settings, int(url.rpartition(":")[2]))


def _running(endpoint: Path) -> str:
    try:
        return str(json.loads(endpoint.read_text(encoding="utf-8"))["url"])
    except (OSError, ValueError, KeyError) as error:
        raise CannotStart(
            f"No geoportal runs on {endpoint.parent}: start it with make run, or name its folder "
            "with GEOPORTAL_STATE."
        ) from error


def _post(machine: Machine, path: str, body: dict[str, list[str]] | None = None) -> None:
    with local_session() as session:
        session.headers["Authorization"] = f"token {_token(machine)}"
        answer = session.post(f"{machine.api_url}/{path}", json=body, timeout=_TIMEOUT_SECONDS)
    if not answer.ok and answer.status_code != _THERE:
        reason = answer.json().get("message", "") if answer.content else ""
        raise CannotStart(f"The hub refused {path} ({answer.status_code}): {reason}")


def _token(machine: Machine) -> str:
    return kept_password(machine.state / "administrator-token")
