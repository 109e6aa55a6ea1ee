"""The extension of the user's Jupyter server, in a real server of its own."""

import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import files
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import requests
from affine import Affine
from requests.adapters import HTTPAdapter, Retry

from sample_map.server import (
    _jupyter_server_extension_points,
    _load_jupyter_server_extension,
)
from tests.scenes import write_raster

SECONDS = 60
LOOK = {"bands": "1,1,1", "stretch": "2,98"}


@pytest.fixture
def app():
    web = SimpleNamespace(settings={"base_url": "/"}, add_handlers=lambda *_: None)
    kernels = SimpleNamespace(find_kernel_specs=lambda: {"python3": "/kernels/python3"})
    log = logging.getLogger("server")
    return SimpleNamespace(log=log, web_app=web, kernel_spec_manager=kernels)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_course_that_the_environment_names_is_installed(app, home, monkeypatch):
    monkeypatch.setenv("GEOPORTAL_COURSE", str(Path(__file__).parents[3] / "notebooks"))
    _load_jupyter_server_extension(app)
    assert sorted(path.name for path in (home / "course").glob("*.ipynb")) == [
        "01_draw_samples.ipynb",
        "02_balance.ipynb",
        "03_train.ipynb",
        "04_check_radiometry.ipynb",
        "05_classify.ipynb",
        "06_assess.ipynb",
        "07_seasons.ipynb",
        "08_bring_your_own_scene.ipynb",
        "09_networks.ipynb",
        "10_where_next.ipynb",
        "11_labels_without_labellers.ipynb",
        "12_after_a_map.ipynb",
    ]


def test_without_a_course_nothing_is_made(app, home, monkeypatch):
    monkeypatch.delenv("GEOPORTAL_COURSE", raising=False)
    _load_jupyter_server_extension(app)
    assert list(home.iterdir()) == []


def test_course_that_cannot_be_written_stops_nobody(app, home, monkeypatch, caplog):
    monkeypatch.setenv("GEOPORTAL_COURSE", str(home))
    (home / "course").write_text("a file in the way")
    _load_jupyter_server_extension(app)
    assert "could not be installed" in caplog.text


def test_jupyter_finds_the_extension_where_the_package_is_installed():
    (point,) = _jupyter_server_extension_points()
    configured = Path(sys.prefix) / "etc/jupyter/jupyter_server_config.d/sample_map.json"
    enabled = json.loads(configured.read_text())["ServerApp"]["jpserver_extensions"]
    assert enabled == {point["module"]: True}
    assert any(file.name == "sample_map.json" for file in files("landcover-geoportal"))


@dataclass(frozen=True)
class Server:
    """A Jupyter server, and the home directory of its user."""

    url: str
    home: Path

    def tile(self, name: str, *, token: str = "right", tile: str = "5/17/10", **more: str):
        session = requests.Session()
        # it says its address shortly before it listens
        session.mount("http://", HTTPAdapter(max_retries=Retry(connect=8, backoff_factor=0.05)))
        return session.get(
            f"{self.url}sample_map/tiles/{tile}.png",
            params={"scene": name} | LOOK | more,
            headers={"Authorization": f"token {token}"} if token else {},
            timeout=SECONDS,
            allow_redirects=False,
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("storage")
    for folder in ("users/eve", "users/bob", "shared", "team"):
        (root / folder).mkdir(parents=True)
    home = root / "users" / "eve"
    for link in ("shared", "team"):
        (home / link).symlink_to(Path("..", "..", link))
    degrees = Affine(0.1, 0, 13, 0, -0.1, 52)
    for place in (home, root / "shared", root / "users" / "bob"):
        write_raster(place / "a.tif", np.full((40, 40), 7, "uint16"), transform=degrees,
                     crs="EPSG:4326")  # fmt: skip
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "GEOPORTAL"))}
    with subprocess.Popen(
        [sys.executable, "-m", "jupyter_server", "--allow-root", "--no-browser",
         "--ServerApp.port=0", "--IdentityProvider.token=right"],
        cwd=home, env=kept | {"HOME": str(home)}, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        deadline = threading.Timer(SECONDS, process.kill)
        deadline.start()
        assert process.stderr is not None
        said = ""
        while not (found := re.search(r"(http://127\.0\.0\.1:\d+/)", said)):
            line = process.stderr.readline()
            assert line, said
            said += line
        deadline.cancel()
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        yield Server(found.group(1), home)
        process.terminate()
        process.wait(SECONDS)
        drain.join()


@pytest.mark.parametrize("name", ["home/a.tif", "shared/a.tif"])
def test_tile_of_a_scene_in_the_storage_is_a_picture(server, name):
    answer = server.tile(name)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG")


@pytest.mark.parametrize("token", ["", "wrong"])
def test_nobody_sees_a_tile_without_signing_in(server, token):
    assert server.tile("home/a.tif", token=token).status_code == 403


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a.tif",
        "/etc/passwd",
        "home/../bob/a.tif",
        "home/./a.tif",
        "home//a.tif",
        "home/nowhere.tif",
        "home/out.tif",
        "users/bob/a.tif",
        "file:///etc/passwd",
        "/vsicurl/http://127.0.0.1/a.tif",
        "received/1/a.tif",
    ],
)
def test_what_is_no_name_in_the_storage_is_not_there(server, name):
    link = server.home / "out.tif"
    if not link.is_symlink():
        link.symlink_to(Path("..", "bob", "a.tif"))
    assert server.tile(name).status_code == 404


