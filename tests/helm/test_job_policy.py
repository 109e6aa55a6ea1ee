"""The admission policy of jobs, in its own language: what a runner makes passes, no more."""

from pathlib import Path

import celpy
import pytest
from celpy.adapter import json_to_cel
from celpy.celtypes import BoolType
from kubernetes.utils.quantity import parse_quantity

from landcover.operation import Needs
from wps_processes.jobs.ledger import Job
from wps_processes.runners.kubernetes.manifest import manifest_of, parts_manifest_of
from wps_processes.runners.kubernetes.settings import ClusterSettings

IMAGES = ("geoportal/wps:0.1.0", "geoportal/wps-cuda:0.1.0")


def is_greater_than(one, other):
    return BoolType(one > other)


# Kubernetes' own additions to the language, as far as the policy uses them
FUNCTIONS = {"quantity": parse_quantity, "isGreaterThan": is_greater_than}


class Policy:
    """Evaluates a ValidatingAdmissionPolicy as Kubernetes does."""

    def __init__(self, manifest):
        self._spec = manifest["spec"]
        self._cel = celpy.Environment()
        self._programs = {}
        self.messages = [rule["message"] for rule in self._spec["validations"]]

    def refusals(self, job):
        """Return the messages of what a job breaks."""
        given = {"object": json_to_cel(job), "variables": celpy.celtypes.MapType()}
        for variable in self._spec["variables"]:
            value = self._value(variable["expression"], given)
            given["variables"][celpy.celtypes.StringType(variable["name"])] = value
        return [
            rule["message"]
            for rule in self._spec["validations"]
            if not self._holds(rule["expression"], given)
        ]

    def concerns(self, user):
        """Return whether the policy judges what this user creates."""
        request = {"request": json_to_cel({"userInfo": {"username": user}})}
        return all(
            bool(self._value(condition["expression"], request))
            for condition in self._spec["matchConditions"]
        )

    def _holds(self, expression, given):
        try:
            return bool(self._value(expression, given))
        except celpy.CELEvalError:  # failurePolicy: Fail
            return False

    def _value(self, expression, given):
        if expression not in self._programs:
            compiled = self._cel.compile(expression)
            self._programs[expression] = self._cel.program(compiled, FUNCTIONS)
        return self._programs[expression].evaluate(given)


def policy_with(helm, **jobs):
    """Return the policy of a chart with these values of jobs."""
    (manifest,) = (
        m
        for m in helm.manifests({"jobs": {"cudaImage": IMAGES[1], **jobs}})
        if m["kind"] == "ValidatingAdmissionPolicy"
    )
    return Policy(manifest)


@pytest.fixture(scope="module")
def policy(helm):
    return policy_with(helm)


@pytest.fixture
def job():
    """What the service itself makes."""
    return made(Needs(cores=1, memory_mib=1024))


def made(resources, placement=None, parts=0):
    ours = Job(
        user="ann", folder="ann", groups=("Geo & Co",), administrator=False,
        operation="classify-scene", inputs={}, request="{}", attempt=1,
    )  # fmt: skip
    settings = ClusterSettings(
        image=IMAGES[0], image_cuda=IMAGES[1], claim="geoportal-storage", namespace="geo",
        report_url="http://geoportal-wps:8000/services/wps/runs", placement=placement or {},
    )  # fmt: skip
    if parts:
        tokens = ["token"] * parts
        return parts_manifest_of(ours, resources, settings, Path("/storage"), tokens)
    return manifest_of(ours, resources, settings, Path("/storage"), "token")


def pod(job):
    return job["spec"]["template"]["spec"]


def container(job):
    return pod(job)["containers"][0]


def limits(job):
    return container(job)["resources"]["limits"]


def with_gpus(job, number, image):
    container(job).update(image=image)
    limits(job)["nvidia.com/gpu"] = number


def with_an_empty_folder(job, **changes):
    pod(job)["volumes"][1]["emptyDir"].update(changes)


