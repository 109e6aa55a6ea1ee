"""What ends a session at Nextcloud and what does not, and how often Nextcloud is asked."""

import asyncio
import logging
import threading
import time

import pytest
from tornado.web import HTTPError
from traitlets.config import Config

from hub.auth.authenticators import Nextcloud
from hub.auth.nextcloud import NextcloudOAuthenticator
from tests.stand_ins.nextcloud.oauth import (
    Account,
    StandIn,
    dropped,
    json_answer,
    maintenance,
    moved,
    nonsense,
    refuses,
    served,
    too_many,
)


class Person:
    """The part of a hub user that a look touches; saving takes a moment, as encryption does."""

    def __init__(self, name, state):
        self.name = name
        self.state = state
        self.saved = 0

    async def get_auth_state(self):
        await asyncio.sleep(0)
        return self.state

    async def save_auth_state(self, state):
        await asyncio.sleep(0)
        self.state = state
        self.saved += 1


@pytest.fixture
def cloud():
    with served(StandIn("https://hub/hub/oauth_callback")) as cloud:
        cloud.accounts["Eve"] = Account("Eve", "secret", ["remote-sensing", "hub-admins"])
        yield cloud


@pytest.fixture
def authenticator(cloud, monkeypatch):
    for name in ("client_id", "client_secret"):
        monkeypatch.setenv(name, getattr(cloud, name))
    monkeypatch.setenv("crypt_key", "ab" * 32)
    c = Config()
    Nextcloud(
        kind="nextcloud",
        url=cloud.url,
        callback_url=cloud.callback_url,
        client_id={"env": "client_id"},
        client_secret={"env": "client_secret"},
        crypt_key={"env": "crypt_key"},
        allowed_groups={"remote-sensing"},
        admin_groups={"hub-admins"},
    ).configure(c)
    c.NextcloudOAuthenticator.http_request_kwargs = {
        "connect_timeout": 5,
        "request_timeout": 60,
        "follow_redirects": False,
    }
    return NextcloudOAuthenticator(config=c)


@pytest.fixture
def eve(cloud):
    """Eve, whose access token ends soon if `seconds` are few."""

    def signed_in(seconds=3600):
        tokens = cloud.tokens_for("Eve")
        kept = ("access_token", "refresh_token", "token_type")
        state = {name: tokens[name] for name in kept} | {"expires_at": time.time() + seconds}
        return Person("eve", state | {"uid": "Eve", "groups": ["remote-sensing"]})

    return signed_in


def look(authenticator, person, times=1):
    async def looks():
        asked = (authenticator.refresh_user(person) for _ in range(times))
        return await asyncio.gather(*asked)

    return asyncio.run(looks())


def test_many_at_once_renew_the_tokens_once(cloud, authenticator, eve):
    person = eve(seconds=5)
    before = dict(person.state)
    answers = look(authenticator, person, times=50)
    assert [answer["groups"] for answer in answers] == [["hub-admins", "remote-sensing"]] * 50
    assert all(answer["admin"] is True for answer in answers)
    assert cloud.renewals == [True]
    assert cloud.looks == 1
    assert person.state["refresh_token"] != before["refresh_token"]
    assert person.state["uid"] == "Eve"
    assert 3500 < person.state["expires_at"] - time.time() <= 3600


def test_token_with_time_left_is_not_renewed(cloud, authenticator, eve):
    assert look(authenticator, eve())[0]["name"] == "eve"
    assert (cloud.renewals, cloud.looks) == ([], 1)


def test_token_that_is_refused_early_is_renewed(cloud, authenticator, eve):
    person = eve()
    person.state["access_token"] = "withdrawn"
    assert look(authenticator, person)[0]
    assert cloud.renewals == [True]


def test_request_that_goes_away_does_not_take_the_new_tokens_with_it(cloud, authenticator, eve):
    person = eve(seconds=5)

    async def asked():
        request = asyncio.create_task(authenticator.refresh_user(person))
        await asyncio.sleep(0)
        request.cancel()
        return await authenticator.refresh_user(person)

    assert asyncio.run(asked())
    assert cloud.renewals == [True]


@pytest.mark.parametrize("seconds", [5, 3600])
@pytest.mark.parametrize(
    "fault",
    [too_many, maintenance, nonsense, moved, dropped, refuses(403), refuses(404), refuses(500)],
)
def test_trouble_of_nextcloud_ends_no_session(cloud, authenticator, eve, fault, seconds):
    authenticator.silence = 0
    person = eve(seconds)
    before = dict(person.state)
    cloud.fault = fault
    assert look(authenticator, person) == [True]
    assert cloud.faults == 1
    assert person.state == before
    cloud.fault = None
    assert look(authenticator, person)[0]["admin"] is True


