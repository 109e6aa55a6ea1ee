"""The spawner alone, against a pretended cluster: patience, and an API that comes and goes."""

import asyncio
from types import SimpleNamespace

import pytest
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import kube_config
from kubespawner import clients
from traitlets.config import Config

from hub.kubernetes.diagnosis import Finding
from hub.kubernetes.profiles import NotOffered, Profile
from hub.kubernetes.spawner import NotStarted, PodSpawner
from hub.spawners import Kubernetes
from tests.hub.kubernetes.hub_in_cluster import LIGHT
from tests.stand_ins.kubernetes import NAMESPACE, Image, Node, PretendedCluster

CPU = {"slug": "cpu", "title": "CPU", "image": "light:1", "cores": 1, "memory": "1G"}
PROFILES = (
    Profile(**CPU),
    Profile(**CPU | {"slug": "gpu", "gpus": 1}),
    Profile(**CPU | {"slug": "gpus", "gpus": 4}),
    Profile(**CPU | {"slug": "huge", "memory": "500G"}),
)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    with PretendedCluster(tmp_path / "cluster") as cluster:
        cluster.create_claim("geo")
        cluster.registry["light:1"] = LIGHT
        where = str(cluster.kubeconfig)
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", where)
        monkeypatch.setattr(Configuration, "_default", None)
        clients.load_config.cache_clear()
        yield cluster
        clients.load_config.cache_clear()


def spawn(scenario, profile="cpu", patience=60, profiles=PROFILES):
    """Run a scenario with a spawner of its own; return what it returns."""
    c = Config()
    kind = Kubernetes(kind="kubernetes", claim="geo", start_seconds=patience)
    kind.configure(c, profiles)
    c.KubeSpawner.namespace = NAMESPACE

    async def run():
        spawner = PodSpawner(config=c, _mock=True)
        spawner.user.groups, spawner.user.admin = [], False
        spawner.hub = SimpleNamespace(
            public_host="",
            base_url="/hub/",
            url="http://127.0.0.1:9/",
            api_url="http://127.0.0.1:9/",
        )
        spawner.user.url = "/user/eve/"
        spawner.user_options = {"profile": profile}
        try:
            return await scenario(spawner)
        finally:
            await PodSpawner._stop_all_reflectors()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    PodSpawner._nodes_seen = float("-inf")
    return asyncio.run(run())


def test_patience_ends_with_the_last_known_reason(cluster):
    cluster.forbidden.clear()

    async def scenario(spawner):
        with pytest.raises(NotStarted) as refusal:
            await spawner.start()
        return refusal.value.jupyterhub_message

    told = spawn(scenario, "gpu", patience=8)
    assert "No GPU is free" in told
    assert "the cluster has none at present" in told
    assert "A profile without a GPU need not wait" in told
    assert "It was given up after" in told


async def told_of(spawner, words):
    """Start a server; return the first sentence on the page of the start that has the words."""
    starting = asyncio.ensure_future(spawner.start())
    try:
        async for event in spawner.progress():
            if words in event["message"]:
                return event["message"]
            assert not starting.done(), starting
    finally:
        starting.cancel()


def test_gpus_are_counted_on_the_nodes_that_take_pods(cluster):
    cluster.forbidden.clear()
    cluster.nodes[0].gpus = 2
    cluster.nodes += [Node("node-2", gpus=1), Node("node-3", gpus=8, cordoned=True)]
    told = spawn(lambda spawner: told_of(spawner, "GPU"), "gpus")
    assert "asks for 4 (nvidia.com/gpu), the cluster has 3 and no node has more than 2. " in told
    assert "by itself" not in told


def test_more_than_any_node_has_is_told(cluster):
    cluster.forbidden.clear()
    told = spawn(lambda spawner: told_of(spawner, "No node fits"), "huge")
    assert "500 GiB asked. Not even idle a node has more than 256 GiB memory. " in told
    assert "may start" not in told


