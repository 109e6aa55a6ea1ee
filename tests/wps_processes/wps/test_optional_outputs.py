"""Outputs that a call may be without, and files that lie beside an output."""

import pytest
from birdy import WPSClient

from landcover.operation import MAX_PATHS
from tests.wps_processes.test_lists import HEADERS, over_http
from tests.wps_processes.test_service import sentence, texts
from tests.wps_processes.web.test_pages import Browser

KVP = {"service": "WPS", "version": "1.0.0", "request": "Execute", "identifier": "draw-something"}
BESIDE = ["drawing.csv.aux.xml", "drawing.qml"]


@pytest.fixture
def wps(made):
    return made()


def outputs(document):
    return texts(document, "//wps:ProcessOutputs/wps:Output/ows:Identifier/text()")


def test_an_output_is_given_only_if_asked_for(wps):
    assert outputs(wps.execute("draw-something")) == ["drawing"]
    assert set(wps.jobs()[0]["outputs"]) == {"drawing"}
    assert outputs(wps.execute("draw-something", sketch="true")) == ["drawing", "sketch"]
    (job, *_) = wps.jobs()
    assert wps.get(f"outputs/{job['id']}/sketch.csv").text == "sketch.csv"
    assert outputs(wps.get(**KVP, datainputs="sketch=true", responsedocument="sketch")) == [
        "sketch"
    ]


def test_a_client_that_wants_what_it_did_not_ask_for_is_told(wps):
    assert wps.get(**KVP, datainputs="sketch=true", rawdataoutput="sketch").data == b"sketch.csv"
    refused = wps.get(**KVP, datainputs="sketch=false", rawdataoutput="sketch")
    assert "the job gave no sketch: its inputs did not ask for it" in sentence(refused)
    document = wps.get(**KVP, datainputs="sketch=false", responsedocument="sketch")
    assert texts(document, "//wps:ProcessSucceeded") != []
    assert outputs(document) == []


@pytest.mark.filterwarnings("ignore:The use of .username.:DeprecationWarning")
def test_birdy_does_without(wps):
    with over_http(wps) as url:
        client = WPSClient(url, headers=HEADERS)
        assert client.draw_something().get()._fields == ("drawing",)
        assert client.draw_something(sketch=True).get().sketch.endswith("/sketch.csv")


def test_what_lies_beside_an_output_is_on_the_page_and_served(wps):
    wps.execute("draw-something")
    (job,) = wps.jobs()
    page = Browser(wps, "anna").open(f"jobs/{job['id']}.html")
    links = {link.text_content(): link.get("href") for link in page.page.xpath("//dd//a")}
    assert set(links) >= {"drawing.csv", *BESIDE}
    for name in BESIDE:
        assert page.open(links[name]).answer.text == name
        assert "attachment" in page.answer.headers["Content-Disposition"]
    assert "sketch" not in page.open(f"jobs/{job['id']}.html").answer.text.split("Inputs")[0]


def test_of_a_failed_job_nothing_is_left_beside_either(wps):
    assert "fails is true" in sentence(wps.execute("draw-something", sketch="true", fails="true"))
    (job,) = wps.jobs()
    left = {path.name for path in (wps.root / "users/anna/jobs" / job["id"]).iterdir()}
    assert not left & {"drawing.csv", "sketch.csv", *BESIDE}


def test_models_for_a_scene_are_a_list(wps):
    described = wps.get(
        service="WPS", version="1.0.0", request="DescribeProcess", identifier="classify-scene"
    )
    by_input = dict(
        zip(
            texts(described, "//Input/ows:Identifier/text()"),
            texts(described, "//Input/@maxOccurs"), strict=True,
        )
    )  # fmt: skip
    assert by_input["model"] == str(MAX_PATHS)
    assert {by_input[name] for name in ("scene", "area", "layer", "probabilities")} == {"1"}
    page = Browser(wps, "anna").open("processes/classify-scene").page
    assert page.xpath("//textarea[@name='model']") != []
    assert page.xpath("//input[@name='probabilities'][@type='checkbox']") != []
    assert page.xpath("//input[@name='area']") != []
