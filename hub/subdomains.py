"""Every user's server on a host of its own, so that a page of one reaches nothing of another.

Users decide what their servers show. On one host the browser takes such a page for one of the
hub's: whoever opens it while signed in hands over their account. With JupyterHub.subdomain_host
the server of bob is at bob.geo.example.org, and the hub and its services share geo.example.org.
"""

from jupyterhub.utils import subdomain_hook_idna
from traitlets.config import Config


def configure(c: Config) -> None:
    """Say which host is whose; it is of no consequence without JupyterHub.subdomain_host."""
    c.JupyterHub.subdomain_hook = host_of


def are_used(c: Config) -> bool:
    """Tell whether a configuration gives servers hosts of their own."""
    return bool(c.JupyterHub.get("subdomain_host"))


def host_of(name: str, domain: str, kind: str) -> str:
    """Return the host of a user's server or of a service, which is ours and stays with the hub."""
    return str(subdomain_hook_idna(name, domain, kind)) if kind == "user" else domain
