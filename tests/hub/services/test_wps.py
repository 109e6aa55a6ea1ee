"""The WPS beside the hub: how it is started, and who may call it."""

import sys

import pytest
from traitlets.config import Config

from hub.auth import tokens
from hub.services import wps as wps_service
from hub.services.wps import ACCESS, Wps
from landcover.storage import sharing
from portal.errors import SettingsError


@pytest.fixture
def configured(monkeypatch, tmp_path):
    monkeypatch.setenv("GEOPORTAL_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("GEOPORTAL_STORAGE", str(tmp_path / "tree"))
    c = Config()
    wps_service.configure(c, Wps(sync_seconds=5, jobs_at_once=3))
    return c.JupyterHub


def test_wps_is_started_on_loopback_with_its_settings(configured, tmp_path):
    (wps,) = configured.services
    assert wps["name"] == "wps"
    assert wps["command"] == [sys.executable, "-m", "wps_processes"]
    assert wps["url"].startswith("http://127.0.0.1:")
    assert wps["oauth_no_confirm"] is True
    environment = wps["environment"]
    assert environment["GEOPORTAL_STATE"] == str(tmp_path / "state")
    assert environment["GEOPORTAL_STORAGE"] == str(tmp_path / "tree")
    assert environment["GEOPORTAL_PUBLIC_URL"] == ""
    assert environment["GEOPORTAL_SYNC_SECONDS"] == "5"
    assert environment["GEOPORTAL_JOBS_AT_ONCE"] == "3"


def test_users_and_their_servers_may_call_the_wps(configured):
    scopes = {role["name"]: role["scopes"] for role in configured.load_roles}
    assert ACCESS in scopes["user"]
    assert ACCESS in scopes["server"]
    assert "self" in scopes["user"]


def test_the_wps_may_ask_who_is_in_which_group_and_nothing_else(configured):
    (role,) = (role for role in configured.load_roles if role["name"] == "wps")
    assert role == {"name": "wps", "scopes": ["read:users:groups"], "services": ["wps"]}


def test_without_tokens_nothing_is_said_of_them(configured):
    assert tokens.VARIABLE not in configured.services[0]["environment"]
    assert configured.custom_scopes == {}
    assert tokens.SCOPE not in str(configured.load_roles)


def test_only_the_wps_may_have_the_tokens_of_all(monkeypatch, tmp_path):
    monkeypatch.setenv("GEOPORTAL_STATE", str(tmp_path))
    monkeypatch.setenv("GEOPORTAL_PORT", "8123")
    c = Config()
    wps_service.configure(c, Wps(), keeps_tokens=True)
    roles = {role["name"]: role for role in c.JupyterHub.load_roles}
    assert f"{tokens.SCOPE}!user" in roles["server"]["scopes"]
    assert [name for name, role in roles.items() if tokens.SCOPE in role["scopes"]] == ["wps"]
    assert roles["wps"]["services"] == ["wps"]
    assert list(c.JupyterHub.custom_scopes) == [tokens.SCOPE]
    environment = c.JupyterHub.services[0]["environment"]
    assert environment[tokens.VARIABLE] == "http://127.0.0.1:8123/hub/api/nextcloud/token"
    assert environment[sharing.LINKS] == "on"


def test_an_administrator_switches_links_off_under_the_name_that_sharing_reads(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("GEOPORTAL_STATE", str(tmp_path))
    c = Config()
    wps_service.configure(c, Wps(), keeps_tokens=True, share_links=False)
    assert c.JupyterHub.services[0]["environment"][sharing.LINKS] == "off"


def test_a_wps_elsewhere_is_not_started_but_known_by_its_token(monkeypatch):
    monkeypatch.setenv("WPS_TOKEN", "secret")
    c = Config()
    wps_service.configure(c, Wps(url="http://wps:8080", token={"env": "WPS_TOKEN"}))
    (wps,) = c.JupyterHub.services
    assert wps == {
        "name": "wps",
        "url": "http://wps:8080",
        "api_token": "secret",
        "oauth_no_confirm": True,
    }


def test_a_wps_elsewhere_needs_its_token():
    with pytest.raises(SettingsError, match=r"wps.token is needed"):
        wps_service.configure(Config(), Wps(url="http://wps:8080"))
