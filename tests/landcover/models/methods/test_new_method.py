"""The recipe of landcover/models/methods/README.md, followed on a copy of the library."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

import landcover
from tests.scenes import pixels, write_labels, write_raster

SOURCE = Path(landcover.__file__).parent
RECIPE = (SOURCE / "models/methods/README.md").read_text(encoding="utf-8")


@pytest.fixture
def library(tmp_path):
    """A copy of the library with the README's file, and its line in the list of methods."""
    copy = tmp_path / "copy/landcover"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (file,) = re.findall(r"```python\n(.*?)```", RECIPE, re.DOTALL)
    (line,) = re.findall(r"one line in `_MODULES` of `__init__.py`: `(.*)`", RECIPE)
    (name,) = re.findall(r"one file, `landcover/(models/methods/\w+\.py)`", RECIPE)
    (copy / name).write_text(file, encoding="utf-8")
    listed = copy / "models/methods/__init__.py"
    text = listed.read_text(encoding="utf-8")
    assert text.count("_MODULES = (\n") == 1
    listed.write_text(text.replace("_MODULES = (\n", f"_MODULES = (\n{line}\n"), encoding="utf-8")
    return copy.parent


def run(library, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "landcover", *map(str, arguments)], cwd=library,
        env=os.environ | {"PYTHONPATH": str(library)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_new_method_is_one_file_and_one_line(library, tmp_path):
    values = np.full((2, 40, 40), 100, np.uint16)
    values[:, 20:] = 900
    scene = write_raster(tmp_path / "scene.tif", values)
    shapes = [(name, pixels(row, column, 8, 8)) for name, row in (("low", 2), ("high", 26))
              for column in (2, 14, 26)]  # fmt: skip
    labels = write_labels(tmp_path / "labels.gpkg", shapes)
    samples = run(library, "extract-samples", "--scene", scene, "--labels", labels,
                  "--workdir", tmp_path)["samples"]  # fmt: skip
    trained = run(library, "train-classifier", "--samples", samples, "--method", "bagged-trees",
                  "--options", '{"trees": 7}', "--workdir", tmp_path)  # fmt: skip
    assert trained["accuracy"] == 1.0
    made = run(library, "classify-scene", "--scene", scene, "--model", trained["model"],
               "--workdir", tmp_path)["map"]  # fmt: skip
    with rasterio.open(made) as dataset:
        expected = np.where(values[0] == 900, 1, 2)  # names in sorted order: high, low
        np.testing.assert_array_equal(dataset.read(1), expected)
    code = (
        "from landcover.models.file import load_model; import sys; m = load_model(sys.argv[1]);"
        "print(m.card.method, m.card.options, len(m.classifier.roots))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, trained["model"]], cwd=library, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(library)}, capture_output=True,
    )  # fmt: skip
    assert told.stdout.strip() == "bagged-trees {'trees': 7} 7"
