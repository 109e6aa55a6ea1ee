"""What a page of one user's server can do to somebody else who opens it, with a real browser."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect
from traitlets.config import Config

from benchmarks.served import until
from hub.auth import subdomains
from hub.local import launcher, processes
from hub.local.client import local_session
from hub.local.machine import CHECKOUT, Machine, free_port
from tests.browser import PATIENCE, chromium, new_page
from tests.conftest import STOP_SECONDS, clean_environment

_EXTENSION = """
from tornado.web import RequestHandler

PAGE = '''<pre id="seen"></pre><script>
(async () => {
  const seen = {};
  for (const path of ["/hub/token", "/services/wps/processes/extract-samples"])
    try {
      const answer = await fetch(HUB + path, {credentials: "include"});
      seen[path] = (await answer.text()).search(/xsrf_token|form_token/) > 0;
    } catch (error) { seen[path] = String(error); }
  document.getElementById("seen").textContent = JSON.stringify(seen);
})();</script>'''

class Maps(RequestHandler):
    def get(self):
        self.finish(PAGE.replace("HUB", repr(self.get_argument("hub"))))

def _jupyter_server_extension_points():
    return [{"module": "maps"}]

def _load_jupyter_server_extension(app):
    app.web_app.add_handlers(".*$", [(app.base_url + "maps", Maps)])
"""
_USES_IT = "import sys; sys.path += [{!r}]; c.ServerApp.jpserver_extensions = {{'maps': True}}"
_TOKEN = "only-of-this-test"
_CONFIG = """
from hub.settings import configure

c = get_config()
c.JupyterHub.subdomain_host = {host!r}
configure(c)
c.JupyterHub.services.append({{"name": "test", "api_token": {token!r}}})
c.JupyterHub.load_roles.append(
    {{"name": "test", "scopes": ["admin:users", "admin:servers"], "services": ["test"]}}
)
"""


def test_the_host_of_a_user_is_one_label_and_services_stay_with_the_hub():
    c = Config()
    subdomains.configure(c, "http://proxy-public/services/wps/")
    assert "Proxy" not in c
    host_of = c.JupyterHub.subdomain_hook
    assert host_of("bob", "geo.example.org", "user") == "bob.geo.example.org"
    odd = host_of("eve smith@lab.org", "geo.example.org", "user")
    assert odd.endswith(".geo.example.org")
    assert odd.count(".") == 3
    assert host_of("wps", "geo.example.org", "service") == "geo.example.org"


@pytest.mark.parametrize("name", ["proxy-public", "geo.example.org"])
def test_the_wps_is_found_by_its_name_inside_too(name):
    c = Config()
    c.JupyterHub.subdomain_host = "https://geo.example.org"
    c.JupyterHub.services = [{"name": "wps", "url": "http://geoportal-wps:8000"}]
    subdomains.configure(c, f"http://{name}/services/wps/")
    routes = {"proxy-public/services/wps/": "http://geoportal-wps:8000"}
    assert c.Proxy.get("extra_routes", {}) == (routes if name == "proxy-public" else {})


class _Hub:
    """A hub at geo.localhost, which browsers find on this machine, as they do all below it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.url = f"http://geo.localhost:{machine.port}"

    def start_server(self, user: str) -> None:
        address = f"{self.machine.api_url}/users/{user}"
        with local_session() as session:
            session.headers["Authorization"] = f"token {_TOKEN}"
            session.post(address, timeout=60).raise_for_status()
            session.post(f"{address}/server", timeout=60).raise_for_status()
            said = session.get(f"{address}/server/progress", timeout=PATIENCE / 1000).text
        assert '"ready": true' in said, said

    def sign_in(self, page: Page, user: str) -> None:
        page.goto(f"{self.url}/hub/login?next=%2Fhub%2Fhome")
        page.fill("#username_input", user)
        page.fill("#password_input", self.machine.password_file.read_text().strip())
        page.click("#login_submit")
        expect(page.get_by_text("Start My Server")).to_be_visible()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as browser:
        yield new_page(browser)


@pytest.fixture(scope="module", params=[True, False], ids=["hosts-of-their-own", "one-host"])
def hub(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[_Hub]:
    state = tmp_path_factory.mktemp("hub") / "state"
    settings = CHECKOUT / "hub" / "local.yaml"
    with launcher.claimed(Machine(state, state / "storage", settings, free_port())) as machine:
        bob = machine.storage / "users/bob/.jupyter"
        bob.mkdir(parents=True)
        (bob / "maps.py").write_text(_EXTENSION)
        (bob / "jupyter_server_config.py").write_text(_USES_IT.format(str(bob)))
        config = machine.state / "config.py"
        host = f"http://geo.localhost:{machine.port}" if request.param else ""
        config.write_text(_CONFIG.format(host=host, token=_TOKEN))
        process = _start(machine, config)
        try:
            until(lambda: _says_it_is_there(machine), PATIENCE / 1000)
            yield _Hub(machine)
        finally:
            processes.stop_marked(machine.mark)  # a quiet end would take half a minute
            process.wait(STOP_SECONDS)


def _start(machine: Machine, config: Path) -> "subprocess.Popen[bytes]":
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    here = machine.environment | machine.mark | {"PATH": programs}
    with (machine.state / "hub.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", str(config)],
            cwd=machine.state,
            env=clean_environment(machine.state) | here,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _says_it_is_there(machine: Machine) -> bool:
    with local_session() as session, suppress(requests.RequestException):
        host = {"Host": f"geo.localhost:{machine.port}"}
        return session.get(f"{machine.wps_url}health", headers=host, timeout=5).ok
    return False


@pytest.mark.e2e
@pytest.mark.browser
def test_a_page_of_anothers_server_reads_nothing_of_whoever_opens_it(
    hub: _Hub, page: Page, request: pytest.FixtureRequest
) -> None:
    page.context.clear_cookies()
    hub.start_server("bob")
    hub.sign_in(page, "eve")
    page.goto(f"{hub.url}/services/wps/")
    expect(page.get_by_role("heading", name="My jobs")).to_be_visible()
    apart = "one-host" not in request.node.name
    host = "bob.geo.localhost" if apart else "geo.localhost"
    page.goto(f"http://{host}:{hub.machine.port}/user/bob/maps?hub={hub.url}")
    expect(page.locator("#seen")).not_to_be_empty()
    seen = json.loads(page.locator("#seen").inner_text())
    if apart:
        assert set(seen.values()) == {"TypeError: Failed to fetch"}
    else:  # so the page does what such a page can
        assert set(seen.values()) == {True}


@pytest.mark.e2e
@pytest.mark.browser
@pytest.mark.parametrize("hub", [True], indirect=True)
def test_a_user_works_on_a_host_of_their_own(hub: _Hub, page: Page) -> None:
    page.context.clear_cookies()
    hub.sign_in(page, "eve")
    page.goto(f"{hub.url}/hub/spawn")
    page.wait_for_selector("#geoportal-welcome")
    assert page.url.startswith(f"http://eve.geo.localhost:{hub.machine.port}/user/eve/lab")
    mark = {"JUPYTERHUB_SERVICE_PREFIX": "/user/eve/"} | hub.machine.mark
    server = min(processes.marked(mark), key=lambda process: process.create_time())
    given = server.environ()
    with local_session() as session:
        session.headers["Authorization"] = f"token {given['JUPYTERHUB_API_TOKEN']}"
        assert session.get(f"{given['GEOPORTAL_WPS_URL']}jobs", timeout=60).json() == {"jobs": []}
