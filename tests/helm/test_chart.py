"""The values are few, explained, and all that the templates use; the settings are valid."""

import re
from pathlib import Path

import pytest
import yaml

from hub.settings import Settings

CHART = Path(__file__).parents[2] / "helm/geoportal"
VALUES = (CHART / "values.yaml").read_text()


def test_values_are_few_and_each_stands_under_its_comment():
    lines = VALUES.splitlines()
    assert len(lines) <= 150
    for above, line in zip(["", *lines], lines, strict=False):
        if re.match(r"\s*(- )?\w+:", line):
            assert above.strip().startswith("#"), line


@pytest.mark.parametrize("template", sorted((CHART / "templates").iterdir()), ids=lambda p: p.name)
def test_templates_use_values_that_exist(template):
    values = yaml.safe_load(VALUES)
    for path in re.findall(r"\.Values\.([\w.]+)", template.read_text()):
        found = values
        for key in path.split("."):
            assert key in found, f"{path} in {template.name}"
            found = found[key]


def test_the_hubs_settings_in_the_values_are_valid():
    settings = Settings.model_validate(yaml.safe_load(VALUES)["jupyterhub"]["custom"]["geoportal"])
    assert settings.spawner.claim == yaml.safe_load(VALUES)["storage"]["claim"]
    assert settings.wps.url == "http://geoportal-wps:8080"


def test_hub_and_images_speak_of_one_jupyterhub():
    constraints = (CHART.parents[1] / "constraints.txt").read_text()
    assert re.search(r"^jupyterhub==5\.5\.", constraints, re.MULTILINE)
