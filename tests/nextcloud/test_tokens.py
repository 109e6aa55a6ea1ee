"""Who gets whose access token for Nextcloud, and that nobody gets more."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hub.auth import tokens
from hub.local.client import local_session
from tests.nextcloud.conftest import PATIENCE_SECONDS
from tests.readmes import run
from tests.stand_ins.nextcloud.cloud import MEMBERS
from tests.stand_ins.nextcloud.oauth import too_many

pytestmark = pytest.mark.e2e
EVE = "Eve Smith@Lab.org"


@pytest.fixture(scope="module")
def eve(hub):
    session, _ = hub.sign_in(EVE)
    return session, hub.start_server(session, EVE.lower())


@pytest.fixture(scope="module")
def bob(hub):
    session, _ = hub.sign_in("bob.smith")
    return session, hub.start_server(session, "bob.smith")


def ask(hub, token="", **query):
    headers = {"Authorization": f"token {token}"} if token else {}
    address = tokens.address(hub.machine.api_url)
    with local_session() as session:
        return session.get(address, params=query, headers=headers, timeout=60)


def test_server_gets_the_token_of_its_owner(hub, cloud, eve):
    answer = hub.token(eve[1])
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(answer.json()) == {"access_token", "expires_at", "uid", "url"}
    assert answer.json()["uid"] == EVE
    assert answer.json()["url"] == cloud.url
    assert cloud.uid_of(answer.json()["access_token"]) == EVE
    assert hub.token(eve[1], user=EVE.lower()).json()["uid"] == EVE


def test_a_server_asks_as_the_readme_shows(hub, eve, monkeypatch):
    for name in ("GEOPORTAL_NEXTCLOUD_TOKEN_URL", "JUPYTERHUB_API_TOKEN"):
        monkeypatch.setenv(name, eve[1].environ()[name])
    answer = run("hub/README.md")["answer"].json()
    assert set(answer) == {"access_token", "expires_at", "uid", "url"}
    assert answer["uid"] == EVE


def test_server_gets_nobody_elses(hub, eve, bob):
    assert hub.token(eve[1], user="bob.smith").status_code == 403
    assert hub.token(bob[1], user=EVE.lower()).status_code == 403
    assert hub.token(bob[1], user="nobody").status_code == 403
    assert hub.token(bob[1], user="").status_code == 403


def test_administrators_get_nobody_elses(hub, eve):
    session, _ = hub.sign_in("alice")
    mine = hub.api(session, "POST", "users/alice/tokens", note="all that alice may do")["token"]
    assert ask(hub, mine, user=EVE.lower()).status_code == 403


def test_wps_gets_the_token_of_a_user_it_names(hub, cloud, eve):
    answer = hub.token(hub.wps(), user=EVE.lower())
    assert cloud.uid_of(answer.json()["access_token"]) == EVE
    assert hub.token(hub.wps()).status_code == 404
    assert hub.token(hub.wps(), user="nobody").status_code == 404


def test_nobody_gets_a_token_without_the_scope(hub, eve):
    session, _ = eve
    scopes = ["read:users!user", "access:services!service=wps"]
    narrow = hub.api(session, "POST", f"users/{EVE.lower()}/tokens", scopes=scopes)["token"]
    assert ask(hub, narrow).status_code == 403
    assert ask(hub, "no token at all").status_code == 403
    assert ask(hub).status_code == 403


def test_cookies_of_a_browser_are_not_enough(hub, eve):
    session, _ = eve
    headers = {"X-XSRFToken": session.cookies.get("_xsrf", path="/hub/")}
    address = tokens.address(hub.machine.api_url)
    assert session.get(address, headers=headers, timeout=60).status_code == 403


def test_token_about_to_end_is_renewed_once_for_many(hub, cloud, newcomer):
    inside = cloud.inside
    uid = newcomer(MEMBERS)
    inside.token_seconds = 500  # fewer than renew_before
    try:
        session, _ = hub.sign_in(uid)
        server = hub.start_server(session, uid.lower())
    finally:
        inside.token_seconds = 3600
    before = len(inside.renewals)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(hub.token, [server] * 36))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["access_token"] for answer in answers}) == 1
    assert inside.renewals[before:] == [True]
    hub.api(session, "DELETE", f"users/{uid.lower()}/server")


def until_changed(ask):
    """Ask until the answer is no longer 200, and return it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (answer := ask()).status_code == 200:
        assert time.monotonic() < deadline
    return answer


def test_token_that_has_ended_is_not_handed_out(hub, cloud, newcomer):
    inside = cloud.inside
    uid = newcomer(MEMBERS)
    inside.token_seconds = 4
    try:
        hub.sign_in(uid)
        inside.fault = too_many
        answer = until_changed(lambda: hub.token(hub.wps(), user=uid.lower()))
    finally:
        inside.fault, inside.token_seconds = None, 3600
    assert answer.status_code == 503
    assert "Nextcloud does not renew" in answer.json()["message"]
    assert hub.token(hub.wps(), user=uid.lower()).ok


def test_user_without_a_session_has_no_token(hub, cloud, newcomer):
    uid = newcomer(MEMBERS)
    hub.sign_in(uid)
    assert hub.token(hub.wps(), user=uid.lower()).ok
    cloud.disable(uid)
    answer = until_changed(lambda: hub.token(hub.wps(), user=uid.lower()))
    assert answer.status_code == 404
    assert "must sign in" in answer.json()["message"]


def test_every_hand_out_is_in_the_log(hub, eve):
    hub.token(eve[1])
    hub.token(hub.wps(), user=EVE.lower())
    name = EVE.lower()
    assert f"Access token of {name} handed to user {name}" in hub.log
    assert f"Access token of {name} handed to service wps" in hub.log


def test_tokens_stand_nowhere_in_clear(hub, cloud, eve):
    answer = hub.token(eve[1])
    inside = cloud.inside
    assert answer.json()["access_token"] in inside.access_tokens
    assert not any(token in answer.text for token in inside.refresh_tokens)
    secrets = [*inside.access_tokens, *inside.refresh_tokens]
    secrets += [cloud.client_secret, "5e" * 32]
    session, server = eve
    home = session.get(f"{hub.url}/hub/home", timeout=60).text
    places = {
        "environment of the server": str(server.environ()),
        "environment of the WPS": str(hub.wps().environ()),
        "arguments": str(server.cmdline() + hub.wps().cmdline()),
        "log": hub.log,
        "a page": home,
        "database": (hub.machine.state / "hub.sqlite").read_bytes().decode("latin-1"),
    }
    found = [place for place, text in places.items() for s in secrets if s in text]
    assert found == []


def test_the_rest_of_the_api_shows_no_token_either(hub, cloud, eve):
    _, server = eve
    environment = server.environ()
    with local_session() as session:
        session.headers["Authorization"] = f"token {environment['JUPYTERHUB_API_TOKEN']}"
        answer = session.get(f"{environment['JUPYTERHUB_API_URL']}/user", timeout=60)
    assert answer.ok
    assert "auth_state" not in answer.text
