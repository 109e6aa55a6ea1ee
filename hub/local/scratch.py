"""What a server writes to that is not its user's: kept off the home directory.

With a full home directory JupyterLab does not start (it makes its runtime folder), no kernel
starts (IPython makes its own), the layout of the page is cut off at zero bytes, and a file that is
deleted goes to a trash on the same disk, or not even there. So all of that lies elsewhere, and
deleting deletes.
"""

from pathlib import PurePosixPath
from typing import Any

DELETE = (
    "--FileContentsManager.delete_to_trash=False",
    "--FileContentsManager.always_delete_dir=True",
)
"""To Jupyter's command line: what a person deletes is gone, folders too, and its room is free."""
_RUNTIME = "/run/jupyter"
_TEMPORARY = "/tmp"
_RUNTIME_SIZE = "64Mi"


def variables(runtime: str, cache: str) -> dict[str, str]:
    """Return the environment that keeps Jupyter and its kernels off the home directory.

    Args:
        runtime: a folder for little that is needed to start.
        cache: a folder for what can be had again.
    """
    runtime_of = PurePosixPath(runtime).joinpath
    return {
        "JUPYTER_RUNTIME_DIR": str(runtime_of("runtime")),
        "JUPYTERLAB_WORKSPACES_DIR": str(runtime_of("workspaces")),
        "IPYTHONDIR": str(runtime_of("ipython")),
        "XDG_CACHE_HOME": cache,
    }


POD_VARIABLES = variables(_RUNTIME, f"{_TEMPORARY}/cache")
POD_MOUNTS = (
    {"name": "runtime", "mountPath": _RUNTIME},
    {"name": "temporary", "mountPath": _TEMPORARY},
)


def pod_volumes(temporary_size: str) -> tuple[dict[str, Any], ...]:
    """Return the volumes of `POD_MOUNTS`, which live as long as the pod.

    What is needed to start is apart from temporary files, so that these cannot crowd it out, and
    in memory, where too much is an error for the program and not the end of the pod.

    Args:
        temporary_size: the most that temporary files and caches of one server may take; a server
            that takes more is ended by Kubernetes, for the node's disk is everybody's.
    """
    return (
        {"name": "runtime", "emptyDir": {"medium": "Memory", "sizeLimit": _RUNTIME_SIZE}},
        {"name": "temporary", "emptyDir": {"sizeLimit": temporary_size}},
    )
