"""Quality control against Orfeo ToolBox, PyCM fed with vectors, and the floor of reading."""

import csv
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import made
from benchmarks.measure import LANDCOVER, PEERS, Row, compare

PYCM_SIDE = 1024
"""PyCM holds both vectors as objects."""


def rows(side: int) -> list[Row]:
    """Compare a reference of every pixel and one of an eighth; ours writes its report too."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mapped, dense, sparse = made.map_and_references(folder, side)
        for reference, words in ((dense, "dense"), (sparse, "sparse")):
            found += _against_otb(folder, mapped, reference, f"{side}², {words} reference")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mapped, dense, _ = made.map_and_references(folder, PYCM_SIDE)
        found += _against_pycm(folder, mapped, dense)
    return found


def _ours(folder: Path, mapped: Path, reference: Path) -> tuple[str | Path, ...]:
    return (*LANDCOVER, "assess-quality", "--map", mapped, "--reference", reference,
            "--workdir", folder)  # fmt: skip


def _against_otb(folder: Path, mapped: Path, reference: Path, words: str) -> list[Row]:
    otb = ("otbcli_ComputeConfusionMatrix", "-in", mapped, "-ref", "raster", "-ref.raster.in",
           reference, "-ref.raster.nodata", "0", "-out", folder / "otb.csv")  # fmt: skip

    def gate() -> str:
        with (folder / "matrix.csv").open(newline="") as file:
            ours = np.array([row[1:] for row in list(csv.reader(file))[1:]], int)
        if shutil.which(otb[0]):
            theirs = np.loadtxt(folder / "otb.csv", delimiter=",", comments="#")
            if not np.array_equal(ours, theirs):
                raise SystemExit("the matrix differs from Orfeo ToolBox's")
        return f"matrices of {ours.sum():,} pixels equal"

    peers = {
        "Orfeo ToolBox": otb,
        "floor: decode both": (*PEERS, "read_blocks", mapped, reference),
    }
    what = f"assess-quality with report, {words}"
    return compare(what, _ours(folder, mapped, reference), peers, gate)


def _against_pycm(folder: Path, mapped: Path, reference: Path) -> list[Row]:
    target = folder / "kappa.txt"

    def gate() -> str:
        ours = json.loads((folder / "statistics.json").read_text())["overall"]["Kappa"]
        if abs(ours - float(target.read_text())) > 1e-12:
            raise SystemExit("kappa differs from PyCM's")
        return "kappa to 1e-12"

    peers = {"PyCM from vectors": (*PEERS, "pycm_of_vectors", mapped, reference, target)}
    what = f"assess-quality with report, {PYCM_SIDE}²"
    return compare(what, _ours(folder, mapped, reference), peers, gate)
