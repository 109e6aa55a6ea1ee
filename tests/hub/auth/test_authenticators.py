"""Who may sign in: the traits that each kind sets."""

import asyncio
import stat

import pytest
import yaml
from jupyterhub.authenticators.shared import SharedPasswordAuthenticator
from traitlets.config import Config

from hub.auth.authenticators import Nextcloud, SharedPassword
from hub.auth.nextcloud import NextcloudOAuthenticator
from hub.settings import load
from portal.base_model import SecretVariable
from portal.errors import SettingsError

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


def test_the_administrator_has_a_password_that_nobody_elses_is(monkeypatch, tmp_path):
    monkeypatch.setenv("GEOPORTAL_STATE", str(tmp_path))
    c = Config()
    SharedPassword(kind="shared-password").configure(c)
    hub = SharedPasswordAuthenticator(config=c)
    kept = (tmp_path / "admin-password").read_text().strip()
    assert stat.S_IMODE((tmp_path / "admin-password").stat().st_mode) == 0o600

    def signed_in(username, password):
        given = {"username": username, "password": password}
        return asyncio.run(hub.authenticate(None, given))

    assert signed_in("admin", kept)["admin"] is True
    assert signed_in("admin", hub.user_password) is None
    assert signed_in("demo", kept) is None
    assert signed_in("demo", hub.user_password)["admin"] is False


def test_nextcloud_reads_secrets_from_where_the_settings_say(cloud):
    assert cloud.NextcloudOAuthenticator.client_id == "the-client"
    assert cloud.NextcloudOAuthenticator.client_secret == "the-secret"
    assert cloud.CryptKeeper["keys"] == ["ab" * 32]


def test_nextcloud_decides_by_its_groups(cloud):
    authenticator = NextcloudOAuthenticator(config=cloud)
    where = "https://cloud.example.org/index.php/apps/oauth2"
    assert authenticator.authorize_url == f"{where}/authorize"
    assert authenticator.token_url == f"{where}/api/v1/token"
    assert authenticator.userdata_url == "https://cloud.example.org/ocs/v2.php/cloud/user"
    assert authenticator.userdata_params == {"format": "json"}
    assert authenticator.allowed_groups == {"remote-sensing"}
    assert authenticator.admin_groups == {"hub-admins"}
    assert authenticator.enable_auth_state is True


def test_nextcloud_is_asked_before_a_server_starts_and_every_five_minutes(cloud):
    authenticator = NextcloudOAuthenticator(config=cloud)
    assert authenticator.refresh_pre_spawn is True
    assert authenticator.auth_refresh_age == 300


def test_tokens_never_follow_a_redirect_nor_wait_for_ever(cloud):
    authenticator = NextcloudOAuthenticator(config=cloud)
    assert authenticator.http_request_kwargs["follow_redirects"] is False
    assert authenticator.http_request_kwargs["request_timeout"] == 10


@pytest.mark.parametrize("key", ["", "short", "zz" * 32, "ab" * 31])
def test_key_that_cannot_encrypt_is_refused(monkeypatch, key):
    for name, value in {"CLIENT_ID": "a", "CLIENT_SECRET": "b", "CRYPT_KEY": key}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=r"CRYPT_KEY is empty|crypt_key holds no 32 bytes"):
        Nextcloud.model_validate(CLOUD).configure(Config())


def test_key_that_is_missing_is_named_with_its_place(tmp_path):
    path = tmp_path / "settings.yaml"
    without = {name: value for name, value in CLOUD.items() if name != "crypt_key"}
    path.write_text(yaml.safe_dump({"authenticator": without, "spawner": {"kind": "local"}}))
    with pytest.raises(SettingsError, match=r"authenticator\.crypt_key: Field required"):
        load(path)


def settings_with(tmp_path, **changes):
    """Write settings of a Nextcloud and return the file."""
    path = tmp_path / "settings.yaml"
    path.write_text(
        yaml.safe_dump({"authenticator": CLOUD | changes, "spawner": {"kind": "local"}})
    )
    return path


@pytest.mark.parametrize("name", ["url", "callback_url"])
@pytest.mark.parametrize(
    "host", ["cloud.example.org", "10.0.0.7", "localhost.example.org", "127.0.0.1.example.org"]
)
def test_address_that_others_can_listen_to_is_refused(tmp_path, name, host):
    path = settings_with(tmp_path, **{name: f"http://{host}/hub/oauth_callback"})
    with pytest.raises(SettingsError, match=rf"authenticator\.{name}: .*{host}.* needs https://"):
        load(path)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:80"])
def test_address_within_this_machine_needs_no_encryption(tmp_path, host):
    callback = f"http://{host}/hub/oauth_callback"
    sound = load(settings_with(tmp_path, url=f"http://{host}", callback_url=callback))
    assert sound.authenticator.callback_url == callback


@pytest.mark.parametrize(
    "callback", ["https://geo.example.org", "https://hub/oauth_callback/", ""]
)
def test_address_to_which_no_sign_in_returns_is_refused(tmp_path, callback):
    path = settings_with(tmp_path, callback_url=callback)
    with pytest.raises(SettingsError, match=r"authenticator\.callback_url: .*oauth_callback"):
        load(path)


@pytest.mark.parametrize("secret", ["s3cr3t", 7, ["s3cr3t"], None])
def test_secret_written_into_the_settings_is_refused_and_not_repeated(tmp_path, secret):
    with pytest.raises(SettingsError) as refusal:
        load(settings_with(tmp_path, client_secret=secret))
    assert str(refusal.value).endswith(
        "authenticator.client_secret: Value error, a secret does not stand here, needs "
        "{file: PATH} or {env: NAME}"
    )


def test_secret_in_a_variable_is_read_as_one_in_a_file(monkeypatch):
    monkeypatch.setenv("CLIENT_ID", " the-client\n")
    assert SecretVariable(env="CLIENT_ID").read() == "the-client"


def test_secret_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("CRYPT_KEY", "ab" * 32)
    with pytest.raises(SettingsError, match="CLIENT_ID is needed"):
        Nextcloud.model_validate(CLOUD).configure(Config())
