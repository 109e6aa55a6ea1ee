"""The pretended cluster keeps what Kubernetes keeps, for both Python clients."""

import asyncio

import kubernetes
import pytest
import requests
from kubernetes.client import ApiException
from kubernetes_asyncio import client as asynchronous
from kubernetes_asyncio import config as asynchronous_config
from kubernetes_asyncio import watch as asynchronous_watch

from tests.stand_ins.kubernetes import NAMESPACE, Image, Node, PretendedCluster, denied, not_found


@pytest.fixture
def cluster(tmp_path):
    with PretendedCluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def api(cluster):
    with kubernetes.config.new_client_from_config(str(cluster.kubeconfig)) as client:
        yield client


@pytest.fixture
def core(api):
    return kubernetes.client.CoreV1Api(api)


@pytest.fixture
def batch(api):
    return kubernetes.client.BatchV1Api(api)


def pod(name="p", program="true", gpus=0, **more):
    limits = {"cpu": "1", "memory": "1Gi"} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    container = {
        "name": "main",
        "image": "geo:1",
        "command": ["sh", "-c", program],
        "resources": {"limits": limits},
    }
    container |= more.pop("container", {})
    spec = {"containers": [container], "restartPolicy": "Never"} | more
    return {"metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def job(name="j", program="true", **more):
    template = {"spec": pod(program=program)["spec"]}
    spec = {"template": template, "backoffLimit": 0} | more
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def phase(*phases):
    return lambda pod: pod["status"]["phase"] in phases


def waiting(reason):
    def is_waiting(pod):
        statuses = pod["status"].get("containerStatuses") or [{"state": {}}]
        return statuses[0]["state"].get("waiting", {}).get("reason") == reason

    return is_waiting


def unschedulable(text):
    def is_unschedulable(pod):
        conditions = pod["status"].get("conditions") or ()
        return any(text in condition.get("message", "") for condition in conditions)

    return is_unschedulable


def test_last_words_of_a_program_stand_in_the_status(cluster, core):
    program = "echo log; printf said > /dev/termination-log"
    core.create_namespaced_pod(NAMESPACE, pod(program=program))
    ended = cluster.wait_for("pods", phase("Succeeded"))
    assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["message"] == "said"


def test_program_of_a_pod_runs_and_is_logged(cluster, core):
    core.create_namespaced_pod(NAMESPACE, pod(program="echo hello; exit 3"))
    ended = cluster.wait_for("pods", phase("Failed"))
    state = ended["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (state["exitCode"], state["reason"]) == (3, "Error")
    assert core.read_namespaced_pod_log("p", NAMESPACE) == "hello\n"
    assert core.read_namespaced_pod("p", NAMESPACE).status.phase == "Failed"


def test_claim_is_a_folder_that_stays(cluster, core):
    folder = cluster.create_claim("geo")
    mounts = [
        {"name": "s", "mountPath": "/home/jovyan", "subPath": "users/eve"},
        {"name": "s", "mountPath": "/home/jovyan/shared", "subPath": "shared"},
    ]
    volumes = [{"name": "s", "persistentVolumeClaim": {"claimName": "geo"}}]
    program = 'echo $HOME > made; touch shared/here "$OUT/there"'
    container = {"volumeMounts": mounts, "env": [{"name": "OUT", "value": "/home/jovyan/shared"}]}
    core.create_namespaced_pod(
        NAMESPACE, pod(program=program, volumes=volumes, container=container)
    )
    cluster.wait_for("pods", phase("Succeeded"))
    assert (folder / "users" / "eve" / "made").read_text().strip().endswith("users/eve")
    assert sorted(path.name for path in (folder / "shared").iterdir()) == ["here", "there"]


def mounting_a_team(**more):
    mounts = [
        {"name": "s", "mountPath": "/home/jovyan", "subPath": "users/eve"},
        {"name": "teams", "mountPath": "/home/jovyan/team"},
        {"name": "s", "mountPath": "/home/jovyan/team/lab", "subPath": "team/lab"},
    ]
    volumes = [
        {"name": "s", "persistentVolumeClaim": {"claimName": "geo"}},
        {"name": "teams", "emptyDir": {"medium": "Memory", "sizeLimit": "4Ki"}},
    ]
    return pod(volumes=volumes, container={"volumeMounts": mounts}, **more)


def test_folder_of_a_team_is_mounted_anew_in_each_pod(cluster, core):
    folder = cluster.create_claim("geo")
    for name in ("first", "second"):
        program = f"touch team/lab/{name} team/{name}; ls team > of-{name}"
        core.create_namespaced_pod(NAMESPACE, mounting_a_team(name=name, program=program))
        cluster.wait_for(
            "pods", lambda p, n=name: p["metadata"]["name"] == n and phase("Succeeded")(p)
        )
        assert (folder / f"users/eve/of-{name}").read_text().split() == sorted((name, "lab"))
    assert sorted(path.name for path in (folder / "team/lab").iterdir()) == ["first", "second"]


def test_file_where_a_folder_is_mounted_is_told_in_the_words_of_runc(cluster, core):
    folder = cluster.create_claim("geo")
    (folder / "users/eve").mkdir(parents=True)
    (folder / "users/eve/team").touch()
    core.create_namespaced_pod(NAMESPACE, mounting_a_team())
    ended = cluster.wait_for("pods", phase("Failed"))
    state = ended["status"]["containerStatuses"][0]["state"]["terminated"]
    assert state["reason"] == "StartError"
    assert 'to rootfs at "/home/jovyan/team"' in state["message"]
    assert "not a directory" in state["message"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spec": {"containers": []}}, "containers"),
        ({"spec": {"containers": [{"name": "a", "imago": "x"}]}}, "imago"),
        ({"spec": {"containers": [{"name": "a", "image": 7}]}}, "7 is not of type"),
        ({"metadata": {"name": "Eve Smith"}}, "RFC 1123"),
        ({"metadata": {"name": "p", "labels": {"user": "eve smith"}}}, "label value"),
    ],
)
def test_what_kubernetes_forbids_is_refused(cluster, change, words):
    # by hand: the client would not send it
    answer = requests.post(
        f"{cluster.url}/api/v1/namespaces/{NAMESPACE}/pods",
        headers={"Authorization": f"Bearer {cluster.token}"},
        json=pod() | change,
        timeout=30,
    )
    assert answer.status_code == 422
    assert words in answer.json()["message"]


def test_mount_without_volume_is_refused(core):
    container = {"volumeMounts": [{"name": "s", "mountPath": "/s"}]}
    with pytest.raises(ApiException, match=r'Not found: .*"s'):
        core.create_namespaced_pod(NAMESPACE, pod(container=container))


def test_same_name_twice_is_a_conflict(core):
    core.create_namespaced_pod(NAMESPACE, pod(program="sleep 100"))
    with pytest.raises(ApiException, match="already exists") as refusal:
        core.create_namespaced_pod(NAMESPACE, pod())
    assert refusal.value.status == 409


def test_lists_are_selected_by_labels_and_fields(core):
    for name in ("a", "b"):
        core.create_namespaced_pod(NAMESPACE, pod(name))
    for selector, names in (("app=a", ["a"]), ("app!=a", ["b"]), ("app in (a, b)", ["a", "b"])):
        found = core.list_namespaced_pod(NAMESPACE, label_selector=selector).items
        assert [item.metadata.name for item in found] == names
    found = core.list_namespaced_pod(NAMESPACE, field_selector="metadata.name=b").items
    assert [item.metadata.name for item in found] == ["b"]


def test_second_gpu_is_waited_for_in_the_schedulers_words(cluster, core):
    cluster.nodes[0].gpus = 1
    core.create_namespaced_pod(NAMESPACE, pod("first", "sleep 100", gpus=1))
    cluster.wait_for("pods", phase("Running"))
    core.create_namespaced_pod(NAMESPACE, pod("second", "true", gpus=1))
    text = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    waits = cluster.wait_for("pods", unschedulable(text))
    assert waits["status"]["phase"] == "Pending"
    core.delete_namespaced_pod("first", NAMESPACE, grace_period_seconds=0)
    cluster.wait_for("pods", lambda p: p["metadata"]["name"] == "second" and phase("Succeeded")(p))


@pytest.mark.parametrize(
    ("node", "asked", "text"),
    [
        ({"cores": 0.5}, {}, "1 Insufficient cpu."),
        ({"memory": 2**20}, {}, "1 Insufficient memory."),
        ({}, {"nodeSelector": {"gpu": "a100"}}, "1 node(s) didn't match Pod's node affinity"),
        ({"cordoned": True}, {}, "1 node(s) were unschedulable."),
        (
            {"taints": [{"key": "gpu", "effect": "NoSchedule"}]},
            {},
            "untolerated taint",
        ),
    ],
)
def test_node_that_does_not_fit_is_named(cluster, core, node, asked, text):
    for name, value in node.items():
        setattr(cluster.nodes[0], name, value)
    core.create_namespaced_pod(NAMESPACE, pod(**asked))
    cluster.wait_for("pods", unschedulable(text))


def test_node_that_is_added_takes_what_waits(cluster, core):
    core.create_namespaced_pod(NAMESPACE, pod(gpus=1))
    cluster.wait_for("pods", unschedulable("1 Insufficient nvidia.com/gpu"))
    cluster.nodes.append(Node("node-2", gpus=1))
    ended = cluster.wait_for("pods", phase("Succeeded"))
    assert ended["spec"]["nodeName"] == "node-2"
    cluster.forbidden.clear()
    assert [node.metadata.name for node in core.list_node().items] == ["node-1", "node-2"]


def test_claim_without_volume_is_waited_for(cluster, core):
    cluster.create_claim("geo", bound=False)
    volumes = [{"name": "s", "persistentVolumeClaim": {"claimName": "geo"}}]
    core.create_namespaced_pod(NAMESPACE, pod(volumes=volumes))
    cluster.wait_for("pods", unschedulable("unbound immediate PersistentVolumeClaims"))
    cluster.bind("geo")
    cluster.wait_for("pods", phase("Succeeded"))


@pytest.mark.parametrize("words", [not_found("geo:1"), denied("geo:1")])
def test_image_that_is_not_given_is_backed_off_from(cluster, core, words):
    cluster.registry["geo:1"] = words
    core.create_namespaced_pod(NAMESPACE, pod())
    cluster.wait_for("pods", waiting("ErrImagePull"))
    cluster.wait_for("pods", waiting("ImagePullBackOff"))
    cluster.registry["geo:1"] = Image()
    cluster.wait_for("pods", phase("Succeeded"))
    told = [event["message"] for event in cluster.find("events")]
    assert any("Image size: 734003200 bytes" in message for message in told)


def test_container_that_crashes_is_started_again_and_then_backed_off_from(cluster, core):
    container = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    crashing = pod(program="echo no such module; exit 1", container=container)
    crashing["spec"]["restartPolicy"] = "OnFailure"
    core.create_namespaced_pod(NAMESPACE, crashing)
    crashed = cluster.wait_for("pods", waiting("CrashLoopBackOff"))
    (status,) = crashed["status"]["containerStatuses"]
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["message"] == "no such module\n"


def test_first_container_runs_before_the_second(cluster, core):
    first = pod(program="echo checked")["spec"]["containers"][0] | {"name": "check"}
    core.create_namespaced_pod(NAMESPACE, pod(program="echo ran", initContainers=[first]))
    ended = cluster.wait_for("pods", phase("Succeeded"))
    (status,) = ended["status"]["initContainerStatuses"]
    assert status["state"]["terminated"]["exitCode"] == 0
    assert core.read_namespaced_pod_log("p", NAMESPACE, container="check") == "checked\n"


def test_quota_is_told_as_kubernetes_tells_it(cluster, core):
    cluster.quota = {"requests.nvidia.com/gpu": 1}
    cluster.nodes[0].gpus = 2
    core.create_namespaced_pod(NAMESPACE, pod("first", "sleep 100", gpus=1))
    with pytest.raises(ApiException, match="exceeded quota") as refusal:
        core.create_namespaced_pod(NAMESPACE, pod("second", gpus=1))
    assert refusal.value.status == 403
    assert "used: requests.nvidia.com/gpu=1" in refusal.value.body


def test_job_beyond_the_quota_waits_and_an_event_says_why(cluster, batch):
    cluster.quota = {"pods": 0}
    batch.create_namespaced_job(NAMESPACE, job())
    told = cluster.wait_for("events", lambda event: event["reason"] == "FailedCreate")
    assert "exceeded quota" in told["message"]
    cluster.quota = {}
    cluster.wait_for("jobs", condition("Complete"))


def test_admission_has_the_last_word(cluster, core):
    cluster.admission = lambda resource, thing: f"no {resource} today"
    with pytest.raises(ApiException, match="no pods today"):
        core.create_namespaced_pod(NAMESPACE, pod())


def test_api_that_is_down_answers_503_until_it_is_back(cluster, core):
    cluster.unavailable = True
    with pytest.raises(ApiException) as refusal:
        core.list_namespaced_pod(NAMESPACE)
    assert refusal.value.status == 503
    cluster.unavailable = False
    assert core.list_namespaced_pod(NAMESPACE).items == []


def test_stranger_is_sent_away(cluster):
    where = f"{cluster.url}/api/v1/namespaces/{NAMESPACE}/pods"
    assert requests.get(where, timeout=30).status_code == 401


def test_kill_for_want_of_memory_is_named(cluster, core):
    core.create_namespaced_pod(NAMESPACE, pod(program="sleep 100"))
    cluster.wait_for("pods", phase("Running"))
    cluster.kill("p")
    ended = cluster.wait_for("pods", phase("Failed"))
    assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] == "OOMKilled"


