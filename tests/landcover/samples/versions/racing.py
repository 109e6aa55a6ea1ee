"""A writer of the races: looks at the newest version and commits, each when it is told to."""

import sys
from pathlib import Path

import shapely

from landcover.samples.versions.ledger import Ledger
from landcover.samples.versions.record import Record, wkb_of

PLACE = wkb_of(shapely.Point(105, 52))


class Counted(Ledger):
    """Counts how often somebody else had the number already."""

    lost = 0

    def _place(self, manifest) -> bool:
        ours = super()._place(manifest)
        self.lost += not ours
        return ours


def main(folder: str, who: str) -> None:
    ledger, base = Counted(Path(folder)), 0
    for turn, line in enumerate(sys.stdin):
        if line == "look\n":
            base = ledger.last
        else:
            said = f"{who} {turn // 2}"
            records = [Record(said, who, PLACE), Record("shared", said, PLACE, version=turn + 1)]
            ledger.commit(records, [], who, base=base)
        print(ledger.lost, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
