"""Servers in a cluster, end to end: who may start what, what runs, and why something does not."""

import base64
import json

import pytest
import requests
from playwright.sync_api import expect

from hub.local.processes import marked
from tests.browser import ARTIFACTS, chromium, give_password, new_page
from tests.hub.kubernetes.hub_in_cluster import CLAIM, LIGHT, SECONDS, hub_in_cluster
from tests.stand_ins.kubernetes import Image, denied, not_found
from tests.stand_ins.kubernetes.node import MARK

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

CPU = {"slug": "cpu", "title": "CPU", "image": "geo:1", "cores": [1, 2], "memory": "2G"}
LIGHTLY = CPU | {"slug": "light", "title": "Light", "image": "light:1"}
PROFILES = [
    LIGHTLY,
    CPU,
    CPU | {"slug": "other", "title": "Another image", "image": "geo:2"},
    LIGHTLY | {"slug": "gpu", "title": "With a GPU", "gpus": 1},
    LIGHTLY | {"slug": "huge", "title": "Huge", "memory": "500G"},
    LIGHTLY | {"slug": "elsewhere", "title": "Elsewhere", "node_selector": {"disk": "fast"}},
    LIGHTLY | {"slug": "lab", "title": "For the lab", "groups": ["lab", "chiefs"]},
    *(
        LIGHTLY | {"slug": name, "title": name, "image": f"geo:{name}"}
        for name in ("missing", "secret", "slow", "broken", "stuck")
    ),
]
BROKEN = Image(
    programs={"jupyterhub-singleuser": "#!/bin/sh\necho No module named jupyterhub\nexit 1"}
)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with hub_in_cluster(tmp_path_factory.mktemp("hub"), profiles=PROFILES) as hub:
        hub.cluster.registry.update(
            {
                "light:1": LIGHT,
                "geo:missing": not_found("geo:missing"),
                "geo:secret": denied("geo:secret"),
                "geo:broken": BROKEN,
                "geo:stuck": Image(pulling=True),
            }
        )
        yield hub


@pytest.fixture(scope="module")
def anna(hub):
    """The address of a real server."""
    hub.ask("anna", profile="cpu", cores="2").raise_for_status()
    return hub.ready("anna")


def failure(hub, name, **options):
    """Ask for a server; return the sentence with which the start ends."""
    asked = hub.ask(name, **options)
    if asked.status_code >= 400:
        return asked.json()["message"]
    *_, last = hub.told(name)
    assert last.get("failed"), last
    return last["message"]


def test_real_server_answers_through_the_proxy(hub, anna):
    session = hub.session("anna")
    assert session.get(f"{anna}api/status", timeout=SECONDS).json()["kernels"] == 0
    note = {"type": "file", "format": "text", "content": "seen"}
    made = session.put(f"{anna}api/contents/notes.txt", json=note, timeout=SECONDS)
    assert made.status_code == 201
    written = hub.cluster.claim(CLAIM) / "users" / "anna" / "notes.txt"
    assert written.read_text() == "seen"
    assert written.stat().st_mode & 0o007 == 0
    (container,) = hub.cluster.pod("jupyter-anna")["spec"]["containers"]
    assert container["resources"]["limits"]["cpu"] == 2


def test_token_of_a_server_is_not_in_its_pod_but_in_a_secret_that_goes_with_it(hub):
    hub.ask("tom", profile="light").raise_for_status()
    hub.ready("tom")
    pod = hub.cluster.pod("jupyter-tom")
    (container,) = pod["spec"]["containers"]
    given = {variable["name"]: variable for variable in container["env"]}
    (secret,) = (
        thing
        for thing in hub.cluster.find("secrets")
        for owner in thing["metadata"].get("ownerReferences") or ()
        if owner["uid"] == pod["metadata"]["uid"]
    )
    token = base64.b64decode(secret["data"]["token"]).decode()
    reference = {"secretKeyRef": {"name": secret["metadata"]["name"], "key": "token"}}
    assert given["JUPYTERHUB_API_TOKEN"] == {
        "name": "JUPYTERHUB_API_TOKEN", "valueFrom": reference,
    }  # fmt: skip
    assert token not in json.dumps(pod)
    assert token not in hub.log
    # it is the one that the server has
    (process,) = marked({MARK: pod["metadata"]["uid"]})
    assert process.environ()["JUPYTERHUB_API_TOKEN"] == token
    who = requests.get(
        f"{hub.url}/hub/api/user", headers={"Authorization": f"token {token}"}, timeout=SECONDS
    )
    assert who.json()["name"] == "tom"
    hub.api("tom", "DELETE", "users/tom/server").raise_for_status()
    hub.cluster.wait_until_gone("secrets", secret["metadata"]["uid"])