def test_evicted_pod_says_why(cluster, core):
    core.create_namespaced_pod(NAMESPACE, pod(program="sleep 100"))
    cluster.wait_for("pods", phase("Running"))
    cluster.evict("p", "The node was low on resource: memory.")
    ended = cluster.wait_for("pods", phase("Failed"))
    assert ended["status"]["reason"] == "Evicted"


def condition(kind):
    return lambda job: any(c["type"] == kind for c in job["status"].get("conditions") or ())


def test_job_that_succeeds(cluster, core, batch):
    batch.create_namespaced_job(NAMESPACE, job(program="echo done"))
    ended = cluster.wait_for("jobs", condition("Complete"))
    assert ended["status"]["succeeded"] == 1
    (made,) = core.list_namespaced_pod(NAMESPACE, label_selector="job-name=j").items
    assert core.read_namespaced_pod_log(made.metadata.name, NAMESPACE) == "done\n"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"program": "exit 1"}, "BackoffLimitExceeded"),
        ({"program": "sleep 100", "activeDeadlineSeconds": 1}, "DeadlineExceeded"),
    ],
)
def test_job_that_fails_says_why(cluster, batch, asked, reason):
    batch.create_namespaced_job(NAMESPACE, job(**asked))
    ended = cluster.wait_for("jobs", condition("Failed"))
    assert ended["status"]["conditions"][-1]["reason"] == reason
    assert ended["status"]["failed"] == 1


