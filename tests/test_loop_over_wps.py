"""The whole loop through clients that we did not write, on a geoportal started as users do."""

import json
import time

import geopandas
import pytest
import rasterio
import requests
from birdy import WPSClient
from owslib.wps import ASYNC, SYNC, WebProcessingService

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
DEADLINE = 300


def connect(geoportal, token):
    return WebProcessingService(geoportal.wps, headers={"Authorization": f"token {token}"})


def run(wps, identifier, mode=ASYNC, **inputs):
    """Execute, wait, and return outputs by name: storage names for files and folders."""
    outputs = wps.describeprocess(identifier).processOutputs
    execution = wps.execute(
        identifier,
        [(name, str(value)) for name, value in inputs.items()],
        output=[(output.identifier, True) for output in outputs],
        mode=mode,
    )
    deadline = time.monotonic() + DEADLINE
    while not execution.isComplete():
        assert time.monotonic() < deadline, execution.statusMessage
        execution.checkStatus(sleepSecs=0.5)
    assert execution.isSucceded(), [error.text for error in execution.errors]
    return {
        output.identifier: "home/jobs/" + output.reference.split("/outputs/")[1]
        if output.reference
        else output.data[0]
        for output in execution.processOutputs
    }


@pytest.fixture(scope="module")
def loop(geoportal):
    """The loop on the demo scene, as the demo user, with OWSLib."""
    wps = connect(geoportal, geoportal.token)
    scene = "shared/demo/scene.tif"
    done = {}
    done["extract"] = run(
        wps, "extract-samples", scene=scene, labels="shared/demo/labels.gpkg", max_per_class=500
    )
    samples = done["extract"]["samples"]
    done["balance"] = run(wps, "balance-samples", mode=SYNC, samples=samples, threshold=30)
    done["train"] = run(
        wps, "train-classifier", samples=samples, selection=done["balance"]["selection"]
    )
    done["check"] = run(
        wps, "check-radiometry", mode=SYNC, scene=scene, model=done["train"]["model"]
    )
    done["classify"] = run(wps, "classify-scene", scene=scene, model=done["train"]["model"])
    done["assess"] = run(
        wps, "assess-quality", map=done["classify"]["map"],
        reference="shared/demo/reference.gpkg",
    )  # fmt: skip
    done["draw"] = run(
        wps, "draw-reference-sample", mode=SYNC, map=done["classify"]["map"], per_class=20
    )
    done["compare"] = run(
        wps, "compare-maps", first=done["classify"]["map"], second=done["classify"]["map"],
        reference="shared/demo/reference.gpkg",
    )  # fmt: skip
    return done


def in_home(geoportal, name):
    return geoportal.storage / "users" / geoportal.user / name.removeprefix("home/")


def test_points_are_drawn_to_be_labelled_and_a_map_is_no_better_than_itself(geoportal, loop):
    assert loop["draw"]["points"].endswith("/points.gpkg")
    points = geopandas.read_file(in_home(geoportal, loop["draw"]["points"]))
    assert len(points) == int(loop["draw"]["total"]) == 5 * 20
    assert (loop["compare"]["better"], float(loop["compare"]["p_value"])) == ("neither", 1.0)


def test_the_loop_makes_an_honest_map_of_the_demo_scene(geoportal, loop):
    assert loop["extract"]["total"] == "2500"
    assert int(loop["balance"]["after"]) < int(loop["balance"]["before"]) == 2500
    assert 0.45 < float(loop["train"]["accuracy"]) < 0.75  # much more would mean leakage
    assert 0.5 < float(loop["assess"]["accuracy"]) < 0.8
    assert loop["check"]["verdict"] == "ok"
    assert loop["check"]["bands"].endswith("/bands.csv")
    assert int(loop["classify"]["classified"]) == 1536 * 768
    with rasterio.open(in_home(geoportal, loop["classify"]["map"])) as dataset:
        names = [c["name"] for c in json.loads(dataset.tags()["LANDCOVER_LEGEND"])]
    assert names == ["farm", "forest", "meadow", "residential", "water"]


# birdy hands OWSLib arguments that OWSLib wants to give up
@pytest.mark.filterwarnings("ignore:The use of .username.:DeprecationWarning")
def test_birdy_calls_the_same_processes(geoportal, loop):
    headers = {"Authorization": f"token {geoportal.token}"}
    client = WPSClient(geoportal.wps, headers=headers)
    balance = client.balance_samples(samples=loop["extract"]["samples"], threshold=100).get()
    assert balance.before == 2500
    answer = requests.get(balance.selection, headers=headers, timeout=60)
    assert answer.text.startswith("file,index,class,cluster,kept")
    progress = WPSClient(geoportal.wps, headers=headers, progress=True)
    again = progress.balance_samples(samples=loop["extract"]["samples"], threshold=100)
    deadline = time.monotonic() + DEADLINE
    while not again.isComplete():
        assert time.monotonic() < deadline
        again.checkStatus(sleepSecs=0.5)
    assert again.isSucceded()


def test_a_second_user_sees_nothing_of_the_first_one(geoportal, loop):
    job = loop["assess"]["report"].split("/")[2]
    mine = {"Authorization": f"token {geoportal.token}"}
    his = {"Authorization": f"token {geoportal.token_for('boris')}"}
    for path in (f"jobs/{job}", f"status/{job}.xml", f"outputs/{job}/report.html"):
        assert requests.get(geoportal.wps + path, headers=mine, timeout=60).status_code == 200
        assert requests.get(geoportal.wps + path, headers=his, timeout=60).status_code == 404
        assert requests.get(geoportal.wps + path, timeout=60).status_code == 401
    assert requests.get(f"{geoportal.wps}jobs", headers=his, timeout=60).json() == {"jobs": []}
    wps = connect(geoportal, geoportal.token_for("boris"))
    for name in (loop["extract"]["samples"], "home/../demo/jobs", "/etc", "users/demo"):
        with pytest.raises(Exception, match=r"there is no|no storage name"):
            run(wps, "balance-samples", samples=name)


def test_a_browser_opens_a_report_after_signing_in(geoportal, loop):
    job = loop["assess"]["report"].split("/")[2]
    address = f"{geoportal.wps}outputs/{job}/report.html"
    with geoportal.login("demo") as session:
        page = session.get(address, headers={"Accept": "text/html"}, timeout=60)
        assert page.status_code == 200
        assert "What was taken for what" in page.text
        listing = session.get(geoportal.wps, headers={"Accept": "text/html"}, timeout=60)
        assert "assess-quality" in listing.text
        execute = f"{geoportal.wps}?service=WPS&version=1.0.0&request=Execute&identifier=x"
        assert session.get(execute, timeout=60).status_code == 403


def test_many_kilobytes_stream_through_the_proxy_in_parts(geoportal, loop):
    name = loop["train"]["model"].split("/")
    address = f"{geoportal.wps}outputs/{name[2]}/{name[3]}"
    headers = {"Authorization": f"token {geoportal.token}"}
    whole = requests.get(address, headers=headers, timeout=60)
    assert whole.content == in_home(geoportal, loop["train"]["model"]).read_bytes()
    part = requests.get(address, headers=headers | {"Range": "bytes=10-19"}, timeout=60)
    assert (part.status_code, part.content) == (206, whole.content[10:20])
