"""Quality control against Orfeo ToolBox, PyCM fed with vectors, and the floor of reading."""

import csv
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import rasterio

from benchmarks import made
from benchmarks.measure import LANDCOVER, PEERS, Row, compare

PYCM_SIDE = 1024
"""PyCM holds both vectors as objects."""


def rows(side: int) -> list[Row]:
    """Compare references of every pixel and of few polygons; ours writes its report too."""
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
        if not np.array_equal(ours, _counted(mapped, reference)):
            raise SystemExit("the matrix differs from numpy's")
        if abs(_ours_kappa(folder) - _kappa(ours)) > 1e-12:
            raise SystemExit("kappa differs from the matrix's")
        if shutil.which(otb[0]):
            theirs = np.loadtxt(folder / "otb.csv", delimiter=",", comments="#")
            if not np.array_equal(ours, theirs):
                raise SystemExit("the matrix differs from Orfeo ToolBox's")
        return f"matrices of {ours.sum():,} pixels equal, kappa to 1e-12"

    peers = {
        "Orfeo ToolBox": otb,
        "floor: decode both": (*PEERS, "read_blocks", mapped, reference),
    }
    what = f"assess-quality with report, {words}"
    return compare(what, _ours(folder, mapped, reference), peers, gate)


def _against_pycm(folder: Path, mapped: Path, reference: Path) -> list[Row]:
    target = folder / "kappa.txt"

    def gate() -> str:
        if abs(_ours_kappa(folder) - float(target.read_text())) > 1e-12:
            raise SystemExit("kappa differs from PyCM's")
        return "kappa to 1e-12"

    peers = {"PyCM from vectors": (*PEERS, "pycm_of_vectors", mapped, reference, target)}
    what = f"assess-quality with report, {PYCM_SIDE}²"
    return compare(what, _ours(folder, mapped, reference), peers, gate)


def _ours_kappa(folder: Path) -> float:
    return float(json.loads((folder / "statistics.json").read_text())["overall"]["Kappa"])


def _counted(mapped: Path, reference: Path) -> np.ndarray:
    """Count with numpy alone, so that there is a witness where Orfeo ToolBox is not."""
    counts = np.zeros(2**16, int)
    with rasterio.open(mapped) as first, rasterio.open(reference) as second:
        for _, window in first.block_windows(1):
            truth = second.read(1, window=window).astype(int)
            counts += np.bincount((truth * 256 + first.read(1, window=window)).ravel(),
                                  minlength=2**16)  # fmt: skip
    return counts.reshape(256, 256)[1 : made.CLASSES + 1, 1 : made.CLASSES + 1]


def _kappa(matrix: np.ndarray) -> float:
    shares = matrix / matrix.sum()
    chance = shares.sum(axis=0) @ shares.sum(axis=1)
    return float((shares.trace() - chance) / (1 - chance))
