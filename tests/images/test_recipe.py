"""The recipe of the images, judged without a container engine."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.images import test_images
from tests.images.recipe import DOCKERFILE, IMAGES, PINS, ROOT, instructions, normal, stages

TEXT = DOCKERFILE.read_text(encoding="utf-8")
STAGES = stages(TEXT)
README = (IMAGES / "README.md").read_text(encoding="utf-8")
CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = CONFIGURATION["project"]
ROLES = set(re.findall(r"source=/requirements/([\w-]+)\.txt", TEXT))
FINAL = ("hub", "wps", "notebook")
FAMILY = [
    each
    for each in vars(test_images).values()
    if isinstance(each, type) and hasattr(each, "stage")
]
# a name with a top-level domain, in front of a path or a port; org.opencontainers is a label
_HOST = re.compile(r"\b(?:[\w-]+\.)+(?:com|org|net|io|dev|cloud|ru)\b(?=[:/])")


def unpinned(requirements):
    """Return those requirements for whose package constraints.txt names no version."""
    packages = {each: normal(re.match(r"[\w.-]+", each)[0]) for each in requirements}
    return [each for each, package in packages.items() if package not in PINS]


def test_hadolint_finds_nothing():
    hadolint = Path(sys.executable).with_name("hadolint")
    checked = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_base_image_is_named_once_with_its_full_version():
    (base,) = [rest for word, rest in instructions(TEXT) if word == "ARG" and "BASE_IMAGE" in rest]
    assert re.fullmatch(r"BASE_IMAGE=python:3\.\d+\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", base)
    assert base.partition("=")[2] in README
    outside = {stage.parent for stage in STAGES.values()} - set(STAGES)
    assert outside == {"${BASE_IMAGE}"}


@pytest.mark.parametrize("name", FINAL)
def test_image_runs_as_the_user_of_the_storage(name):
    users = STAGES[name].said("USER")
    assert users == ["1000:100"]
    assert STAGES[name].instructions.index(("USER", "1000:100")) > max(
        i for i, (word, _) in enumerate(STAGES[name].instructions) if word in {"RUN", "COPY"}
    )


@pytest.mark.parametrize("name", FINAL)
def test_image_tells_whether_it_is_healthy(name):
    assert len(STAGES[name].said("HEALTHCHECK")) == 1


@pytest.mark.parametrize("path", sorted(IMAGES.rglob("*")), ids=lambda path: path.name)
def test_no_host_of_a_mirror_is_named(path):
    hosts = set(_HOST.findall(path.read_text(encoding="utf-8")))
    assert {host for host in hosts if not host.endswith("example.org")} == set()


@pytest.mark.parametrize(
    "line", ["ARG PIP_INDEX_URL=https://pypi.mirror.net/simple", "FROM ghcr.io/some/python"]
)
def test_a_mirror_in_the_recipe_is_noticed(line):
    assert _HOST.search(line)


def test_engine_fetches_no_front_end_to_read_the_recipe():
    first = TEXT.splitlines()[0]
    assert first.startswith("# ")
    assert "syntax=" not in TEXT.replace(" ", "")


def test_whatever_pip_installs_is_bound_by_the_constraints():
    runs = [run for stage in STAGES.values() for run in stage.said("RUN") if "-m pip " in run]
    commands = [command for run in runs for command in run.split("python -m pip ")[1:]]
    ours = "install --no-deps --no-cache-dir /wheels/*.whl"
    for command in commands:
        assert command.startswith(("install --constraint /constraints.txt ", "wheel ", ours))
    (building,) = [run for run in runs if "-m pip wheel" in run]
    assert "PIP_CONSTRAINT=/constraints.txt python -m pip wheel" in building


def test_constraints_name_a_version_of_all_that_is_installed():
    beside = re.findall(
        r"/requirements\.txt +([a-z][\w -]+)$", "\n".join(STAGES["hub"].said("RUN")), re.MULTILINE
    )
    roles = {"base": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
    needed = [requirement for role in ROLES for requirement in roles[role]]
    assert unpinned([*beside[0].split(), "hatchling", *needed]) == []
    assert beside[0].split() == ["pycurl"]


@pytest.mark.parametrize(
    ("argument", "command"), [("APT_MIRROR", "sh /debian.sh"), ("PIP_INDEX_URL", "pip install -")]
)
@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_stage_that_fetches_knows_the_mirror(stage, argument, command):
    places = [i for i, (word, rest) in enumerate(stage.instructions) if command in rest]
    fetching = [i for i in places if "--no-deps" not in stage.instructions[i][1]]
    if fetching:
        assert stage.instructions.index(("ARG", argument)) < fetching[0]


def test_a_package_without_a_version_is_noticed():
    assert unpinned(["numpy>=2", "no-such-package"]) == ["no-such-package"]


def test_version_of_the_images_is_that_of_the_distribution():
    (labels,) = STAGES["base"].said("LABEL")
    assert f'org.opencontainers.image.version="{PROJECT["version"]}"' in labels


def test_requirements_are_those_of_the_distribution(tmp_path):
    written = tmp_path / "requirements"
    command = [sys.executable, IMAGES / "requirements.py", ROOT / "pyproject.toml", written]
    subprocess.run(command, check=True)
    found = {path.stem: path.read_text(encoding="utf-8").split("\n") for path in written.iterdir()}
    roles = {"base": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
    assert found == {role: [*needed, ""] for role, needed in roles.items()}
    assert roles.keys() >= ROLES


def test_context_holds_what_the_recipe_copies_and_no_more():
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    copied = [
        source
        for stage in STAGES.values()
        for rest in stage.said("COPY")
        for source in rest.split()[:-1]
    ]
    mounted = re.findall(r"type=bind,source=([\w./-]+)", TEXT)
    needed = {source.split("/")[0] for source in [*copied, *mounted]}
    assert needed == {line.split("/")[0] for line in let_in}
    assert let_in & {"images", "."} == set()


def test_the_wheel_is_built_from_all_its_packages():
    packages = CONFIGURATION["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = {rest.split()[0] for rest in STAGES["wheel"].said("COPY")}
    assert {package.split("/")[0] for package in packages} <= copied


@pytest.mark.parametrize("family", FAMILY, ids=lambda family: family.__name__)
def test_tests_are_inherited_as_images_are(family):
    parents = [base for base in family.__mro__[1:] if "stage" in vars(base)]
    nearest = parents[0].stage if parents else "${BASE_IMAGE}"
    assert nearest in {STAGES[family.stage].parent, family.stage}


def test_every_image_has_tests():
    assert set(FINAL) <= {family.stage for family in FAMILY}


@pytest.mark.parametrize("name", FINAL)
def test_readme_draws_and_builds_every_image(name):
    assert re.search(rf"[├└]── {name}\b", README)
    assert f"--target {name} " in README
