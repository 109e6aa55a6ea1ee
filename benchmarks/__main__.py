"""`make bench`: run every benchmark and print one table of ratios.

`python -m benchmarks --full` takes a whole Sentinel-2 tile too, 10980 x 10980 pixels.
"""

import platform
import sys

from benchmarks import (
    balancing,
    classification,
    cog,
    colour_labels,
    composites,
    extraction,
    importing,
    maps,
    networks,
    quality,
)
from landcover.cpus import cores

SIDE, FULL_SIDE = 4096, 10980


def main() -> None:
    """Print the table, row by row as it grows."""
    full = "--full" in sys.argv[1:]
    sides = {
        extraction: FULL_SIDE if full else SIDE,
        quality: FULL_SIDE,
        balancing: 0,
        classification: FULL_SIDE if full else 0,
        networks: 0,
        colour_labels: 0,
        cog: FULL_SIDE if full else SIDE,
        composites: SIDE if full else 0,
        importing: FULL_SIDE if full else SIDE // 2,
        maps: SIDE // 2,
    }
    print(f"{platform.machine()}, {cores()} cores, Python {platform.python_version()}; one thread")
    print("\n| what | ours, CPU s | MiB | peer | CPU s | MiB | ratio | gate |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for module, side in sides.items():
        for row in module.rows(side):
            print(row, flush=True)


if __name__ == "__main__":
    main()
