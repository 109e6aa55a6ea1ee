"""`make bench`: run every benchmark and print one table of ratios."""

import platform

from benchmarks import classification, quality
from landcover.processors import cores


def main() -> None:
    """Print the table."""
    print(
        f"{platform.machine()}, {cores()} cores, Python {platform.python_version()}; CPU seconds"
    )
    print(f"{'what':<42}{'ours':>8}  {'peer':<20}{'peer':>8}{'ratio':>8}  gate")
    for module in (classification, quality):
        for row in module.rows():
            print(
                f"{row.what:<42}{row.ours:>8.2f}  {row.peer:<20}{row.theirs:>8.2f}"
                f"{row.ratio:>7.1f}x  {row.gate}"
            )


if __name__ == "__main__":
    main()
