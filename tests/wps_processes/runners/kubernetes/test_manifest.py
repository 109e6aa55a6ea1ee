"""What a job gets and may touch, as Kubernetes' own schemas take it."""

import json
from pathlib import Path

import kubernetes_validate
import pytest

from landcover.errors import InputError
from landcover.operation import Needs
from tests.wps_processes.jobs.test_ledger import job
from wps_processes.environment import SettingsError
from wps_processes.runners.kubernetes.api import Cluster
from wps_processes.runners.kubernetes.manifest import (
    check_allowed,
    given,
    manifest_of,
    name_of,
)
from wps_processes.runners.kubernetes.settings import ClusterSettings
from wps_processes.runners.needs import MARGIN_MIB

ROOT = Path("/storage")
TOLERATED = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
CHOSEN = {
    "image": "registry.example/wps:1",
    "image_cuda": "registry.example/wps-cuda:1",
    "claim": "geo-storage",
    "namespace": "geo",
    "report_url": "http://geoportal-wps:8000/services/wps/runs",
    "placement": {"cuda": {"nodeSelector": {"gpu": "yes"}, "tolerations": TOLERATED}},
}
ENVIRONMENT = {
    "GEOPORTAL_JOB_IMAGE": "registry.example/wps:1",
    "GEOPORTAL_JOB_CLAIM": "geo-storage",
    "GEOPORTAL_JOB_NAMESPACE": "geo",
    "GEOPORTAL_JOB_REPORT_URL": "http://geoportal-wps:8000/services/wps/runs",
}


def made(each, needed=Needs(), **chosen):  # noqa: B008  # frozen
    settings = ClusterSettings(**(CHOSEN | chosen))
    resources = given(needed, settings)
    check_allowed(each, resources, settings)
    manifest = manifest_of(each, resources, settings, ROOT, "t" * 64)
    kubernetes_validate.validate(manifest, "1.34", strict=True)
    return manifest


def container_of(manifest):
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    return container


