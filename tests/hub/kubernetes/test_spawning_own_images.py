"""Images that users bring, in a cluster, end to end: from the form to the server in the image."""

import re
import shutil

import pytest

from hub.local.client import sign_in
from tests.hub.kubernetes.hub_in_cluster import LIGHT, SECONDS, hub_in_cluster
from tests.stand_ins.kubernetes import Image
from tests.stand_ins.registry import served

needs_compiler = pytest.mark.skipif(not shutil.which("cc"), reason="makes a driver in C")
pytestmark = pytest.mark.e2e

CPU = {"slug": "cpu", "title": "CPU", "image": "geo:1", "cores": 1, "memory": "2G"}
PROFILES = [
    CPU,
    CPU | {"slug": "gpu", "title": "GPU", "gpus": 1},
    CPU | {"slug": "own", "title": "Own", "own_image": True},
    CPU | {"slug": "own-gpu", "title": "Own with a GPU", "own_image": True, "gpus": 1},
]
OWN = "image--unlisted-choice"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with served(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture(scope="module")
def hub(tmp_path_factory, registry):
    listed = {"name": f"{registry.host}/team", "internal": True}
    own_images = {"registries": [listed | {"authority": str(registry.authority)}], "largest": "1G"}
    folder = tmp_path_factory.mktemp("hub")
    with hub_in_cluster(folder, profiles=PROFILES, own_images=own_images) as hub:
        hub.cluster.registry["geo:1"] = LIGHT
        yield hub


@pytest.fixture
def bring(hub, registry):
    """Put an image into the registry, with the programs that are in it; return its names."""

    def bring(name, user="1000", **programs):
        part = registry.put_image(f"team/{name}:1", user=user)
        pinned = f"{registry.host}/team/{name}@{part['digest']}"
        scripts = {program: f"#!/bin/sh\n{line}\n" for program, line in programs.items()}
        hub.cluster.registry[pinned] = Image(
            entrypoint=("false",), environment={"HOME": "/nowhere"}, programs=scripts
        )
        return f"{registry.host}/team/{name}:1", pinned

    return bring


def said(hub, name):
    """Return all that the page of the start says until it has ended."""
    return [event["message"] for event in hub.told(name)]


def pod(hub, name):
    return hub.cluster.pod(f"jupyter-{name}")


def choose(hub, user, name):
    """Fill in the form as a browser does."""
    with sign_in(hub.url, user, hub.password) as browser:
        address = f"{hub.url}/hub/spawn/{user}"
        page = browser.get(address, timeout=SECONDS).text
        assert 'name="profile-option-own--image"' in page
        assert 'name="profile-option-cpu--image"' not in page
        form = {"profile": "own", f"profile-option-own--{OWN}": name}
        form["_xsrf"] = browser.cookies["_xsrf"]
        answer = browser.post(address, data=form, timeout=SECONDS, allow_redirects=False)
        assert answer.status_code == 302, answer.text


def test_own_image_is_looked_at_and_started_as_the_portals_user(hub, bring):
    name, pinned = bring("notebook", user="root")
    choose(hub, "anna", name)
    told = said(hub, "anna")
    assert any(s.startswith(f"{name} is there, 3.") for s in told), told
    assert "It was made to run as root and runs as 1000:100: what needs root fails." in told
    server = f"{hub.url}/user/anna/api/status"
    assert hub.session("anna").get(server, timeout=SECONDS).json()["kernels"] == 0

    spec = pod(hub, "anna")["spec"]
    (notebook,), (check,) = spec["containers"], spec["initContainers"]
    assert spec["automountServiceAccountToken"] is False
    for container in (notebook, check):
        assert container["image"] == pinned
        rights = container["securityContext"]
        assert (rights["runAsUser"], rights["runAsGroup"]) == (1000, 100)
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["capabilities"] == {"drop": ["ALL"]}
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert {"name": "HOME", "value": "/home/jovyan"} in notebook["env"]
    ended = pod(hub, "anna")["status"]["initContainerStatuses"][0]["state"]["terminated"]
    assert ended["message"].startswith("The image has JupyterHub 5.")


def test_own_image_on_its_way_is_told_with_the_size_that_its_registry_says(hub, bring):
    name, pinned = bring("large", **{"jupyterhub-singleuser": "exit 127"})
    hub.cluster.registry[pinned].pulling = True
    hub.ask("ivan", profile="own", **{OWN: name})
    told = []
    for event in hub.told("ivan"):
        told.append(event["message"])
        if "is being fetched" in told[-1]:
            break
    hub.cluster.registry[pinned].pulling = False
    (size,) = re.findall(r"is there, (\S+ \S+) to download", " ".join(told))
    assert told[-1].startswith(f"The image {pinned} ({size}) is being fetched to node-1.")


def refusal(hub, user, **options):
    hub.ask(user, **options)
    return said(hub, user)[-1]


def test_image_from_elsewhere_is_refused_before_there_is_a_pod(hub, registry):
    name = f"{registry.host}/others/image:1"
    told = refusal(hub, "bert", profile="own", **{OWN: name})
    assert f"{name} is not from where images may come from" in told
    assert "jupyter-bert" not in [p["metadata"]["name"] for p in hub.cluster.find("pods")]


def test_missing_image_is_told(hub, registry):
    told = refusal(hub, "carl", profile="own", **{OWN: f"{registry.host}/team/none:1"})
    assert "team/none:1 is not there, or not for everybody" in told


@pytest.mark.parametrize("wrong", ["{value}", {"a": 1}, "https://x/y", "a b"])
def test_what_is_no_name_is_told(hub, wrong):
    told = refusal(hub, "dora", profile="own", **{OWN: wrong})
    assert "is no name of an image" in told


def test_profile_that_offers_no_own_image_takes_none(hub, bring):
    name, _ = bring("sneaked")
    hub.ask("emil", profile="cpu", **{OWN: name})
    list(hub.told("emil"))
    spec = pod(hub, "emil")["spec"]
    assert spec["containers"][0]["image"] == "geo:1"
    assert "initContainers" not in spec
    assert hub.api("emil", "DELETE", "users/emil/server").ok


def test_image_without_a_server_is_told_what_to_add(hub, bring):
    name, _ = bring("bare", **{"jupyterhub-singleuser": "exit 127"})
    told = refusal(hub, "fred", profile="own", **{OWN: name})
    assert "jupyterhub-singleuser does not start: add pip install 'jupyterhub==5." in told
    hub.cluster.wait_for("pods", lambda p: "deletionTimestamp" in p["metadata"])


@needs_compiler
def test_image_of_a_profile_is_looked_into_where_there_are_gpus(hub):
    hub.cluster.nodes[0].gpus = 1
    hub.ask("hugo", profile="gpu")
    told = said(hub, "hugo")
    assert any("torch" in s and "The server has started" in s for s in told), told
    (check,) = pod(hub, "hugo")["spec"]["initContainers"]
    assert check["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert hub.api("hugo", "DELETE", "users/hugo/server").ok


@needs_compiler
def test_torch_for_a_newer_driver_is_told(hub, bring, tmp_path):
    hub.cluster.nodes[0].gpus = 1
    server = {"jupyterhub-singleuser": "echo 5.5.4", "jupyter-lab": "true"}
    name, _ = bring("torch", **server, python3="echo 12.8 13.0")
    told = refusal(hub, "gina", profile="own-gpu", **{OWN: name})
    assert "torch is built for CUDA 13.0, and the node's driver goes up to CUDA 12.8" in told