def test_first_gets_the_gpu_and_the_second_is_told_since_when_it_waits(hub):
    hub.ask("carl", profile="gpu")
    none = hub.told_of("No GPU is free", "carl")
    assert "asks for 1 (nvidia.com/gpu)" in none
    assert "A profile without a GPU need not wait" in none
    hub.cluster.nodes[0].gpus = 1
    hub.ready("carl")
    hub.ask("dora", profile="gpu")
    told = hub.told_of("No GPU is free", "dora")
    assert "Since " in told
    assert "carl" not in told
    hub.ask("chief", profile="gpu")
    # dora waits too, and holds none
    assert "in use by carl (1). " in hub.told_of("No GPU is free", "chief")
    hub.cluster.nodes[0].gpus = 3
    hub.ready("dora")
    hub.ready("chief")


@pytest.mark.parametrize(
    ("profile", "sentence", "remedy"),
    [
        ("missing", "The image geo:missing does not exist.", "Check its name and tag"),
        ("secret", "The registry does not give the image geo:secret", "if it is private"),
        (
            "broken",
            "exit code 1). Its last lines: “No module named jupyterhub”.",
            "Choose another",
        ),
    ],
)
def test_what_waiting_cannot_mend_ends_in_words(hub, profile, sentence, remedy):
    told = failure(hub, f"of-{profile}", profile=profile)
    assert told.startswith("Spawn failed: ")
    assert sentence in told
    assert remedy in told
    assert sentence in hub.log


@pytest.mark.parametrize(
    ("profile", "sentence"),
    [
        ("huge", "No node fits your server: 1 node lacks memory, 500 GiB asked."),
        ("elsewhere", "1 node not of the kind that the profile wants (node selector or affinity)"),
    ],
)
def test_what_no_node_has_is_named(hub, profile, sentence):
    hub.ask(f"of-{profile}", profile=profile)
    assert sentence in hub.told_of("No node fits", f"of-{profile}")


def test_image_on_its_way_is_told_with_its_size_when_known(hub):
    hub.cluster.registry["geo:slow"] = Image(pulling=True, programs=LIGHT.programs)
    hub.ask("fay", profile="slow")
    assert "geo:slow (of unknown size) is being fetched to node-1." in hub.told_of(
        "fetched", "fay"
    )
    hub.cluster.registry["geo:slow"].pulling = False
    hub.ready("fay")
    hub.cluster.nodes[0].pulled.clear()
    hub.cluster.registry["geo:slow"].pulling = True
    hub.ask("gus", profile="slow")
    assert "geo:slow (734 MB) is being fetched to node-1." in hub.told_of("fetched", "gus")
    hub.cluster.registry["geo:slow"].pulling = False
    hub.ready("gus")


def test_storage_that_is_not_there_is_waited_for(hub):
    hub.cluster.bind(CLAIM, bound=False)
    hub.ask("hal")
    assert f"the volume claim {CLAIM} has no volume yet" in hub.told_of("storage", "hal")
    hub.cluster.bind(CLAIM)
    hub.ready("hal")


def test_cluster_that_is_away_for_a_while_is_waited_for(hub):
    hub.cluster.unavailable = True
    hub.ask("ida")
    told = hub.told_of("The cluster does not answer (503", "ida")
    assert "running servers go on" in told
    hub.cluster.unavailable = False
    hub.ready("ida")


def test_server_put_out_by_its_node_says_so(hub):
    hub.ask("jon", profile="stuck")
    hub.told_of("is being fetched", "jon")
    hub.cluster.evict("jupyter-jon", "The node was low on resource: ephemeral-storage.")
    *_, last = hub.told("jon")
    assert "The node put your server out: The node was low on resource" in last["message"]


def test_used_up_quota_is_told_at_once_and_no_token_is_logged(hub):
    hub.cluster.quota = {"pods": 0}
    told = failure(hub, "kim")
    hub.cluster.quota = {}
    assert "The quota of this cluster is used up" in told
    assert "Stop a server that you do not need" in told
    assert "JUPYTERHUB_API_TOKEN" not in hub.log


def test_what_the_cluster_does_not_admit_is_told(hub):
    hub.cluster.admission = lambda resource, thing: "no images from there"
    told = failure(hub, "lou")
    hub.cluster.admission = lambda resource, thing: None
    assert "Kubernetes does not admit this server" in told
    assert "no images from there" in told