def test_a_job_ends_once_and_is_forgotten_by_the_cluster():
    each = job(attempt=2)
    manifest = made(each, longest_seconds=600)
    assert manifest["metadata"]["name"] == name_of(each) == f"wps-{each.id}-2"
    spec = manifest["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (0, 600)
    assert spec["ttlSecondsAfterFinished"] > 0
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    for labels in (manifest["metadata"]["labels"], spec["template"]["metadata"]["labels"]):
        assert labels["app.kubernetes.io/name"] == "geoportal"
        assert labels["app.kubernetes.io/component"] == "job"
        assert (labels["geoportal/job"], labels["geoportal/user"]) == (each.id, "anna")


def test_a_pod_has_no_account_and_no_rights():
    spec = made(job())["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "runAsGroup": 100,
        "fsGroup": 100,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC", "serviceAccountName"} & set(spec)


def test_the_program_is_the_first_process_so_that_its_end_is_the_pods():
    """An out-of-memory kill of a child left a pod that had succeeded."""
    (container,) = made(job())["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["python", "-m", "wps_processes.runners.kubernetes.pod"]
    assert "args" not in container


def test_only_the_owners_folders_are_mounted():
    each = job("bob", groups=["ice", "ice & snow", "..", "../users", "a/b", "", "a:b", "a\nb"])
    mounts = {
        mount["mountPath"]: (mount["subPath"], mount.get("readOnly", False))
        for mount in container_of(made(each))["volumeMounts"]
        if mount["name"] == "storage"
    }
    assert mounts == {
        "/storage/users/bob": ("users/bob", False),
        "/storage/team/ice": ("team/ice", True),
        "/storage/team/ice & snow": ("team/ice & snow", True),
        "/storage/shared": ("shared", True),
    }


@pytest.mark.parametrize(("seconds", "longest", "granted"), [(60, 600, 60), (600, 60, 60)])
def test_a_job_may_take_what_it_needs_and_no_longer_than_any_job_may(seconds, longest, granted):
    manifest = made(job(), Needs(seconds=seconds), longest_seconds=longest)
    assert manifest["spec"]["activeDeadlineSeconds"] == granted


def test_a_job_without_a_gpu_sees_none_and_one_with_a_gpu_its_own():
    def shown(needs):
        return {e["name"]: e["value"] for e in container_of(made(job(), needs))["env"]}

    assert shown(Needs())["CUDA_VISIBLE_DEVICES"] == ""
    assert "CUDA_VISIBLE_DEVICES" not in shown(Needs(gpus=1))


def test_a_job_gets_what_its_operation_needs_and_the_interpreter_too():
    amounts = {"cpu": "2", "memory": f"{4096 + MARGIN_MIB}Mi"}
    container = container_of(made(job(), Needs(cores=2, memory_mib=4096)))
    assert container["resources"] == {"requests": amounts, "limits": amounts}
    threads = {e["name"]: e["value"] for e in container["env"]}["OMP_NUM_THREADS"]
    assert threads == "2"


def test_fewer_cores_do_but_not_less_memory():
    container = container_of(made(job(), Needs(cores=64), most_cores=3))
    assert container["resources"]["limits"]["cpu"] == "3"
    with pytest.raises(InputError, match=r"needs 9728 MiB of memory.*may have 8192"):
        made(job(), Needs(memory_mib=9216), most_memory_mib=8192)


def test_a_job_on_a_gpu_gets_its_image_and_its_nodes():
    manifest = made(job(), Needs(gpus=1))
    container, spec = container_of(manifest), manifest["spec"]["template"]["spec"]
    assert container["image"] == "registry.example/wps-cuda:1"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert (spec["nodeSelector"], spec["tolerations"]) == ({"gpu": "yes"}, TOLERATED)
    plain = made(job())["spec"]["template"]["spec"]
    assert (plain["nodeSelector"], plain["tolerations"]) == ({}, [])
    with pytest.raises(InputError, match="needs a GPU"):
        made(job(), Needs(gpus=1), image_cuda="")


def test_settings_come_from_the_environment():
    placement = {"cpu": {"nodeSelector": {"pool": "jobs"}}}
    settings = ClusterSettings.from_environment(
        ENVIRONMENT
        | {"GEOPORTAL_JOB_PLACEMENT": json.dumps(placement)}
        | {"GEOPORTAL_JOB_LONGEST_SECONDS": "600", "GEOPORTAL_JOB_IMAGE_CUDA": ""}
    )
    assert settings.placement["cpu"].node_selector == {"pool": "jobs"}
    assert (settings.longest_seconds, settings.image_cuda) == (600, "")


def test_without_a_cluster_there_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="no cluster is known"):
        Cluster("geo")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("GEOPORTAL_JOB_IMAGE", "", "GEOPORTAL_JOB_IMAGE is not set, needs the name of an image"),
        ("GEOPORTAL_JOB_MOST_CORES", "many", "CORES is many, needs a whole number from 1 up to"),
        ("GEOPORTAL_JOB_LONGEST_SECONDS", "0", "SECONDS is 0, needs a whole number from 1"),
        ("GEOPORTAL_JOB_PLACEMENT", "{", "PLACEMENT is {, needs JSON such as"),
        ("GEOPORTAL_JOB_PLACEMENT", '{"gpu": {}}', "PLACEMENT at gpu is gpu, needs JSON"),
        ("GEOPORTAL_JOB_PLACEMENT", '{"cpu": {"x": 1}}', "PLACEMENT at cpu.x is 1, needs JSON"),
        ("GEOPORTAL_JOB_REPORT_URL", "geoportal-wps", "needs an address such as http://"),
    ],
)
def test_a_mistake_in_the_settings_stops_the_service_and_is_named(name, value, words):
    with pytest.raises(SettingsError) as refused:
        ClusterSettings.from_environment(ENVIRONMENT | {name: value})
    assert str(refused.value).startswith(name)
    assert words in str(refused.value)
