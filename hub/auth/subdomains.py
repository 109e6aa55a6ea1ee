"""Every user's server on a host of its own, so that a page of one reaches nothing of another.

Users decide what their servers show. On one host the browser takes such a page for one of the
hub's: whoever opens it while signed in hands over their account. With JupyterHub.subdomain_host
the server of bob is at bob.geo.example.org, and the hub and its services share geo.example.org.
"""

from urllib.parse import urlsplit

from jupyterhub.utils import subdomain_hook_idna
from traitlets.config import Config


def configure(c: Config, wps_url: str) -> None:
    """Register the host of each user; unused without JupyterHub.subdomain_host.

    Args:
        c: the hub's configuration, with its services.
        wps_url: where users' servers reach the WPS through the proxy, by a name from inside.
    """
    c.JupyterHub.subdomain_hook = host_of
    inside = urlsplit(wps_url)
    if are_used(c) and inside.hostname != urlsplit(c.JupyterHub.subdomain_host).hostname:
        (target,) = (s["url"] for s in c.JupyterHub.services if s["name"] == "wps")
        c.Proxy.extra_routes = {f"{inside.hostname}{inside.path}": target}


def are_used(c: Config) -> bool:
    """Return whether a configuration gives servers hosts of their own."""
    return bool(c.JupyterHub.get("subdomain_host"))


def host_of(name: str, domain: str, kind: str) -> str:
    """Return the host of a user's server or of a service, which is ours and stays with the hub."""
    return str(subdomain_hook_idna(name, domain, kind)) if kind == "user" else domain
