"""What Jobs and pods say, in words."""

import pytest

from landcover.operation import Needs
from wps_processes.runners.kubernetes.conditions import (
    disruption,
    ending,
    is_confirmed,
    is_ended,
    obstacle,
    waiting,
)
from wps_processes.runners.kubernetes.watch import GONE, JobView

RESOURCES = Needs(cores=2, memory_mib=4608, seconds=7200)


def pod(phase="Pending", state=None, conditions=(), deleted=False, **status):
    return {
        "metadata": {"name": "p"} | ({GONE: "true"} if deleted else {}),
        "status": {
            "phase": phase,
            "conditions": list(conditions),
            "containerStatuses": [{"name": "job", "state": state}] if state else [],
            **status,
        },
    }


def finished(kind, reason):
    return {"status": {"conditions": [{"type": kind, "status": "True", "reason": reason}]}}


def terminated(code, reason="Error"):
    return {"terminated": {"exitCode": code, "reason": reason}}


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("0/1 nodes are available: 1 Insufficient nvidia.com/gpu.", "with a free GPU"),
        ("0/2 nodes are available: 2 Insufficient memory.", "with 4608 MiB of free memory"),
        (
            "0/2 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.",
            "with 4608 MiB of free memory and with free processors, 2 for this job",
        ),
        ("0/1 nodes are available: 1 node(s) had untolerated taint {a: b}.", "none is there"),
        ("pod has unbound immediate PersistentVolumeClaims.", "look at its volume claim"),
        ('persistentvolumeclaim "x" not found', "look at its volume claim"),
        ("", "waiting for a node of the cluster"),
    ],
)
def test_a_waiting_job_says_for_what(message, words):
    scheduled = {"type": "PodScheduled", "status": "False", "message": message}
    assert words in waiting(JobView({}, pod(conditions=[scheduled])), RESOURCES)


def test_a_job_that_has_begun_speaks_for_itself():
    assert waiting(JobView({}, pod("Running")), RESOURCES) is None
    assert "make room" in waiting(JobView({}, None), RESOURCES)
    pulling = pod(state={"waiting": {"reason": "ContainerCreating"}})
    assert waiting(JobView({}, pulling), RESOURCES) == "starting in the cluster"
    assert obstacle(JobView({}, pulling)) is None


@pytest.mark.parametrize(
    ("reason", "is_final"),
    [("InvalidImageName", True), ("ErrImagePull", False), ("ImagePullBackOff", False)],
)
def test_an_image_with_a_wrong_name_never_comes_and_others_may(reason, is_final):
    found = obstacle(JobView({}, pod(state={"waiting": {"reason": reason}})))
    assert "cannot be pulled" in found.sentence
    assert found.is_final == is_final


DISRUPTED = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}


@pytest.mark.parametrize(
    ("job", "seen", "words"),
    [
        (
            finished("Complete", "CompletionsReached"),
            pod("Succeeded", terminated(0, "OOMKilled")),
            "more memory than the 4608 MiB",
        ),
        (finished("Failed", "DeadlineExceeded"), None, "not over after 2 hours"),
        (finished("Failed", "BackoffLimitExceeded"), pod("Failed", terminated(139)), "signal 11"),
        (finished("Failed", "BackoffLimitExceeded"), pod("Failed", terminated(137)), "was killed"),
        (
            finished("Failed", "BackoffLimitExceeded"),
            pod("Failed", reason="Evicted", message="The node was low on resource: memory."),
            "its node was short of memory",
        ),
        (
            finished("Failed", "BackoffLimitExceeded"),
            pod("Failed", conditions=[DISRUPTED], deleted=True),
            "no longer answered or was closed",
        ),
        (None, pod("Unknown", reason="NodeLost", deleted=True), "was lost"),
        (
            finished("Failed", "BackoffLimitExceeded"),
            pod("Failed", terminated(128, "StartError")),
            "could not be started",
        ),
    ],
)
def test_how_a_job_ended_without_a_word(job, seen, words):
    view = JobView(job, seen)
    assert is_ended(view)
    assert words in ending(view, RESOURCES)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (pod("Failed", conditions=[DISRUPTED]), "no longer answered or was closed"),
        (
            pod("Running", {"running": {}}, [DISRUPTED], deleted=True),
            "no longer answered or was closed",
        ),
        (
            pod(
                "Failed", conditions=[DISRUPTED], reason="Evicted", message="low on resource: pids"
            ),
            "short of processes",
        ),
        # on a node that does not answer it may go on
        (pod("Running", {"running": {}}, [DISRUPTED]), None),
        # its own fault
        (pod("Failed", terminated(137, "OOMKilled")), None),
        (pod("Failed", reason="Evicted", message="Usage of EmptyDir volume exceeds"), None),
        (None, None),
    ],
)
def test_a_pod_is_disrupted_if_the_cluster_says_so_and_it_is_over(seen, words):
    why = disruption(JobView(finished("Failed", "BackoffLimitExceeded"), seen))
    assert (why is None) if words is None else why.endswith(words)


def test_what_nobody_knows_is_not_made_up():
    job = finished("Failed", "BackoffLimitExceeded")
    assert ending(JobView(job, pod("Failed", terminated(1))), RESOURCES) is None
    assert not is_ended(JobView({"status": {}}, pod("Running", {"running": {}})))


def test_a_job_is_not_judged_before_its_pod_has_spoken():
    failed = finished("Failed", "BackoffLimitExceeded")
    assert is_ended(JobView(failed, pod("Running")))
    assert not is_confirmed(JobView(failed, pod("Running")))
    assert not is_confirmed(JobView({}, pod("Failed", terminated(137, "OOMKilled"))))
    assert is_confirmed(JobView(failed, pod("Failed", terminated(137, "OOMKilled"))))
    assert is_confirmed(JobView(finished("Failed", "DeadlineExceeded"), None))
