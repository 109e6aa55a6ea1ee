"""The place a hub runs in, read from the environment and handed on through it."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs

import pytest
import requests
from jupyterhub_traefik_proxy.fileprovider import TraefikFileProviderProxy
from traitlets.config import Config
from werkzeug.serving import make_server

from hub.local.machine import CHECKOUT, Machine, free_address, free_port


def test_empty_environment_gives_the_checkouts_own_folder_and_port_8000():
    machine = Machine.from_environment({"GEOPORTAL_STATE": "", "GEOPORTAL_PORT": ""})
    assert machine.state == CHECKOUT / ".geoportal"
    assert machine.storage == CHECKOUT / ".geoportal" / "storage"
    assert machine.settings == CHECKOUT / "hub" / "local.yaml"
    assert machine.url == "http://127.0.0.1:8000"


def test_child_reads_the_same_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    machine = Machine.from_environment({"GEOPORTAL_STATE": "mine", "GEOPORTAL_PORT": "8123"})
    assert machine.state == tmp_path / "mine"
    monkeypatch.chdir("/")
    assert Machine.from_environment(machine.environment) == machine


@pytest.fixture
def proxied(tmp_path, monkeypatch):
    """A function that runs the proxy, with a route or none, and returns what is answered."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    machine = replace(
        Machine.from_environment({"GEOPORTAL_STATE": str(tmp_path)}), port=free_port()
    )
    c = Config()
    machine.configure(c)
    c.TraefikProxy.traefik_api_password = "secret"

    async def answer(path, target):
        proxy = TraefikFileProviderProxy(config=c, public_url=machine.url)
        await proxy.start()
        try:
            if target:
                await proxy.add_route("/", target, {})
            return await asyncio.to_thread(requests.get, f"{machine.url}{path}", timeout=5)
        finally:
            await proxy.stop()

    return lambda path, target=None: asyncio.run(answer(path, target))


def test_the_proxy_says_unavailable_while_the_hub_is_not_there(proxied):
    assert proxied("/hub/login").status_code == 503
    assert proxied("/hub/login", free_address()).status_code == 503  # the hub's route, and no hub


@pytest.mark.parametrize("semicolon", [";", "%3B"])
def test_the_proxy_hands_on_the_semicolons_of_inputs(proxied, semicolon):
    def echo(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["QUERY_STRING"].encode()]

    with make_server("127.0.0.1", 0, echo) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        query = f"request=Execute&datainputs=a=1{semicolon}b=2"
        answer = proxied(f"/services/wps/?{query}", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert parse_qs(answer.text) == {"request": ["Execute"], "datainputs": ["a=1;b=2"]}
