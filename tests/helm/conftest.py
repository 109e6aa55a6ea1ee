"""Helm itself, and the chart rendered by it, with a stub where z2jh is not at hand."""

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

CHART = Path(__file__).parents[2] / "helm" / "geoportal"
Z2JH = "GEOPORTAL_TEST_Z2JH"
"""Names a folder or archive with z2jh's chart, to render ours with the real one."""
CLOUD = {
    "url": "https://cloud.example.org",
    "callback_url": "https://geo.example.org/hub/oauth_callback",
}
NEEDED = {
    "jupyterhub": {
        "hub": {"cookieSecret": "c" * 64},
        "proxy": {"secretToken": "d" * 64},
        "custom": {"geoportal": {"authenticator": CLOUD}},
    },
}
"""What every site must give."""
TRIAL = {"kind": "shared-password"}


def parsed(text):
    """Return the documents of a text in YAML; libyaml reads them ten times as fast."""
    return [d for d in yaml.load_all(text, Loader=yaml.CSafeLoader) if d]


class Helm:
    """Runs Helm on a copy of the chart, and once for the same values."""

    def __init__(self, program, folder):
        self._program, self._folder = program, folder
        self._rendered = {}
        self.chart = folder / "geoportal"
        shutil.copytree(CHART, self.chart, ignore=shutil.ignore_patterns("charts", "Chart.lock"))
        self._add_z2jh()
        # nothing of the machine's own configuration
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}

    def run(self, *arguments, values=()):
        """Return the finished process; values are laid over those of the chart, in order."""
        files = []
        for number, value in enumerate(values):
            path = self._folder / f"values-{number}.yaml"
            path.write_text(yaml.safe_dump(value), encoding="utf-8")
            files += ["--values", str(path)]
        return subprocess.run(
            [self._program, *arguments, str(self.chart), *files],
            check=False, capture_output=True, text=True, env=self._environment,
        )  # fmt: skip

    def documents(self, *values):
        """Return all manifests."""
        key = json.dumps(values, sort_keys=True)
        if key not in self._rendered:
            self._rendered[key] = parsed(self._render(*values))
        return copy.deepcopy(self._rendered[key])

    def _render(self, *values):
        done = self.run(
            "template", "trial", "--namespace", "geo", "--kube-version", "1.34.0",
            values=[NEEDED, *values],
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def manifests(self, *values):
        """Return our manifests, without z2jh's."""
        return [d for d in self.documents(*values) if _is_ours(d)]

    def refusal(self, *values, needed=NEEDED):
        """Return what Helm says of invalid values."""
        done = self.run("template", "trial", values=[needed, *values])
        assert done.returncode != 0
        return done.stderr

    def _add_z2jh(self):
        there = self.chart / "charts" / "jupyterhub"
        real = os.environ.get(Z2JH)
        if real:
            shutil.copytree(real, there)
        else:
            (there / "templates").mkdir(parents=True)
            (there / "Chart.yaml").write_text("apiVersion: v2\nname: jupyterhub\nversion: 0.0.0\n")
        lines = (there / "Chart.yaml").read_text(encoding="utf-8").splitlines()
        (wanted,) = yaml.safe_load((self.chart / "Chart.yaml").read_text())["dependencies"]
        (there / "Chart.yaml").write_text(
            "\n".join(
                f"version: {wanted['version']}" if line.startswith("version:") else line
                for line in lines
            )
        )


def _is_ours(document):
    return document["metadata"].get("labels", {}).get("app.kubernetes.io/name") == "geoportal"


def _helm(folder):
    program = Path(sys.executable).parent / "helm"
    found = str(program) if program.exists() else shutil.which("helm")
    if found is None:
        pytest.skip("Helm is not installed: python tests/helm/install_helm.py .venv/bin")
    return Helm(found, folder)


@pytest.fixture(scope="session")
def helm(tmp_path_factory):
    return _helm(tmp_path_factory.mktemp("helm"))
