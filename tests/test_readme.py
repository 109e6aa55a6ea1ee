"""What the READMEs show is true: their Python runs, and the demo prints what the page says."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


@pytest.mark.e2e
def test_the_readmes_client_runs(geoportal, tmp_path, monkeypatch, capsys):
    (tmp_path / ".geoportal").symlink_to(geoportal.state)
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(blocks("README.md", "python")), "README.md", "exec"), {})
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
    code = "\n".join(blocks("wps_processes/README.md", "python"))
    exec(compile(code, "wps_processes/README.md", "exec"), {})
    assert "/outputs/" in capsys.readouterr().out


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