def test_profile_of_a_group_is_for_its_members(hub):
    hub.join("lab", "mia")
    offered = hub.page("ned", "spawn")
    assert "With a GPU" in offered
    assert "For the lab" not in offered
    assert "For the lab" in hub.page("mia", "spawn")
    assert "'lab' is not offered to you" in failure(hub, "ned", profile="lab")
    hub.ask("mia", profile="lab").raise_for_status()
    hub.ready("mia")
    (container,) = hub.cluster.pod("jupyter-mia")["spec"]["containers"]
    mounts = {mount["mountPath"]: mount.get("subPath") for mount in container["volumeMounts"]}
    assert mounts["/home/jovyan/team/lab"] == "team/lab"
    assert (hub.cluster.claim(CLAIM) / "team" / "lab").is_dir()


@pytest.mark.parametrize("profile", ["light", "gpu"])
def test_file_where_a_folder_belongs_is_told(hub, profile):
    name = f"tom-{profile}"
    home = hub.cluster.claim(CLAIM) / "users" / name
    home.mkdir(parents=True)
    (home / "team").touch()
    hub.cluster.nodes[0].gpus = 9
    told = failure(hub, name, profile=profile)
    assert "something that is no folder lies where /home/jovyan/team belongs." in told
    assert "Rename it where your home directory shows without a server" in told
    (home / "team").rename(home / "mine")
    pod = f"jupyter-{name}"
    hub.cluster.wait_for("pods", lambda p: p["metadata"]["name"] == pod, types=("DELETED",))
    hub.ask(name, profile=profile).raise_for_status()
    hub.ready(name)


def test_failures_one_after_another_leave_the_hub_alone(hub, anna):
    hub.cluster.quota = {"pods": 0}
    for _ in range(7):
        assert "quota" in failure(hub, "olga")
    hub.cluster.quota = {}
    hub.ask("olga").raise_for_status()
    hub.ready("olga")
    assert hub.session("anna").get(f"{anna}api/status", timeout=SECONDS).ok


def test_restarted_hub_finds_the_running_server(hub, anna):
    before = hub.cluster.pod("jupyter-anna")["metadata"]["uid"]
    hub.stop()
    hub.start()
    assert hub.session("anna").get(f"{anna}api/status", timeout=SECONDS).ok
    assert hub.ready("anna") == anna
    assert hub.cluster.pod("jupyter-anna")["metadata"]["uid"] == before


def test_stopped_server_is_gone_and_its_files_stay(hub):
    hub.ask("paul").raise_for_status()
    hub.ready("paul")
    pod = hub.cluster.pod("jupyter-paul")["metadata"]["uid"]
    hub.api("paul", "DELETE", "users/paul/server").raise_for_status()
    hub.cluster.wait_until_gone("pods", pod)
    assert (hub.cluster.claim(CLAIM) / "users" / "paul").is_dir()


def test_another_image_shows_the_same_files(hub):
    def kept(server):
        return f"{server}api/contents/kept.txt"

    hub.ask("vera", profile="cpu").raise_for_status()
    written = {"type": "file", "format": "text", "content": "six times seven"}
    hub.session("vera").put(kept(hub.ready("vera")), json=written, timeout=SECONDS)
    first = hub.cluster.pod("jupyter-vera")
    hub.api("vera", "DELETE", "users/vera/server").raise_for_status()
    hub.cluster.wait_until_gone("pods", first["metadata"]["uid"])
    hub.ask("vera", profile="other").raise_for_status()
    again = hub.session("vera").get(kept(hub.ready("vera")), timeout=SECONDS)
    second = hub.cluster.pod("jupyter-vera")
    assert image_of(second) != image_of(first)
    assert again.json()["content"] == written["content"]


def image_of(pod):
    return pod["spec"]["containers"][0]["image"]


@pytest.mark.browser
def test_person_reads_on_the_page_what_is_the_matter(hub):
    with chromium() as browser:
        page = new_page(browser)
        page.goto(f"{hub.url}/hub/login")
        give_password(page, hub, "rosa")
        page.wait_for_url("**/hub/spawn**")
        page.screenshot(path=ARTIFACTS / "profiles.png")
        page.get_by_text("Huge").click()
        page.get_by_role("button", name="Start").click()
        expect(page.locator("#progress-message")).to_contain_text("1 node lacks memory")
        page.screenshot(path=ARTIFACTS / "no-node-fits.png")
        page = new_page(browser)
        page.goto(f"{hub.url}/hub/login")
        give_password(page, hub, "sven")
        page.wait_for_url("**/hub/spawn**")
        page.get_by_text("broken", exact=True).click()
        page.get_by_role("button", name="Start").click()
        expect(page.locator("#progress-message")).to_contain_text("Spawn failed: The server")
        page.screenshot(path=ARTIFACTS / "crashed.png")
