import os
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest
from kubespawner.slugs import safe_slug
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from benchmarks.served import Hub, stand_in_hub
from wps_processes.caller import Caller
from wps_processes.errors import NotPermitted, Unavailable
from wps_processes.identity import HubIdentity, kept_key


@pytest.mark.parametrize(
    "name",
    ["anna", "a", "a-b", "bob.smith", "Eve Smith@Lab.org", "1st", "a--b", "-a", "a-", "a" * 64,
     "a" * 63, "мария"],
)  # fmt: skip
def test_a_users_folder_is_the_one_kubespawner_mounts(name):
    assert Caller(name).folder == safe_slug(name)


@pytest.fixture
def identity(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "secret")
    monkeypatch.setenv("JUPYTERHUB_API_URL", "http://127.0.0.1:9/hub/api")
    monkeypatch.setenv("JUPYTERHUB_CLIENT_ID", "service-wps")
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/services/wps/")
    made = HubIdentity(tmp_path, "/services/wps/")
    yield made
    made.close()


def request(path="/services/wps/jobs", **how):
    return Request(EnvironBuilder(path=path, **how).get_environ())


def test_the_key_of_cookies_is_kept_and_nobody_elses(identity, tmp_path):
    key = tmp_path / "wps-cookie.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert kept_key(key) == key.read_text()


def test_a_forged_session_is_nobody(identity):
    assert identity.caller(request(headers={"Cookie": "geoportal-wps=forged"})) is None
    assert identity.caller(request()) is None


def test_a_browser_is_sent_to_the_hub_with_a_state_it_must_bring_back(identity):
    answer = identity.sign_in(request("/services/wps/jobs?state=failed"))
    assert answer.status_code == 302
    assert "client_id=service-wps" in answer.headers["Location"]
    cookie = answer.headers["Set-Cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Lax", "Path=/services/wps/"))
    with pytest.raises(NotPermitted, match="did not begin here"):
        identity.signed_in(request("/services/wps/oauth_callback?code=1&state=forged"))


def test_forms_are_of_one_session_and_of_this_service(identity, tmp_path):
    anna, boris = (request(headers={"Cookie": f"geoportal-wps={name}"}) for name in ("a", "b"))
    assert identity.form_token(anna) == identity.form_token(anna)
    (tmp_path / "other").mkdir()
    other = HubIdentity(tmp_path / "other", "/services/wps/")
    tokens = {identity.form_token(anna), identity.form_token(boris), other.form_token(anna)}
    assert len(tokens) == 3


def test_a_sign_in_that_the_hub_does_not_complete_ends_in_words(identity):
    asked = identity.sign_in(request("/services/wps/"))
    cookie = asked.headers["Set-Cookie"].split(";")[0]
    (state,) = parse_qs(urlsplit(asked.headers["Location"]).query)["state"]
    callback = request(
        f"/services/wps/oauth_callback?code=1&state={state}", headers={"Cookie": cookie}
    )
    with pytest.raises(Unavailable, match="the hub did not complete this sign-in"):
        identity.signed_in(callback)


def test_a_key_left_empty_is_made_anew(tmp_path):
    key = tmp_path / "wps-cookie.key"
    key.touch(mode=0o600)
    assert len(kept_key(key)) == 64


def test_a_key_that_is_mounted_is_only_read(tmp_path):
    key = tmp_path / "wps-cookie.key"
    key.write_text("of all services")
    os.utime(key, (1, 1))
    assert kept_key(key) == "of all services"
    assert key.stat().st_mtime == 1


def test_many_first_callers_at_once_are_all_known(identity, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_OAUTH_ACCESS_SCOPES", '["access:services!service=wps"]')
    with stand_in_hub() as hub, ThreadPoolExecutor(16) as callers:
        monkeypatch.setenv("JUPYTERHUB_API_URL", f"{hub}/hub/api")
        asked = [
            request("/services/wps/", headers={"Authorization": f"token user{i}"})
            for i in range(16)
        ]
        found = list(callers.map(identity.caller, asked))
    assert [caller.name for caller in found] == [f"user{i}" for i in range(16)]


def test_a_revoked_token_soon_changes_nothing(identity, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_OAUTH_ACCESS_SCOPES", '["access:services!service=wps"]')
    header = {"Authorization": "token anna"}
    reads = request(headers=header)
    acts = [
        request(method="DELETE", headers=header),
        request("/services/wps/", method="POST", headers=header),
        request("/services/wps/?REQUEST=Execute", headers=header),
    ]
    with stand_in_hub() as hub:
        monkeypatch.setenv("JUPYTERHUB_API_URL", f"{hub}/hub/api")
        assert identity.remembered(reads) is None
        assert all(identity.caller(each).name == "anna" for each in (reads, *acts))
        monkeypatch.setattr(Hub, "revoked", {"anna"})
        now = time.monotonic()
        monkeypatch.setattr("wps_processes.identity.time.monotonic", lambda: now + 5)
        assert identity.caller(reads).name == identity.remembered(reads) == "anna"
        assert [identity.caller(each) for each in acts] == [None, None, None]
        assert identity.caller(reads) is None  # what is known now counts for all


def test_of_a_million_tokens_not_all_are_remembered(identity, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_OAUTH_ACCESS_SCOPES", '["access:services!service=wps"]')
    monkeypatch.setattr("wps_processes.identity._MOST_KNOWN", 2)
    asked = [request(headers={"Authorization": f"token user{n}"}) for n in range(3)]
    with stand_in_hub() as hub:
        monkeypatch.setenv("JUPYTERHUB_API_URL", f"{hub}/hub/api")
        for each in asked:
            identity.caller(each)
    assert [identity.remembered(each) for each in asked] == [None, "user1", "user2"]
