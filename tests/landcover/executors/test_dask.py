"""A real cluster of Dask computes parts: two processes, spoken to by TLS."""

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from landcover import classify_scene, extract_samples, train_classifier
from landcover.each import each_scene
from tests.scenes import pixels, quarters, write_labels, write_raster

distributed = pytest.importorskip("distributed")

NAMES = ("B02", "B03", "B04")
SECONDS = 120
CONFIG = {
    "distributed.worker.profile.enabled": False,
    "distributed.scheduler.allowed-failures": 2,
    "distributed.admin.low-level-log-length": 0,
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    import dask

    folder = tmp_path_factory.mktemp("dask")
    with (
        dask.config.set(CONFIG),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", security=True,
            dashboard_address=None, local_directory=str(folder),
        ) as started,
    ):  # fmt: skip
        yield started


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two scenes of four classes, and labels in both."""
    folder = tmp_path_factory.mktemp("scenes")
    scenes = [
        write_raster(folder / f"{name}.tif", quarters(600, seed)[0], names=NAMES)
        for seed, name in enumerate(("north", "south"))
    ]
    _, codes = quarters(600)
    places = [(row, column) for row in (4, 150, 350, 500) for column in (4, 150, 350, 500)]
    shapes = [(f"class {codes[place]}", pixels(*place, 5, 5)) for place in places]
    return scenes, write_labels(folder / "labels.gpkg", shapes)


def written(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(("run.", "."))
    }


def test_lists_of_scenes_give_the_bytes_of_one_process(client, made, tmp_path):
    scenes, labels = made
    here = each_scene(extract_samples, scenes, tmp_path / "here", labels=labels)
    there = each_scene(extract_samples, scenes, tmp_path / "there", labels=labels, executor=client)
    assert written(tmp_path / "there") == written(tmp_path / "here")
    assert [one.total for one in there] == [one.total for one in here] == [400, 400]
    assert there[1].samples == tmp_path / "there/south/samples"

    model = train_classifier([one.samples for one in there], workdir=tmp_path / "model").model
    classify_scene(scenes[0], model, workdir=tmp_path / "one")
    maps = each_scene(classify_scene, scenes, tmp_path / "maps", model=model, executor=client)
    assert maps[0].map.read_bytes() == (tmp_path / "one/map.tif").read_bytes()
    assert [one.classified for one in maps] == [360_000, 360_000]


def test_the_program_of_the_page_runs(made, tmp_path):
    scenes, labels = made
    for path in (*scenes, labels):
        shutil.copy(path, tmp_path)
    page = Path("docs/workers.md").read_text()
    (program,) = (
        text for text in re.findall("```python\n(.*?)```", page, re.DOTALL) if "Client" in text
    )
    (tmp_path / "program.py").write_text(program)
    subprocess.run([sys.executable, "program.py"], cwd=tmp_path, check=True, timeout=280)
    classify_scene(scenes[0], tmp_path / "model/model.onnx", workdir=tmp_path / "one")
    assert written(tmp_path / "map") == written(tmp_path / "one")


def test_a_killed_worker_changes_nothing(client, made, tmp_path):
    scenes, labels = made
    (victim, *_) = client.run(os.getpid).values()
    os.kill(victim, signal.SIGKILL)
    found = each_scene(extract_samples, scenes, tmp_path, labels=labels, executor=client)
    assert [one.total for one in found] == [400, 400]


def test_who_has_no_certificate_is_not_let_in(cluster):
    scheme, _, place = cluster.scheduler_address.partition("://")
    host, _, port = place.partition(":")
    assert (scheme, host) == ("tls", "127.0.0.1")
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        speak(host, int(port))


def speak(host, port):
    """Listen to a server by TLS, without a certificate of our own."""
    plain = ssl.create_default_context()
    plain.check_hostname, plain.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((host, port), SECONDS) as made,
        plain.wrap_socket(made) as spoken,
    ):
        if not spoken.recv(1):
            raise ConnectionResetError("the server hung up")
