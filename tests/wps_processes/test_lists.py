"""Inputs that are lists of names: by XML, key-value pairs, real clients, forms, and Nextcloud."""

import threading
from contextlib import contextmanager

import pytest
from birdy import WPSClient
from owslib.wps import SYNC, WebProcessingService
from werkzeug.serving import make_server

from landcover.operation import MAX_PATHS
from tests.stand_ins.nextcloud.servers import Server, stood_in
from tests.wps_processes.conftest import EXECUTE, LITERAL
from tests.wps_processes.test_service import sentence, texts
from tests.wps_processes.web.test_pages import Browser
from wps_processes.jobs.folder import FETCHED
from wps_processes.runners.fetching import Fetcher

TABLES = ["home/b.csv", "shared/c.csv", "home/a.csv"]
KVP = {"service": "WPS", "version": "1.0.0", "request": "Execute", "identifier": "join-tables"}


@pytest.fixture
def wps(made):
    return with_tables(made())


def with_tables(wps):
    for name in ("users/anna/a", "users/anna/b", "shared/c"):
        (wps.root / f"{name}.csv").write_text(name[-1])
    return wps


def joined(wps):
    """Return what the newest job has joined."""
    (job, *_) = wps.jobs()
    return wps.get(f"outputs/{job['id']}/joined.csv").text


def test_a_list_is_given_by_repeating_its_input(wps):
    described = wps.get(
        service="WPS", version="1.0.0", request="DescribeProcess", identifier="join-tables"
    )
    assert texts(described, "//Input/@minOccurs") == ["1", "0"]
    assert texts(described, "//Input/@maxOccurs") == [str(MAX_PATHS)] * 2
    assert b'processVersion="7.3"' in described.data
    answer = wps.execute("join-tables", tables=TABLES)
    assert texts(answer, "//wps:ProcessSucceeded") != [], answer.data
    (job,) = wps.jobs()
    assert job["inputs"] == {"tables": TABLES}
    assert job["outputs"]["count"]["value"] == 3
    assert joined(wps) == "bca"


def test_key_value_pairs_repeat_it_too(wps):
    pairs = ";".join(f"tables={name}" for name in TABLES)
    answer = wps.get(
        **KVP, datainputs=f"{pairs};others=home/a.csv", lineage="true", responsedocument="count"
    )
    assert texts(answer, "//wps:Output//wps:LiteralData/text()") == ["4"]
    assert texts(answer, "//wps:DataInputs//wps:LiteralData/text()") == [*TABLES, "home/a.csv"]
    assert joined(wps) == "bca"


def test_one_name_is_a_list_of_one(wps):
    wps.get(**KVP, datainputs="tables=home/a.csv")
    assert wps.jobs()[0]["inputs"]["tables"] == ["home/a.csv"]
    assert joined(wps) == "a"


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ([f"home/{n}.csv" for n in range(MAX_PATHS + 1)], f"has {MAX_PATHS + 1} paths"),
        ([""], "tables is "),
        (["home/a.csv", ""], "tables is "),
        (["home/a.csv", "home/b.csv", "home/a.csv"], "names home/a.csv twice"),
        (["home/a.csv", "home//a.csv"], "names home/a.csv twice"),
        (["home/a.csv", "home/none.csv"], "there is no home/none.csv"),
        (["home/a.csv", "home/../boris/a.csv"], "home/../boris/a.csv"),
        (["home/a.csv", "/etc/passwd"], "/etc/passwd"),
    ],
)
def test_a_wrong_list_is_refused_with_its_input_named(wps, tables, words):
    for answer in (
        wps.execute("join-tables", tables=tables),
        wps.get(**KVP, datainputs=";".join(f"tables={name}" for name in tables)),
    ):
        assert answer.status_code == 400
        assert texts(answer, "//@locator") == ["tables"]
        assert words in sentence(answer)
    assert wps.jobs() == []


def test_each_name_of_a_list_is_the_callers_own(wps):
    answer = wps.execute("join-tables", "boris", tables=["shared/c.csv", "home/a.csv"])
    assert sentence(answer) == "there is no home/a.csv"
    reference = '<wps:Input><ows:Identifier>tables</ows:Identifier><wps:Reference xlink:href="x"/>'
    inputs = LITERAL.format("tables", "home/a.csv") + f"{reference}</wps:Input>"
    answer = wps.post(EXECUTE.format(identifier="join-tables", inputs=inputs, form=""))
    assert "nothing is fetched from URLs" in sentence(answer)


@contextmanager
def over_http(wps):
    server = make_server("127.0.0.1", 0, wps.client.application, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}/services/wps/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


HEADERS = {"Authorization": "token anna"}


def test_owslib_repeats_an_input(wps):
    with over_http(wps) as url:
        client = WebProcessingService(url, headers=HEADERS)
        (tables, _) = client.describeprocess("join-tables").dataInputs
        assert (tables.minOccurs, tables.maxOccurs) == (1, MAX_PATHS)
        pairs = [("tables", name) for name in TABLES]
        done = client.execute("join-tables", pairs, output=[("count", False)], mode=SYNC)
        assert done.isSucceded()
    assert joined(wps) == "bca"


