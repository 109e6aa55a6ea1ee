"""Sign in, compute, break, upgrade and leave: what users and administrators do in a cluster.

One story in order; later tests need the servers and files of earlier ones.
"""

import base64
import json
import sqlite3
import subprocess
from pathlib import Path
from urllib.parse import urljoin
from uuid import uuid4

import numpy as np
import pytest
import requests
import yaml
from websocket import create_connection

from benchmarks.served import until
from landcover.operation import Needs
from tests import scenes
from tests.helm.test_job_policy import HOSTILE, made
from tests.kubernetes.conftest import MINUTES, NAMESPACE, blocks

pytestmark = pytest.mark.timeout(20 * 60)
USER = "bob.smith"  # not a name that Kubernetes would take


class Desk:
    """A user with a running server."""

    def __init__(self, release, session):
        self._release, self.session = release, session

    def reopen(self):
        self._release.open()

    @property
    def lab(self):
        return f"{self._release.url}/user/{USER}/"

    @property
    def wps(self):
        return f"{self._release.url}/services/wps/"

    def upload(self, path, name):
        content = base64.b64encode(path.read_bytes()).decode()
        body = {"type": "file", "format": "base64", "content": content}
        self.session.put(
            f"{self.lab}api/contents/{name}", json=body, timeout=MINUTES
        ).raise_for_status()

    def make_folder(self, name):
        for folder in (str(Path(name).parent), name):
            self.session.put(
                f"{self.lab}api/contents/{folder}", json={"type": "directory"}, timeout=MINUTES
            ).raise_for_status()

    def has(self, name):
        asked = f"{self.lab}api/contents/{name}?content=0"
        return self.session.get(asked, timeout=MINUTES).ok

    def text(self, name):
        answer = self.session.get(f"{self.lab}api/contents/{name}", timeout=MINUTES)
        answer.raise_for_status()
        return answer.json()["content"]

    def start_kernel(self):
        made = self.session.post(
            f"{self.lab}api/kernels", json={"name": "python3"}, timeout=MINUTES
        )
        made.raise_for_status()
        return made.json()["id"]

    def compute(self, kernel, code):
        """Run code in a kernel and return what it prints."""
        address = f"{self.lab}api/kernels/{kernel}/channels".replace("http", "ws", 1)
        channel = create_connection(
            address, header=[f"Authorization: {self.session.headers['Authorization']}"], timeout=60
        )
        number = uuid4().hex
        header = {
            "msg_id": number, "msg_type": "execute_request", "username": "", "session": number,
            "version": "5.3",
        }  # fmt: skip
        content = {"code": code, "silent": False, "store_history": False}
        message = {
            "header": header, "parent_header": {}, "metadata": {}, "content": content,
            "channel": "shell",
        }  # fmt: skip
        channel.send(json.dumps(message))
        printed, is_idle, is_answered = "", False, False
        while not (is_idle and is_answered):  # two channels, in any order
            heard = json.loads(channel.recv())
            if heard["parent_header"].get("msg_id") != number:
                continue
            match heard["msg_type"], heard["content"]:
                case "stream", content:
                    printed += content["text"]
                case "status", content:
                    is_idle = content["execution_state"] == "idle"
                case "execute_reply", content:
                    assert content["status"] == "ok", content
                    is_answered = True
        channel.close()
        return printed

    def execute(self, operation, **inputs):
        """Have the WPS accept a job and return its id."""
        values = ";".join(f"{name}={value}" for name, value in inputs.items())
        asked = {
            "service": "WPS", "version": "1.0.0", "request": "Execute", "identifier": operation,
            "DataInputs": values, "storeExecuteResponse": "true", "status": "true",
        }  # fmt: skip

        def answered():
            answer = self.session.get(self.wps, params=asked, timeout=2 * MINUTES)
            # a new pod of hub or WPS is let in by the network after a moment
            return answer if answer.status_code != requests.codes.unavailable else None

        answer = until(answered, MINUTES)
        assert answer.ok, answer.text
        (job,) = self.session.get(
            urljoin(self.wps, "jobs"), params={"limit": 1}, timeout=MINUTES
        ).json()["jobs"]
        return job["id"]

    def job(self, number):
        answer = self.session.get(urljoin(self.wps, f"jobs/{number}"), timeout=MINUTES)
        answer.raise_for_status()
        return answer.json()

    def end_of(self, number, seconds=5 * MINUTES):
        return until(lambda: (job := self.job(number))["finished"] and job, seconds)


