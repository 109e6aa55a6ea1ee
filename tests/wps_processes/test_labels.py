"""An input that takes a word or the name of a file: the rules of label-by-color."""

import json

import pytest

from tests.landcover.scenes.auto_labels.ice import classes, picture, write_picture
from tests.wps_processes.test_service import sentence, texts
from tests.wps_processes.web.test_pages import Browser

RULES = {"classes": [{"name": "dark", "ranges": {"V": [0, 110]}},
                     {"name": "light", "ranges": {"V": [111, 255]}}]}  # fmt: skip


@pytest.fixture
def wps(start):
    wps = start()
    folder = wps.root / "users" / "anna"
    folder.mkdir(parents=True, exist_ok=True)
    write_picture(folder / "ice.tif", picture(classes(64)))
    (folder / "own.json").write_text(json.dumps(RULES))
    return wps


def test_a_named_set_is_no_name_of_a_file(wps):
    described = wps.get(
        service="WPS", version="1.0.0", request="DescribeProcess", identifier="label-by-color"
    )
    assert b"sea-ice, or the name of a file in the storage" in described.data
    form = Browser(wps, "anna").open("processes/label-by-color").page
    offered = form.xpath("//datalist[@id='names-rules']/option/@value")
    assert offered == ["sea-ice", "home/own.json"]
    answer = wps.execute("label-by-color", scenes=["home/ice.tif"], rules="sea-ice")
    assert texts(answer, "//wps:ProcessSucceeded") != [], answer.data
    (job,) = wps.jobs()
    assert job["inputs"]["rules"] == "sea-ice"
    assert job["outputs"]["labelled"]["value"] == 1
    assert job["outputs"]["labels"]["name"] == f"home/jobs/{job['id']}/labels"
    assert (wps.root / f"users/anna/jobs/{job['id']}/labels/ice.tif").is_file()


def test_rules_of_ones_own_are_a_file_in_the_storage(wps):
    answer = wps.execute(
        "label-by-color", scenes=["home/ice.tif"], rules="home/own.json", calibrate="none"
    )
    assert texts(answer, "//wps:ProcessSucceeded") != [], answer.data
    (job,) = wps.jobs()
    report = wps.get(job["outputs"]["report"]["href"].split("/wps/")[1])
    assert "own.json" in report.text
    answer = wps.execute("label-by-color", scenes=["home/ice.tif"], rules="home/none.json")
    assert "there is no home/none.json" in sentence(answer)
