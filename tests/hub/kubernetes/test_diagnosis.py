"""What Kubernetes says of a pod, and the sentence that a person reads."""

from datetime import UTC, datetime, timedelta

import pytest

from hub.kubernetes.diagnosis import (
    Surroundings,
    asked_for,
    diagnose,
    pulled_size,
    refused,
    unavailable,
)

NOW = datetime(2026, 11, 21, 14, 8, tzinfo=UTC)
SINCE = "2026-11-21T14:05:00Z"
PREEMPTION = "preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod."


ANSWERS = [{"type": "ContainersReady", "status": "True"}]


def pod(limits=None, volumes=(), node="", **status):
    container = {"name": "notebook", "resources": {"limits": limits or {}}}
    spec = {"containers": [container], "volumes": list(volumes)} | (
        {"nodeName": node} if node else {}
    )
    return {"metadata": {"uid": "1"}, "spec": spec, "status": {"phase": "Pending"} | status}


def unscheduled(message, **more):
    condition = {"type": "PodScheduled", "status": "False", "lastTransitionTime": SINCE}
    return pod(conditions=[condition | {"message": message}], **more)


def container(state, last=None, name="notebook", **more):
    return {
        "name": name,
        "image": "geo:1",
        "ready": False,
        "state": state,
        "lastState": {"terminated": last} if last else {},
    } | more


def waiting(reason, message="", **more):
    state = {"waiting": {"reason": reason, "message": message}}
    return pod(node="node-1", containerStatuses=[container(state)], **more)


def event(reason, message, uid="1"):
    return {
        "involvedObject": {"uid": uid},
        "reason": reason,
        "message": message,
        "lastTimestamp": None,
        "eventTime": SINCE,
    }


def text(found):
    return found.text(NOW)


def test_pod_that_is_not_there_yet_is_asked_for():
    assert diagnose(None, Surroundings()).kind == "asked"


@pytest.mark.parametrize(
    ("message", "limits", "kind", "sentence"),
    [
        (
            f"0/1 nodes are available: 1 Insufficient nvidia.com/gpu. {PREEMPTION}",
            {"nvidia.com/gpu": "2"},
            "gpu",
            "Not enough GPUs are free: your server asks for 2 (nvidia.com/gpu). Since 14:05 UTC "
            "(3 min). It starts by itself when so many are free on one node. Fewer may be free",
        ),
        (  # the nodes without one do not matter
            "0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 2 node(s) didn't match Pod's "
            f"node affinity/selector. {PREEMPTION}",
            {"nvidia.com/gpu": "1"},
            "gpu",
            "No GPU is free: your server asks for 1 (nvidia.com/gpu).",
        ),
        (  # no node has one, whatever else is short
            "0/3 nodes are available: 1 Insufficient cpu, 3 Insufficient nvidia.com/gpu.",
            {"nvidia.com/gpu": "1"},
            "gpu",
            "No GPU is free",
        ),
        (  # there is one, on a node without room
            "0/3 nodes are available: 1 Insufficient memory, 2 Insufficient nvidia.com/gpu.",
            {"nvidia.com/gpu": "1", "memory": "8Gi"},
            "room",
            "No node fits your server: 1 node lacks memory, 8 GiB asked; "
            "2 nodes lack GPUs (nvidia.com/gpu), 1 asked.",
        ),
        (
            "0/3 nodes are available: 1 node(s) had untolerated taint {gpu: }, "
            f"2 Insufficient cpu. {PREEMPTION}",
            {"cpu": "64"},
            "room",
            "2 nodes lack cores, 64 asked; 1 node reserved for others (taint gpu).",
        ),
        (
            "0/2 nodes are available: 2 node(s) had untolerated taint(s) "
            "{node.kubernetes.io/not-ready: }. preemption: 0/2 nodes are available: 2 Preemption "
            "is not helpful for scheduling.",
            {},
            "room",
            "2 nodes reserved for others (taint node.kubernetes.io/not-ready).",
        ),
        (
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
            {},
            "room",
            "1 node not of the kind that the profile wants (node selector or affinity).",
        ),
        (
            "0/1 nodes are available: 1 Too many pods.",
            {},
            "room",
            "No node fits your server: 1 node: Too many pods.",
        ),
        ("no nodes available to schedule pods", {}, "room", "no nodes available"),
    ],
)
def test_pod_without_a_node(message, limits, kind, sentence):
    found = diagnose(unscheduled(message, limits=limits), Surroundings())
    assert found.kind == kind
    assert sentence in text(found)
    assert found.remedy
    assert not found.is_final


