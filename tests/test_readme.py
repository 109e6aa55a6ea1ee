"""What the READMEs show is true: their Python runs, and the demo prints what the page says."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from demo.data import prepare
from tests.readmes import ROOT, blocks, run


@pytest.mark.e2e
def test_the_readmes_client_runs(geoportal, tmp_path, monkeypatch, capsys):
    (tmp_path / ".geoportal").symlink_to(geoportal.state)
    monkeypatch.chdir(tmp_path)
    run("README.md")
    assert "total ['1000']" in capsys.readouterr().out


@pytest.mark.e2e
def test_the_readmes_command_line_runs(geoportal, tmp_path):
    (tmp_path / ".geoportal").symlink_to(geoportal.state)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (shown,) = (block for block in blocks("README.md", "sh") if "landcover" in block)
    done = subprocess.run(
        ["sh", "-c", shown], cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True
    )
    assert Path(json.loads(done.stdout)["samples"]).parent == tmp_path / "out"


@pytest.mark.e2e
@pytest.mark.filterwarnings("ignore:The use of .username.:DeprecationWarning")
def test_the_service_readmes_clients_run(geoportal, monkeypatch, capsys):
    monkeypatch.setenv("GEOPORTAL_WPS_URL", geoportal.wps)
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", geoportal.token)
    handler = signal.getsignal(signal.SIGINT)
    names = run("wps_processes/README.md")
    signal.signal(signal.SIGINT, handler)  # birdy puts its own in the place, and leaves it there
    assert "/outputs/" in capsys.readouterr().out
    assert run("wps_processes/ogcapi/README.md")["sent"]["text"] == "hello"
    assert names["balance"].after <= names["balance"].before


def test_the_map_of_the_notebooks_readme_draws(tmp_path, monkeypatch):
    prepare(tmp_path / "shared")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    job = tmp_path / "jobs" / "JOB"
    job.mkdir(parents=True)
    shutil.copy(tmp_path / "shared" / "demo-landsat" / "reference.tif", job / "map.tif")
    shown = run("notebooks/README.md", 0)
    assert set(shown["m"].samples["class"]) == {"water", "forest"}
    shown["m"].close()
    assert (tmp_path / "samples" / "demo-scene.geojson").is_file()


def test_a_page_of_the_course_becomes_a_notebook(tmp_path):
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    (shown,) = blocks("notebooks/README.md", "sh")
    subprocess.run(["sh", "-c", shown], cwd=tmp_path, check=True, capture_output=True)
    assert json.loads((tmp_path / "01_draw_samples.ipynb").read_text())["cells"]


@pytest.mark.e2e
def test_a_team_is_made_as_the_hubs_readme_says(geoportal, tmp_path):
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (shown,) = (block for block in blocks("hub/README.md", "sh") if "hub team" in block)
    done = subprocess.run(
        ["sh", "-c", shown], cwd=tmp_path, check=True, capture_output=True, text=True,
        env=os.environ | {"GEOPORTAL_STATE": str(geoportal.state), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "team/forest; added: demo, anna" in done.stderr
    assert (geoportal.storage / "team" / "forest").is_dir()
    answer = requests.get(
        f"{geoportal.url}/hub/api/user",
        headers={"Authorization": f"token {geoportal.token_for('anna')}"},
        timeout=60,
    )
    assert answer.json()["groups"] == ["forest"]


ELSEWHERE = {
    "README.md": ("make run", "make demo", "make test"),  # what starts these tests, and the demo
    "helm/README.md": ("umask", "kubectl", "tar --create --mode", "helm", "mkdir"),
    "hub/README.md": ("   occ",),  # of a Nextcloud
    "images/README.md": ("docker",),
    "wps_processes/README.md": ("GEOPORTAL_LEDGER=",),  # settings, no command
}
"""How blocks begin that others run: tests/kubernetes, tests/images, test_backup, test_demo."""


PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in ROOT.rglob("README.md")
    if not {".venv", "node_modules"} & set(path.relative_to(ROOT).parts)
)
RUN = {
    "README.md": 1,
    "hub/README.md": 1,  # tests/nextcloud/test_tokens.py
    "landcover/models/methods/README.md": 1,  # tests/landcover/models/methods/test_new_method.py
    "notebooks/README.md": 2,  # the second in tests/nextcloud/test_sharing.py
    "wps_processes/README.md": 2,
    "wps_processes/ogcapi/README.md": 1,
}
"""Blocks of Python by page; where nothing is said, they are run above."""


@pytest.mark.parametrize("page", PAGES)
def test_no_block_of_python_in_a_readme_goes_unrun(page):
    assert len(blocks(page, "(?:python|py)")) == RUN.get(page, 0)


@pytest.mark.parametrize("page", PAGES)
def test_no_command_block_of_a_readme_goes_unrun(page):
    text = (ROOT / page).read_text()
    for shown in blocks(page, "sh"):
        parsed = subprocess.run(["sh", "-n"], input=shown, text=True, check=False, timeout=20)
        assert parsed.returncode == 0, shown
        runs_here = (page, shown.startswith(".venv/bin/")) in {
            (here, True) for here in ("README.md", "notebooks/README.md", "hub/README.md")
        }
        assert runs_here or shown.startswith(ELSEWHERE.get(page, ())), shown
    indented = re.findall(r"^\n    (?:make|pip|python|\.venv)\b.*$", text, re.MULTILINE)
    assert indented == []  # a block that no test would find


def test_the_demo_prints_the_readmes_table(tmp_path):
    shown = next(block for block in blocks("README.md", "text") if block.startswith("class"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GEOPORTAL_")}
    done = subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=tmp_path, env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True, timeout=240,
    )  # fmt: skip
    *table, made_map, report, picture = done.stdout.splitlines()
    for line, printed in zip(shown.splitlines(), table, strict=True):
        assert re.sub(r"[\d.]+ %", "%", line).split() == re.sub(r"[\d.]+ %", "%", printed).split()
        for theirs, ours in zip(percentages(line), percentages(printed), strict=True):
            assert abs(theirs - ours) < 3, (line, printed)  # other processors round otherwise
    for line in (made_map, report, picture):
        assert (tmp_path / line.split()[1]).stat().st_size > 10_000


def percentages(line):
    return [float(number) for number in re.findall(r"([\d.]+) %", line)]


def test_the_readme_fits_and_its_links_lead_somewhere():
    page = (ROOT / "README.md").read_text()
    assert len(page.splitlines()) <= 150
    for target in re.findall(r"\]\(([^)#]+)\)", page):
        assert target.startswith("http") or (ROOT / target).exists(), target
