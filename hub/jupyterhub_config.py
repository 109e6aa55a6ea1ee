"""The hub started by hand: `jupyterhub -f hub/jupyterhub_config.py`; `python -m hub` does it."""

from hub.settings import configure

configure(get_config())  # type: ignore[name-defined]  # noqa: F821  # JupyterHub provides it