NO_GPU = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."


def waits_for_gpus(asked, gpus_of_nodes, message=NO_GPU, limits=None, **around):
    waits = unscheduled(message, limits={"nvidia.com/gpu": str(asked)} | (limits or {}))
    nodes = [{"nvidia.com/gpu": float(gpus), "cpu": 16.0} for gpus in gpus_of_nodes]
    return diagnose(waits, Surroundings(nodes=nodes, **around))


def test_names_of_others_and_the_number_of_gpus_are_told_if_known():
    told = text(waits_for_gpus(1, [2, 1], holders={"boris": 1, "anna": 2}))
    assert told.startswith(
        "No GPU is free: your server asks for 1 (nvidia.com/gpu), the cluster has 3; in use by "
        "anna (2), boris (1)."
    )
    assert "starts by itself" in told


def test_more_gpus_than_a_node_has_are_not_waited_for():
    found = waits_for_gpus(4, [2, 2, 2, 2])
    assert found.sentence == (
        "Not enough GPUs are free: your server asks for 4 (nvidia.com/gpu), the cluster has 8 and "
        "no node has more than 2."
    )
    assert not found.hope
    assert found.remedy.startswith("Choose 2 or fewer")


def test_gpus_that_one_node_has_are_waited_for():
    found = waits_for_gpus(2, [2, 1])
    assert found.sentence.endswith("asks for 2 (nvidia.com/gpu), the cluster has 3.")
    assert found.hope == "It starts by itself when so many are free on one node."


@pytest.mark.parametrize("nodes", [[], [0, 0]])
def test_node_with_gpus_that_may_yet_come_is_waited_for(nodes):
    found = waits_for_gpus(1, nodes)
    assert found.sentence.endswith("the cluster has none at present.")
    assert "if a node with GPUs is added" in found.hope
    assert "without a GPU" in found.remedy
    assert not found.is_final


def test_free_gpu_is_of_no_use_where_the_rest_does_not_fit():
    both = "0/2 nodes are available: 1 Insufficient cpu, 2 Insufficient nvidia.com/gpu."
    found = waits_for_gpus(1, [1, 0], both, {"cpu": "32"})
    assert found.kind == "room"
    assert not found.hope
    assert found.sentence.endswith("Not even idle a node has more than 16 cores.")


BIG = {"memory": "500Gi", "cpu": "8"}
ROOM = {"cpu": 64.0, "memory": 256.0 * 2**30}


@pytest.mark.parametrize(
    ("nodes", "sentence", "hope"),
    [
        (None, "500 GiB asked.", "It may start"),
        ([ROOM, ROOM | {"memory": 500.0 * 2**30}], "500 GiB asked.", "It may start"),
        ([ROOM], "500 GiB asked. Not even idle a node has more than 256 GiB memory.", ""),
        (
            [ROOM, {"cpu": 4.0, "memory": 2.0**40}],
            "500 GiB asked. Not even idle a node has all of that.",
            "",
        ),
    ],
)
def test_more_than_an_idle_node_has_is_not_hoped_for(nodes, sentence, hope):
    waits = unscheduled("0/1 nodes are available: 1 Insufficient memory.", limits=BIG)
    found = diagnose(waits, Surroundings(nodes=nodes))
    assert found.sentence.endswith(sentence)
    assert found.hope.startswith(hope)
    assert bool(found.hope) == bool(hope)
    assert "Choose a smaller size" in found.remedy
    assert not found.is_final