def test_deleted_job_takes_its_pod_along_if_told_to(cluster, core, batch):
    batch.create_namespaced_job(NAMESPACE, job(program="sleep 100"))
    cluster.wait_for("pods", phase("Running"))
    batch.delete_namespaced_job("j", NAMESPACE, propagation_policy="Background")
    assert core.list_namespaced_pod(NAMESPACE).items == []


def test_deleted_job_leaves_its_pod_behind_by_default(cluster, core, batch):
    batch.create_namespaced_job(NAMESPACE, job(program="sleep 100"))
    cluster.wait_for("pods", phase("Running"))
    batch.delete_namespaced_job("j", NAMESPACE)
    (left,) = core.list_namespaced_pod(NAMESPACE).items
    assert left.status.phase == "Running"
    assert not left.metadata.owner_references


def test_synchronous_watch_sees_a_life(cluster, core):
    seen = []
    version = core.list_namespaced_pod(NAMESPACE).metadata.resource_version
    core.create_namespaced_pod(NAMESPACE, pod())
    stream = kubernetes.watch.Watch().stream
    for event in stream(core.list_namespaced_pod, NAMESPACE, resource_version=version):
        seen.append((event["type"], event["object"].status.phase))
        if seen[-1][1] == "Succeeded":
            break
    assert seen[0] == ("ADDED", "Pending")
    assert ("MODIFIED", "Running") in seen


def test_asynchronous_watch_sees_a_life(cluster):
    async def follow():
        settings = asynchronous.Configuration()
        await asynchronous_config.load_kube_config(
            str(cluster.kubeconfig), client_configuration=settings
        )
        async with asynchronous.ApiClient(settings) as client:
            core = asynchronous.CoreV1Api(client)
            listed = await core.list_namespaced_pod(NAMESPACE)
            await core.create_namespaced_pod(NAMESPACE, pod())
            async with asynchronous_watch.Watch().stream(
                core.list_namespaced_pod,
                NAMESPACE,
                resource_version=listed.metadata.resource_version,
                timeout_seconds=20,
            ) as events:
                async for event in events:
                    if event["object"].status.phase == "Succeeded":
                        return event["type"]

    assert asyncio.run(follow()) == "MODIFIED"
