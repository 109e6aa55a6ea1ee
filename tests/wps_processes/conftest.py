"""A service with real jobs, and callers who need no hub."""

import os
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest
from werkzeug.exceptions import Forbidden
from werkzeug.test import Client

from tests.scenes import pixels, quarters, write_labels, write_raster
from tests.wps_processes.postgresql import serving
from wps_processes.dispatcher import Dispatcher
from wps_processes.forkserver import ForkServer
from wps_processes.identity import Caller
from wps_processes.jobs import LEASE_SECONDS, Ledger
from wps_processes.runners import ProcessRunner
from wps_processes.service import Application, Places

EXECUTE = """<?xml version="1.0"?>
<wps:Execute service="WPS" version="1.0.0" xmlns:wps="http://www.opengis.net/wps/1.0.0"
  xmlns:ows="http://www.opengis.net/ows/1.1" xmlns:xlink="http://www.w3.org/1999/xlink">
  <ows:Identifier>{identifier}</ows:Identifier>
  <wps:DataInputs>{inputs}</wps:DataInputs>
  <wps:ResponseForm>{form}</wps:ResponseForm>
</wps:Execute>"""
LITERAL = (
    "<wps:Input><ows:Identifier>{}</ows:Identifier>"
    "<wps:Data><wps:LiteralData>{}</wps:LiteralData></wps:Data></wps:Input>"
)


ADMINISTRATOR = "root"
GROUPS = {"carla": ("ice",)}


class KnownTokens:
    """Every token is a user's name; the token `foreign` may not use the WPS."""

    def caller(self, request):
        token = request.headers.get("Authorization", "").removeprefix("token ")
        if token == "foreign":
            raise Forbidden("this token may not use the WPS")
        if token:
            return Caller(token, GROUPS.get(token, ()))
        session = request.cookies.get("session")
        if not session:
            return None
        groups = GROUPS.get(session, ())
        return Caller(session, groups, administrator=session == ADMINISTRATOR, by_token=False)

    def sign_in(self, request):
        return None

    def form_token(self, request):
        return f"known only to {request.cookies.get('session')}"


@dataclass
class Wps:
    """A client of the service."""

    client: Client
    root: object
    ledger: Ledger
    dispatcher: Dispatcher
    runner: ProcessRunner

    def get(self, path="", user="anna", **parameters):
        query = f"?{urlencode(parameters)}" if parameters else ""
        headers = {"Authorization": f"token {user}"} if user else {}
        return self.client.get(f"/services/wps/{path}{query}", headers=headers, buffered=True)

    def post(self, body, user="anna", **how):
        headers = {"Authorization": f"token {user}"} if user else {}
        how.setdefault("content_type", "text/xml")
        return self.client.post("/services/wps/", data=body, headers=headers, **how)

    def execute(self, identifier, user="anna", asynchronous=False, **inputs):
        form = '<wps:ResponseDocument storeExecuteResponse="true" status="true"/>'
        body = EXECUTE.format(
            identifier=identifier,
            inputs="".join(LITERAL.format(*pair) for pair in inputs.items()),
            form=form if asynchronous else "<wps:ResponseDocument/>",
        )
        return self.post(body, user)

    def jobs(self, user="anna"):
        return self.get("jobs", user).get_json()["jobs"]


@pytest.fixture(scope="session")
def forks():
    server = ForkServer(
        os.environ | {name: "secret" for name in ("JUPYTERHUB_API_TOKEN", "GEOPORTAL_LEDGER")}
    )
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgresql():
    """A PostgreSQL server."""
    with serving() as server:
        yield server


@pytest.fixture
def place(tmp_path):
    """Where the ledger lies: a path or URL."""
    return tmp_path / "jobs.sqlite"


@pytest.fixture
def opened(place):
    """A function that opens the ledger once more; all are closed at the end."""
    ledgers = []

    def opener(**settings):
        ledgers.append(Ledger(place, **settings))
        return ledgers[-1]

    yield opener
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def start(tmp_path, opened, forks):
    """A function that starts a service; all are stopped at the end."""
    root = tmp_path / "storage"
    for folder in ("users/anna", "users/boris", "shared"):
        (root / folder).mkdir(parents=True)
    values, _ = quarters(48)
    write_raster(root / "shared/scene.tif", values, names=("B02", "B03", "B04"))
    corners = (("a", 2, 2), ("b", 2, 30), ("a", 12, 2), ("b", 12, 30), ("c", 30, 5), ("c", 40, 9))
    shapes = [(name, pixels(row, column, 5, 5)) for name, row, column in corners]
    write_labels(root / "users/anna/labels.gpkg", shapes)
    started = []

    def starter(
        running=True, at_once=2, runner=ProcessRunner, limits=None, access=None,
        lease_seconds=LEASE_SECONDS, groups_now=lambda user: GROUPS.get(user, ()), **places,
    ):  # fmt: skip
        ledger = opened(lease_seconds=lease_seconds)
        running_on = runner(root, forks)
        dispatcher = Dispatcher(ledger, running_on, at_once, limits, groups_now=groups_now)
        places = Places(root, **places)
        application = Application(places, ledger, dispatcher, KnownTokens(), access)
        if running:
            dispatcher.start()
            started.append(dispatcher)
        return Wps(Client(application), root, ledger, dispatcher, running_on)

    yield starter
    for dispatcher in started:
        dispatcher.stop()


@pytest.fixture
def wps(start):
    return start()
