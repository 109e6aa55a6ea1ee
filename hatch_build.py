"""Build the C kernel into the package, with a compiler that pip brings where the machine has none.

Where that fails too, an installation goes on without the kernel, and numpy does its work.
"""

import runpy
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILDER = Path(__file__).parent / "landcover" / "models" / "forest" / "build.py"


class TreeWalkHook(BuildHookInterface):
    """A wheel that holds the kernel is of one platform."""

    def dependencies(self) -> list[str]:
        """Return what pip installs before it builds."""
        needed: list[str] = runpy.run_path(str(BUILDER))["requirements"]()
        return needed

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files of the wheel are gathered."""
        try:
            built = runpy.run_path(str(BUILDER))["build"]()
        except RuntimeError as error:
            print(f"The C kernel is left out, numpy is used: {error}", file=sys.stderr)
            return
        if version == "standard":
            inside = built.relative_to(self.root).as_posix()
            build_data["force_include"][str(built)] = inside
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
