"""The page of the course in R, against the service, where R is installed."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from demo.data import prepare
from tests.wps_processes.conftest import *  # noqa: F403  # the fixtures that start a service
from tests.wps_processes.http.test_server import serving

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NEEDED = "suppressMessages({library(httr2); library(jsonlite); library(terra)})"


def in_r(folder, *arguments, **environment):
    return subprocess.run(
        ["Rscript", *arguments], cwd=folder, capture_output=True, text=True, check=False,
        env=os.environ | environment,
    )  # fmt: skip


@pytest.fixture
def anna(start, tmp_path):
    """What a program of anna's is told of a running service."""
    if shutil.which("Rscript") is None or in_r(tmp_path, "-e", NEEDED).returncode:
        pytest.skip("R with httr2 and terra is not installed")
    wps = start()
    with serving(wps.client.application) as port:
        yield (
            wps,
            {
                "GEOPORTAL_WPS_URL": f"http://127.0.0.1:{port}/services/wps/",
                "JUPYTERHUB_API_TOKEN": "anna",
            },
        )


@pytest.mark.proof
def test_the_page_runs_from_the_first_cell_to_the_last(anna, tmp_path):
    wps, told = anna
    prepare(wps.root / "shared")
    page = tmp_path / "course"
    page.mkdir()
    for name in ("geoportal.R", "13_from_r.R"):
        shutil.copy(NOTEBOOKS / name, page)
    done = in_r(page, "13_from_r.R", **told)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "echo" in done.stdout
    assert "nothing.tif" in done.stdout.splitlines()[-1]
    for name in ("forest", "water"):
        assert re.search(rf"1 +{name} +[1-9]", done.stdout), done.stdout  # in the table of areas
    assert (page / "Rplots.pdf").read_bytes().startswith(b"%PDF")
    states = [(job["operation"], job["state"]) for job in wps.jobs()]
    assert states == [
        ("classify-scene", "successful"),
        ("train-classifier", "successful"),
        ("extract-samples", "successful"),
    ]


@pytest.mark.proof
def test_remarks_are_warnings_and_failures_errors(anna):
    wps, told = anna
    program = f"""source({str(NOTEBOOKS / "geoportal.R")!r})
job <- geoportal_start("extract-samples", scene = "shared/scene.tif", labels = "home/labels.gpkg",
                       class_field = "nothing")
cat(tryCatch(geoportal_wait(job), error = conditionMessage), "\\n")
cat(geoportal_results(geoportal_run("echo", text = "лес", number = 0.1, flag = TRUE))$text, "\\n")
cat(tryCatch(geoportal_request("http://127.0.0.1:9/"), error = conditionMessage), "\\n")
cat(tryCatch(geoportal_dismiss(job), error = conditionMessage))"""
    done = in_r(wps.root, "-e", program, **told)
    assert done.returncode == 0, done.stderr
    failed, text, stranger, over = done.stdout.splitlines()[:4]
    assert "has no field nothing" in failed
    assert text.strip() == "лес"
    assert "is sent no token" in stranger
    assert "409" in over
