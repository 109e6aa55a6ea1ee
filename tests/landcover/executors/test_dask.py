"""A real cluster of Dask computes parts: two processes, spoken to by TLS."""

import asyncio
import os
import signal

import pytest

from landcover import classify_scene, extract_samples, train_classifier
from landcover.each import each_scene
from landcover.inference import map_parts
from tests.scenes import pixels, quarters, write_labels, write_raster

distributed = pytest.importorskip("distributed")

NAMES = ("B02", "B03", "B04")
SECONDS = 120
CONFIG = {
    "distributed.worker.profile.enabled": False,
    "distributed.scheduler.allowed-failures": 2,
    "distributed.comm.timeouts.connect": f"{SECONDS}s",
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


def test_scenes_and_a_map_are_those_of_one_process(client, made, tmp_path, monkeypatch):
    monkeypatch.setattr(map_parts, "SIDE", 512)
    scenes, labels = made
    here = each_scene(extract_samples, scenes, tmp_path / "here", labels=labels)
    there = each_scene(extract_samples, scenes, tmp_path / "there", labels=labels, executor=client)
    assert written(tmp_path / "there") == written(tmp_path / "here")
    assert [one.total for one in there] == [one.total for one in here] == [400, 400]
    assert there[1].samples == tmp_path / "there/south/samples"

    model = train_classifier([one.samples for one in there], workdir=tmp_path / "model").model
    classify_scene(scenes[0], model, workdir=tmp_path / "one")
    classify_scene(scenes[0], model, workdir=tmp_path / "parts", executor=client)
    assert written(tmp_path / "parts") == written(tmp_path / "one")
    maps = each_scene(classify_scene, scenes, tmp_path / "maps", model=model, executor=client)
    assert maps[0].map.read_bytes() == (tmp_path / "one/map.tif").read_bytes()
    assert [one.classified for one in maps] == [360_000, 360_000]


def test_a_killed_worker_changes_nothing(client, made, tmp_path):
    scenes, labels = made
    (victim, *_) = client.run(os.getpid).values()
    os.kill(victim, signal.SIGKILL)
    found = each_scene(extract_samples, scenes, tmp_path, labels=labels, executor=client)
    assert [one.total for one in found] == [400, 400]


def test_who_has_no_certificate_is_not_let_in(cluster):
    address = cluster.scheduler_address
    assert address.startswith("tls://127.0.0.1:")

    async def speak():
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", int(address.rpartition(":")[2])
        )
        writer.write(b"\0" * 64)
        answer = await reader.read()
        writer.close()
        return answer

    with pytest.raises(ConnectionResetError):
        answer = asyncio.run(asyncio.wait_for(speak(), SECONDS))
        if len(answer) < 16:  # an alert of TLS, and the end
            raise ConnectionResetError