@pytest.mark.parametrize("name", ["docker.io/geoportal/sized:1", "geoportal/sized:1"])
def test_size_is_known_from_a_node_that_has_the_image(cluster, name):
    cluster.forbidden.clear()
    cluster.nodes[0].cordoned = True
    cluster.nodes[0].pulled[name] = 5_000_000_000
    cluster.nodes.append(Node("node-2"))
    cluster.registry["geoportal/sized:1"] = Image(pulling=True)
    profiles = (Profile(**CPU | {"image": "geoportal/sized:1"}),)
    told = spawn(lambda spawner: told_of(spawner, "fetched"), profiles=profiles)
    assert told.startswith("The image geoportal/sized:1 (5 GB) is being fetched to node-2.")


def test_server_that_never_listens_is_given_up_in_true_words(cluster):
    cluster.registry["light:1"] = Image(programs={"jupyterhub-singleuser": "#!/bin/sh\nsleep 60"})

    async def scenario(spawner):
        with pytest.raises(NotStarted) as refusal:
            await spawner.start()
        return refusal.value.jupyterhub_message

    told = spawn(scenario, patience=8)
    assert "has started and does not answer. It was given up after" in told
    assert "Start again" in told


def test_what_became_of_an_earlier_pod_is_not_the_end_of_the_next_start(cluster):
    async def scenario(spawner):
        await spawner.start()
        cluster.evict(spawner.pod_name, "memory was short")
        cluster.wait_for("pods", lambda pod: pod["status"].get("phase") == "Failed")
        asked, look, seen = spawner._make_create_pod_request, spawner._look, []

        async def looked():
            seen.append(await look())
            return seen[-1]

        async def slowly(*request):
            while len(seen) < 2:  # as when the API takes its time
                await asyncio.sleep(0.05)
            return await asked(*request)

        spawner._look = looked

        spawner._make_create_pod_request = slowly
        await spawner.start()
        return cluster.pod(spawner.pod_name)["status"]["phase"]

    assert spawn(scenario) == "Running"


@pytest.mark.parametrize("deed", ["get_options_form", "start"])
def test_who_is_offered_nothing_gets_nothing(cluster, deed):
    async def scenario(spawner):
        with pytest.raises(NotOffered, match="No server is offered to you") as refusal:
            await getattr(spawner, deed)()
        return refusal.value.status_code

    restricted = (Profile(**CPU | {"groups": ["lab"]}),)
    assert spawn(scenario, profiles=restricted) == 403
    assert cluster.find("pods") == []


def test_reason_of_others_is_shown_as_it_is():
    failed = NotStarted(Finding("crash", "The disk is 100% full: %s."))
    assert failed.jupyterhub_message == "The disk is 100% full: %s."
    assert str(failed).endswith("(The disk is 100% full: %s.)")


def test_watch_that_has_given_up_is_begun_anew(cluster):
    async def scenario(spawner):
        await spawner.start()
        broken = spawner.pod_reflector
        broken.watch_task.cancel()
        await asyncio.wait([broken.watch_task])
        assert await spawner.poll() is None
        assert spawner.pod_reflector is not broken
        await spawner.stop()
        return await spawner.poll()

    assert spawn(scenario) == 1


def test_server_is_not_given_up_while_the_api_is_away(cluster):
    async def scenario(spawner):
        await spawner.start()
        await PodSpawner._stop_all_reflectors()  # as after a restart of the hub
        cluster.unavailable = True
        looking = asyncio.ensure_future(spawner.poll())
        while "does not answer (503" not in (await spawner._look()).sentence:
            assert not looking.done()
            await asyncio.sleep(0.05)
        cluster.unavailable = False
        return await looking

    assert spawn(scenario) is None


def test_pod_that_another_hub_left_makes_room(cluster):
    async def scenario(spawner):
        await spawner.start()
        left = cluster.pod(spawner.pod_name)["metadata"]["uid"]
        await spawner.start()
        return left, cluster.pod(spawner.pod_name)["metadata"]["uid"]

    left, now = spawn(scenario)
    assert left != now
