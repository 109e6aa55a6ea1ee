"""A network is read and run inside the walls of a job, where no program can be started."""

import json
import subprocess
import sys

import numpy as np
import rasterio

from tests.networks import unet, write_network
from tests.scenes import write_raster

JOB = """
import json, sys
from pathlib import Path
from landcover import classify_scene
from wps_processes.runners.memory import bound_data
from wps_processes.runners.sandbox import confine

folder = Path(sys.argv[1])
(folder / "job").mkdir()
bound_data(4096)
confine([folder], [folder / "job"])
done = classify_scene(folder / "scene.tif", folder / "m.onnx", radiometry="ignore",
                      workdir=folder / "job")
print(json.dumps({"classified": done.classified, "torch": "torch" in sys.modules}))
"""


def test_a_job_maps_by_a_network(tmp_path):
    values = np.random.default_rng(0).integers(1, 1000, (3, 60, 70)).astype(np.uint16)
    write_raster(tmp_path / "scene.tif", values, names=("b1", "b2", "b3"))
    write_network(tmp_path / "m.onnx", unet())
    done = subprocess.run(
        [sys.executable, "-c", JOB, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"classified": 60 * 70, "torch": False}
    with rasterio.open(tmp_path / "job" / "map.tif") as dataset:
        assert set(np.unique(dataset.read(1))) <= {1, 2, 3, 4}
