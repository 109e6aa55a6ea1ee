"""What this package does in every user's Jupyter server: it installs the course.

Jupyter finds it by etc/jupyter/jupyter_server_config.d/sample_map.json, which comes with the
package.
"""

import os
from pathlib import Path

from jupyter_server.serverapp import ServerApp

from sample_map.course import install_course


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "sample_map.server"}]


def _load_jupyter_server_extension(app: ServerApp) -> None:
    """Install the course whose pages GEOPORTAL_COURSE names; without it, do nothing."""
    source = os.environ.get("GEOPORTAL_COURSE")
    if not source:
        return
    try:
        written = install_course(Path(source), Path.home() / "course")
    except OSError as error:  # a full disk must not keep anybody out of their server
        app.log.warning("the course could not be installed: %s", error)
    else:
        app.log.info("course: %s", ", ".join(written) or "up to date")
