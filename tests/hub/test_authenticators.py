"""Who may sign in: the traits that each kind sets, and the race that Nextcloud's tokens invite."""

import asyncio
import stat

import pytest
from traitlets.config import Config

from hub.authenticators import Nextcloud, SharedPassword
from hub.errors import SettingsError
from hub.nextcloud import NextcloudOAuthenticator

CLOUD = {
    "kind": "nextcloud",
    "url": "https://cloud.example.org",
    "callback_url": "https://hub.example.org/hub/oauth_callback",
    "client_id": {"env": "CLIENT_ID"},
    "client_secret": {"env": "CLIENT_SECRET"},
    "crypt_key": {"env": "CRYPT_KEY"},
    "allowed_groups": ["remote-sensing"],
    "admin_groups": ["hub-admins"],
}


@pytest.fixture
def cloud(monkeypatch, tmp_path):
    monkeypatch.setenv("CLIENT_ID", "the-client")
    monkeypatch.setenv("CRYPT_KEY", "ab" * 32)
    secret = tmp_path / "secret"
    secret.write_text("the-secret\n")
    c = Config()
    Nextcloud.model_validate(CLOUD | {"client_secret": {"file": str(secret)}}).configure(c)
    return c


def test_shared_password_is_made_once_and_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("GEOPORTAL_STATE", str(tmp_path))
    first, second = Config(), Config()
    SharedPassword(kind="shared-password").configure(first)
    SharedPassword(kind="shared-password").configure(second)
    password = first.SharedPasswordAuthenticator.user_password
    assert len(password) == 16
    assert second.SharedPasswordAuthenticator.user_password == password
    assert stat.S_IMODE((tmp_path / "password").stat().st_mode) == 0o600
    assert first.JupyterHub.authenticator_class == "shared-password"
    assert first.Authenticator.allow_all is True


def test_nextcloud_reads_secrets_from_where_the_settings_say(cloud):
    assert cloud.NextcloudOAuthenticator.client_id == "the-client"
    assert cloud.NextcloudOAuthenticator.client_secret == "the-secret"
    assert cloud.CryptKeeper["keys"] == ["ab" * 32]


def test_nextcloud_decides_by_its_groups(cloud):
    authenticator = NextcloudOAuthenticator(config=cloud)
    assert authenticator.authorize_url == "https://cloud.example.org/apps/oauth2/authorize"
    assert authenticator.userdata_params == {"format": "json"}
    assert authenticator.username_claim({"ocs": {"data": {"id": "Eve Smith"}}}) == "Eve Smith"
    assert authenticator.allowed_groups == {"remote-sensing"}
    assert authenticator.admin_groups == {"hub-admins"}
    assert authenticator.enable_auth_state is True


def test_secret_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("CRYPT_KEY", "ab" * 32)
    with pytest.raises(SettingsError, match="CLIENT_ID is needed"):
        Nextcloud.model_validate(CLOUD).configure(Config())


class Person:
    """The part of a hub user that a refresh touches."""

    def __init__(self):
        self.name = "alice"
        self.auth_state = {"access_token": "old", "refresh_token": "once"}

    async def get_auth_state(self):
        return self.auth_state

    async def save_auth_state(self, auth_state):
        self.auth_state = auth_state


def refreshing(groups):
    """Return an authenticator whose parent's refresh takes a token once, and gives a new one."""

    taken = set()

    async def refresh(self, user, handler=None, **options):
        given = user.auth_state["refresh_token"]
        await asyncio.sleep(0)  # let the others run
        if given in taken:
            return False  # as Nextcloud does, which answers 400
        taken.add(given)
        state = {"access_token": "new", "refresh_token": "twice"}
        return {"name": user.name, "admin": False, "auth_state": state, "groups": groups}

    return refresh


@pytest.fixture
def refreshed(monkeypatch):
    """Let six requests at once refresh one user's session; return what each got."""

    def refresh(groups):
        parent = NextcloudOAuthenticator.__mro__[1]
        monkeypatch.setattr(parent, "refresh_user", refreshing(groups))
        authenticator = NextcloudOAuthenticator(
            allowed_groups={"remote-sensing"}, manage_groups=True, client_id="a", client_secret="b"
        )
        person = Person()

        async def all_at_once():
            return await asyncio.gather(*(authenticator.refresh_user(person) for _ in range(6)))

        return asyncio.run(all_at_once()), person

    return refresh


def test_parallel_refreshes_use_the_refresh_token_once(refreshed):
    results, person = refreshed(["remote-sensing"])
    assert [bool(result) for result in results] == [True] * 6
    assert sum(isinstance(result, dict) for result in results) == 1
    assert person.auth_state["access_token"] == "new"


def test_who_left_the_group_is_out_at_the_next_refresh(refreshed):
    results, _ = refreshed(["other"])
    assert results[0] is False
