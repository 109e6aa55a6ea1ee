"""Pixels under polygons, against Orfeo ToolBox, rasterio.mask and the floor of decoding."""

import shlex
import shutil
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import made
from benchmarks.measure import LANDCOVER, PEERS, Row, compare


def rows(side: int) -> list[Row]:
    """Compare where polygons touch few blocks of the scene, and where they touch all."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene = made.scene(folder / "scene.tif", side)
        return [
            row
            for share, words in ((0.15, "15 % of the blocks"), (1.0, "every block"))
            for row in _compare(folder, scene, side, share, words)
        ]


def _compare(folder: Path, scene: Path, side: int, share: float, words: str) -> list[Row]:
    labels = made.polygons(folder / "labels.shp", side, share)
    ours = (*LANDCOVER, "extract-samples", "--scene", scene, "--labels", labels,
            "--workdir", folder)  # fmt: skip
    otb = (
        f"set -e; cd {shlex.quote(str(folder))}; rm -f otb.sqlite;"
        "otbcli_PolygonClassStatistics -in scene.tif -vec labels.shp -field class -out otb.xml;"
        "otbcli_SampleSelection -in scene.tif -vec labels.shp -instats otb.xml -field class"
        " -strategy all -out otb.sqlite;"
        "otbcli_SampleExtraction -in scene.tif -vec otb.sqlite -field class -outfield prefix"
        " -outfield.prefix.name band_"
    )
    installed = shutil.which("otbcli_SampleExtraction")
    peers = {
        "Orfeo ToolBox": ("bash" if installed else "otbcli_SampleExtraction", "-c", otb),
        "rasterio.mask": (*PEERS, "mask_polygons", scene, labels, folder / "mask.npy"),
        "floor: decode the touched blocks": (*PEERS, "read_touched", scene, labels),
    }

    def gate() -> str:
        containers = sorted((folder / "samples").glob("*/samples.npy"))
        pixels = _sorted(np.concatenate([np.load(file)[:, :, 0, 0] for file in containers]))
        witnesses = [_sorted(np.load(folder / "mask.npy").T)]
        if installed:
            witnesses.append(_sorted(made.otb_samples(folder / "otb.sqlite")))
        if not all(np.array_equal(pixels, witness) for witness in witnesses):
            raise SystemExit("the spectra differ from the peers'")
        return f"{len(pixels):,} spectra equal"

    return compare(f"extract-samples, {side}², polygons in {words}", ours, peers, gate)


def _sorted(pixels: np.ndarray) -> np.ndarray:
    return pixels[np.lexsort(pixels.T)].astype(np.int64)
