import json
import subprocess
import sys

import numpy as np
import pytest

from landcover.cli import main
from tests.scenes import pixels, write_labels, write_raster


@pytest.fixture
def inputs(tmp_path):
    scene = write_raster(tmp_path / "scene.tif", np.ones((1, 9, 9), np.uint8))
    labels = write_labels(tmp_path / "labels.gpkg", [("a", pixels(0, 0, 3, 3))], field="kind")
    return scene, labels


def landcover(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "landcover", *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("spelling", ["--class_field", "--class-field"])
def test_one_json_object_on_standard_output_progress_on_the_other(inputs, tmp_path, spelling):
    scene, labels = inputs
    done = landcover(
        "extract-samples", "--scene", scene, "--labels", labels, spelling, "kind",
        "--masks", "true", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "samples": str(tmp_path / "samples"),
        "counts": str(tmp_path / "counts.csv"),
        "total": 9,
        "remarks": [],
    }
    assert "reading samples" in done.stderr
    assert (tmp_path / "samples/a/samples.mask.npy").exists()


def test_bad_input_is_one_sentence_and_exit_2(inputs, tmp_path):
    scene, labels = inputs
    done = landcover("extract-samples", "--scene", scene, "--labels", labels, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.strip().endswith("has no field class, its fields are kind")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["balance-samples", "--samples", "nowhere"],
        ["balance-samples", "--samples", "nowhere", "--clusters", "many"],
        ["balance-samples", "--samples", "nowhere", "--workdir", "/dev/null/out"],
        ["balance-samples", "--samples", "nowhere", "--scope", "none"],
        ["balance-samples"],
    ],
)
def test_exit_2_for_whatever_the_user_gave(arguments, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_misspelt_option_exits_with_2_and_one_line(tmp_path):
    done = landcover("balance-samples", "--sample", "x", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_a_job_process_knows_no_driver_that_refers_elsewhere():
    code = (
        "from landcover.io.gdal_drivers import restrict_process; restrict_process();"
        "import sys, landcover.io.vector, pyogrio, rasterio;"
        "assert 'pandas' not in sys.modules; import pandas;"
        "env = rasterio.Env(); env.__enter__();"
        "print(sorted(pyogrio.list_drivers())); "
        "print('VRT' in env.drivers(), 'GTiff' in env.drivers())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    vectors, rasters = done.stdout.splitlines()
    assert vectors == "['ESRI Shapefile', 'FlatGeobuf', 'GPKG', 'GeoJSON', 'MEM']"
    assert rasters == "False True"


def test_importing_the_library_is_light():
    code = (
        "import sys, landcover;"
        "print([m for m in ('torch', 'sklearn', 'rasterio', 'onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_workers_of_the_command_line_give_the_same_bytes(tmp_path):
    for month in (4, 5):
        values = np.full((1, 9, 9), month, np.uint16)
        write_raster(tmp_path / f"{month}.tif", values, names=("B04",), DATE=f"2023-0{month}-01")
    arguments = ["compose-scenes", "--scenes", "4.tif", "5.tif"]
    done = landcover(*arguments, "--workers", "2", "--workdir", "two", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert landcover(*arguments, "--workdir", "one", cwd=tmp_path).returncode == 0
    one, two = (tmp_path / name / "scene.tif" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