def test_nextcloud_that_hangs_ends_no_session_and_is_left_alone(cloud, authenticator, eve):
    released = threading.Event()

    def hang(request):
        released.wait()
        return too_many(request)

    authenticator.http_request_kwargs["request_timeout"] = 0.5
    person = eve(seconds=5)
    cloud.fault = hang
    try:
        assert look(authenticator, person, times=20) == [True] * 20
        assert look(authenticator, person, times=20) == [True] * 20
        assert cloud.faults == 1  # one wait, not forty
    finally:
        released.set()


@pytest.mark.parametrize(("fault", "asked"), [(too_many, 1), (maintenance, 1), (dropped, 1),
                                              (nonsense, 2), (moved, 2)])  # fmt: skip
def test_what_is_said_of_one_user_keeps_nobody_elses_session(
    cloud, authenticator, eve, fault, asked
):
    cloud.fault = fault
    assert look(authenticator, eve()) == [True]
    other = eve()
    other.name = "boris"
    assert look(authenticator, other) == [True]
    assert cloud.faults == asked


def test_account_that_cannot_be_read_keeps_nobody_elses_session(cloud, authenticator, eve):
    mallory, disabled = eve(), eve()
    mallory.name = "mallory"
    cloud.fault = lambda request: json_answer({"ocs": {"data": {"id": "M", "groups": "none"}}})
    assert look(authenticator, mallory) == [True]
    cloud.fault = None
    cloud.accounts["Eve"].enabled = False
    assert look(authenticator, disabled) == [False]


def test_nextcloud_that_is_not_there_ends_no_session(authenticator, eve):
    authenticator.url = authenticator.token_url = authenticator.userdata_url = "http://127.0.0.1:9"
    assert look(authenticator, eve()) == [True]


def test_new_tokens_are_kept_though_nextcloud_falls_silent_after_them(cloud, authenticator, eve):
    authenticator.silence = 0
    person = eve(seconds=5)
    before = dict(person.state)
    cloud.fault = lambda request: (
        maintenance(request) if "cloud/user" in request.path else cloud._token(request)
    )
    assert look(authenticator, person) == [True]
    assert person.state["refresh_token"] != before["refresh_token"]
    cloud.fault = None
    assert look(authenticator, person)[0]
    assert cloud.renewals == [True]


@pytest.mark.parametrize(
    "loss",
    [
        lambda cloud: cloud.revoke("Eve"),
        lambda cloud: setattr(cloud.accounts["Eve"], "enabled", False),
        lambda cloud: cloud.accounts["Eve"].groups.clear(),
        lambda cloud: setattr(cloud, "client_secret", "another"),
    ],
    ids=["tokens withdrawn", "disabled", "left the groups", "the hub's secret is wrong"],
)
def test_no_of_nextcloud_ends_the_session_and_is_asked_for_once(cloud, authenticator, eve, loss):
    person = eve(seconds=5)
    loss(cloud)
    assert look(authenticator, person, times=5) == [False] * 5
    assert person.state is None
    asked = len(cloud.renewals)
    assert asked == 1
    # every further try would count as an attack
    assert look(authenticator, person, times=5) == [False] * 5
    assert len(cloud.renewals) == asked


def test_late_no_does_not_end_a_session_that_began_meanwhile(cloud, authenticator, eve):
    person, again = eve(seconds=5), eve()
    cloud.revoke("Eve")
    fetch = authenticator.httpfetch

    async def fetch_slowly(*request, **more):
        person.state = again.state  # signed in anew, before the answer is here
        return await fetch(*request, **more)

    authenticator.httpfetch = fetch_slowly
    assert look(authenticator, person) == [True]
    assert person.state == again.state


def test_disabled_user_with_time_left_is_out_at_the_next_look(cloud, authenticator, eve):
    person = eve()
    cloud.accounts["Eve"].enabled = False
    assert look(authenticator, person) == [False]
    assert cloud.renewals == [True]  # Nextcloud grants it, and refuses the new token


def test_who_is_no_longer_administrator_there_is_none_here(cloud, authenticator, eve):
    cloud.accounts["Eve"].groups.remove("hub-admins")
    assert look(authenticator, eve())[0]["admin"] is False
    authenticator.admin_groups = set()
    assert look(authenticator, eve())[0]["admin"] is False


def test_log_and_errors_never_show_a_token(cloud, authenticator, eve, caplog):
    caplog.set_level(logging.DEBUG)
    person = eve(seconds=5)
    secrets = [person.state["access_token"], person.state["refresh_token"]]
    answer = cloud.tokens_for("Eve") | {"expires_in": "soon"}
    secrets += [answer["access_token"], answer["refresh_token"], cloud.client_secret]
    cloud.fault = lambda request: json_answer(answer)
    with pytest.raises(HTTPError) as error:
        asyncio.run(authenticator.get_token_info(None, {"grant_type": "authorization_code"}))
    assert look(authenticator, person) == [True]
    said = caplog.text + repr(error.value) + str(error.value.__cause__)
    assert "cannot be read" in said
    assert [secret for secret in secrets if secret in said] == []
