"""Of which groups a job's owner is a member when it starts: it may have waited for days.

Who is in a group is for the hub to say. A job starts with those groups that its owner had when it
was accepted and has still; one whose owner had none is never asked about.
"""

import os
from collections.abc import Callable, Collection
from dataclasses import replace
from urllib.parse import quote

import requests

from landcover.errors import InputError
from wps_processes.jobs.ledger import Job, Ledger

GroupsNow = Callable[[str], Collection[str]]
"""Returns the groups of a hub user at this moment; raises what `groups_at_the_hub` does."""

_SECONDS = (5.0, 30.0)  # to connect, and for an answer


class HubUnavailable(Exception):
    """The hub does not say now who is in which group: it is asked again later."""


def groups_at_the_hub(user: str) -> tuple[str, ...]:
    """Ask the hub for a user's groups, as the service that it knows by JUPYTERHUB_API_TOKEN.

    Raises:
        InputError: the hub knows no such user.
        HubUnavailable: it does not answer, or not as it should.
    """
    answer = _asked(f"users/{quote(user, safe='')}")
    if answer.status_code == requests.codes.not_found:
        raise InputError(
            f"the hub knows no {user} any more, and a job of nobody's may enter no team folder"
        )
    try:
        if answer.status_code == requests.codes.ok:
            return tuple(map(str, answer.json()["groups"]))
    except (ValueError, KeyError, TypeError) as error:
        raise HubUnavailable("the hub's answer names no groups") from error
    # 403 too: a hub of an earlier version gives the service no right to ask
    raise HubUnavailable(f"the hub answers {answer.status_code}")


def hub_version() -> str:
    """Ask the hub for its version.

    Raises:
        HubUnavailable: it does not answer, or not as it should.
    """
    answer = _asked("")
    try:
        return str(answer.json()["version"])
    except (ValueError, KeyError, TypeError) as error:
        raise HubUnavailable(f"it answers {answer.status_code}") from error


def with_groups_of_now(job: Job, ledger: Ledger, groups_now: GroupsNow | None) -> Job:
    """Return a running job without the groups that its owner has left, noted in the ledger.

    Raises:
        InputError: there is no such owner any more.
        HubUnavailable: nothing is known now; the job must not start with the groups it had.
        SQLAlchemyError: the ledger cannot be written now.
    """
    if groups_now is None or not job.groups:
        return job
    current = groups_now(job.user)
    kept = [group for group in job.groups if group in current]
    if len(kept) < len(job.groups):
        ledger.narrow(job, kept)  # in vain if it is another's by now; then it does not start here
    return replace(job, groups=kept)


def _asked(path: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False  # the hub is behind no proxy
        try:
            return session.get(
                f"{os.environ['JUPYTERHUB_API_URL']}/{path}",
                headers={"Authorization": f"token {os.environ['JUPYTERHUB_API_TOKEN']}"},
                timeout=_SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise HubUnavailable(str(error)) from error
