"""Who signs in at Nextcloud gets a pod: with the teams of the moment, and without a token."""

import base64
import json

import pytest

from hub.auth import tokens
from hub.local.client import local_session
from hub.local.machine import free_port
from landcover.storage.sharing import LINKS
from tests.hub.kubernetes.hub_in_cluster import CLAIM, LIGHT, SECONDS, hub_in_cluster
from tests.stand_ins.nextcloud.oauth import Account, StandIn, served
from tests.stand_ins.nextcloud.person import sign_in

pytestmark = pytest.mark.e2e

EVE = "Eve Smith@Lab.org"
NAME = EVE.lower()
PROFILES = [{"slug": "cpu", "title": "CPU", "image": "light:1", "cores": 1, "memory": "2G"}]


@pytest.fixture(scope="module")
def cloud():
    with served(StandIn("")) as cloud:
        cloud.accounts[EVE] = Account(EVE, "secret", ["remote-sensing"])
        yield cloud


@pytest.fixture(scope="module")
def hub(cloud, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    secrets = {
        "client_id": cloud.client_id, "client_secret": cloud.client_secret, "crypt_key": "5e" * 32,
    }  # fmt: skip
    for name, secret in secrets.items():
        (folder / name).write_text(secret)
    port = free_port()
    cloud.callback_url = f"http://127.0.0.1:{port}/hub/oauth_callback"
    authenticator = {
        "kind": "nextcloud",
        "url": cloud.url,
        "callback_url": cloud.callback_url,
        "allowed_groups": ["remote-sensing"],
    } | {name: {"file": str(folder / name)} for name in secrets}
    with hub_in_cluster(folder, port, authenticator=authenticator, profiles=PROFILES) as hub:
        hub.cluster.registry["light:1"] = LIGHT
        yield hub


@pytest.fixture(scope="module")
def pod(cloud, hub):
    """Eve's, who joined a group after she had signed in."""
    session, _ = sign_in(hub.url, EVE, "secret")
    cloud.accounts[EVE].groups.append("ice & snow")
    headers = {"X-XSRFToken": session.cookies.get("_xsrf", path="/hub/")}
    address = f"{hub.url}/hub/api/users/{NAME}/server"
    session.post(address, headers=headers, timeout=SECONDS).raise_for_status()
    return hub.cluster.wait_for("pods", lambda pod: pod["status"].get("phase") == "Running")


def variables(pod):
    (container,) = pod["spec"]["containers"]
    return {each["name"]: each.get("value") for each in container["env"]}


def test_teams_are_the_groups_at_nextcloud_when_the_server_starts(hub, pod):
    (container,) = pod["spec"]["containers"]
    mounts = {mount["mountPath"]: mount.get("subPath") for mount in container["volumeMounts"]}
    teams = {path for path in mounts if path.startswith("/home/jovyan/team/")}
    assert teams == {"/home/jovyan/team/ice & snow", "/home/jovyan/team/remote-sensing"}
    assert mounts["/home/jovyan/team/ice & snow"] == "team/ice & snow"
    assert (hub.cluster.claim(CLAIM) / "team" / "ice & snow").is_dir()


def test_no_token_of_nextcloud_is_in_the_cluster(cloud, hub, pod):
    assert cloud.access_tokens
    assert cloud.refresh_tokens
    kept = [hub.cluster.find(kind) for kind in ("pods", "secrets", "configmaps", "events")]
    written = json.dumps([pod, kept])
    for token in (*cloud.access_tokens, *cloud.refresh_tokens, cloud.client_secret, "5e" * 32):
        assert token not in written


def test_server_asks_the_hub_for_the_token_of_the_moment(cloud, hub, pod):
    own = variables(pod)
    (secret,) = hub.cluster.find("secrets")  # the pod's, with its token of the hub
    token = base64.b64decode(secret["data"]["token"]).decode()
    with local_session() as session:
        answer = session.get(
            own[tokens.VARIABLE], headers={"Authorization": f"token {token}"}, timeout=SECONDS
        )
    assert answer.json()["uid"] == EVE
    assert answer.json()["access_token"] == cloud.access_tokens[-1]
    assert own[LINKS] == "on"
