"""Where servers run: traits of the local kind, pods of the cluster kind."""

import asyncio
import os
import sys

import pytest
from kubernetes_asyncio.config import kube_config
from kubespawner.slugs import safe_slug
from traitlets.config import Config

from hub.embedded import EmbeddedSpawner, prepare_home
from hub.pods import PodSpawner
from hub.settings import Settings

CPU = {"slug": "cpu", "title": "CPU", "image": "geo:1", "cores": 2, "memory": "8G"}
CUDA = CPU | {"slug": "cuda", "title": "GPU", "image": "geo-cuda:1", "gpus": 1}
CLUSTER = {
    "authenticator": {"kind": "shared-password"},
    "spawner": {"kind": "kubernetes", "claim": "geo-storage"},
    "profiles": [CPU, CUDA],
}
LOCAL = {"authenticator": {"kind": "shared-password"}, "spawner": {"kind": "local"}}


@pytest.fixture
def configured(monkeypatch, tmp_path):
    """Configure a bare Config for a geoportal in a folder of its own."""

    def configure(settings):
        monkeypatch.setenv("GEOPORTAL_STATE", str(tmp_path / "state"))
        monkeypatch.setenv("GEOPORTAL_PORT", "8123")
        (tmp_path / "state").mkdir()
        c = Config()
        Settings.model_validate(settings).configure(c)
        return c

    return configure


# KubeSpawner asks for a cluster's address before it shows a pod; none is called
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
clusters: [{name: nowhere, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: nobody, user: {}}]
"""


@pytest.fixture
def pod(configured, monkeypatch, tmp_path):
    """Return the container and pod that a profile yields."""
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))

    async def manifest(c, slug):
        spawner = PodSpawner(config=c, _mock=True)
        spawner.user_options = {"profile": slug}
        await spawner.load_user_options()
        return await spawner.get_pod_manifest()

    def show(slug):
        shown = asyncio.run(manifest(configured(CLUSTER), slug))
        return shown.spec.containers[0], shown.spec

    return show


def test_local_server_is_told_where_all_is(configured):
    c = configured(LOCAL)
    environment = c.EmbeddedSpawner.environment
    assert environment["GEOPORTAL_WPS_URL"] == "http://127.0.0.1:8123/services/wps/"
    assert environment["GEOPORTAL_COURSE"].endswith("notebooks")
    assert environment["GEOPORTAL_INSTANCE"] == os.environ["GEOPORTAL_STATE"]
    assert c.EmbeddedSpawner.cmd[0] == sys.executable
    assert c.Spawner.start_timeout >= 120
    assert c.Spawner.http_timeout >= 120


def test_local_hub_binds_to_loopback_with_a_proxy_from_pypi(configured):
    c = configured(LOCAL)
    assert c.JupyterHub.bind_url == "http://127.0.0.1:8123"
    assert c.JupyterHub.hub_bind_url.startswith("http://127.0.0.1:")
    assert c.TraefikProxy.traefik_api_url.startswith("http://127.0.0.1:")
    assert c.JupyterHub.proxy_class == "traefik_file"


@pytest.mark.parametrize(
    ("name", "folder"), [("eve", "eve"), ("bob.smith", "bob-smith---365b77fb")]
)
def test_home_is_the_folder_that_kubernetes_would_mount(name, folder, tmp_path):
    spawner = EmbeddedSpawner(storage=str(tmp_path))
    spawner.user = type("Named", (), {"name": name})()
    assert spawner.home == tmp_path / "users" / folder


def test_process_of_an_earlier_hub_is_forgotten():
    spawner = EmbeddedSpawner()
    spawner.load_state({"pid": os.getpid()})
    assert spawner.pid == 0


def test_home_links_to_what_is_shared_and_to_the_teams(tmp_path):
    home = tmp_path / "users" / "eve"
    prepare_home(home)
    (tmp_path / "shared" / "scene.tif").touch()
    assert (home / "shared" / "scene.tif").exists()
    assert (home / "team").resolve() == tmp_path / "team"


def test_folder_of_the_user_is_never_replaced_by_a_link(tmp_path):
    home = tmp_path / "users" / "eve"
    (home / "team").mkdir(parents=True)
    prepare_home(home)
    prepare_home(home)
    assert not (home / "team").is_symlink()
    assert (home / "shared").is_symlink()


def test_cpu_pod_gets_what_the_profile_says(pod):
    container, _ = pod("cpu")
    assert container.image == "geo:1"
    assert container.resources.limits == {"cpu": 2.0, "memory": 8 * 2**30}
    assert container.resources.requests == container.resources.limits


def test_cuda_pod_asks_for_a_gpu(pod):
    container, _ = pod("cuda")
    assert container.image == "geo-cuda:1"
    assert container.resources.limits["nvidia.com/gpu"] == "1"


def test_pod_mounts_its_users_folder_and_what_is_shared_read_only(pod):
    container, spec = pod("cpu")
    home, shared = container.volume_mounts
    assert (home.mount_path, home.sub_path) == ("/home/jovyan", f"users/{safe_slug('mock@name')}")
    assert (shared.mount_path, shared.sub_path) == ("/home/jovyan/shared", "shared")
    assert shared.read_only is True
    (storage,) = spec.volumes
    assert storage.persistent_volume_claim == {"claimName": "geo-storage"}
