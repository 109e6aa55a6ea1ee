"""Build the C kernel into the package, where a compiler is; elsewhere numba does its work."""

import runpy
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILDER = Path(__file__).parent / "landcover" / "classifiers" / "build_tree_walk.py"


class TreeWalkHook(BuildHookInterface):
    """An installation goes on without the kernel; a wheel that holds it is of one platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files of the wheel are gathered."""
        try:
            built = runpy.run_path(str(BUILDER))["build"]()
        except RuntimeError as error:
            print(f"The C kernel is left out, numba is used: {error}", file=sys.stderr)
            return
        if version == "standard":
            inside = built.relative_to(self.root).as_posix()
            build_data["force_include"][str(built)] = inside
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