def test_file_that_is_no_scene_is_refused_in_a_sentence(server):
    (server.home / "notes.tif").write_text("no scene")
    answer = server.tile("home/notes.tif")
    assert answer.status_code == 422
    assert "notes.tif is in no format that is known here" in answer.json()["message"]


@pytest.mark.parametrize("more", [{"bands": "1,1"}, {"stretch": "9,1"}, {"tile": "1/7/7"}])
def test_tile_that_is_none_is_refused(server, more):
    assert server.tile("home/a.tif", **more).status_code == 422


def answer_of(server, question, token="right", **query):
    return requests.get(
        f"{server.url}sample_map/{question}",
        params=query,
        headers={"Authorization": f"token {token}"} if token else {},
        timeout=SECONDS,
        allow_redirects=False,
    )


QUESTIONS = {
    "values": {"names": "home/a.tif|shared/a.tif", "place": "13.05,51.95"},
    "limits": {"scene": "home/a.tif", "view": "51,13,52,14", **LOOK},
    "areas": {"name": "home/a.tif"},
    "look": {"name": "home/a.tif"},
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_nobody_is_answered_without_signing_in(server, question):
    server.tile("home/a.tif")  # it listens
    assert answer_of(server, question, token="", **QUESTIONS[question]).status_code == 403


def test_values_at_a_place_are_told_for_each_raster(server):
    server.tile("home/a.tif")
    readings = answer_of(server, "values", **QUESTIONS["values"]).json()["readings"]
    assert [(r["name"], r["bands"][0]["value"]) for r in readings] == [
        ("home/a.tif", 7.0),
        ("shared/a.tif", 7.0),
    ]


def test_limits_of_a_view_are_told(server):
    server.tile("home/a.tif")
    found = answer_of(server, "limits", **QUESTIONS["limits"]).json()
    assert found == {"limits": [7.0] * 6}


@pytest.mark.parametrize(
    ("question", "query"),
    [
        ("values", {"names": "../bob/a.tif", "place": "13,51"}),
        ("values", {"names": "home/a.tif", "place": "13"}),
        ("values", {"names": "home/a.tif", "place": "nan,51"}),
        ("limits", {"scene": "home/a.tif", "view": "1,2,3", **LOOK}),
        ("areas", {"name": "home/out.tif"}),
        ("areas", {"name": "/etc/passwd"}),
    ],
)
def test_question_that_leads_elsewhere_is_a_sentence(server, question, query):
    server.tile("home/a.tif")
    answer = answer_of(server, question, **query)
    assert answer.status_code == 422
    assert answer.json()["message"]


CHANGES = [("POST", "jobs"), ("DELETE", "jobs/a-1"), ("POST", "chains"), ("DELETE", "chains/a-1")]
RUNS = [("GET", "operations"), ("GET", "jobs"), ("GET", "jobs/a-1/chain"), *CHANGES]


def asked(server, method, question, session=requests, **more):
    address = f"{server.url}sample_map/{question}"
    return session.request(method, address, timeout=SECONDS, allow_redirects=False, **more)


@pytest.mark.parametrize(("method", "question"), RUNS)
def test_nobody_runs_anything_without_signing_in(server, method, question):
    server.tile("home/a.tif")  # it listens
    assert asked(server, method, question).status_code == 403


@pytest.mark.parametrize(("method", "question"), CHANGES)
def test_nothing_is_changed_for_a_page_that_does_not_show_the_cookie(server, method, question):
    server.tile("home/a.tif")
    with requests.Session() as session:
        session.get(f"{server.url}tree?token=right", timeout=SECONDS)
        forged = asked(server, method, question, session, json={})
        assert forged.status_code == 403
        shown = {"X-XSRFToken": session.cookies["_xsrf"]}
        own = asked(server, method, question, session, json={}, headers=shown)
        assert own.status_code == 422
        assert own.json()["message"]


@pytest.mark.parametrize("id", ["a%2Fb", "a.xml", "a b", "x" * 65])
def test_what_is_no_id_of_a_job_is_not_asked_for(server, id):
    server.tile("home/a.tif")
    right = {"Authorization": "token right"}
    assert asked(server, "DELETE", f"jobs/{id}", headers=right).status_code in (404, 405)


def test_operations_are_described_where_there_is_no_geoportal(server):
    server.tile("home/a.tif")
    told = answer_of(server, "operations").json()
    assert told["runs"] is False
    assert "classify-scene" in [one["identifier"] for one in told["operations"]]
    answer = answer_of(server, "jobs")
    assert answer.status_code == 422
    assert "operations run in Python only" in answer.json()["message"]