def with_another_volume(job, number=1, **source):
    """Exchange one, since their number is bounded too."""
    pod(job)["volumes"][number] = {"name": pod(job)["volumes"][number]["name"], **source}


def metadata(job):
    return job["spec"]["template"]["metadata"]


def labels(job):
    return metadata(job)["labels"]


def shared_mount(job):
    (found,) = (m for m in container(job)["volumeMounts"] if m.get("subPath") == "shared")
    return found


def with_an_init_container(job, **changes):
    return pod(job).update(initContainers=[{**container(job), **changes}])


HOSTILE = {
    "a foreign image": lambda job: container(job).update(image="evil/wps:0.1.0"),
    "a foreign image before": lambda job: with_an_init_container(job, image="evil/x"),
    "a secret as volume": lambda job: with_another_volume(job, secret={"secretName": "hub"}),
    "a secret among projected volumes": lambda job: with_another_volume(
        job, projected={"sources": [{"secret": {"name": "hub"}}]}
    ),
    "a settings file": lambda job: with_another_volume(
        job, configMap={"name": "geoportal-settings"}
    ),
    "a folder of the node": lambda job: with_another_volume(job, hostPath={"path": "/"}),
    "another claim": lambda job: pod(job)["volumes"][0].update(
        persistentVolumeClaim={"claimName": "hub-db-dir"}
    ),
    "the whole storage": lambda job: container(job)["volumeMounts"][0].pop("subPath"),
    "everybody's folders": lambda job: container(job)["volumeMounts"][0].update(subPath="users"),
    "everybody's folders by a point": lambda job: container(job)["volumeMounts"][0].update(
        subPath="users/."
    ),
    "everybody's folders by two points": lambda job: container(job)["volumeMounts"][0].update(
        subPath="users/.."
    ),
    "every team's folders": lambda job: container(job)["volumeMounts"][0].update(subPath="team/."),
    "others' pods for its own": lambda job: job["spec"].update(
        manualSelector=True,
        selector={"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]},
    ),
    "no confinement, by an annotation": lambda job: metadata(job).update(
        annotations={"container.apparmor.security.beta.kubernetes.io/job": "unconfined"}
    ),
    "another network, by an annotation": lambda job: metadata(job).update(
        annotations={"k8s.v1.cni.cncf.io/networks": "macvlan"}
    ),
    "a long annotation of its pod": lambda job: metadata(job).update(
        annotations={"cluster-autoscaler.kubernetes.io/safe-to-evict": "x" * 100_000}
    ),
    "an annotation for another controller": lambda job: job["metadata"]["annotations"].update(
        {"kueue.x-k8s.io/job-min-parallelism": "1"}
    ),
    "a long annotation": lambda job: job["metadata"]["annotations"].update(
        {"geoportal/owner": "x" * 100_000}
    ),
    "a label for another controller": lambda job: job["metadata"].update(
        labels={**labels(job), "kueue.x-k8s.io/queue-name": "mine"}
    ),
    "many labels": lambda job: job["metadata"].update(
        labels=labels(job) | {f"geoportal/{number}": "x" for number in range(1_000)}
    ),
    "a path by expression": lambda job: container(job)["volumeMounts"][0].update(
        subPathExpr="$(A)"
    ),
    "shared to write": lambda job: shared_mount(job).pop("readOnly"),
    "the whole storage before": lambda job: with_an_init_container(
        job, volumeMounts=[{"name": "storage", "mountPath": "/all"}]
    ),
    "a secret in the environment": lambda job: container(job)["env"].append(
        {"name": "S", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "x"}}}
    ),
    "all of a secret in the environment": lambda job: container(job).update(
        envFrom=[{"secretRef": {"name": "hub"}}]
    ),
    "the hub's account": lambda job: pod(job).update(serviceAccountName="hub"),
    "a token": lambda job: pod(job).update(automountServiceAccountToken=True),
    "a token by default": lambda job: pod(job).pop("automountServiceAccountToken"),
    "the node's network": lambda job: pod(job).update(hostNetwork=True),
    "the node's processes": lambda job: pod(job).update(hostPID=True),
    "the node's memory": lambda job: pod(job).update(hostIPC=True),
    "a port of the node": lambda job: container(job).update(
        ports=[{"containerPort": 80, "hostPort": 80}]
    ),
    "a question asked by the node": lambda job: container(job).update(
        livenessProbe={"httpGet": {"host": "169.254.169.254", "port": 80}}
    ),
    "a hook": lambda job: container(job).update(
        lifecycle={"postStart": {"httpGet": {"host": "127.0.0.1", "port": 10250}}}
    ),
    "any taint": lambda job: pod(job).update(tolerations=[{"operator": "Exists"}]),
    "the control plane's taint": lambda job: pod(job).update(
        tolerations=[{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]
    ),
    "a node of its choice": lambda job: pod(job).update(nodeName="control-plane"),
    "a priority": lambda job: pod(job).update(priorityClassName="system-node-critical"),
    "a secret for images": lambda job: pod(job).update(imagePullSecrets=[{"name": "hub"}]),
    "root": lambda job: pod(job)["securityContext"].update(runAsUser=0),
    "root in the container": lambda job: container(job)["securityContext"].update(runAsUser=0),
    "root's group": lambda job: pod(job)["securityContext"].update(runAsGroup=0),
    "a foreign group": lambda job: pod(job)["securityContext"].update(supplementalGroups=[0]),
    "any system call": lambda job: pod(job)["securityContext"].update(
        seccompProfile={"type": "Unconfined"}
    ),
    "no security context": lambda job: pod(job).pop("securityContext"),
    "privileges": lambda job: container(job)["securityContext"].update(privileged=True),
    "escalation": lambda job: container(job)["securityContext"].update(
        allowPrivilegeEscalation=True
    ),
    "a capability": lambda job: container(job)["securityContext"].update(
        capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]}
    ),
    "a writable image": lambda job: container(job)["securityContext"].update(
        readOnlyRootFilesystem=False
    ),
    "privileges before": lambda job: with_an_init_container(
        job, securityContext={"privileged": True}
    ),
    "no limit of memory": lambda job: container(job)["resources"].pop("limits"),
    "no end": lambda job: job["spec"].pop("activeDeadlineSeconds"),
    "a late end": lambda job: job["spec"].update(activeDeadlineSeconds=10**9),
    "many pods, one for each index": lambda job: job["spec"].update(
        completionMode="Indexed",
        completions=100,
        parallelism=100,
        backoffLimitPerIndex=2,
        maxFailedIndexes=0,
    ),
    "many pods": lambda job: job["spec"].update(parallelism=100),
    "no label": lambda job: metadata(job).update(labels={}),
    "the label that leaves the network policy": lambda job: labels(job).pop(
        "app.kubernetes.io/name"
    ),
    "the labels of the hub's pod": lambda job: labels(job).update(
        app="jupyterhub", component="hub", release="geoportal"
    ),
    "the hub's label": lambda job: labels(job).update(
        {"hub.jupyter.org/network-access-hub": "true"}
    ),
    "no limit of cores": lambda job: limits(job).pop("cpu"),
    "no cores, which is without limit": lambda job: limits(job).update(cpu="0"),
    "no memory, which is without limit": lambda job: limits(job).update(memory="0"),
    "no memory in another unit": lambda job: limits(job).update(memory="0Mi"),
    "no GPU, on the nodes that have some": lambda job: with_gpus(job, "0", IMAGES[1]),
    "nothing asked for": lambda job: container(job)["resources"].pop("requests"),
    "less asked for than may be taken": lambda job: container(job)["resources"].update(
        requests={"cpu": "1m", "memory": "1Mi"}
    ),
    "more memory": lambda job: limits(job).update(memory="32769Mi"),
    "more memory in another unit": lambda job: limits(job).update(memory="10000Gi"),
    "more cores": lambda job: limits(job).update(cpu="8001m"),
    "more than it is given": lambda job: container(job)["resources"].update(
        requests={**limits(job), "ephemeral-storage": "1Ti"}
    ),
    "amounts of the whole pod": lambda job: pod(job).update(
        resources={"requests": {"memory": "10000Gi"}}
    ),
    "a device of a plugin": lambda job: limits(job).update({"smarter-devices/fuse": "1"}),
    "a device of a driver": lambda job: pod(job).update(
        resourceClaims=[{"name": "x", "resourceClaimName": "x"}]
    ),
    "more GPUs": lambda job: with_gpus(job, "2", IMAGES[1]),
    "a GPU for the image without": lambda job: with_gpus(job, "1", IMAGES[0]),
    "the nodes with GPUs": lambda job: pod(job).update(
        tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}]
    ),
    "nodes of its choice": lambda job: pod(job).update(
        nodeSelector={"node-role.kubernetes.io/control-plane": ""}
    ),
    "beside a pod of its choice": lambda job: pod(job).update(
        affinity={
            "podAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {"topologyKey": "kubernetes.io/hostname", "labelSelector": {}}
                ]
            }
        }
    ),
    "spread as it likes": lambda job: pod(job).update(
        topologySpreadConstraints=[
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"component": "singleuser-server"}},
            }
        ]
    ),
    "a scheduler of its own": lambda job: pod(job).update(schedulerName="mine"),
    "names of its own": lambda job: pod(job).update(
        dnsPolicy="None", dnsConfig={"nameservers": ["10.0.0.66"]}
    ),
    "the node's names": lambda job: pod(job).update(dnsPolicy="Default"),
    "a name in the cluster": lambda job: pod(job).update(hostname="x", subdomain="hub"),
    "a folder in memory": lambda job: with_an_empty_folder(job, medium="Memory"),
    "a folder without an end": lambda job: pod(job)["volumes"][1]["emptyDir"].clear(),
    "a large folder": lambda job: with_an_empty_folder(job, sizeLimit="1Ti"),
    "many folders": lambda job: with_another_volume(job, 0, emptyDir={"sizeLimit": "256Mi"}),
    "the storage many times": lambda job: pod(job)["volumes"].append(
        {**pod(job)["volumes"][0], "name": "more"}
    ),
    "a folder of size 0, which is without an end": lambda job: with_an_empty_folder(
        job, sizeLimit="0"
    ),
    "many containers": lambda job: pod(job)["containers"].append(
        {**container(job), "name": "more"}
    ),
    "a sidecar": lambda job: with_an_init_container(job, name="more", restartPolicy="Always"),
    "many attempts": lambda job: job["spec"].update(backoffLimit=10**6),
    "many attempts by default": lambda job: job["spec"].pop("backoffLimit"),
    "attempts that do not count": lambda job: job["spec"].update(
        podFailurePolicy={
            "rules": [{"action": "Ignore", "onExitCodes": {"operator": "NotIn", "values": [0]}}]
        }
    ),
    "another controller": lambda job: job["spec"].update(managedBy="example.org/mine"),
    "again and again": lambda job: pod(job).update(restartPolicy="OnFailure"),
    "many ends": lambda job: job["spec"].update(completions=100),
    "held back, for as long as it likes": lambda job: job["spec"].update(suspend=True),
    "a pod without an end": lambda job: pod(job).pop("activeDeadlineSeconds"),
    "a pod with a late end": lambda job: pod(job).update(activeDeadlineSeconds=10**9),
    "kept for ever": lambda job: job["spec"].pop("ttlSecondsAfterFinished"),
    "kept for long": lambda job: job["spec"].update(ttlSecondsAfterFinished=10**9),
    "never deleted": lambda job: job["metadata"].update(finalizers=["example.org/never"]),
    "a pod never deleted": lambda job: metadata(job).update(finalizers=["example.org/never"]),
    "never ended": lambda job: pod(job).update(terminationGracePeriodSeconds=10**9),
    "shared to write, in so many words": lambda job: shared_mount(job).update(readOnly=False),
    "anybody": lambda job: pod(job)["securityContext"].pop("runAsNonRoot"),
    "anybody, in so many words": lambda job: pod(job)["securityContext"].update(
        runAsNonRoot=False
    ),
    "anybody in the container": lambda job: container(job)["securityContext"].update(
        runAsNonRoot=False
    ),
    "root's group in the container": lambda job: container(job)["securityContext"].update(
        runAsGroup=0
    ),
    "capabilities that are kept": lambda job: container(job)["securityContext"].update(
        capabilities={"drop": ["NET_RAW"]}
    ),
    "any system call in the container": lambda job: container(job)["securityContext"].update(
        seccompProfile={"type": "Unconfined"}
    ),
    "no AppArmor": lambda job: pod(job)["securityContext"].update(
        appArmorProfile={"type": "Unconfined"}
    ),
    "no AppArmor in the container": lambda job: container(job)["securityContext"].update(
        appArmorProfile={"type": "Unconfined"}
    ),
    "a label of SELinux": lambda job: pod(job)["securityContext"].update(
        seLinuxOptions={"type": "spc_t"}
    ),
    "a label of SELinux in the container": lambda job: container(job)["securityContext"].update(
        seLinuxOptions={"type": "spc_t"}
    ),
    "all of /proc": lambda job: container(job)["securityContext"].update(procMount="Unmasked"),
    "a setting of the kernel": lambda job: pod(job)["securityContext"].update(
        sysctls=[{"name": "kernel.msgmax", "value": "65536"}]
    ),
    "a group for its files": lambda job: pod(job)["securityContext"].update(fsGroup=0),
    "all files given to its group, at every start": lambda job: pod(job)["securityContext"].update(
        fsGroupChangePolicy="Always"
    ),
    "all files given to its group by default": lambda job: pod(job)["securityContext"].pop(
        "fsGroupChangePolicy"
    ),
    "all files labelled, at every start": lambda job: pod(job)["securityContext"].update(
        seLinuxChangePolicy="Recursive"
    ),
    "names for addresses": lambda job: pod(job).update(
        hostAliases=[{"ip": "10.0.0.66", "hostnames": ["hub"]}]
    ),
    "the hub's account by its old name": lambda job: pod(job).update(serviceAccount="hub"),
    "a question whether it is ready": lambda job: container(job).update(
        readinessProbe={"httpGet": {"host": "169.254.169.254", "port": 80}}
    ),
    "a question whether it has begun": lambda job: container(job).update(
        startupProbe={"httpGet": {"host": "169.254.169.254", "port": 80}}
    ),
    "another runtime": lambda job: pod(job).update(runtimeClassName="privileged"),
    "the label of another component": lambda job: labels(job).update(
        {"app.kubernetes.io/component": "wps"}
    ),
    "a device": lambda job: container(job).update(
        volumeDevices=[{"name": "storage", "devicePath": "/dev/x"}]
    ),
}


