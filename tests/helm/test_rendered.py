"""The chart as Helm renders it: valid for Kubernetes, locked down, and plain about mistakes."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache

import kubernetes_validate
import pytest
import yaml

from helm.values_schema import schema
from hub.kubernetes.profiles import Profile
from hub.services.quotas import quota_variables
from hub.settings import Settings as HubSettings
from tests.helm.conftest import CHART, NEEDED, TRIAL
from wps_processes.runners.kubernetes.settings import ClusterSettings
from wps_processes.settings import Settings

PAGE = CHART.parent / "README.md"
TRIAL_HUB = {"jupyterhub": {"custom": {"geoportal": {"authenticator": TRIAL}}}}
DATABASE = {"wps": {"databaseSecret": "ours", "replicas": 3}}
IN_THE_WPS = {"jobs": {"runIn": "processes"}}
AS_ROOT = {"storage": {"ownAsRoot": True}}
CHOICES = {
    "as it is": (),
    "a trial": (TRIAL_HUB,),
    "several pods with a database": (DATABASE,),
    "jobs in the service": (IN_THE_WPS,),
    "a volume without a driver": (AS_ROOT,),
    "with a GPU": ({"jobs": {"cudaImage": "geoportal/wps-cuda:0.1.0"}},),
    "a claim of one's own": ({"storage": {"create": False}},),
    "without policies": ({"networkPolicy": {"enabled": False}},),
}


def cloud(**changes):
    """Return values with another Nextcloud."""
    return {"jupyterhub": {"custom": {"geoportal": {"authenticator": changes}}}}


def of_kind(manifests, kind, name=None):
    (found,) = (
        m for m in manifests if m["kind"] == kind and name in (None, m["metadata"]["name"])
    )
    return found


def pods(manifests) -> Iterator[dict]:
    return (m["spec"]["template"]["spec"] for m in manifests if m["kind"] == "Deployment")


@pytest.mark.parametrize("values", CHOICES.values(), ids=CHOICES)
def test_helm_finds_nothing_to_object_to(helm, values):
    done = helm.run("lint", "--strict", values=[NEEDED, *values])
    assert done.returncode == 0, done.stdout + done.stderr


@cache
def check_fields(manifest, version):
    kubernetes_validate.validate(json.loads(manifest), version, strict=True)


@pytest.mark.parametrize("version", ["1.32", "1.37"])
@pytest.mark.parametrize("values", CHOICES.values(), ids=CHOICES)
def test_kubernetes_knows_every_field(helm, values, version):
    for manifest in helm.documents(*values):
        check_fields(json.dumps(manifest), version)  # most are the same whatever is chosen


@pytest.mark.parametrize("values", CHOICES.values(), ids=CHOICES)
def test_nothing_runs_as_root_or_writes_to_its_image(helm, values):
    for pod in pods(helm.manifests(*values)):
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"] + pod["initContainers"]:
            own = container["securityContext"]
            assert own["readOnlyRootFilesystem"]
            assert not own["allowPrivilegeEscalation"]
            assert own["capabilities"]["drop"] == ["ALL"]
            assert container["resources"]["requests"]
            if own.get("runAsUser") == 0:  # asked for, and for this alone
                assert values == (AS_ROOT,)
                assert own["capabilities"]["add"] == ["CHOWN", "FOWNER"]


def test_schema_is_the_one_that_the_settings_give():
    """If this fails: python -m helm.values_schema > helm/geoportal/values.schema.json."""
    assert json.loads((CHART / "values.schema.json").read_text(encoding="utf-8")) == schema()


def test_schema_of_the_settings_is_that_of_the_hub():
    made = schema()
    hub = HubSettings.model_json_schema()
    assert made["$defs"]["Settings"]["properties"] == hub["properties"]
    for name in ("url", "callback_url"):  # empty ones are refused in a sentence
        address = hub["$defs"]["Nextcloud"]["properties"][name]
        address["pattern"] = f"^$|{address['pattern']}"
    for name, kind in hub["$defs"].items():
        assert made["$defs"][name]["properties"].items() >= kind["properties"].items()


def test_a_trial_needs_nothing_but_its_kind(helm):
    written = of_kind(helm.manifests(TRIAL_HUB), "ConfigMap")["data"]["settings.yaml"]
    settings = HubSettings.model_validate(yaml.safe_load(written))
    assert settings.authenticator.kind == "shared-password"


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"wps": {"replica": 2}}, "/wps"),
        ({"jobs": {"runIn": "docker"}}, "/jobs/runIn"),
        ({"storage": {"size": "much"}}, "/storage/size"),
        ({"jupyterhub": {"custom": {"geoprtal": {}}}}, "/jupyterhub/custom"),
        (
            {"jupyterhub": {"custom": {"geoportal": {"profiles": [{"slug": "x", "gpu": 1}]}}}},
            "/jupyterhub/custom/geoportal/profiles/0",
        ),
        (
            {"jupyterhub": {"custom": {"geoportal": {"authenticator": {"ulr": "x"}}}}},
            "/jupyterhub/custom/geoportal/authenticator",
        ),
    ],
)
def test_a_misspelt_value_is_named_by_its_place(helm, values, place):
    assert f"'{place}'" in helm.refusal(values)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"wps": {"replicas": 2}}, "the ledger of jobs is SQLite"),
        (DATABASE | IN_THE_WPS, "several pods are for jobs.runIn kubernetes"),
        (
            {"jupyterhub": {"hub": {"cookieSecret": None}}},
            "jupyterhub.hub.cookieSecret is not set",
        ),
        (
            {"jupyterhub": {"proxy": {"secretToken": None}}},
            "jupyterhub.proxy.secretToken is not set",
        ),
        (
            {"jobs": {"placement": {"cuda": {"tolerations": [{"operator": "Exists"}]}}}},
            "a toleration without a key",
        ),
        ({"jupyterhub": {"hub": {"baseUrl": "/geo/"}}}, "jupyterhub.hub.baseUrl is /geo/"),
        (
            {"jobs": {"quota": {"cores": 4}}},
            "jobs.mostCores is 8, and jobs.quota.cores is 4 for all jobs together",
        ),
        (
            {"jobs": {"quota": {"memoryMib": 1024}}},
            "jobs.mostMemoryMib is 32768, and jobs.quota.memoryMib is 1024",
        ),
        ({"networkPolicy": {"dns": []}}, "networkPolicy.dns is empty"),
        (cloud(url=""), "jupyterhub.custom.geoportal.authenticator.url is not set"),
        (cloud(callback_url=""), "authenticator.callback_url is not set"),
        (
            cloud(url="http://cloud.example.org"),
            "authenticator.url is http://cloud.example.org, on",
        ),
        (
            cloud(callback_url="http://geo.example.org/hub/oauth_callback"),
            "authenticator.callback_url is http://geo.example.org/hub/oauth_callback, on",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_in_a_sentence(helm, values, sentence):
    assert sentence in helm.refusal(values)


def shown(section):
    """Return what the administrator's page shows in YAML, parsed."""
    text = PAGE.read_text(encoding="utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]


def test_the_page_s_own_site_is_one(helm):
    site, *_ = shown("Install")
    manifests = helm.manifests(site)
    (container,) = of_kind(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"{site['wps']['image']}:0.1.0"
    written = of_kind(manifests, "ConfigMap")["data"]["settings.yaml"]
    settings = HubSettings.model_validate(yaml.safe_load(written))
    assert settings.wps.public_url
    assert settings.authenticator.admin_groups


def test_the_page_s_own_authority_keeps_what_the_chart_mounts(helm):
    _site, authority, *_ = shown("Install")
    (pod,) = pods(helm.manifests(authority))
    (mount,) = authority["wps"]["extraVolumeMounts"]
    assert mount in pod["containers"][0]["volumeMounts"]
    ours = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["jupyterhub"]["hub"]
    for name in ("extraVolumes", "extraVolumeMounts"):
        assert authority["jupyterhub"]["hub"][name][:-1] == ours[name]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the page makes secrets by openssl")
def test_the_page_s_own_secrets_are_made_once_and_for_nobody_else(tmp_path):
    text = PAGE.read_text(encoding="utf-8").split("\n## A trial on one node\n")[1]
    block = "helm() { :; }\n" + re.search(r"```sh\n(.*?)```", text, re.DOTALL)[1]
    subprocess.run(["bash", "-euc", block], cwd=tmp_path, check=True)
    secrets = tmp_path / "secrets.yaml"
    made = secrets.read_text()
    assert len(yaml.safe_load(made)["jupyterhub"]["hub"]["cookieSecret"]) == 64
    assert secrets.stat().st_mode & 0o077 == 0
    subprocess.run(["bash", "-euc", block], cwd=tmp_path, check=True)
    assert secrets.read_text() == made


def test_the_page_s_own_profile_is_one():
    ((profile,),) = shown("Add a profile")
    assert Profile.model_validate(profile).gpus == (1,)


IMAGES = {
    "geo/x": "geo/x:0.1.0",
    "registry.example.org:5000/x": "registry.example.org:5000/x:0.1.0",
    "registry.example.org:5000/x:7": "registry.example.org:5000/x:7",
    "geo/x@sha256:" + "a" * 64: "geo/x@sha256:" + "a" * 64,
}


@pytest.mark.parametrize(("named", "image"), IMAGES.items(), ids=[*IMAGES])
def test_an_image_without_a_tag_is_of_this_version(helm, named, image):
    profile = {"slug": "cpu", "title": "x", "image": named, "cores": 1, "memory": "1G"}
    profiles = {"jupyterhub": {"custom": {"geoportal": {"profiles": [profile]}}}}
    manifests = helm.manifests({"wps": {"image": named}, "jobs": {"cudaImage": named}}, profiles)
    (pod,) = pods(manifests)
    assert {c["image"] for c in pod["containers"] + pod["initContainers"]} == {image}
    told = variables_of(manifests)
    assert (told["GEOPORTAL_JOB_IMAGE"], told["GEOPORTAL_JOB_IMAGE_CUDA"]) == (image, image)
    written = of_kind(manifests, "ConfigMap")["data"]["settings.yaml"]
    (offered,) = HubSettings.model_validate(yaml.safe_load(written)).profiles
    assert offered.image == image


def test_the_service_gets_variables_and_volumes_of_the_site(helm):
    env = {"name": "REQUESTS_CA_BUNDLE", "value": "/authority/ca.crt"}
    volume = {"name": "authority", "configMap": {"name": "authority"}}
    mount = {"name": "authority", "mountPath": "/authority", "readOnly": True}
    wps = {"extraEnv": [env], "extraVolumes": [volume], "extraVolumeMounts": [mount]}
    (pod,) = pods(helm.manifests({"wps": wps}))
    (container,) = pod["containers"]
    assert env in container["env"]
    assert volume in pod["volumes"]
    assert mount in container["volumeMounts"]


def test_the_cookie_secret_may_lie_in_a_secret_of_the_site(helm):
    hub = {"cookieSecret": None, "existingSecret": "ours"}
    assert helm.manifests({"jupyterhub": {"hub": hub}})


def test_one_pod_at_a_time_writes_the_ledger(helm):
    deployment = of_kind(helm.manifests(), "Deployment")["spec"]
    assert deployment["replicas"] == 1
    assert deployment["strategy"] == {"type": "Recreate"}
    claim = of_kind(helm.manifests(), "PersistentVolumeClaim", "geoportal-wps-state")
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]


def test_several_pods_share_a_database_and_nothing_else(helm):
    manifests = helm.manifests(DATABASE)
    deployment = of_kind(manifests, "Deployment")["spec"]
    volumes = {v["name"]: v for v in deployment["template"]["spec"]["volumes"]}
    assert deployment["replicas"] == 3
    assert volumes["state"] == {"name": "state", "emptyDir": {}}
    assert volumes["secrets"]["secret"]["secretName"] == "ours"
    assert "geoportal-wps-state" not in [m["metadata"]["name"] for m in manifests]


def test_a_registry_with_a_password_is_one_value(helm):
    secrets = {"jupyterhub": {"imagePullSecrets": ["ours", {"name": "theirs"}]}}
    spec = of_kind(helm.manifests(secrets), "Deployment")["spec"]["template"]["spec"]
    assert spec["imagePullSecrets"] == [{"name": "ours"}, {"name": "theirs"}]


@pytest.mark.parametrize("owned", [False, True])
def test_root_of_the_volume_is_given_away_only_if_asked(helm, owned):
    rendered = helm.manifests({"storage": {"ownAsRoot": owned}})
    spec = of_kind(rendered, "Deployment")["spec"]["template"]["spec"]
    (folders,) = spec["initContainers"]
    assert ("/storage" in folders["args"]) is owned


def test_people_s_files_outlive_the_release(helm):
    for manifest in helm.manifests():
        if manifest["kind"] == "PersistentVolumeClaim":
            assert manifest["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_service_may_touch_jobs_and_read_their_pods(helm):
    (jobs, pods, log) = of_kind(helm.manifests(), "Role")["rules"]
    assert jobs == {
        "apiGroups": ["batch"],
        "resources": ["jobs"],
        "verbs": ["create", "get", "list", "watch", "delete"],
    }
    assert pods["resources"] == ["pods"]
    assert log == {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}
    assert not {"create", "update", "patch", "delete"} & {*pods["verbs"]}


def test_a_service_that_computes_jobs_itself_has_no_account(helm):
    manifests = helm.manifests(IN_THE_WPS)
    assert not {"Role", "ServiceAccount", "ValidatingAdmissionPolicy"} & {
        m["kind"] for m in manifests
    }
    (pod,) = pods(manifests)
    assert not pod["automountServiceAccountToken"]


def variables_of(manifests):
    (container,) = of_kind(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    return {v["name"]: v.get("value") for v in container["env"]}


def test_the_service_reads_the_chart_s_word_on_jobs(helm, tmp_path):
    jobs = {"cudaImage": "geoportal/wps-cuda:0.1.0", "mostCores": 3, "mostMemoryMib": 4096}
    given = variables_of(helm.manifests({"jobs": jobs}))
    read = ClusterSettings.from_environment(given)
    assert (read.image_cuda, read.most_cores, read.most_memory_mib) == tuple(jobs.values())
    assert read.claim == "geoportal-storage"
    assert read.namespace == "geo"
    assert read.placement["cuda"].tolerations
    here = {name: value for name, value in given.items() if value is not None}
    service = Settings.from_environment(here | {"GEOPORTAL_STATE": str(tmp_path)})
    assert (service.jobs_run_in, service.cluster) == ("kubernetes", read)
    assert not {n for n in given if n.startswith("GEOPORTAL_")} - {
        *Settings.variables(), *ClusterSettings.variables(),
    }  # fmt: skip
    told = {name for name in given if name.startswith("GEOPORTAL_JOB_")}
    assert told == {f"GEOPORTAL_JOB_{name.upper()}" for name in ClusterSettings.model_fields}


@pytest.mark.parametrize("quota", ["900M", "50G", "2T"])
def test_the_service_and_the_hub_read_the_same_quota(helm, quota):
    hub = {"jupyterhub": {"custom": {"geoportal": {"spawner": {"home_quota": quota}}}}}
    given = variables_of(helm.manifests(hub))
    assert quota_variables(quota).items() <= given.items()


def test_a_job_speaks_to_the_service_alone(helm):
    policy = of_kind(helm.manifests(), "NetworkPolicy", "geoportal-jobs")["spec"]
    wps = of_kind(helm.manifests(), "Deployment")["spec"]["selector"]["matchLabels"]
    to_wps, to_dns = policy["egress"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy
    assert to_wps == {
        "to": [{"podSelector": {"matchLabels": wps}}],
        "ports": [{"port": "http"}],
    }
    assert {p["port"] for p in to_dns["ports"]} == {53}
    (resolver,) = to_dns["to"]  # the cluster's own, and nobody else who listens there
    assert resolver["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "kube-system"
    }
    assert resolver["podSelector"]["matchLabels"] == {"k8s-app": "kube-dns"}


def test_the_page_s_own_resolvers_are_the_only_ones(helm):
    *_, resolvers = shown("Install")
    manifests = helm.manifests(resolvers)
    for name in ("geoportal-jobs", "geoportal-wps"):
        rules = of_kind(manifests, "NetworkPolicy", name)["spec"]["egress"]
        (asked,) = (rule for rule in rules if {"port": 53, "protocol": "UDP"} in rule["ports"])
        assert asked["to"] == resolvers["networkPolicy"]["dns"]


def test_all_jobs_together_get_no_more_than_the_site_says(helm):
    values = {"jobs": {"quota": {"jobs": 300, "cores": 40, "memoryMib": 100_000}}}
    hub = {"jupyterhub": {"custom": {"geoportal": {"wps": {"jobs_at_once": 5}}}}}
    manifests = helm.manifests(values, hub, DATABASE)  # three services, each with its five
    running = of_kind(manifests, "ResourceQuota", "geoportal-jobs-running")["spec"]
    assert running["scopes"] == ["Terminating"]  # pods with a deadline: jobs' alone
    assert running["hard"] == {
        "pods": "30", "requests.cpu": "40", "requests.memory": "100000Mi",
    }  # fmt: skip
    kept = of_kind(manifests, "ResourceQuota", "geoportal-jobs")["spec"]
    assert kept == {"hard": {"count/jobs.batch": "300"}}


def test_the_service_hears_the_proxy_the_hub_and_jobs_alone(helm):
    policy = of_kind(helm.manifests(), "NetworkPolicy", "geoportal-wps")["spec"]
    (rule,) = policy["ingress"]
    heard = [peer["podSelector"]["matchLabels"] for peer in rule["from"]]
    components = {"component", "app.kubernetes.io/component"}
    assert [labels[key] for labels in heard for key in components & labels.keys()] == [
        "proxy", "hub", "job",
    ]  # fmt: skip
    assert all(list(peer) == ["podSelector"] for peer in rule["from"])
    assert rule["ports"] == [{"port": "http"}]


def test_the_service_tells_whether_it_lives_and_may_be_moved(helm):
    manifests = helm.manifests()
    (pod,) = pods(manifests)
    (container,) = pod["containers"]
    paths = {
        "startupProbe": "health/live",
        "livenessProbe": "health/live",
        "readinessProbe": "health",
    }
    for probe, path in paths.items():
        assert container[probe]["httpGet"] == {"path": f"/services/wps/{path}", "port": "http"}
    assert pod["serviceAccountName"] == "geoportal-wps"
    deployment = of_kind(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert deployment["hub.jupyter.org/network-access-hub"] == "true"
    for manifest in (manifests, helm.manifests(DATABASE)):
        budget = of_kind(manifest, "PodDisruptionBudget")["spec"]
        assert "minAvailable" not in budget
        assert budget["maxUnavailable"] == 1
    claim = of_kind(manifests, "PersistentVolumeClaim", "geoportal-storage")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_secrets_stand_in_no_manifest_of_ours(helm):
    for manifest in helm.manifests(DATABASE):
        text = yaml.safe_dump(manifest)
        assert "c" * 64 not in text
        assert "d" * 64 not in text
