"""The extension of the user's Jupyter server."""

import json
import logging
import sys
from importlib.metadata import files
from pathlib import Path
from types import SimpleNamespace

import pytest

from sample_map.server import (
    _jupyter_server_extension_points,
    _load_jupyter_server_extension,
)


@pytest.fixture
def app():
    return SimpleNamespace(log=logging.getLogger("server"))


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_course_that_the_environment_names_is_installed(app, home, monkeypatch):
    monkeypatch.setenv("GEOPORTAL_COURSE", str(Path(__file__).parents[2] / "notebooks"))
    _load_jupyter_server_extension(app)
    assert sorted(path.name for path in (home / "course").glob("*.ipynb")) == [
        "01_draw_samples.ipynb",
        "02_balance.ipynb",
        "03_train.ipynb",
        "04_check_radiometry.ipynb",
        "05_classify.ipynb",
        "06_assess.ipynb",
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