# birdy hands OWSLib arguments that OWSLib wants to give up
@pytest.mark.filterwarnings("ignore:The use of .username.:DeprecationWarning")
def test_birdy_takes_a_list(wps):
    with over_http(wps) as url:
        done = WPSClient(url, headers=HEADERS).join_tables(tables=TABLES).get()
        assert done.count == 3
    assert joined(wps) == "bca"


@pytest.fixture
def anna(wps):
    return Browser(wps, "anna").open("processes/join-tables")


def form_inputs(browser):
    return browser.page.xpath("//textarea[@name='tables']")[0].text.split()


def test_a_form_takes_names_a_line_each_and_is_filled_in_again(wps, anna):
    assert anna.texts("//label[@for='tables']") == ["Tables (needed)"]
    assert f"up to {MAX_PATHS} names, one a line" in anna.text
    anna.submit("Run", tables="\r\n".join(["", *TABLES, "  "]))
    (job,) = wps.jobs()
    assert job["inputs"] == {"tables": TABLES}
    assert wps.dispatcher.wait(job["id"], 60).state == "successful"
    anna.open(f"jobs/{job['id']}.html")
    assert anna.texts("//dt[.='Tables']/following-sibling::dd[1]/code") == TABLES
    (again,) = anna.page.xpath("//a[starts-with(text(), 'Change these')]/@href")
    assert form_inputs(anna.open(again)) == TABLES
    Browser(wps, "boris").open(again, 404)


def test_offered_names_are_chosen_without_a_script(wps, anna):
    offered = anna.texts("//select[@name='tables']/option")
    assert {"home/a.csv", "home/b.csv", "shared/c.csv"} <= set(offered)
    (form,) = anna.page.xpath("//form[@class='inputs']")
    token = form.fields["form_token"]
    sent = {"form_token": token, "tables": ["home/a.csv", "shared/c.csv", "home/a.csv"]}
    anna.send(form.get("action"), sent)
    assert wps.jobs()[0]["inputs"]["tables"] == ["home/a.csv", "shared/c.csv"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("home/a.csv\nhome/a.csv", "names home/a.csv twice"),
        ("home/a.csv\nhome/none.csv", "there is no home/none.csv"),
        (" \n", "tables is needed"),
    ],
)
def test_a_wrong_list_comes_back_with_a_sentence(wps, anna, text, words):
    anna.submit("Run", 400, tables=text)
    assert words in anna.texts("//*[@id='wrong-tables']")[0]
    assert anna.page.xpath("//textarea[@name='tables']/@aria-invalid") == ["true"]
    assert form_inputs(anna) == [line for line in text.split("\n") if line.strip()]
    assert wps.jobs() == []


def test_more_names_than_any_address_holds_are_filled_in_again(wps, anna):
    folder = "x" * 100
    names = [f"home/{folder}/{n}.csv" for n in range(MAX_PATHS)]
    (wps.root / "users/anna" / folder).mkdir()
    for name in names:
        (wps.root / "users/anna" / name.removeprefix("home/")).write_text("")
    anna.submit("Run", tables="\n".join(names))
    (again,) = anna.page.xpath("//a[starts-with(text(), 'Change these')]/@href")
    assert len(again) < 200
    assert form_inputs(anna.open(again)) == names
    over = wps.dispatcher.wait(wps.jobs()[0]["id"], 60)
    assert over.outputs["count"] == MAX_PATHS


@pytest.fixture
def shared(tmp_path, made):
    """A service with Nextcloud, two tables shared with anna, and where tables are put."""
    stand_in, users = stood_in(tmp_path / "nextcloud")
    with stand_in.serving():
        dav = Server(stand_in.url, users, "ice & snow", {}, stand_in)
        (stand_in.files("anna") / "Geoportal/home").mkdir(parents=True)
        yield (
            with_tables(
                made(fetcher=lambda root: Fetcher(root, dav.access, 1 << 20), access=dav.access)
            ),
            stand_in.files("anna") / "Geoportal/home",
        )


def test_each_name_of_a_list_is_fetched_from_nextcloud(shared):
    wps, there = shared
    (there / "there").mkdir()
    for name in ("x", "there/y"):
        (there / f"{name}.csv").write_text(name[-1])
    tables = ["home/there/y.csv", "home/a.csv", "home/x.csv"]
    wps.execute("join-tables", tables=tables)
    (job,) = wps.jobs()
    assert (job["state"], job["inputs"]["tables"]) == ("successful", tables)
    assert joined(wps) == "yax"
    assert not (wps.root / f"users/anna/jobs/{job['id']}" / FETCHED).exists()


def test_the_names_of_a_list_share_what_may_be_fetched(shared):
    wps, there = shared
    for name in ("x", "y"):
        (there / f"{name}.csv").write_bytes(b"x" * (600 << 10))
    wps.execute("join-tables", tables=["home/x.csv", "home/y.csv"])
    (job,) = wps.jobs()
    assert job["state"] == "failed"
    assert "y.csv has 1 MiB, no more than 0" in job["error"]
    wps.execute("join-tables", tables=["home/x.csv"], others=["home/y.csv"])
    assert wps.jobs()[0]["state"] == "successful"  # an input each
