"""The spawner alone, against a pretended cluster: patience, and an API that comes and goes."""

import asyncio
from types import SimpleNamespace

import pytest
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import kube_config
from kubespawner import clients
from traitlets.config import Config

from hub.diagnosis import Finding
from hub.pods import NotStarted, PodSpawner
from hub.profiles import NotOffered, Profile
from hub.spawners import Kubernetes
from tests.hub.hub_in_cluster import LIGHT
from tests.pretended_cluster import NAMESPACE, Image, PretendedCluster

CPU = {"slug": "cpu", "title": "CPU", "image": "light:1", "cores": 1, "memory": "1G"}
PROFILES = (Profile(**CPU), Profile(**CPU | {"slug": "gpu", "gpus": 1}))


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

    told = spawn(scenario, "gpu", patience=15)
    assert "No GPU is free" in told
    assert "the cluster has none" in told
    assert "asks for fewer or none" in told
    assert "It was given up after" in told


def test_server_that_never_listens_is_given_up_in_true_words(cluster):
    cluster.registry["light:1"] = Image(programs={"jupyterhub-singleuser": "#!/bin/sh\nsleep 60"})

    async def scenario(spawner):
        with pytest.raises(NotStarted) as refusal:
            await spawner.start()
        return refusal.value.jupyterhub_message

    told = spawn(scenario, patience=20)
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
