"""What a browser does at the hub's login form, and what a script does for a token."""

from typing import Any
from urllib.parse import quote

import requests

from portal.errors import CannotStart

_TIMEOUT_SECONDS = 60


def local_session() -> requests.Session:
    """Return a session that takes no proxy on its way to this machine."""
    session = requests.Session()
    session.trust_env = False
    return session


def sign_in(url: str, user: str, password: str) -> requests.Session:
    """Sign in as a person does, which makes the user known to the hub.

    Raises:
        CannotStart: the hub refused.
    """
    session = local_session()
    login = f"{url}/hub/login"
    _accepted(session.get(login, timeout=_TIMEOUT_SECONDS), "show its login form")
    form = {"username": user, "password": password, "_xsrf": session.cookies["_xsrf"]}
    answer = session.post(login, data=form, timeout=_TIMEOUT_SECONDS, allow_redirects=False)
    _accepted(answer, f"sign {user} in")
    return session


def fresh_token(url: str, user: str, password: str, note: str) -> str:
    """Make a token for a user who has signed in before; older ones of this note are withdrawn.

    Raises:
        CannotStart: the hub refused.
    """
    tokens = f"{url}/hub/api/users/{quote(user, safe='')}/tokens"
    body = {"auth": {"username": user, "password": password}, "note": note}
    session = local_session()
    made = _accepted(session.post(tokens, json=body, timeout=_TIMEOUT_SECONDS), "make a token")
    session.headers["Authorization"] = f"token {made.json()['token']}"
    _withdraw_others(session, tokens, made.json()["id"], note)
    return str(made.json()["token"])


def _withdraw_others(session: requests.Session, tokens: str, kept: str, note: str) -> None:
    known = _accepted(session.get(tokens, timeout=_TIMEOUT_SECONDS), "list tokens").json()
    for token in known["api_tokens"]:
        if token["note"] == note and token["id"] != kept:
            session.delete(f"{tokens}/{token['id']}", timeout=_TIMEOUT_SECONDS)


def _accepted(answer: requests.Response, deed: str) -> Any:
    if not answer.ok:
        raise CannotStart(f"The hub did not {deed}, it answered {answer.status_code}.")
    return answer
