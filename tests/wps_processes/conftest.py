"""A service with real jobs, and callers who need no hub."""

import os
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest
from werkzeug.test import Client

from benchmarks.postgresql import NotInstalled, serving
from tests.scenes import pixels, quarters, write_labels, write_raster
from tests.wps_processes import made_operations
from wps_processes.addresses import Addresses
from wps_processes.caller import Caller
from wps_processes.errors import NotPermitted
from wps_processes.identity import token_of
from wps_processes.jobs.dispatcher import Dispatcher
from wps_processes.jobs.ledger import LEASE_SECONDS, Ledger
from wps_processes.jobs_service import JobsService
from wps_processes.runners.forkserver import ForkServer
from wps_processes.runners.local import ProcessRunner
from wps_processes.service import Application
from wps_processes.web.health import Health

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
        token = token_of(request)
        if token == "foreign":
            raise NotPermitted("this token may not use the WPS")
        if token:
            return Caller(token, GROUPS.get(token, ()))
        session = request.cookies.get("session")
        if not session:
            return None
        groups = GROUPS.get(session, ())
        return Caller(session, groups, administrator=session == ADMINISTRATOR, by_token=False)

    def remembered(self, request):
        return None

    def sign_in(self, request):
        return None

    def signed_in(self, request):
        raise NotPermitted("nobody signs in here")

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
        """Execute by XML; a list is an input given several times."""
        pairs = [(name, each) for name, value in inputs.items()
                 for each in (value if isinstance(value, list) else [value])]  # fmt: skip
        form = '<wps:ResponseDocument storeExecuteResponse="true" status="true"/>'
        body = EXECUTE.format(
            identifier=identifier,
            inputs="".join(LITERAL.format(*pair) for pair in pairs),
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
def made_forks():
    """A fork server that knows the operations made for tests."""
    server = ForkServer(os.environ, made_operations.PROGRAM)
    yield server
    server.close()


@pytest.fixture
def made(start, made_forks, monkeypatch):
    """A function that starts a service which offers the operations made for tests too."""
    offered = made_operations.with_made()
    monkeypatch.setattr("landcover.operations.OPERATIONS", offered)

    def starter(fetcher=None, longest_seconds=None, **how):
        def runner(root, forks):
            return ProcessRunner(root, made_forks, fetcher and fetcher(root), longest_seconds)

        by_identifier = {each.identifier: each for each in offered}
        return start(runner=runner, operations=by_identifier, **how)

    return starter


@pytest.fixture(scope="session")
def postgresql():
    """A PostgreSQL server."""
    try:
        with serving() as server:
            yield server
    except NotInstalled as error:
        pytest.skip(str(error))


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
        lease_seconds=LEASE_SECONDS, groups_now=lambda user: GROUPS.get(user, ()), public_url="",
        **limited,
    ):  # fmt: skip
        ledger = opened(lease_seconds=lease_seconds)
        running_on = runner(root, forks)
        dispatcher = Dispatcher(ledger, running_on, at_once, limits, groups_now=groups_now)
        jobs = JobsService(root, ledger, dispatcher, has_nextcloud=access is not None, **limited)
        addresses = Addresses(public_url=public_url)
        health = Health(ledger, tmp_path, root, ask_hub=lambda: "5.0")
        application = Application(jobs, KnownTokens(), addresses, access, health=health)
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