def test_an_honest_job_passes(policy, job):
    assert policy.refusals(job) == []


def test_a_job_for_a_gpu_passes(policy):
    assert policy.refusals(made(Needs(cores=1, memory_mib=1024, gpus=1))) == []


def test_a_job_that_gets_the_most_passes(helm):
    policy = policy_with(helm, mostCores=3, mostMemoryMib=4096, mostGpus=2)
    assert policy.refusals(made(Needs(cores=3, memory_mib=4096, gpus=2))) == []
    assert policy.refusals(made(Needs(cores=3, memory_mib=4097)))
    assert policy.refusals(made(Needs(cores=4, memory_mib=4096)))
    assert policy.refusals(made(Needs(cores=3, memory_mib=4096, gpus=3)))


def test_a_job_passes_to_the_nodes_of_its_placement_alone(helm):
    placement = {
        "cpu": {"nodeSelector": {"pool": "jobs"}, "tolerations": [{"key": "jobs"}]},
        "cuda": {"nodeSelector": {"pool": "gpu"}, "tolerations": [{"key": "gpu"}]},
    }
    policy = policy_with(helm, placement=placement)
    needs = {"cpu": Needs(1, 512), "cuda": Needs(1, 512, gpus=1)}
    for resources in needs.values():
        assert policy.refusals(made(resources, placement)) == []
    swapped = {"cpu": placement["cuda"], "cuda": placement["cpu"]}
    for resources in needs.values():
        assert policy.refusals(made(resources, swapped)) == [
            "a job tolerates the taints of jobs.placement only",
            "a job goes to the nodes of jobs.placement only",
        ]


