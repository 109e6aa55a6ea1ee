"""Balancing of chip files against a loop over them, and of a million samples within 2 GB."""

import csv
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import made
from benchmarks.measure import LANDCOVER, PEERS, Row, compare, run
from landcover.samples.balancing import features_of
from landcover.samples.folder import read_samples

CHIPS = 4000
MOST_MIB = 2e9 / 2**20
"""2 GB."""


def rows(side: int) -> list[Row]:
    """Compare plain and compressed chips; the size of a scene does not matter here."""
    found = []
    for words, how in (
        ("plain", {}),
        ("deflate, predictor", {"compress": "deflate", "predictor": 2}),
    ):
        with tempfile.TemporaryDirectory() as name:
            found += _compare(Path(name), words, how)
    with tempfile.TemporaryDirectory() as name:
        found.append(_million(Path(name)))
    return found


def _compare(folder: Path, words: str, how: dict[str, object]) -> list[Row]:
    samples = made.chips(folder / "samples", CHIPS, **how)
    # the loop clusters all samples together
    ours = (*LANDCOVER, "balance-samples", "--samples", samples, "--scope", "all",
            "--workdir", folder)  # fmt: skip
    naive = (*PEERS, "balance_chips", samples, folder / "naive.csv")

    def gate() -> str:
        described = [features_of(b.chips, b.valid) for b in read_samples(samples).batches()]
        theirs = np.load(folder / "naive.csv.npy")
        np.testing.assert_allclose(np.concatenate(described), theirs, rtol=1e-12)
        with (folder / "selection.csv").open(newline="") as file:
            kept = [(row["file"], row["kept"]) for row in csv.DictReader(file)]
        with (folder / "naive.csv").open(newline="") as file:
            if kept != [tuple(row) for row in csv.reader(file)]:
                raise SystemExit("the selection differs from the loop's")
        return "features to 1e-12, selection equal"

    return compare(
        f"balance-samples, {CHIPS:,} files, {words}",
        ours,
        {"rasterio and numpy loop": naive},
        gate,
    )


def _million(folder: Path) -> Row:
    samples = made.million(folder / "samples")
    usage = run((*LANDCOVER, "balance-samples", "--samples", samples, "--scope", "all",
                 "--workdir", folder))  # fmt: skip
    if (usage.mib or 0) > MOST_MIB:
        raise SystemExit(f"balancing a million samples took {usage.mib:.0f} MiB, more than 2 GB")
    return Row("balance-samples, 1,000,000 samples", usage, None, None, "peak < 2 GB")
