"""What a person does with a browser: sign in at Nextcloud on the way to the hub."""

import base64
import json
import re
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import requests

from hub.local.client import local_session

_TIMEOUT_SECONDS = 60
_PAGE = {"Accept": "text/html,application/xhtml+xml"}


def sign_in(hub_url: str, uid: str, password: str) -> tuple[requests.Session, requests.Response]:
    """Follow every page from the hub's button to where the hub leads at last."""
    session = local_session()
    session.headers.update(_PAGE)
    page = _get(session, f"{hub_url}/hub/oauth_login?next=%2Fhub%2Fhome")
    further = _state(page, "core-loginFlowAuth")["loginRedirectUrl"]
    page = _get(session, urljoin(page.url, further))
    if urlsplit(page.url).path.endswith("/login"):
        page = _enter(session, page, uid, password)
    return session, _allow(session, page)


def _enter(
    session: requests.Session, page: requests.Response, uid: str, password: str
) -> requests.Response:
    place = urlsplit(page.url)
    form = {
        "user": uid,
        "password": password,
        "requesttoken": _request_token(page),
        "redirect_url": parse_qs(place.query)["redirect_url"][0],
        "timezone": "UTC",
        "timezone_offset": "0",
    }
    return _post(session, page.url.partition("?")[0], form, page)


def _allow(session: requests.Session, page: requests.Response) -> requests.Response:
    granting = _state(page, "core-loginFlowGrant")
    form = {
        "requesttoken": _request_token(page),
        "stateToken": granting["stateToken"],
        "clientIdentifier": granting["clientIdentifier"],
        "providedRedirectUri": "",
    }
    return _post(session, urljoin(page.url, granting["actionUrl"]), form, page)


def _get(session: requests.Session, address: str) -> requests.Response:
    return session.get(address, timeout=_TIMEOUT_SECONDS)


def _post(
    session: requests.Session, address: str, form: dict[str, str], page: requests.Response
) -> requests.Response:
    place = urlsplit(page.url)
    origin = {"Origin": f"{place.scheme}://{place.netloc}"}
    return session.post(address, data=form, headers=origin, timeout=_TIMEOUT_SECONDS)


def _request_token(page: requests.Response) -> str:
    return _found(r'data-requesttoken="([^"]+)"', page)


def _state(page: requests.Response, name: str) -> Any:
    """Return what Nextcloud tells the scripts of its page."""
    value = _found(rf'id="initial-state-{name}"\s+value="([^"]+)"', page)
    return json.loads(base64.b64decode(value))


def _found(pattern: str, page: requests.Response) -> str:
    match = re.search(pattern, page.text)
    assert match is not None, (pattern, page.url, page.status_code, page.text[:300])
    return match[1]
