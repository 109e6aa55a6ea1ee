"""Containers of the images, each started once for the tests of its image."""

import os
import secrets
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import requests

from tests.images.engine import HOME, WHERE, image_of

STATE = "--tmpfs={}:uid=1000,gid=100,mode=700"


def pytest_collection_modifyitems(items):
    if os.environ.get(WHERE):
        return
    reason = f"{WHERE} is not set: `make test-images` builds and tests images"
    for item in items:
        if item.path == Path(__file__).with_name("test_images.py"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="class")
def image(request):
    return image_of(request.cls.name)


@pytest.fixture(scope="class")
def box(image):
    """A container that does nothing, with a read-only root and a new volume for home."""
    with image.started("sleep", "infinity", options=[HOME]) as container:
        yield container


@contextmanager
def started_hub(image, folder):
    """A hub of one machine, whose API listens where a cluster's does; and an all-mighty token."""
    token = secrets.token_hex(16)
    (folder / "settings.yaml").write_text(
        "authenticator: {kind: shared-password}\n"
        "spawner: {kind: local}\n"
        "wps: {url: 'http://127.0.0.1:1', token: {env: WPS_TOKEN}}\n"
    )
    (folder / "hub.py").write_text(
        "from hub.settings import configure\n"
        "configure(get_config())\n"
        "c.JupyterHub.hub_bind_url = 'http://0.0.0.0:8081'\n"
        f"c.JupyterHub.services.append({{'name': 'test', 'api_token': '{token}'}})\n"
        "c.JupyterHub.load_roles.append({'name': 'test', 'services': ['test'],\n"
        "    'scopes': ['access:servers', 'read:users', 'read:hub']})\n"
    )
    folder.chmod(0o755)
    options = [
        f"--volume={folder}:/etc/geoportal:ro",
        STATE.format("/srv/jupyterhub"),
        "--env=GEOPORTAL_SETTINGS=/etc/geoportal/settings.yaml",
        "--env=GEOPORTAL_STATE=/srv/jupyterhub",
        f"--env=WPS_TOKEN={secrets.token_hex(16)}",
        "--health-interval=1s",
        "--publish=127.0.0.1::8081",
        "--publish=127.0.0.1::8888",
    ]
    command = ("jupyterhub", "--config", "/etc/geoportal/hub.py")
    with image.started(*command, options=options) as hub:
        yield hub, token


@pytest.fixture(scope="class")
def running_hub(image, tmp_path_factory):
    with started_hub(image, tmp_path_factory.mktemp("hub")) as started:
        yield started


@pytest.fixture(scope="class")
def service(image):
    """The service as the chart starts it, without a hub: nobody is known to it."""
    environment = {
        "JUPYTERHUB_SERVICE_NAME": "wps",
        "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8000",
        "JUPYTERHUB_SERVICE_PREFIX": "/services/wps/",
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_CLIENT_ID": "service-wps",
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["access:services!service=wps"]',
        "JUPYTERHUB_API_URL": "http://127.0.0.1:1/hub/api",
        "JUPYTERHUB_API_TOKEN": secrets.token_hex(16),
        "GEOPORTAL_STATE": "/state",
        "GEOPORTAL_STORAGE": "/storage",
        "HOME": "/state",
    }
    options = [
        *(f"--env={name}={value}" for name, value in environment.items()),
        STATE.format("/state"),
        STATE.format("/storage"),
        "--health-interval=1s",
        "--publish=127.0.0.1::8000",
    ]
    with image.started(options=options) as container:
        yield container


@pytest.fixture(scope="class")
def server(image, tmp_path_factory):
    """jupyterhub-singleuser beside a hub of the image of this release; address, session."""
    hubs = image_of("hub")
    with started_hub(hubs, tmp_path_factory.mktemp("hub")) as (hub, token):
        assert hub.health() == "healthy", hub.logs()
        environment = {
            "JUPYTERHUB_API_TOKEN": token,
            "JUPYTERHUB_API_URL": "http://127.0.0.1:8081/hub/api",
            "JUPYTERHUB_BASE_URL": "/",
            "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-ada",
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["access:servers!server=ada/"]',
            "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/",
            "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/user/ada/",
            "JUPYTERHUB_USER": "ada",
        }
        options = [
            *(f"--env={name}={value}" for name, value in environment.items()),
            f"--network=container:{hub.id}",
            HOME,
            "--health-interval=1s",
        ]
        with image.started(options=options) as server, requests.Session() as session:
            assert server.health() == "healthy", server.logs()
            session.headers["Authorization"] = f"token {token}"
            session.request = partial(session.request, timeout=60)
            yield f"{hub.address(8888)}/user/ada", session