@pytest.mark.parametrize(
    ("message", "what"),
    [
        ("pod has unbound immediate PersistentVolumeClaims. not found", "has no volume yet"),
        ("pod has unbound immediate PersistentVolumeClaims.", "has no volume yet"),
        ('persistentvolumeclaim "geo" not found.', "does not exist"),
    ],
)
def test_storage_that_is_not_there(message, what):
    volumes = [{"name": "s", "persistentVolumeClaim": {"claimName": "geo"}}]
    waits = unscheduled(f"0/1 nodes are available: {message}", volumes=volumes)
    found = diagnose(waits, Surroundings())
    assert found.kind == "volume"
    assert f"the volume claim geo {what}" in found.sentence


def test_condition_counts_and_not_what_events_still_say():
    waits = unscheduled(
        "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.", limits={"nvidia.com/gpu": "1"}
    )
    old = event("FailedScheduling", "pod has unbound immediate PersistentVolumeClaims")
    assert diagnose(waits, Surroundings(events=[old])).kind == "gpu"


MISSING = 'failed to resolve reference "geo:1": geo:1: not found'


@pytest.mark.parametrize(
    ("reason", "message", "sentence", "is_final"),
    [
        ("ErrImagePull", MISSING, "The image geo:1 does not exist.", False),
        ("ImagePullBackOff", MISSING, "The image geo:1 does not exist.", True),
        ("ImagePullBackOff", "manifest unknown", "does not exist", True),
        (
            "ImagePullBackOff",
            "pull access denied, repository",
            "does not give the image geo:1",
            True,
        ),
        ("ImagePullBackOff", "401 Unauthorized", "does not give the image geo:1", True),
        (
            "ImagePullBackOff",
            "dial tcp: i/o timeout",
            "cannot be fetched (dial tcp: i/o timeout)",
            False,
        ),
        ("ImagePullBackOff", "no space left on device", "cannot be fetched (no space left", False),
        ("InvalidImageName", "invalid reference format", "geo:1 is no name of an image.", True),
        (
            "CreateContainerConfigError",
            'secret "x" not found',
            'started: secret "x" not found',
            False,
        ),
    ],
)
def test_container_that_does_not_come_to_be(reason, message, sentence, is_final):
    found = diagnose(waiting(reason, message), Surroundings())
    assert sentence in found.sentence
    assert found.hope or found.remedy
    given_up = found.given_up(600)
    assert given_up.is_final
    assert given_up.remedy
    assert given_up.sentence.endswith("It was given up after 10 min.")
    assert "by itself" not in text(given_up)
    assert found.is_final == is_final


def in_the_way(reason):
    """Words of runc 1.1.5."""
    return (
        "failed to create containerd task: error during container init: error mounting "
        f'"/var/lib/volumes/teams" to rootfs at "/home/jovyan/team": {reason}: unknown'
    )


IN_THE_WAY = [
    in_the_way("mount /var/lib/volumes/teams:/home/jovyan/team, flags: 0x5000: not a directory"),
    in_the_way('"/rootfs/proc/lab" cannot be mounted because it is inside /proc'),
    in_the_way('"/rootfs/proc" cannot be mounted because it is not of type proc'),
    in_the_way("SecureJoin /rootfs/team/: too many levels of symbolic links"),
]


@pytest.mark.parametrize("words", IN_THE_WAY)
@pytest.mark.parametrize("which", ["containerStatuses", "initContainerStatuses"])
def test_what_lies_where_a_folder_is_mounted_is_named(words, which):
    ended = {"exitCode": 128, "reason": "StartError", "message": words}
    backs_off = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    for status in (
        container({"waiting": {"reason": "RunContainerError", "message": words}}),
        container({"terminated": ended}, name="entry-check"),
        container(backs_off, ended, name="entry-check"),
    ):
        found = diagnose(pod(node="node-1", **{which: [status]}), Surroundings())
        assert found.sentence.endswith("that is no folder lies where /home/jovyan/team belongs.")
        assert "without a server, as in Nextcloud; or ask an administrator" in found.remedy
        assert found.is_final


