"""The chart, judged without helm: its values, and what its templates ask of them."""

import re
from pathlib import Path

import pytest
import yaml

from hub.auth import tokens
from hub.settings import Settings
from landcover.operations import OPERATIONS
from tests.helm.conftest import CLOUD
from wps_processes.runners.needs import MARGIN_MIB

CHART = Path(__file__).parents[2] / "helm" / "geoportal"
VALUES = (CHART / "values.yaml").read_text(encoding="utf-8")
TEMPLATES = sorted((CHART / "templates").iterdir())
_KEY = re.compile(r"\s*[\w.-]+:(\s|$)")
_ASKED = re.compile(r"\.Values((?:\.\w+)+)")


@pytest.fixture(scope="module")
def values():
    return yaml.safe_load(VALUES)


def given(values):
    """Return the hub's settings of the chart with what a site must add."""
    settings = values["jupyterhub"]["custom"]["geoportal"]
    return settings | {"authenticator": settings["authenticator"] | CLOUD}


def without_comment(text):
    """Return the lines with a key whose line above is no comment."""
    lines = text.splitlines()
    above = ["", *lines]
    return [
        line
        for line, before in zip(lines, above, strict=False)
        if _KEY.match(line) and not before.lstrip().startswith("#")
    ]


def missing(values, path):
    """Return whether a dotted path leads nowhere."""
    for part in path.strip(".").split("."):
        if not isinstance(values, dict) or part not in values:
            return True
        values = values[part]
    return False


@pytest.mark.parametrize("file", ["geoportal/values.yaml", "trial.yaml"])
def test_every_operation_is_given_the_memory_it_needs(file):
    values = yaml.safe_load((CHART.parent / file).read_text(encoding="utf-8"))
    needed = max(operation.needs({}).memory_mib for operation in OPERATIONS)
    assert needed + MARGIN_MIB <= values["jobs"]["mostMemoryMib"]


def test_as_many_jobs_as_the_service_starts_fit_into_their_quota(values):
    at_once = values["jupyterhub"]["custom"]["geoportal"]["wps"]["jobs_at_once"]
    jobs = values["jobs"]
    assert jobs["quota"]["cores"] >= at_once * jobs["mostCores"]
    assert jobs["quota"]["memoryMib"] >= at_once * jobs["mostMemoryMib"]


def test_values_fit_on_two_screens():
    assert len(VALUES.splitlines()) <= 154


def test_every_value_is_explained():
    assert without_comment(VALUES) == []


def test_a_value_without_comment_is_noticed():
    assert without_comment("# why\na: 1\nb:\n  # why\n  c: 2\n") == ["b:"]


def test_chart_names_one_release_of_z2jh_and_its_kubernetes():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    (z2jh,) = chart["dependencies"]
    assert z2jh["name"] == "jupyterhub"
    assert "alias" not in z2jh
    assert re.fullmatch(r"\d+\.\d+\.\d+", z2jh["version"])
    assert chart["kubeVersion"].startswith(">=1.32")


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_template_asks_only_for_values_that_there_are(template, values):
    asked = _ASKED.findall(template.read_text(encoding="utf-8"))
    assert [path for path in asked if missing(values, path)] == []


def test_a_misspelt_value_is_noticed(values):
    assert missing(values, ".wps.stateSise")
    assert not missing(values, ".wps.stateSize")


def test_settings_in_the_chart_are_settings_of_the_hub(values):
    settings = Settings.model_validate(given(values))
    assert settings.spawner.kind == "kubernetes"
    assert settings.profiles


def test_hub_finds_the_wps_where_the_chart_runs_it(values):
    wps = Settings.model_validate(given(values)).wps
    service = (CHART / "templates" / "wps-service.yaml").read_text(encoding="utf-8")
    name = re.search(r"^  name: (\S+)$", service, re.MULTILINE)[1]
    port = re.search(r"^      port: (\d+)$", service, re.MULTILINE)[1]
    assert wps.url == f"http://{name}:{port}"


def test_nothing_but_our_culler_ends_servers(values):
    assert values["jupyterhub"]["cull"] == {"enabled": False}


def test_hub_and_wps_hold_the_same_token(values):
    token = Settings.model_validate(given(values)).wps.token
    deployment = (CHART / "templates" / "wps.yaml").read_text(encoding="utf-8")
    assert "wps" in values["jupyterhub"]["hub"]["services"]
    assert f"secretKeyRef: {{name: hub, key: {token.file.name}}}" in deployment


def test_wps_asks_for_tokens_below_the_api_of_the_hub():
    deployment = (CHART / "templates" / "wps.yaml").read_text(encoding="utf-8")
    (api,) = re.findall(r'name: JUPYTERHUB_API_URL, value: "(\S+)"', deployment)
    (found,) = re.findall(rf'name: {tokens.VARIABLE}, value: "(\S+)"', deployment)
    assert found == tokens.address(api)


def test_default_image_of_users_is_the_one_of_the_first_profile(values):
    image = values["jupyterhub"]["singleuser"]["image"]
    assert image["name"] == values["jupyterhub"]["custom"]["geoportal"]["profiles"][0]["image"]


def test_images_that_z2jh_names_are_of_this_version(values):
    version = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"]
    for part in ("hub", "singleuser"):
        assert values["jupyterhub"][part]["image"]["tag"] == version


def test_hub_reads_the_settings_where_the_chart_mounts_them(values):
    hub = values["jupyterhub"]["hub"]
    (mount, _) = hub["extraVolumeMounts"]
    (volume, _) = hub["extraVolumes"]
    assert hub["extraEnv"]["GEOPORTAL_SETTINGS"] == f"{mount['mountPath']}/settings.yaml"
    assert mount["name"] == volume["name"]
    template = (CHART / "templates" / "settings.yaml").read_text(encoding="utf-8")
    assert f"name: {volume['configMap']['name']}\n" in template
