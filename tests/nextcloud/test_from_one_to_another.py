"""What one shares from a notebook, another computes with: hub, WPS and Nextcloud together."""

import pytest
import requests
from werkzeug.wrappers import Response

from hub.auth import tokens
from hub.local.client import local_session
from landcover.storage import share
from tests.scenes import pixels, quarters, write_labels, write_raster
from tests.stand_ins.nextcloud import dav
from tests.stand_ins.nextcloud.cloud import MEMBERS

pytestmark = pytest.mark.e2e
FILES = ("/remote.php/", "/ocs/v2.php/apps/", "/ocs/v1.php/apps/")


class Accounts:
    """Whom the stand-in for sign-in knows by a token."""

    def __init__(self, inside, *uids):
        self._inside, self._uids = inside, uids

    def values(self):
        return self._uids

    def get(self, token):
        account = self._inside._account_by_token(token)
        return account and account.uid


@pytest.fixture
def people(cloud, newcomer, tmp_path, monkeypatch):
    """Two members with files at Nextcloud: the stand-in's lie beside its accounts."""
    pair = newcomer(MEMBERS), newcomer(MEMBERS)
    if cloud.stand_in is None:
        return pair
    inside, files = cloud.stand_in, dav.StandIn(tmp_path / "nextcloud")
    answered = inside._answer

    def answer(request):
        if request.path.startswith(FILES):
            return Response.from_app(files, request.environ, buffered=True)
        return answered(request)

    monkeypatch.setattr(inside, "_answer", answer)
    files.url = cloud.url
    for uid in pair:
        files.add_user(uid, MEMBERS)
    files.tokens = Accounts(inside, *pair)
    return pair


def test_a_scene_shared_from_a_notebook_is_the_input_of_anothers_job(
    hub, people, tmp_path, monkeypatch
):
    giver, receiver = people
    session, _ = hub.sign_in(giver)
    process = hub.start_server(session, giver.lower())
    server = process.environ()

    # the giver, in a notebook
    home = tmp_path / "home"
    home.mkdir()
    values, _ = quarters(48)
    write_raster(home / "scene.tif", values, names=("B02", "B03", "B04"))
    for name in (tokens.VARIABLE, "JUPYTERHUB_API_TOKEN"):
        monkeypatch.setenv(name, server[name])
    monkeypatch.setenv("HOME", str(home))
    given = share("home/scene.tif", user=receiver)

    # the receiver, with any client
    session, _ = hub.sign_in(receiver)
    token = hub.api(session, "POST", f"users/{receiver.lower()}/tokens", note="test")["token"]
    with local_session() as anyone:
        anyone.headers["Authorization"] = f"token {token}"
        wps = f"{hub.url}/services/wps/"
        anyone.get(f"{wps}jobs", timeout=60).raise_for_status()
        labels = hub.machine.storage / "shared" / "labels.gpkg"
        corners = (("a", 2, 2), ("b", 2, 30), ("a", 12, 2), ("b", 12, 30))
        write_labels(labels, [(n, pixels(row, column, 5, 5)) for n, row, column in corners])
        done = execute(anyone, wps, scene=given.received_as, labels="shared/labels.gpkg")
        assert "ProcessSucceeded" in done.text, done.text
        (job,) = anyone.get(f"{wps}jobs", timeout=60).json()["jobs"]
        assert (job["state"], job["outputs"]["total"]["value"]) == ("successful", 100)
        refused = execute(anyone, wps, scene="received/999/scene.tif", labels="shared/labels.gpkg")
        assert "ProcessFailed" in refused.text
    for token in (hub.token(process), hub.token(hub.wps(), user=receiver.lower())):
        assert token.json()["access_token"] not in hub.log


def execute(session: requests.Session, wps: str, **inputs: str) -> requests.Response:
    said = {"service": "WPS", "version": "1.0.0", "request": "Execute",
            "identifier": "extract-samples"}  # fmt: skip
    pairs = ";".join(f"{name}={value}" for name, value in inputs.items())
    return session.get(wps, params=said | {"datainputs": pairs}, timeout=120)
