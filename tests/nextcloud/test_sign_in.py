"""People sign in at Nextcloud, and stay for as long as it admits them."""

import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.nextcloud.conftest import PATIENCE_SECONDS
from tests.stand_ins.nextcloud.cloud import ADMINISTRATORS, MEMBERS
from tests.stand_ins.nextcloud.oauth import dropped, maintenance, moved, nonsense, too_many

pytestmark = pytest.mark.e2e
EVE = "Eve Smith@Lab.org"


def until_out(hub, session):
    """Ask for pages until the hub sends to sign in; return how often it did not."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    asked = 0
    while (page := hub.home(session)).status_code == 200:
        asked += 1
        assert time.monotonic() < deadline
    assert page.status_code == 302
    assert "/hub/login" in page.headers["Location"]
    return asked


@pytest.mark.parametrize(
    ("uid", "groups", "administrator"),
    [
        ("alice", [ADMINISTRATORS, MEMBERS], True),
        ("bob.smith", [MEMBERS], False),
        (EVE, [MEMBERS], False),
    ],
)
def test_groups_admit_and_make_administrators(hub, uid, groups, administrator):
    session, page = hub.sign_in(uid)
    assert (page.status_code, page.url) == (200, f"{hub.url}/hub/home")
    user = hub.api(session, "GET", "user")
    assert user["name"] == uid.lower()
    assert sorted(user["groups"]) == groups
    assert user["admin"] is administrator


def test_who_is_in_no_admitting_group_stays_out(hub):
    session, page = hub.sign_in("carol")
    assert page.status_code == 403
    assert hub.home(session).status_code == 302


def test_answer_that_the_hub_did_not_ask_for_is_refused(hub, cloud):
    session, _ = hub.sign_in("alice")
    forged = session.get(f"{cloud.callback_url}?code=stolen&state=forged", timeout=30)
    assert forged.status_code == 400


def test_nextcloud_in_trouble_is_told_to_who_signs_in(hub, cloud):
    inside = cloud.inside
    inside.fault = maintenance
    try:
        _, page = hub.sign_in("alice")
    finally:
        inside.fault = None
    assert page.status_code == 503
    assert "Nextcloud does not answer (503" in page.text


@pytest.mark.parametrize("fault", [too_many, maintenance, nonsense, moved, dropped])
def test_trouble_of_nextcloud_leaves_everybody_in(hub, cloud, fault):
    inside = cloud.inside
    session, _ = hub.sign_in("bob.smith")
    seen = inside.faults
    inside.fault = fault
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while inside.faults < seen + 2:
            assert hub.home(session).status_code == 200
            assert time.monotonic() < deadline
    finally:
        inside.fault = None
    assert hub.home(session).status_code == 200


def test_many_requests_at_the_end_of_a_token_renew_it_once(hub, cloud):
    inside = cloud.inside
    inside.token_seconds = 500  # fewer than renew_before
    try:
        session, _ = hub.sign_in("bob.smith")
    finally:
        inside.token_seconds = 3600
    before = len(inside.renewals)
    deadline = time.monotonic() + PATIENCE_SECONDS
    statuses = []
    with ThreadPoolExecutor(12) as pool:
        while len(inside.renewals) == before:
            assert time.monotonic() < deadline
            statuses += [page.status_code for page in pool.map(hub.home, [session] * 24)]
    assert set(statuses) == {200}
    assert inside.renewals[before:] == [True]


def test_renewed_tokens_are_good(hub, cloud, newcomer):
    uid = newcomer(MEMBERS)
    session, _ = hub.sign_in(uid)
    server = hub.start_server(session, uid.lower())  # looks once more, and renews at a real one
    assert cloud.uid_of(hub.token(server).json()["access_token"]) == uid
    hub.api(session, "DELETE", f"users/{uid.lower()}/server")


@pytest.mark.parametrize("loss", ["leaves the group", "is disabled", "takes the tokens back"])
def test_who_is_no_longer_admitted_is_out_and_the_server_runs_on(hub, cloud, newcomer, loss):
    uid = newcomer(MEMBERS)
    session, _ = hub.sign_in(uid)
    server = hub.start_server(session, uid.lower())
    assert hub.token(server).ok
    if loss == "leaves the group":
        cloud.leave(uid, MEMBERS)
    elif loss == "is disabled":
        cloud.disable(uid)
    else:
        cloud.give_up(hub.token(server).json()["access_token"])
    until_out(hub, session)
    assert hub.token(server).status_code == 403
    assert server.is_running()
    assert server.status() != psutil.STATUS_ZOMBIE
    administrator, _ = hub.sign_in("alice")
    known = hub.api(administrator, "GET", f"users/{uid.lower()}")
    assert known["servers"][""]["ready"] is True
    assert f"The session of {uid.lower()} ends." in hub.log
    hub.api(administrator, "DELETE", f"users/{uid.lower()}/server")
