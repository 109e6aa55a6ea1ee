"""Names of images: read as engines read them, or refused; a listed place is no mere beginning."""

import pytest

from hub.errors import ImageRefused
from hub.kubernetes.own_images.names import ImageName, Place

DIGEST = f"sha256:{'0123456789abcdef' * 4}"


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("ubuntu", "docker.io/library/ubuntu:latest"),
        ("ubuntu:24.04", "docker.io/library/ubuntu:24.04"),
        ("team/image", "docker.io/team/image:latest"),
        ("index.docker.io/team/image:1", "docker.io/team/image:1"),
        ("ghcr.io/a/b/c:v1.0", "ghcr.io/a/b/c:v1.0"),
        ("localhost/image", "localhost/image:latest"),
        ("localhost:5000/image:1", "localhost:5000/image:1"),
        ("registry:5000/image", "registry:5000/image:latest"),
        ("10.0.0.1/image", "10.0.0.1/image:latest"),
        ("ghcr.io/a/b__c-d--e.f:_x", "ghcr.io/a/b__c-d--e.f:_x"),
        (f"ghcr.io/a/b@{DIGEST}", f"ghcr.io/a/b@{DIGEST}"),
        (f"ghcr.io/a/b:1@{DIGEST}", f"ghcr.io/a/b@{DIGEST}"),  # the digest decides
    ],
)
def test_name_is_read_as_engines_read_it(text, full):
    assert str(ImageName.read(text)) == full


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ubuntu",
        "ubuntu\n",
        "Ubuntu",
        "GHCR.io/a/b",
        "https://ghcr.io/a/b",
        "ghcr.io//b",
        "ghcr.io/a/../b",
        "ghcr.io/a/b/",
        "ghcr.io/",
        "user@ghcr.io/a/b",
        "user:password@ghcr.io/a/b",
        "ghcr.io:port/a",
        "[::1]:5000/a",
        "ghcr.io/a?b",
        "ghcr.io/a#b",
        "ghcr.io/a%2fb",
        "ghcr.io/a:b:c",
        "ghcr.io/a:" + "t" * 129,
        "ghcr.io/a@sha256:123",
        f"ghcr.io/a@{DIGEST}{DIGEST}",
        "ghcr.io/á",
        "gһcr.io/a",  # a Cyrillic letter
        "ghcr.io/a:{value}",
        "a" * 500,
        None,
        ["ubuntu"],
        {"image": "ubuntu"},
    ],
)
def test_what_is_no_plain_name_is_refused(text):
    with pytest.raises(ImageRefused, match=r"is no name of an image, needs something like"):
        ImageName.read(text)


def test_long_name_is_refused_at_once():
    with pytest.raises(ImageRefused):
        ImageName.read("a-" * 10**6)


@pytest.mark.parametrize(
    ("place", "image", "within"),
    [
        ("ghcr.io", "ghcr.io/anybody/image", True),
        ("ghcr.io/team", "ghcr.io/team/image", True),
        ("ghcr.io/team", "ghcr.io/team/deep/image", True),
        ("ghcr.io/team/image", "ghcr.io/team/image:1", True),
        ("ghcr.io/team", "ghcr.io/teammate/image", False),
        ("ghcr.io/team", "ghcr.io/team", True),
        ("ghcr.io/team/image", "ghcr.io/team", False),
        ("ghcr.io", "ghcr.io.example.org/image", False),
        ("ghcr.io", "ghcr.io:8443/image", False),
        ("docker.io/library", "ubuntu", True),
        ("docker.io/team", "library/ubuntu", False),
        ("docker.io", "team/image", True),
        ("localhost:5000", "localhost:5000/image", True),
    ],
)
def test_place_holds_whole_parts_of_paths(place, image, within):
    assert Place.read(place).holds(ImageName.read(image)) is within


@pytest.mark.parametrize(
    "text", ["", "https://ghcr.io", "ghcr.io/", "GHCR.io", "ghcr.io/Team", "*.io", "a b", "a/*"]
)
def test_place_is_plain(text):
    with pytest.raises(ValueError, match="is no registry"):
        Place.read(text)