@pytest.fixture(scope="module")
def desk(release):
    """Sign in and start the server of the profile for processors."""
    session = release.session(USER)
    *_, last = release.start(session, USER, "cpu")
    assert last.get("ready"), (last, release.state())
    return Desk(release, session)


@pytest.fixture(scope="module")
def kernel(desk):
    number = desk.start_kernel()
    desk.compute(number, "kept = 6 * 7")
    return number


@pytest.fixture(scope="module")
def drawn(desk, tmp_path_factory):
    """A small scene and its labels, in the user's folder."""
    folder = tmp_path_factory.mktemp("drawn")
    image, classes = scenes.quarters()
    scenes.write_raster(folder / "scene.tif", image)
    scenes.write_raster(folder / "labels.tif", classes[None])
    for name in ("scene.tif", "labels.tif"):
        desk.upload(folder / name, name)
    return {"scene": "home/scene.tif", "labels": "home/labels.tif"}


def pod_of(kubectl, user_slug):
    (pod,) = [
        p
        for p in kubectl.get("pods", "--selector", "component=singleuser-server")["items"]
        if user_slug in p["metadata"]["name"]
    ]
    return pod


def test_a_user_s_server_runs_without_rights(desk, kubectl):
    pod = pod_of(kubectl, "bob-smith")
    (container,) = pod["spec"]["containers"]
    assert not pod["spec"]["automountServiceAccountToken"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    mounted = {m["subPath"] for m in container["volumeMounts"] if m.get("subPath")}
    assert "shared" in mounted
    assert any(path.startswith("users/bob-smith") for path in mounted)


def test_a_kernel_computes_there(desk, kernel):
    assert desk.compute(kernel, "import os; print(kept, os.getuid(), os.getgid())") == (
        "42 1000 100\n"
    )


REACH = """
import socket
def reaches(host, port):
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError:
        return False
    return True
print(*(reaches(host, port) for host, port in {places}))
"""


def test_a_kernel_reaches_the_hub_and_the_proxy_and_nothing_else_inside(desk, kernel, kubectl):
    (wps,) = kubectl.get("pods", "--selector", "app.kubernetes.io/component=wps")["items"]
    inside = [("kubernetes.default", 443), (wps["status"]["podIP"], 8000)]
    places = [("hub", 8081), ("proxy-public", 80), *inside]
    hub, proxy, *others = desk.compute(kernel, REACH.format(places=places)).split()
    assert (hub, proxy) == ("True", "True")
    if others == ["True", "True"]:
        pytest.skip("the network of this cluster does not enforce policies")
    assert others == ["False", "False"]


def test_a_missing_gpu_is_named(release, kubectl):
    session = release.session("carol")
    for event in release.start(session, "carol", "cuda"):
        if "nvidia.com/gpu" in event.get("message", ""):
            break
    else:
        pytest.fail(f"no word of a GPU: {release.state()}")
    pod = pod_of(kubectl, "carol")
    assert pod["status"]["phase"] == "Pending"
    server = f"{release.url}/hub/api/users/carol/server"
    session.delete(server, timeout=2 * MINUTES)


def test_what_an_administrator_shares_is_read_by_all(release, desk):
    demo = release.folder / ".geoportal" / "storage" / "shared" / "demo"
    demo.mkdir(parents=True, mode=0o700)
    (demo / "README.txt").write_text("two scenes")
    (demo / "README.txt").chmod(0o600)
    *_, fill = blocks("A trial on one node")
    release.run(fill)
    release.run(fill)  # over what is there
    assert desk.text("shared/demo/README.txt") == "two scenes"


def jobs_of(kubectl, number):
    return kubectl.get("jobs", "--selector", f"geoportal/job={number}")["items"]


def test_a_job_computes_as_a_job_of_the_cluster(desk, kubectl, drawn):
    number = desk.execute("extract-samples", **drawn)
    (found,) = until(lambda: jobs_of(kubectl, number) or desk.job(number)["error"], MINUTES)
    (container,) = found["spec"]["template"]["spec"]["containers"]
    mounted = [m.get("subPath") for m in container["volumeMounts"] if m["name"] == "storage"]
    assert sorted(path.split("---")[0] for path in mounted) == ["shared", "users/bob-smith"]
    ended = desk.end_of(number)
    assert ended["state"] == "successful", (ended, kubectl("get", "jobs,pods"))
    assert ended["outputs"]["total"]
    assert desk.has(f"jobs/{number}/counts.csv")


@pytest.fixture(scope="module")
def much(desk, tmp_path_factory):
    """So many samples that balancing them takes a while."""
    folder = tmp_path_factory.mktemp("much")
    rng = np.random.default_rng(1)
    for name in ("forest", "water"):
        np.save(folder / f"{name}.npy", rng.integers(0, 5_000, (40_000, 8, 1, 1), np.uint16))
        desk.make_folder(f"much/{name}")
        desk.upload(folder / f"{name}.npy", f"much/{name}/all.npy")
    return {"samples": "home/much", "clusters": 200}


def running(desk, kubectl, number):
    """Wait until a job's program runs; return the name of its pod."""

    def name():
        pods = kubectl.get("pods", "--selector", f"geoportal/job={number}")["items"]
        job = desk.job(number)
        assert job["state"] in ("accepted", "running"), job
        return [p["metadata"]["name"] for p in pods if p["status"]["phase"] == "Running"]

    (found,) = until(name, 2 * MINUTES)
    return found


def answer(desk, place):
    """Wait until the service is back, and return its answer."""

    def said():
        try:
            answered = desk.session.get(urljoin(desk.wps, place), timeout=MINUTES)
        except requests.ConnectionError:  # a port-forward may end with what was asked through it
            desk.reopen()
            return None
        return answered.ok and answered

    return until(said, 5 * MINUTES).json()


def test_a_job_survives_the_service(desk, kubectl, much):
    number = desk.execute("balance-samples", **much)
    pod = running(desk, kubectl, number)
    kubectl(
        "delete", "pod", "--selector", "app.kubernetes.io/component=wps", "--force",
        "--grace-period=0", "--wait=false",
    )  # fmt: skip
    kubectl("rollout", "status", "deployment/geoportal-wps", f"--timeout={5 * 60}s")
    assert answer(desk, f"jobs/{number}")["state"] == "running"
    ended = desk.end_of(number)
    assert ended["state"] == "successful", ended
    log = desk.text(f"jobs/{number}/job.log")
    assert log.count("balance-samples") == 1, log  # one attempt
    assert pod.startswith(f"wps-{number}-1-")


def test_a_job_is_dismissed_with_its_pod(desk, kubectl, much):
    number = desk.execute("balance-samples", **much, seed=2)
    pod = running(desk, kubectl, number)
    desk.session.delete(urljoin(desk.wps, f"jobs/{number}"), timeout=MINUTES).raise_for_status()
    assert desk.job(number)["state"] == "dismissed"
    kubectl("wait", "--for=delete", f"pod/{pod}", "--timeout=60s")
    assert jobs_of(kubectl, number) == []


def test_the_service_may_create_the_jobs_that_it_makes_and_no_others(kubectl):
    def ask(*jobs):
        return kubectl(
            "create", "--dry-run=server", "--filename", "-",
            "--as", f"system:serviceaccount:{NAMESPACE}:geoportal-wps",
            input=yaml.safe_dump_all(jobs), check=False,
        )  # fmt: skip

    def job(number, change=lambda job: None):
        job = made(Needs(cores=1, memory_mib=512))
        job["metadata"] |= {"name": f"job-{number}", "namespace": NAMESPACE}
        change(job)
        return job

    honest = ask(job(0))
    assert "created (server dry run)" in honest.stdout, honest.stderr
    hostile = ask(*(job(number, change) for number, change in enumerate(HOSTILE.values())))
    assert hostile.stdout == ""
    assert hostile.stderr.count("denied request") + hostile.stderr.count("is invalid") >= len(
        HOSTILE
    ), hostile.stderr


def test_a_user_s_server_outlives_the_hub(release, desk, kernel, kubectl):
    before = pod_of(kubectl, "bob-smith")["metadata"]["uid"]
    kubectl(
        "delete", "pod", "--selector", "component=hub", "--force", "--grace-period=0",
        "--wait=false",
    )  # fmt: skip
    assert desk.compute(kernel, "print(kept)") == "42\n"
    kubectl("rollout", "status", "deployment/hub", f"--timeout={5 * 60}s")
    assert pod_of(kubectl, "bob-smith")["metadata"]["uid"] == before
    assert desk.compute(kernel, "print(kept)") == "42\n"


def test_a_lost_proxy_leads_to_users_servers_again_within_seconds(release, desk, kernel, kubectl):
    kubectl(
        "delete", "pod", "--selector", "component=proxy", "--force", "--grace-period=0",
        "--wait=false",
    )  # fmt: skip
    kubectl("rollout", "status", "deployment/proxy", f"--timeout={5 * 60}s")
    release.open()
    status = f"{desk.lab}api/status"
    until(lambda: desk.session.get(status, timeout=MINUTES, allow_redirects=False).ok, 30.0)
    assert desk.compute(kernel, "print(kept)") == "42\n"


def test_what_the_service_may_read_holds_no_token_of_a_user(desk, kubectl):
    account = f"system:serviceaccount:{NAMESPACE}:geoportal-wps"
    pods = kubectl("get", "pods", "--output", "json", "--as", account)
    token = desk.compute(
        desk.start_kernel(), "import os; print(os.environ['JUPYTERHUB_API_TOKEN'])"
    )
    assert token.strip()
    assert token.strip() not in pods
    refused = kubectl("get", "secrets", "--as", account, check=False)
    assert "forbidden" in refused.stderr


def test_upgrade_and_rollback_keep_servers_and_files(release, desk, kernel, kubectl, drawn):
    before = pod_of(kubectl, "bob-smith")["metadata"]["uid"]
    upgrade, rollback = blocks("Upgrade")
    changed = "--set jupyterhub.custom.geoportal.wps.jobs_kept_days=7 --wait"
    release.run(upgrade.replace("--wait", changed))
    assert desk.compute(kernel, "print(kept)") == "42\n"
    release.run(rollback)
    assert desk.compute(kernel, "print(kept)") == "42\n"
    assert pod_of(kubectl, "bob-smith")["metadata"]["uid"] == before
    assert desk.has("scene.tif")


def test_the_ledger_is_copied_in_use_and_put_back(release, desk, kubectl, drawn):
    kept = desk.execute("extract-samples", **drawn)
    desk.end_of(kept)
    save, restore, _hub = blocks("Back up and restore")[-3:]
    release.run(save)
    release.run(save)  # over an earlier one
    assert (release.folder / "keys.tar").stat().st_mode & 0o077 == 0
    with sqlite3.connect(release.folder / "jupyterhub.sqlite") as hub:
        assert (USER,) in hub.execute("SELECT name FROM users").fetchall()
    later = desk.execute("extract-samples", **drawn)
    desk.end_of(later)
    release.run(restore)
    kubectl("rollout", "status", "deployment/geoportal-wps", f"--timeout={5 * 60}s")
    numbers = {job["id"] for job in answer(desk, "jobs")["jobs"]}
    assert kept in numbers
    assert later not in numbers


def test_the_hub_s_database_is_put_back(release, desk, kernel, kubectl):
    *_, save, _wps, restore = blocks("Back up and restore")
    release.run(save)
    release.session("dora")  # after it
    release.run(restore)
    kubectl("rollout", "status", "deployment/hub", f"--timeout={5 * 60}s")
    release.open()
    assert desk.compute(kernel, "print(kept)") == "42\n"
    known = desk.session.get(f"{release.url}/hub/api/user", timeout=MINUTES)
    assert known.json()["name"] == USER
    users = kubectl(
        "exec", "deploy/hub", "--", "python", "-c",
        "import sqlite3; print(sqlite3.connect('/srv/jupyterhub/jupyterhub.sqlite')"
        ".execute('SELECT name FROM users').fetchall())",
    )  # fmt: skip
    assert USER in users
    assert "dora" not in users


def test_the_volumes_outlive_the_release(release, kubectl, drawn):
    subprocess.run(["helm", "uninstall", "geoportal", "--namespace", NAMESPACE], check=True)
    claims = {c["metadata"]["name"] for c in kubectl.get("pvc")["items"]}
    assert {"geoportal-storage", "geoportal-wps-state"} <= claims
