"""Where servers run: traits of the local kind, pods of the cluster kind."""

import asyncio
import os
import subprocess
import sys
from types import SimpleNamespace

import kubernetes_validate
import pytest
from jupyterhub.spawner import LocalProcessSpawner
from kubernetes_asyncio.client import ApiClient
from kubernetes_asyncio.config import kube_config
from kubespawner import clients
from kubespawner.slugs import safe_slug
from traitlets.config import Config

from hub.kubernetes.spawner import PodSpawner
from hub.local.embedded import EmbeddedSpawner, prepare_home
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
        (tmp_path / "state").mkdir(exist_ok=True)
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
    """Return the pod that a profile yields, as the API gets it."""
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
    clients.load_config.cache_clear()

    async def manifest(c, slug, groups, choices):
        spawner = PodSpawner(config=c, _mock=True)
        spawner.user.groups = [SimpleNamespace(name=name) for name in groups]
        spawner.user_options = {"profile": slug} | choices
        await spawner.load_user_options()
        async with ApiClient() as client:
            return client.sanitize_for_serialization(await spawner.get_pod_manifest())

    def show(slug, groups=(), settings=CLUSTER, **choices):
        return asyncio.run(manifest(configured(settings), slug, groups, choices))

    yield show
    clients.load_config.cache_clear()


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


def test_local_server_finds_a_folder_of_each_of_its_users_groups(tmp_path, monkeypatch):
    async def started(spawner):
        return (tmp_path / "storage" / "team" / "forest").is_dir()

    monkeypatch.setattr(LocalProcessSpawner, "start", started)
    spawner = EmbeddedSpawner(storage=str(tmp_path / "storage"), scratch=str(tmp_path / "scratch"))
    groups = [SimpleNamespace(name=name) for name in ("forest", "..", "a/b", "x" * 256)]
    spawner.user = SimpleNamespace(name="eve", groups=groups, admin=False)
    assert asyncio.run(spawner.start())
    assert [path.name for path in (tmp_path / "storage" / "team").iterdir()] == ["forest"]
    assert (spawner.home / "team" / "forest").is_dir()


def test_folder_of_the_user_is_never_replaced_by_a_link(tmp_path):
    home = tmp_path / "users" / "eve"
    (home / "team").mkdir(parents=True)
    prepare_home(home)
    prepare_home(home)
    assert not (home / "team").is_symlink()
    assert (home / "shared").is_symlink()


def mounts(pod):
    (container,) = pod["spec"]["containers"]
    return {mount["mountPath"]: mount for mount in container["volumeMounts"]}


def test_cpu_pod_gets_what_the_profile_says(pod):
    (container,) = pod("cpu")["spec"]["containers"]
    assert container["image"] == "geo:1"
    assert container["resources"]["limits"] == {"cpu": 2.0, "memory": 8 * 2**30}
    assert container["resources"]["requests"] == container["resources"]["limits"]


def test_cuda_pod_asks_for_a_gpu(pod):
    (container,) = pod("cuda")["spec"]["containers"]
    assert container["image"] == "geo-cuda:1"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_pod_gets_what_the_user_chose_and_else_the_first(pod):
    settings = CLUSTER | {"profiles": [CPU | {"memory": ["8G", "32G"], "gpus": [0, 1]}]}
    (first,) = pod("cpu", settings=settings)["spec"]["containers"]
    assert first["resources"]["limits"] == {"cpu": 2.0, "memory": 8 * 2**30}
    (chosen,) = pod("cpu", settings=settings, memory="32G", gpus="1")["spec"]["containers"]
    limits = {"cpu": 2.0, "memory": 32 * 2**30, "nvidia.com/gpu": "1"}
    assert chosen["resources"]["limits"] == limits


def test_without_profiles_there_is_no_page_of_choices(configured):
    c = configured({**CLUSTER, "profiles": []})
    assert c.KubeSpawner.profile_list == []


def test_hub_waits_longer_than_the_spawner_which_gives_up_in_words(configured):
    c = configured(CLUSTER | {"spawner": CLUSTER["spawner"] | {"start_seconds": 100}})
    assert c.PodSpawner.patience == 100
    assert c.KubeSpawner.start_timeout > 100


def test_hub_gives_a_new_proxy_its_routes_within_seconds(configured):
    c = configured(CLUSTER)
    assert c.JupyterHub.last_activity_interval == 10  # z2jh sets 60 before