def test_without_an_image_for_gpus_there_are_none(helm):
    policy = policy_with(helm, cudaImage="")
    assert policy.refusals(made(Needs(cores=1, memory_mib=512))) == []
    assert policy.refusals(made(Needs(cores=1, memory_mib=512, gpus=1)))


@pytest.fixture(scope="module")
def refused(policy):
    """What each hostile job breaks."""
    broken = {}
    for name, change in HOSTILE.items():
        one = made(Needs(cores=1, memory_mib=1024))
        change(one)
        broken[name] = policy.refusals(one)
    return broken


@pytest.mark.parametrize("name", HOSTILE)
def test_what_the_service_has_no_use_for_is_refused(refused, name):
    assert refused[name]


def test_each_rule_is_needed(policy, refused):
    broken = {message for messages in refused.values() for message in messages}
    assert broken == set(policy.messages) - {"only jobs may be created"}


def test_the_policy_refuses_jobs_of_its_namespace_even_when_it_fails(helm):
    manifests = helm.manifests({"jobs": {"cudaImage": IMAGES[1]}})
    (policy,) = (m for m in manifests if m["kind"] == "ValidatingAdmissionPolicy")
    (binding,) = (m for m in manifests if m["kind"] == "ValidatingAdmissionPolicyBinding")
    assert policy["spec"]["failurePolicy"] == "Fail"
    (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]
    assert rule == {
        "apiGroups": ["batch"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
        "resources": ["jobs", "cronjobs"],
    }  # fmt: skip
    namespace = {"kubernetes.io/metadata.name": "geo"}
    assert binding["spec"] == {
        "policyName": policy["metadata"]["name"],
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchLabels": namespace}},
    }


def test_only_the_account_of_the_service_is_judged(policy):
    assert policy.concerns("system:serviceaccount:geo:geoportal-wps")
    assert not policy.concerns("system:serviceaccount:geo:hub")
    assert not policy.concerns("system:serviceaccount:other:geoportal-wps")


IN_PARTS = {
    "more pods": {"completions": 5, "parallelism": 5},
    "pods that wait for one another": {"parallelism": 2},
    "a pod more than ends": {"parallelism": 5},
    "many attempts": {"backoffLimitPerIndex": 3},
    "failures that do not count": {"maxFailedIndexes": 1},
    "an early end": {"successPolicy": {"rules": [{"succeededIndexes": "0"}]}},
    "many attempts of all": {"backoffLimitPerIndex": None},
    "no index": {"completionMode": "NonIndexed"},
}


@pytest.fixture(scope="module")
def policy_of_parts(helm):
    return policy_with(helm, parts=4)


def test_a_job_in_parts_passes_where_the_chart_has_parts(policy_of_parts, policy):
    for count in (2, 4):
        job = made(Needs(cores=1, memory_mib=1024), parts=count)
        assert policy_of_parts.refusals(job) == []
        assert policy.refusals(job)


@pytest.mark.parametrize("how", IN_PARTS)
def test_a_job_in_parts_gets_no_more(policy_of_parts, how):
    job = made(Needs(cores=1, memory_mib=1024), parts=4)
    job["spec"] |= IN_PARTS[how]
    job["spec"] = {name: value for name, value in job["spec"].items() if value is not None}
    assert policy_of_parts.refusals(job)


def test_parts_on_gpus_are_not_admitted(policy_of_parts):
    assert policy_of_parts.refusals(made(Needs(cores=1, memory_mib=1024, gpus=1), parts=4))
