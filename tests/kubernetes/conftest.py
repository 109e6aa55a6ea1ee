"""The geoportal in a real cluster, installed by the commands that helm/README.md shows.

`make test-kubernetes` installs into the namespace `geoportal`, which must not exist, of the
cluster that KUBECONFIG names, and removes it in the end. The images of images/ must be where its
nodes find them. GEOPORTAL_TEST_VALUES names values for this cluster, laid over those of the trial;
GEOPORTAL_TEST_Z2JH a folder with z2jh's chart, where its release cannot be downloaded.
"""

import json
import os
import re
import shutil
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import yaml

from benchmarks.served import until
from hub.local.client import fresh_token, local_session, sign_in

ROOT = Path(__file__).parents[2]
NAMESPACE = "geoportal"
MINUTES = 60.0


def pytest_collection_modifyitems(items):
    """Touch no cluster unless asked: KUBECONFIG alone may be somebody's daily work."""
    if os.environ.get("GEOPORTAL_TEST_KUBERNETES") and os.environ.get("KUBECONFIG"):
        return
    reason = "needs a cluster: KUBECONFIG=... make test-kubernetes"
    for item in items:
        if Path(item.path).is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.skip(reason=reason))


def blocks(section):
    """Return the commands that a section of helm/README.md shows."""
    page = (ROOT / "helm" / "README.md").read_text(encoding="utf-8")
    text = page.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


class Kubectl:
    """kubectl on the namespace of the release."""

    def __init__(self, namespace):
        self.namespace = namespace

    def __call__(self, *arguments, check=True, input=None, seconds=10 * MINUTES):
        done = subprocess.run(
            ["kubectl", "--namespace", self.namespace, *arguments],
            check=False, capture_output=True, text=True, input=input, timeout=seconds,
        )  # fmt: skip
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout if check else done

    def get(self, *arguments):
        """Return objects as Kubernetes has them now."""
        return json.loads(self("get", *arguments, "--output", "json"))


class Forward:
    """An address of this machine that leads to a service of the cluster."""

    def __init__(self, kubectl, service, port):
        self._process = subprocess.Popen(
            ["kubectl", "--namespace", kubectl.namespace, "port-forward", service, f":{port}"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        line = self._process.stdout.readline()  # when it listens
        self.url = "http://" + re.search(r"127\.0\.0\.1:\d+", line)[0]
        # it says a line for each connection, which nobody else would read
        threading.Thread(target=self._process.stdout.read, daemon=True).start()

    def close(self):
        self._process.terminate()
        self._process.wait()
        self._process.stdout.close()


@dataclass
class Release:
    """The installed geoportal."""

    kubectl: Kubectl
    folder: Path
    site: Path | None
    url: str = ""
    password: str = ""
    forward: Forward | None = None

    def run(self, block):
        """Run commands of the page, with this cluster's values beside the trial's."""
        if self.site:
            block = block.replace(
                "--values helm/trial.yaml", f"--values helm/trial.yaml --values {self.site}"
            )
        if os.environ.get("GEOPORTAL_TEST_Z2JH"):  # it lies in charts/ already
            block = block.replace("helm dependency update helm/geoportal\n", "")
        done = subprocess.run(
            ["bash", "-euc", block],
            check=False, cwd=self.folder, capture_output=True, text=True, timeout=20 * MINUTES,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}\n{done.stderr}\n{self.state()}"
        return done.stdout

    def state(self):
        """Return what a person would look at when something does not come up."""
        return self.kubectl("get", "pods,events", "--output", "wide")

    def open(self):
        """Make a new way to the proxy; the old one ends with the proxy's pod."""
        self.close()
        self.forward = Forward(self.kubectl, "svc/proxy-public", "http")
        self.url = self.forward.url
        # a network that enforces policies lets a new pod in after a moment
        until(lambda: requests.get(f"{self.url}/hub/health", timeout=MINUTES).ok, MINUTES)

    def close(self):
        if self.forward:
            self.forward.close()
            self.forward = None

    def session(self, name):
        """Return a session with a token of this user."""
        sign_in(self.url, name, self.password).close()
        session = local_session()
        token = fresh_token(self.url, name, self.password, note="tests")
        session.headers["Authorization"] = f"token {token}"
        return session

    def start(self, session, name, profile):
        """Start a user's server; yield what its page says until it runs or fails."""
        server = f"{self.url}/hub/api/users/{name}/server"
        session.post(server, json={"profile": profile}, timeout=2 * MINUTES).raise_for_status()
        with session.get(f"{server}/progress", stream=True, timeout=10 * MINUTES) as events:
            for line in events.iter_lines():
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))


def _chart(folder):
    """Copy what the page's commands need; they write into the chart's folder."""
    shutil.copytree(ROOT / "helm", folder / "helm")
    z2jh = os.environ.get("GEOPORTAL_TEST_Z2JH")
    if z2jh:
        there = folder / "helm" / "geoportal" / "charts" / "jupyterhub"
        shutil.copytree(z2jh, there)
        chart = yaml.safe_load((there / "Chart.yaml").read_text())
        ours = yaml.safe_load((folder / "helm" / "geoportal" / "Chart.yaml").read_text())
        chart["version"] = ours["dependencies"][0]["version"]
        (there / "Chart.yaml").write_text(yaml.safe_dump(chart))


@pytest.fixture(scope="session")
def release(tmp_path_factory):
    """Install as the page says; in the end nothing of it is left."""
    kubectl = Kubectl(NAMESPACE)
    taken = kubectl("get", "namespace", NAMESPACE, check=False).returncode == 0
    assert not taken, f"the namespace {NAMESPACE} exists: these tests would remove it"
    folder = tmp_path_factory.mktemp("checkout")
    _chart(folder)
    site = os.environ.get("GEOPORTAL_TEST_VALUES")
    installed = Release(kubectl, folder, Path(site).resolve() if site else None)
    install, password, _fill = blocks("A trial on one node")
    try:
        installed.run(install)
        installed.password = installed.run(password).strip()
        installed.open()
        yield installed
    finally:
        installed.close()
        subprocess.run(
            ["helm", "uninstall", "geoportal", "--namespace", NAMESPACE, "--ignore-not-found"],
            check=False,
        )
        kubectl("delete", "namespace", NAMESPACE, "--wait=true")


@pytest.fixture(scope="session")
def kubectl(release):
    return release.kubectl
