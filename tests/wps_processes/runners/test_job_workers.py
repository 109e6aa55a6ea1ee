"""Jobs whose parts are computed by processes of their own, in their sandbox."""

import os

import pytest
import rasterio

from landcover.scenes.composites.compose import compose_scenes
from wps_processes.runners.forkserver import ForkServer
from wps_processes.runners.local import ProcessRunner

HERE = len(os.sched_getaffinity(0))


@pytest.fixture
def wps(start):
    forks = ForkServer(os.environ | {"OMP_NUM_THREADS": "2"})
    yield start(runner=lambda root, _: ProcessRunner(root, forks))
    forks.close()


@pytest.mark.skipif(HERE < 2, reason="one processor: no workers")
def test_a_confined_job_computes_its_parts_by_workers(wps):
    for name in ("a", "b"):
        with rasterio.open(wps.root / "shared/scene.tif") as dataset:
            profile, values = dataset.profile, dataset.read()
        with rasterio.open(wps.root / f"shared/{name}.tif", "w", **profile) as copy:
            copy.write(values + (name == "b"))
            copy.update_tags(DATE="2023-05-01" if name == "a" else "2023-06-01")
    wps.execute("compose-scenes", scenes=["shared/a.tif", "shared/b.tif"], asynchronous=True)
    over = wps.dispatcher.wait(wps.jobs()[0]["id"], 120)
    assert (over.error, over.state) == (None, "successful")
    folder = wps.root / f"users/anna/jobs/{over.id}"
    assert "parts are computed by 2 processes" in (folder / "job.log").read_text()
    scenes = [wps.root / f"shared/{name}.tif" for name in ("a", "b")]
    here = compose_scenes(scenes, workdir=folder.parent).scene
    with rasterio.open(here) as one, rasterio.open(folder / "scene.tif") as other:
        assert (one.read() == other.read()).all()