def test_what_a_program_says_is_not_taken_for_the_runtimes_words():
    crashed = {"exitCode": 1, "reason": "Error", "message": IN_THE_WAY[0]}
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    status = [container(state, crashed)]
    assert diagnose(pod(containerStatuses=status), Surroundings()).kind == "crash"


def test_older_clusters_tell_only_in_an_event_why_an_image_is_not_fetched():
    waits = waiting("ImagePullBackOff", 'Back-off pulling image "geo:1"')
    told = [
        event("Failed", f'Failed to pull image "geo:1": {MISSING}'),
        event("Failed", "Error: ErrImagePull"),
    ]
    assert "does not exist" in diagnose(waits, Surroundings(events=told)).sentence


@pytest.mark.parametrize(
    ("sizes", "shown"), [({}, "of unknown size"), ({"geo:1": 6_812_345_678}, "6.81 GB")]
)
def test_image_on_its_way(sizes, shown):
    events = [
        event("Pulled", 'pulled image "geo:1"', uid="another"),
        event("Pulling", 'Pulling image "geo:1"'),
    ]
    found = diagnose(waiting("ContainerCreating"), Surroundings(events=events, sizes=sizes))
    assert text(found).startswith(
        f"The image geo:1 ({shown}) is being fetched to node-1. Since 14:05 UTC (3 min)."
    )


def test_image_that_is_there_is_not_on_its_way():
    events = [
        event("Pulling", 'Pulling image "geo:1"'),
        event("Pulled", 'Successfully pulled image "geo:1"'),
    ]
    found = diagnose(waiting("ContainerCreating"), Surroundings(events=events))
    assert found.kind == "placed"


def test_storage_that_cannot_be_mounted():
    events = [event("FailedMount", 'MountVolume.SetUp failed for volume "storage" : timed out')]
    found = diagnose(waiting("ContainerCreating"), Surroundings(events=events))
    assert found.kind == "volume"
    assert "timed out" in found.sentence


CRASHED = {
    "exitCode": 1,
    "reason": "Error",
    "message": "one\n\n\x1b[31mtwo\nImportError: jupyterhub\n",
}


def test_crash_is_told_with_its_last_lines():
    again = pod(containerStatuses=[container({"running": {}}, CRASHED)], phase="Running")
    first = diagnose(again, Surroundings())
    assert (first.kind, first.is_final) == ("crash", False)
    assert "Kubernetes starts it once more" in first.hope
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    found = diagnose(pod(containerStatuses=[container(state, CRASHED)]), Surroundings())
    assert found.is_final
    assert found.sentence == (
        "The server stopped at once (exit code 1). "
        "Its last lines: “one | [31mtwo | ImportError: jupyterhub”."
    )


def test_long_log_is_told_from_its_end():
    ended = CRASHED | {"message": "x" * 5_000 + "\nthe end"}
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    found = diagnose(pod(containerStatuses=[container(state, ended)]), Surroundings())
    assert found.sentence.endswith("| the end”.")
    assert len(found.sentence) < 1_000


def test_want_of_memory_is_told_with_the_limit():
    killed = {"exitCode": 137, "reason": "OOMKilled"}
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    status = [container(state, killed)]
    found = diagnose(pod({"memory": "8Gi"}, containerStatuses=status), Surroundings())
    assert found.kind == "memory"
    assert "more memory than it may have (8 GiB)" in found.sentence
    assert "more memory" in found.remedy


