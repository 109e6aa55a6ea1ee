"""What a chart would give the hub, here for a pretended cluster; then our settings, as there."""

import os

from hub.local.machine import Machine
from hub.settings import configure

c = get_config()  # type: ignore[name-defined]  # noqa: F821

Machine.from_environment(os.environ).configure(c)
configure(c)
c.JupyterHub.hub_bind_url = os.environ["HUB_URL"]  # lasts, as a Service does
c.KubeSpawner.namespace = os.environ["POD_NAMESPACE"]
c.Authenticator.admin_users = {"chief"}
c.SharedPasswordAuthenticator.admin_password = os.environ["CHIEF_PASSWORD"]
c.JupyterHub.cleanup_servers = False  # as z2jh sets it: pods outlive the hub
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}  # tests read the progress themselves
c.KubeSpawner.args = ["--allow-root"] * (os.geteuid() == 0)  # a pretended pod runs as the tests do
