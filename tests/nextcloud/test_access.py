import json

import pytest
from werkzeug.wrappers import Response

from landcover.errors import NextcloudError, NotSignedIn, Unavailable
from landcover.storage.nextcloud.access import TOKEN_URL, Access, token_service
from tests.stand_ins.nextcloud.servers import token_service_of

SAID = {"access_token": "t0k3n", "uid": "Eve Smith@Lab.org", "url": "https://cloud.example/",
        "expires_at": "2027-01-01T00:00:00Z"}  # fmt: skip


@pytest.fixture
def hub(monkeypatch):
    """A token service whose answer the test gives; it keeps the requests."""
    answers, seen = [Response(json.dumps(SAID))], []

    def answer(request):
        seen.append(request)
        return answers[-1]

    with token_service_of(answer) as url:
        monkeypatch.setenv(TOKEN_URL, url)
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "of the hub")
        yield answers, seen


def test_a_users_server_asks_for_its_own_and_the_wps_for_a_users(hub):
    _, seen = hub
    expected = Access("https://cloud.example", "Eve Smith@Lab.org", "t0k3n")
    assert token_service()() == token_service("eve smith")() == expected
    assert [dict(request.args) for request in seen] == [{}, {"user": "eve smith"}]
    assert {request.headers["Authorization"] for request in seen} == {"token of the hub"}


def test_a_token_is_never_shown():
    assert "t0k3n" not in repr(Access("https://cloud.example", "eve", "t0k3n"))


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_without_a_sign_in_there_is_none(hub, status):
    hub[0].append(Response(status=status))
    with pytest.raises(NotSignedIn, match="sign out of the geoportal and in again"):
        token_service()()


@pytest.mark.parametrize("status", [429, 302, 500, 503])
def test_a_hub_in_trouble_ends_no_sign_in(hub, status):
    hub[0].append(Response(status=status, headers={"Location": "http://127.0.0.1:1/"}))
    with pytest.raises(Unavailable, match="try again later"):
        token_service()()


@pytest.mark.parametrize(
    "body",
    ["", "[]", "null", "{}", json.dumps(SAID | {"url": "file:///etc"}),
     json.dumps(SAID | {"url": "cloud.example"})],
)  # fmt: skip
def test_an_answer_that_names_no_token_is_said(hub, body):
    hub[0].append(Response(body))
    with pytest.raises(NextcloudError, match="an administrator must look into it"):
        token_service()()


def test_without_its_address_there_is_no_nextcloud(monkeypatch):
    monkeypatch.delenv(TOKEN_URL, raising=False)
    assert token_service() is None