def test_step_before_the_server_is_named():
    status = [container({"waiting": {"reason": "CrashLoopBackOff"}}, CRASHED, name="check")]
    found = diagnose(pod(initContainerStatuses=status), Surroundings())
    assert found.sentence.startswith("The step check before the server stopped")


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (
            {"reason": "Evicted", "message": "The node was low on resource: memory."},
            "evicted",
            "The node put your server out: The node was low on resource: memory.",
        ),
        (
            {"reason": "UnexpectedAdmissionError", "message": "Allocate failed"},
            "ended",
            "(UnexpectedAdmissionError: Allocate failed)",
        ),
        ({"containerStatuses": [container({"terminated": CRASHED})]}, "crash", "exit code 1"),
        ({}, "ended", "(Failed)"),
    ],
)
def test_pod_that_has_ended(status, kind, words):
    found = diagnose(pod(phase="Failed", **status), Surroundings())
    assert found.kind == kind
    assert words in found.sentence
    assert found.is_final


def test_pod_on_its_way_out_is_an_earlier_one():
    ending = pod() | {"metadata": {"uid": "1", "deletionTimestamp": SINCE}}
    assert "earlier server" in diagnose(ending, Surroundings()).sentence


@pytest.mark.parametrize("status", [None, {}, {"conditions": ANSWERS}])
def test_what_was_waited_for_in_vain_is_not_said_to_come(status):
    found = diagnose(status if status is None else pod(node="n1", **status), Surroundings())
    told = text(found.given_up(600))
    assert found.sentence not in told
    assert "Start again" in told


def test_running_server_is_about_to_answer():
    status = [container({"running": {}}) | {"ready": True}]
    found = diagnose(
        pod(phase="Running", conditions=ANSWERS, containerStatuses=status), Surroundings()
    )
    assert found.kind == "starting"


def test_used_up_quota_is_told_in_its_numbers():
    found = refused(
        403,
        'pods "jupyter-eve" is forbidden: exceeded quota: team, requested: pods=1,'
        "requests.nvidia.com/gpu=1, used: pods=4,requests.nvidia.com/gpu=2, "
        "limited: pods=4,requests.nvidia.com/gpu=2",
    )
    assert found.sentence == (
        "The quota of this cluster is used up (asked pods=1, requests.nvidia.com/gpu=1; "
        "used pods=4, requests.nvidia.com/gpu=2; limit pods=4, requests.nvidia.com/gpu=2)."
    )
    assert found.is_final


@pytest.mark.parametrize(
    ("code", "kind", "is_final"),
    [
        (403, "refused", True),
        (422, "refused", True),
        (404, "refused", True),
        (429, "api", False),
        (500, "api", False),
        (503, "api", False),
    ],
)
def test_no_for_good_is_told_from_no_answer(code, kind, is_final):
    found = refused(code, "why")
    assert (found.kind, found.is_final) == (kind, is_final)
    assert "why" in found.sentence


def test_api_that_says_nothing():
    assert "(ClientConnectorError)" in unavailable("ClientConnectorError").sentence


def test_foreign_text_stays_on_one_line():
    found = refused(422, "a\nb\r\n\x1b[2Jc" + "x" * 2_000)
    assert found.sentence.isprintable()
    assert len(found.sentence) < 1_000


@pytest.mark.parametrize(
    ("minutes", "shown"), [(0, "less than a minute"), (1.5, "1 min"), (75, "75 min")]
)
def test_time_waited_is_told_in_minutes(minutes, shown):
    waits = unscheduled("0/1 nodes are available: 1 Insufficient cpu.")
    since = datetime.fromisoformat(SINCE)
    told = diagnose(waits, Surroundings()).text(since + timedelta(minutes=minutes))
    assert f"({shown})." in told


def test_amounts_are_added_up_over_containers():
    asked = asked_for(pod({"cpu": "500m", "memory": "2Gi", "nvidia.com/gpu": "1"}))
    assert asked == {"cpu": 0.5, "memory": 2 * 2**30, "nvidia.com/gpu": 1.0}


def test_size_of_an_image_is_read_from_its_event():
    message = 'Successfully pulled image "geo:1" in 2.5s. Image size: 5123 bytes.'
    assert pulled_size(message) == ("geo:1", 5123)
    assert pulled_size('Container image "geo:1" already present on machine') is None
