"""Images that users bring: looked at where they lie, and started as what was looked at."""

import asyncio
import dataclasses
import json

import pytest
from pydantic import ValidationError

from hub.errors import ImageRefused
from hub.kubernetes.own_images import OwnImages
from hub.kubernetes.own_images import registry as client
from hub.kubernetes.own_images.manifests import Unreadable, read_manifest
from hub.kubernetes.own_images.names import ImageName
from tests.portal.test_addresses import Answers
from tests.stand_ins.registry import CONFIG, digest_of, served


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with served(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture(scope="module")
def run():
    """Run a coroutine in a loop that goes on, as a hub's does: TLS ends after the answer."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def registry(running):
    """The stand-in, empty and honest."""
    for one in (running.content, running.moved, running.endless, running.silent, running.status):
        one.clear()
    running.token = running.challenge = None
    running.asked.clear()
    return running


@pytest.fixture
def look(registry, run):
    """A function that looks at an image of the stand-in as a hub does that lists it."""

    def look(image, path="", others=(), internal=True, **settings):
        listed = {"name": f"{registry.host}{path}", "internal": internal, "others": others}
        listed["authority"] = registry.authority
        own_images = OwnImages.model_validate({"registries": [listed]} | settings)
        return run(own_images.checked(f"{registry.host}/{image}", "1000:100"))

    return look


def refused(look, sentence, image="team/image:1", **settings):
    with pytest.raises(ImageRefused, match=sentence):
        look(image, **settings)


def test_image_is_started_as_what_was_looked_at(registry, look):
    part = registry.put_image("team/image:1", layers=(3_000_000, 1_000_000))
    image = look("team/image:1")
    assert image.pinned == f"{registry.host}/team/image@{part['digest']}"
    assert image.size == pytest.approx(4_000_000, rel=0.01)
    assert image.sentences == (f"{registry.host}/team/image:1 is there, 4 MB to download.",)


def test_of_a_list_the_one_for_the_machines_here_is_taken(registry, look):
    arm = registry.put_image("team/image", platform="linux/arm64")
    intel = registry.put_image("team/image", platform="linux/amd64", user="0")
    attestation = registry.put_image("team/image", platform="unknown/unknown", user="x")
    registry.put_index("team/image:1", attestation, arm, intel)
    assert look("team/image:1").pinned.endswith(str(intel["digest"]))
    assert look("team/image:1", platform="linux/arm64").pinned.endswith(str(arm["digest"]))


def test_image_is_found_by_its_digest(registry, look):
    part = registry.put_image("team/image")
    named = f"team/image@{part['digest']}"
    assert look(named).pinned == f"{registry.host}/{named}"


@pytest.mark.parametrize(
    ("user", "sentence"),
    [
        ("", "It was made to run as root and runs as 1000:100: what needs root fails."),
        ("root:root", "It was made to run as root and runs as 1000:100: what needs root fails."),
        ("0", "It was made to run as root and runs as 1000:100: what needs root fails."),
        ("jovyan", "It was made to run as 'jovyan' and runs as 1000:100."),
        ("a\nb", r"It was made to run as 'a\nb' and runs as 1000:100."),
        ("1000", None),
        ("1000:1000", None),
    ],
)
def test_user_of_the_image_is_told_where_it_is_another(registry, look, user, sentence):
    registry.put_image("team/image:1", user=user)
    assert look("team/image:1").sentences[1:] == ((sentence,) if sentence else ())


def test_nobody_brings_an_image_unless_a_registry_is_listed(run):
    assert not OwnImages().offered
    with pytest.raises(ImageRefused, match="choose one on offer"):
        run(OwnImages().checked("ubuntu", "1000:100"))


def test_image_from_elsewhere_is_refused_and_nobody_asked(registry, look):
    registry.put_image("teammate/image:1")
    refused(
        look,
        "not from where images may come from: put it on one of localhost:.*/team, or",
        "teammate/image:1",
        path="/team",
    )
    assert registry.asked == []


def test_missing_image_is_told(look):
    refused(look, "team/image:1 is not there, or not for everybody: check the spelling")


def test_image_for_other_machines_is_told(registry, look):
    registry.put_image("team/image:1", platform="linux/arm64")
    refused(look, "is for linux/arm64, and the machines here are linux/amd64: build it with")
    registry.put_index("team/list:1", registry.put_image("team/list", platform="linux/s390x"))
    refused(look, "is for linux/s390x, and the machines", "team/list:1")


def test_largest_image_is_bounded(registry, look):
    registry.put_image("team/image:1", layers=(30_000_000, 10_000_000))
    look("team/image:1", largest="41M")
    refused(look, "is 40 MB to download, and 39 MB is the most", largest="39M")


def test_token_of_nobody_is_fetched_for_this_image_only(registry, look):
    registry.put_image("team/image:1")
    registry.token = "abc.def"
    assert look("team/image:1").pinned
    (token,) = [path for path in registry.paths if path.startswith("/token")]
    assert token == "/token?scope=repository:team/image:pull&service=stand-in,+the"
    assert {carried for _, path, carried in registry.asked[2:]} == {"Bearer abc.def"}


@pytest.mark.parametrize(
    "realm",
    ["http://localhost/token", "https://elsewhere.test/token", "file:///etc/passwd", "/token",
     "https://localhost:1/token", "https://[::1", "https://localhost:x/", ""],
)  # fmt: skip
def test_token_is_fetched_only_from_hosts_that_are_listed(registry, look, realm):
    registry.put_image("team/image:1")
    registry.token, registry.challenge = "abc", f'Bearer realm="{realm}"'
    refused(look, "(sends elsewhere for .* can list that host|gave an address that is none)")
    assert len(registry.asked) == 1


@pytest.mark.parametrize(
    "challenge", ["", "Bearer", "Bearer realm=", 'Bearer realm="', "Bearer ="]
)
def test_challenge_that_is_none_is_refused(registry, look, challenge):
    registry.put_image("team/image:1")
    registry.token, registry.challenge = "abc", challenge
    refused(look, "(is not there|sends elsewhere)")


def test_password_is_never_given(registry, look):
    registry.put_image("team/image:1")
    registry.token, registry.challenge = "abc", 'Basic realm="here"'
    refused(look, "is not there, or not for everybody")


def test_token_may_come_from_a_listed_host(registry, look):
    registry.put_image("team/image:1")
    registry.token, registry.challenge = "abc", registry.challenge_from(registry.other_host)
    refused(look, "sends elsewhere")
    assert look("team/image:1", others=[registry.other_host]).pinned


@pytest.mark.parametrize("token", ["a\r\nHost: b", "", "x" * 20000])
def test_token_that_is_none_is_refused(registry, look, token):
    registry.put_image("team/image:1")
    registry.token = token or "\n"
    refused(look, "gave no token")


def test_manifest_is_never_fetched_from_elsewhere(registry, look):
    registry.put_image("team/image:1")
    there = f"https://{registry.other_host}/moved/team/image/manifests/1"
    registry.moved["team/image/manifests/1"] = there
    refused(
        look,
        f"sends elsewhere for .*, to {there}: name the image where it lies",
        others=[registry.other_host],
    )
    assert len(registry.asked) == 1


def move_config(registry, host, query=""):
    registry.put_image("team/image:1")
    (blob,) = [path for path in registry.content if "/blobs/" in path]
    registry.moved[blob] = f"{host}/moved/{blob}{query}"
    return blob


def test_redirect_is_refused_unless_its_host_is_listed(registry, look):
    move_config(registry, f"https://{registry.other_host}", "?signature=secret")
    with pytest.raises(ImageRefused, match=f"to https://{registry.other_host}/moved") as refusal:
        look("team/image:1")
    assert "secret" not in str(refusal.value)
    assert len(registry.asked) == 2


def test_blob_from_a_listed_host_is_read_without_the_token(registry, look):
    registry.token = "abc"
    blob = move_config(registry, f"https://{registry.other_host}", "?signature=a%2Fb%2Bc")
    assert look("team/image:1", others=[registry.other_host]).pinned
    last = (registry.other_host, f"/moved/{blob}?signature=a%2Fb%2Bc", None)
    assert registry.asked[-1] == last


@pytest.mark.parametrize(
    "place",
    ["http://localhost:{}", "https://user@localhost:{}", "https://169.254.169.254:{}", "//"],
)
def test_redirect_to_what_is_not_listed_is_not_followed(registry, look, place):
    move_config(registry, place.format(registry.port))
    refused(look, "sends elsewhere")
    assert len(registry.asked) == 2


def test_second_redirect_is_not_followed(registry, look):
    blob = move_config(registry, f"https://{registry.host}")
    registry.moved[blob] = f"https://{registry.host}/v2/{blob}"
    refused(look, "name the image where it lies")


def test_private_address_is_refused_before_anything_is_sent(registry, look):
    registry.put_image("team/image:1")
    refused(
        look,
        r"localhost has the address (127\.0\.0\.1|::1), which is not a public one",
        internal=False,
    )
    assert registry.asked == []


def test_private_address_for_a_name_is_refused(registry, run):
    listed = {"name": registry.other_host, "authority": registry.authority}
    own_images = OwnImages.model_validate({"registries": [listed]})
    with pytest.raises(ImageRefused, match="only the administrator can allow that"):
        run(own_images.checked(f"{registry.other_host}/team/image:1", "1000:100"))
    assert registry.asked == []


def test_name_that_turns_private_meanwhile_gains_nothing(registry, run):
    """The address that was looked at is the one that is connected to: there is no second look."""

    class Turning(Answers):
        looks = 0

        async def resolve(self, host, port=0, family=0):
            self.looks += 1
            self.addresses = ("127.0.0.1",)
            return await super().resolve(host, port, family)

    resolver = Turning("8.8.8.8")
    asked = client.Registry(registry.host, authority=registry.authority, resolver=resolver)
    with pytest.raises(ImageRefused, match="not a public one"):
        run(asked.find(ImageName.read(f"{registry.host}/team/image"), "linux/amd64"))
    assert (resolver.looks, registry.asked) == (1, [])


def test_certificate_is_verified(registry, run):
    asked = client.Registry(registry.host, internal=True)
    with pytest.raises(ImageRefused, match=r"cannot be reached .*Certificate"):
        run(asked.find(ImageName.read(f"{registry.host}/team/image"), "linux/amd64"))


def test_registry_that_is_away_is_told(run):
    asked = client.Registry("localhost:1", internal=True)
    with pytest.raises(ImageRefused, match="localhost:1 cannot be reached"):
        run(asked.find(ImageName.read("localhost:1/image"), "linux/amd64"))


def test_endless_answer_is_cut_off(registry, look):
    registry.put_image("team/image:1")
    registry.endless.add("team/image/manifests/1")
    refused(look, "gave more than an image's description may be long")


def test_answer_that_does_not_come_is_not_waited_for(registry, look, monkeypatch):
    monkeypatch.setattr(client, "_REQUEST_SECONDS", 0.5)
    registry.silent.add("team/image/manifests/1")
    refused(look, "did not answer in time; try again later")


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (404, "is not there"),
        (403, "is not there"),
        (429, "is busy; try"),
        (500, "gave status 500"),
    ],
)
def test_every_other_answer_is_told(registry, look, status, sentence):
    registry.status["team/image/manifests/1"] = status
    refused(look, sentence)


@pytest.mark.parametrize("kind", ["manifests", "blobs"])
def test_what_its_digest_does_not_prove_is_refused(registry, look, kind):
    part = registry.put_image("team/image", user="0")
    other = registry.put_image("team/image", user="jovyan")
    registry.put_index("team/image:1", part)
    manifest, swapped = (
        json.loads(registry.content[f"team/image/manifests/{each['digest']}"])
        for each in (part, other)
    )
    digests = {"manifests": (part["digest"], other["digest"])}
    digests["blobs"] = (manifest["config"]["digest"], swapped["config"]["digest"])
    true, false = (f"team/image/{kind}/{digest}" for digest in digests[kind])
    registry.content[true] = registry.content[false]
    refused(look, "gave something else than its digest says")


def test_image_by_digest_is_that_image(registry, look):
    registry.put_image("team/image:1")
    wanted = digest_of(b"another")
    registry.content[f"team/image/manifests/{wanted}"] = registry.content["team/image/manifests/1"]
    refused(look, "gave another image than its digest says", f"team/image@{wanted}")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "cannot be read, its form"),
        (b"<html>", "cannot be read, its form"),
        (b"[" * 10**6, "cannot be read, its form"),
        (b"[]", "cannot be read"),
        (b'{"schemaVersion": 1}', "cannot be read, schemaVersion in it"),
        (b'{"schemaVersion": 2}', "cannot be read, config in it"),
        (b'{"schemaVersion": 2, "manifests": [], "layers": []}', "a list of images in one"),
        (b'{"schemaVersion": 2, "manifests": []}', "is for no known platform"),
        (
            b'{"schemaVersion": 2, "manifests": [{"digest": "sha256:1", "size": 1}]}',
            "digest in it",
        ),
    ],
)
def test_manifest_that_is_none_is_told(registry, look, content, sentence):
    registry.content["team/image/manifests/1"] = content
    refused(look, sentence)


@pytest.mark.parametrize(
    ("layer", "place"),
    [
        ({"size": -1}, "layers.0.size"),
        ({"size": "1"}, "layers.0.size"),
        ({"size": True}, "layers.0.size"),
        ({"digest": "../../x"}, "layers.0.digest"),
        ({"urls": ["http://169.254.169.254/"]}, "layers.0.urls"),
    ],
)
def test_layer_that_would_lead_a_node_astray_is_refused(registry, look, layer, place):
    honest = {"digest": digest_of(b""), "size": 1}
    registry.put_manifest("team/image:1", honest | {"mediaType": CONFIG}, honest | layer)
    refused(look, f"cannot be read, {place}")


def test_list_within_a_list_is_refused(registry, look):
    inner = {"digest": registry.put_index("team/image:inner"), "size": 1}
    platform = {"os": "linux", "architecture": "amd64"}
    registry.put_index("team/image:1", inner | {"platform": platform})
    refused(look, "gave a list of images within a list")


def test_chart_is_no_image(registry, look):
    part = registry.put("team/image", "blobs", b"{}")
    helm = part | {"mediaType": "application/vnd.cncf.helm.config.v1+json"}
    registry.put_manifest("team/image:1", helm)
    refused(look, "is no image that can be started")


def test_configuration_that_is_none_is_told(registry, look):
    blob = registry.put("team/image", "blobs", b'{"os": "linux"}') | {"mediaType": CONFIG}
    registry.put_manifest("team/image:1", blob)
    refused(look, "cannot be read, architecture in it")


def test_docker_hub_is_asked_where_its_api_is():
    hub = dataclasses.replace(client.Registry("docker.io"), others=frozenset({"auth.docker.io"}))
    assert hub.hosts == {"registry-1.docker.io", "auth.docker.io"}


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"registries": [{"name": "https://ghcr.io"}]}, "is no registry"),
        ({"registries": [{"name": "ghcr.io", "others": ["ghcr.io/x"]}]}, "is no host"),
        ({"registries": [{"name": "ghcr.io", "authority": "/nowhere"}]}, "authority"),
        ({"registries": ["ghcr.io"]}, "registries"),
        ({"largest": "20"}, "largest"),
        ({"platform": "windows/amd64"}, "platform"),
    ],
)
def test_mistake_in_the_settings_is_refused(wrong, place):
    with pytest.raises(ValidationError, match=place):
        OwnImages.model_validate(wrong)


def test_a_list_of_nonsense_costs_one_error():
    with pytest.raises(Unreadable, match="manifests") as refusal:
        read_manifest(json.dumps({"schemaVersion": 2, "manifests": [0] * 100_000}).encode())
    assert refusal.value.__cause__.error_count() == 1
