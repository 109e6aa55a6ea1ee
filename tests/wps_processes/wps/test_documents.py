"""Whether the documents are those of OGC 05-007r7, by its schemas.

They are not ours to copy: OGC_SCHEMAS names a folder with `wps/1.0.0`, `ows/1.1.0` and
`w3c` (the files of http://www.w3.org/), as schemas.opengis.net offers them.
"""

import os
from pathlib import Path

import pytest
from lxml import etree

from tests.wps_processes.conftest import EXECUTE
from tests.wps_processes.test_service import EXTRACT, KVP, LITERAL, by_kvp, started, texts, wait

FOLDER = os.environ.get("OGC_SCHEMAS")
HOSTS = {"http://schemas.opengis.net/": "", "http://www.w3.org/": "w3c/"}


class Mirror(etree.Resolver):
    def resolve(self, url, public_id, context):
        for host, below in HOSTS.items():
            if url.startswith(host):
                file = Path(FOLDER, below, url.removeprefix(host))
                return self.resolve_filename(str(file), context)
        return None


@pytest.fixture(scope="module")
def assert_valid():
    if FOLDER is None:
        pytest.skip("OGC_SCHEMAS names no folder with the schemas")
    parser = etree.XMLParser()
    parser.resolvers.add(Mirror())
    schema = etree.XMLSchema(etree.parse(Path(FOLDER, "wps/1.0.0/wpsAll.xsd"), parser))
    return lambda answer: schema.assertValid(etree.fromstring(answer.data))


def test_descriptions_are_valid(wps, assert_valid):
    assert_valid(wps.get(service="WPS", request="GetCapabilities"))
    assert_valid(
        wps.get(service="WPS", request="DescribeProcess", version="1.0.0", identifier="ALL")
    )


def test_answers_are_valid(wps, assert_valid):
    assert_valid(by_kvp(wps))
    assert_valid(by_kvp(wps, lineage="true", responsedocument="counts@asReference=false;total"))
    job, accepted = started(wps)
    assert_valid(accepted)
    wait(wps, job)
    assert_valid(wps.get(f"status/{job}.xml"))
    assert_valid(wps.execute("extract-samples", **EXTRACT, class_field="none"))


def test_a_waiting_and_a_running_job_are_valid(start, assert_valid):
    wps = start(running=False)
    job, accepted = started(wps)
    assert_valid(accepted)
    wps.ledger.progress(wps.ledger.claim(), 40, "cutting")
    running = wps.get(f"status/{job}.xml")
    assert_valid(running)
    assert texts(running, "//wps:ProcessStarted/@percentCompleted") == ["40"]


def test_lists_and_remarks_are_valid(made, assert_valid):
    wps = made()
    assert_valid(
        wps.get(service="WPS", request="DescribeProcess", version="1.0.0", identifier="ALL")
    )
    for name in "ab":
        (wps.root / f"users/anna/{name}.csv").write_text(name)
    asked = KVP | {"identifier": "join-tables", "lineage": "true", "responsedocument": "count"}
    assert_valid(wps.get(**asked, datainputs="tables=home/a.csv;tables=home/b.csv"))
    refused = wps.get(**asked, datainputs="tables=home/a.csv;tables=home/a.csv")
    assert_valid(refused)
    hostile = LITERAL.format("sentence", "&lt;b&gt;&#9;&amp; ]]&gt;")
    body = EXECUTE.format(identifier="make-remarks", inputs=hostile, form="")
    remarked = wps.post(body)
    assert_valid(remarked)
    assert texts(remarked, "//wps:ProcessSucceeded/text()") == [r"done. <b>\t& ]]>."]


@pytest.mark.parametrize("identifier", ["dig", "extract-samples"])
def test_refusals_are_valid(wps, assert_valid, identifier):
    body = EXECUTE.format(identifier=identifier, inputs=LITERAL.format("x", "y"), form="")
    assert_valid(wps.post(body))