def test_pod_has_no_deadline_by_which_the_quota_of_jobs_would_count_it(pod):
    assert "activeDeadlineSeconds" not in pod("cpu")["spec"]


def test_pod_runs_where_the_profile_says(pod):
    term = {"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}
    place = {
        "node_selector": {"pool": "gpu"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {"required": [term], "preferred": [{"weight": 1, "preference": term}]},
    }
    placed = pod("cuda", settings=CLUSTER | {"profiles": [CPU, CUDA | place]})
    kubernetes_validate.validate(placed, "1.34", strict=True)
    assert placed["spec"]["nodeSelector"] == {"pool": "gpu"}
    assert {"key": "gpu", "operator": "Exists"} in placed["spec"]["tolerations"]
    affinity = placed["spec"]["affinity"]["nodeAffinity"]
    required = affinity["requiredDuringSchedulingIgnoredDuringExecution"]
    assert required["nodeSelectorTerms"][0]["matchExpressions"] == term["matchExpressions"]


@pytest.mark.parametrize("release", ["1.32", "1.34", "1.36"])
@pytest.mark.parametrize("slug", ["cpu", "cuda"])
def test_pod_is_what_kubernetes_takes(pod, slug, release):
    kubernetes_validate.validate(pod(slug, ["lab"]), release, strict=True)


@pytest.mark.parametrize("slug", ["cpu", "cuda"])
def test_pod_has_no_rights(pod, slug):
    spec = pod(slug)["spec"]
    (container,) = spec["containers"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["fsGroup"] == 100
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "runAsUser": 1000,
        "runAsGroup": 100,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))


def test_what_users_write_is_closed_to_others(pod):
    (container,) = pod("cpu")["spec"]["containers"]
    assert container["args"][:2] == ["sh", "-c"]
    said = subprocess.run(
        [*container["args"][:3], "sh", "-c", "umask"], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "0007"


def test_pod_mounts_its_users_folder_and_what_is_shared_read_only(pod):
    shown = pod("cpu")
    assert list(mounts(shown))[:2] == ["/home/jovyan", "/home/jovyan/shared"]
    assert mounts(shown)["/home/jovyan"]["subPath"] == f"users/{safe_slug('mock@name')}"
    assert mounts(shown)["/home/jovyan/shared"]["subPath"] == "shared"
    assert mounts(shown)["/home/jovyan/shared"]["readOnly"] is True
    storage, *_ = shown["spec"]["volumes"]
    assert storage["persistentVolumeClaim"] == {"claimName": "geo-storage"}


def test_another_image_finds_the_same_files(pod):
    assert mounts(pod("cpu", ["lab"])) == mounts(pod("cuda", ["lab"]))


def test_server_begins_at_home_and_knows_where_the_wps_is(pod):
    """An image that somebody brings says neither."""
    (container,) = pod("cpu")["spec"]["containers"]
    variables = {each["name"]: each.get("value") for each in container["env"]}
    assert container["workingDir"] == variables["HOME"] == "/home/jovyan"
    assert variables["GEOPORTAL_WPS_URL"] == "http://proxy-public/services/wps/"


def test_teams_are_mounted_to_be_written_in(pod):
    shown = mounts(pod("cpu", ["lab", "ice & {snow}"]))
    for name in ("lab", "ice & {snow}"):
        mount = shown[f"/home/jovyan/team/{name}"]
        assert mount["subPath"] == f"team/{name}"
        assert not mount.get("readOnly")


@pytest.mark.parametrize("groups", [[], ["lab"]])
def test_nothing_below_home_that_is_mounted_lies_in_a_folder_that_can_be_renamed(pod, groups):
    """With another thing in its place, such as a file, no container would start again."""
    shown = list(mounts(pod("cuda", groups)))
    in_home = [path for path in shown if path.startswith("/home/jovyan/")]
    assert "/home/jovyan/team" in in_home
    for path in in_home:
        parent = path.rpartition("/")[0]
        assert parent in shown[: shown.index(path)]


HOSTILE = ["", ".", "..", "../users", "a/b", "a\0b", "x" * 256, "ж" * 128, "a:b", "a\nb"]


def test_group_that_can_be_no_folder_is_left_out_with_a_word(pod, caplog):
    with caplog.at_level("WARNING"):
        shown = mounts(pod("cpu", [*HOSTILE, "lab"]))
    assert [path for path in shown if path.startswith("/home/")] == [
        "/home/jovyan", "/home/jovyan/shared", "/home/jovyan/team", "/home/jovyan/team/lab",
    ]  # fmt: skip
    for name in HOSTILE:
        assert f"The group {name!r} of mock@name can be no folder" in caplog.text


def test_pod_keeps_what_it_needs_to_start_off_the_home_directory(pod):
    shown = pod("cpu")
    (container,) = shown["spec"]["containers"]
    variables = {each["name"]: each.get("value") for each in container["env"]}
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR"):
        assert variables[name].startswith(f"{mounted['runtime']}/")
    assert variables["XDG_CACHE_HOME"].startswith(f"{mounted['temporary']}/")
    assert mounted["temporary"] == "/tmp"
    # in memory too much is an error of the program; on the node's disk it ends the pod
    assert {v["name"]: v["emptyDir"] for v in shown["spec"]["volumes"] if "emptyDir" in v} == {
        "teams": {"medium": "Memory", "sizeLimit": "4Ki"},
        "runtime": {"medium": "Memory", "sizeLimit": "64Mi"},
        "temporary": {"sizeLimit": "20Gi"},
    }


@pytest.mark.parametrize("settings", [LOCAL, CLUSTER])
def test_deleting_deletes_wherever_a_server_runs(configured, settings):
    c = configured(settings)
    arguments = [*c.EmbeddedSpawner.get("args", []), *c.KubeSpawner.get("args", [])]
    assert "--FileContentsManager.delete_to_trash=False" in arguments
    assert "--FileContentsManager.always_delete_dir=True" in arguments  # else no folder is


@pytest.mark.parametrize("settings", [LOCAL, CLUSTER])
def test_servers_and_wps_know_the_quota_in_bytes(configured, settings):
    spawner = settings["spawner"] | {"home_quota": "50G"}
    c = configured(settings | {"spawner": spawner})
    environment = (c.EmbeddedSpawner.get("environment") or c.KubeSpawner.environment).copy()
    assert environment["GEOPORTAL_HOME_QUOTA"] == str(50 * 2**30)
    (wps,) = c.JupyterHub.services
    assert wps["environment"]["GEOPORTAL_HOME_QUOTA"] == str(50 * 2**30)


@pytest.mark.parametrize("quota", ["50", "0G", "50GB", "-1G", 50])
def test_quota_without_a_unit_is_refused(quota):
    with pytest.raises(ValueError, match="home_quota"):
        Settings.model_validate(LOCAL | {"spawner": {"kind": "local", "home_quota": quota}})


def test_local_server_keeps_the_same_off_its_home(tmp_path):
    spawner = EmbeddedSpawner(storage=str(tmp_path / "storage"), scratch=str(tmp_path / "scratch"))
    spawner.user = type("Named", (), {"name": "bob.smith"})()
    variables = spawner.user_env({})
    own = f"{tmp_path}/scratch/bob-smith---365b77fb/"
    for name in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "XDG_CACHE_HOME"):
        assert variables[name].startswith(own)
    assert variables["HOME"].startswith(f"{tmp_path}/storage/users/")


def test_culler_reaches_servers_through_the_proxy(configured):
    c = configured(CLUSTER | {"culler": {"idle_hours": 1.5, "look_minutes": 5}})
    _, culler = c.JupyterHub.services
    assert culler["name"] == "culler"
    assert culler["environment"] == {
        "GEOPORTAL_IDLE_SECONDS": "5400",
        "GEOPORTAL_LOOK_SECONDS": "300",
        "GEOPORTAL_PROXY_URL": "http://proxy-public",
    }
    services = {role["name"]: role.get("services") for role in c.JupyterHub.load_roles}
    assert services["culler"] == ["culler"]


@pytest.mark.parametrize(("slug", "said"), [("cpu", "void"), ("cuda", None)])
def test_image_cannot_ask_for_gpus_that_it_was_not_given(pod, slug, said):
    spec = pod(slug)["spec"]
    for container in [*spec.get("initContainers", ()), *spec["containers"]]:
        variables = {each["name"]: each.get("value") for each in container["env"]}
        assert variables.get("NVIDIA_VISIBLE_DEVICES") == said
