"""A job of the ledger as a batch/v1 Job: what it gets, and what it may touch.

Its pod holds no secret but a token that is good for this attempt at this job, mounts its owner's
folders and nobody else's, has no account in the cluster and no rights on its node.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from landcover.errors import InputError
from landcover.operation import Needs
from landcover.storage.tree import is_mountable
from wps_processes.jobs.folder import storage_of
from wps_processes.jobs.ledger import Job
from wps_processes.runners.kubernetes.settings import ClusterSettings, Placement
from wps_processes.runners.messages import TOKEN_VARIABLE, URL_VARIABLE
from wps_processes.runners.needs import MARGIN_MIB, no_gpu

COMPONENT = {"app.kubernetes.io/name": "geoportal", "app.kubernetes.io/component": "job"}
"""Labels of all Jobs and pods made here."""

JOB, ATTEMPT, USER = "geoportal/job", "geoportal/attempt", "geoportal/user"
"""Further labels."""

"""Given on top of what an operation needs: the interpreter with all libraries has 260 MiB."""

_GPU = "nvidia.com/gpu"
# a service that is back by then still learns how a job ended; each one kept costs memory
_KEPT_SECONDS = 3_600
_GRACE_SECONDS = 5  # what a dismissed job writes is thrown away
RETRIES = 2
"""Of a part that failed, in a pod of its own each."""
_THREADS = ("OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT")


def name_of(job: Job) -> str:
    """Return the name of the Job for this attempt."""
    return job_name(job.id, job.attempt)


def parts_name_of(job: Job) -> str:
    """Return the name of the Job that computes the parts of this attempt."""
    return job_name(job.id, _parts_of(job))


def _parts_of(job: Job) -> str:
    return f"{job.attempt}-parts"


def job_name(job_id: str, attempt: int | str) -> str:
    """Return the name of the Job for an attempt at a job."""
    return f"{prefix_of(job_id)}{attempt}"


def prefix_of(job_id: str) -> str:
    """Return how the names of the Jobs for all attempts at a job begin."""
    return f"wps-{job_id}-"


def given(needed: Needs, settings: ClusterSettings) -> Needs:
    """Return what a job gets: fewer cores make it slower, but less memory would end it."""
    return replace(
        needed,
        cores=min(needed.cores, settings.most_cores),
        memory_mib=needed.memory_mib + MARGIN_MIB,
        seconds=min(needed.seconds, settings.longest_seconds),
    )


def check_allowed(job: Job, needs: Needs, settings: ClusterSettings) -> None:
    """Refuse a job that would get more than jobs may have.

    Raises:
        InputError: it needs more memory than jobs may have, or a GPU where there are none.
    """
    if needs.memory_mib > settings.most_memory_mib:
        raise InputError(
            f"{job.operation} needs {needs.memory_mib} MiB of memory here, and a job may have "
            f"{settings.most_memory_mib}: only an administrator can allow more"
        )
    if needs.gpus and not settings.image_cuda:
        raise InputError(no_gpu(job.operation))


def manifest_of(
    job: Job, needs: Needs, settings: ClusterSettings, root: Path, token: str
) -> dict[str, Any]:
    """Return the Job for this attempt.

    Args:
        job: the job.
        needs: what it gets, see `given`.
        settings: of the cluster.
        root: where the storage tree lies, here and in the pod.
        token: by which the pod reports.
    """
    labels = COMPONENT | {JOB: job.id, ATTEMPT: str(job.attempt), USER: job.folder}
    placement = settings.placement.get("cuda" if needs.gpus else "cpu", Placement())
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name_of(job),
            "namespace": settings.namespace,
            "labels": labels,
            "annotations": {"geoportal/operation": job.operation, "geoportal/owner": job.user},
        },
        "spec": {
            # who tries again, and when, the ledger decides
            "backoffLimit": 0,
            "activeDeadlineSeconds": needs.seconds,
            "ttlSecondsAfterFinished": _KEPT_SECONDS,
            "template": {
                "metadata": {
                    "labels": labels,
                    # nobody's job is ended to empty a node
                    "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
                },
                "spec": {
                    "restartPolicy": "Never",
                    # the Job's, which ends it sooner: quotas know the pods of jobs by it
                    "activeDeadlineSeconds": needs.seconds,
                    "terminationGracePeriodSeconds": _GRACE_SECONDS,
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 1000,
                        "runAsGroup": 100,
                        "fsGroup": 100,
                        "fsGroupChangePolicy": "OnRootMismatch",
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "nodeSelector": dict(placement.node_selector),
                    "tolerations": list(placement.tolerations),
                    "containers": [_container(job, needs, settings, root, token)],
                    "volumes": [
                        {
                            "name": "storage",
                            "persistentVolumeClaim": {"claimName": settings.claim},
                        },
                        # libraries' caches; what operations put aside is in the storage
                        {"name": "temporary", "emptyDir": {"sizeLimit": "256Mi"}},
                    ],
                },
            },
        },
    }


def parts_manifest_of(
    job: Job, needs: Needs, settings: ClusterSettings, root: Path, tokens: Sequence[str]
) -> dict[str, Any]:
    """Return the Indexed Job whose pods compute the parts of this attempt.

    Args:
        job: the job.
        needs: what each pod gets, see `given`.
        settings: of the cluster.
        root: where the storage tree lies, here and in the pods.
        tokens: by which each pod reports; as many as there are pods.
    """
    made = manifest_of(job, needs, settings, root, ",".join(tokens))
    for labelled in (made, made["spec"]["template"]):
        labelled["metadata"]["labels"] = labelled["metadata"]["labels"] | {ATTEMPT: _parts_of(job)}
    made["metadata"]["name"] = parts_name_of(job)
    del made["spec"]["backoffLimit"]  # each pod has its own
    made["spec"] |= {
        "completionMode": "Indexed",
        "completions": len(tokens),
        "parallelism": len(tokens),
        "backoffLimitPerIndex": RETRIES,
        "maxFailedIndexes": 0,
    }
    return made


def _container(
    job: Job, needs: Needs, settings: ClusterSettings, root: Path, token: str
) -> dict[str, Any]:
    amounts = {"cpu": str(needs.cores), "memory": f"{needs.memory_mib}Mi"}
    if needs.gpus:
        amounts[_GPU] = str(needs.gpus)
    environment = {
        URL_VARIABLE: f"{settings.report_url.rstrip('/')}/{job.id}",
        TOKEN_VARIABLE: token,
        "HOME": "/tmp",
        # libraries see all cores of the node
        **dict.fromkeys(_THREADS, str(needs.cores)),
        # a node's runtime may show its GPUs to every container
        **({} if needs.gpus else {"CUDA_VISIBLE_DEVICES": ""}),
    }
    return {
        "name": "job",
        "image": settings.image_cuda if needs.gpus else settings.image,
        # the program itself, so that its end is the container's
        "command": ["python", "-m", "wps_processes.runners.kubernetes.pod"],
        "workingDir": "/tmp",
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "resources": {"requests": amounts, "limits": amounts},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            *_mounts(job, root),
            {"name": "temporary", "mountPath": "/tmp"},
        ],
    }


def _mounts(job: Job, root: Path) -> list[dict[str, Any]]:
    """Return the folders that the owner may enter, of the storage and of nothing else."""
    home, *others = storage_of(job, root).roots()
    mounts = [_mount(home, root)]
    # a job writes to its own folder alone
    mounts += [
        _mount(each, root) | {"readOnly": True} for each in others if is_mountable(each.name)
    ]
    return mounts


def _mount(folder: Path, root: Path) -> dict[str, Any]:
    return {
        "name": "storage",
        "mountPath": str(folder),
        "subPath": folder.relative_to(root).as_posix(),
    }
