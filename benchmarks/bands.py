"""From 8 to 128 bands: what each step costs, and that it grows no faster than the bands.

`python -m benchmarks.bands`, some minutes. Floors: decoding the scene, for the steps that
read it, and fitting one forest of scikit-learn to the samples, for training. A step that takes
more than 16 times as long for 16 times the bands ends the program.
"""

import sys
import tempfile
from pathlib import Path

import rasterio

from benchmarks import made
from benchmarks.measure import LANDCOVER, PEERS, Usage, run

BANDS = (8, 16, 32, 64, 128)
SIDE = 128
TREES = 30
_DECODE, _FIT = "floor: decode the scene", "floor: fit one forest"
_FLOORS = {"train-classifier": _FIT, "balance-samples": ""}


def main() -> None:
    """Print CPU seconds of every step for every number of bands."""
    taken = {bands: _of(bands) for bands in BANDS}
    print(f"| step | {' | '.join(f'{bands} bands' for bands in BANDS)} | times 16 bands |")
    print(f"|---|{'---|' * (len(BANDS) + 1)}")
    for step in taken[BANDS[0]]:
        usages = [taken[bands][step] for bands in BANDS]
        floors = [taken[bands].get(_floor_of(step)) for bands in BANDS]
        cells = [_cell(usage, floor) for usage, floor in zip(usages, floors, strict=True)]
        growth = usages[-1].cpu / usages[0].cpu
        print(f"| {step} | {' | '.join(cells)} | {growth:.1f} |", flush=True)
        if growth > BANDS[-1] / BANDS[0]:
            raise SystemExit(f"{step} grows faster than the bands")


def _floor_of(step: str) -> str:
    return "" if step.startswith("floor") else _FLOORS.get(step, _DECODE)


def _cell(usage: Usage, floor: Usage | None) -> str:
    """Return CPU seconds, and how many floors they are."""
    return f"{usage.cpu:.2f}" + (f" ({usage.cpu / floor.cpu:.1f})" if floor else "")


def _of(bands: int) -> dict[str, Usage]:
    """Return what every step takes for so many bands."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene, labels = made.embedding(folder, bands, SIDE)
        strange = _in_reverse(scene, folder / "reversed.tif")
        work, samples, model = folder / "work", folder / "work/samples", folder / "work/model.onnx"

        def step(operation: str, *inputs: str | Path, workdir: Path = work) -> Usage:
            usage = run((*LANDCOVER, operation, *inputs, "--workdir", workdir))
            print(f"{bands} bands, {operation}: {usage.cpu:.2f} s", file=sys.stderr, flush=True)
            return usage

        on_scene = ("--scene", scene, "--model", model)
        return {
            _DECODE: run((*PEERS, "read_blocks", scene)),
            "extract-samples": step("extract-samples", "--scene", scene, "--labels", labels),
            _FIT: run((*PEERS, "fit_forest", samples, str(TREES))),
            "balance-samples": step("balance-samples", "--samples", samples),
            "train-classifier": step(
                "train-classifier", "--samples", samples, "--options", f'{{"trees": {TREES}}}'
            ),
            "check-radiometry": step("check-radiometry", *on_scene),
            "check-radiometry, bands in reverse": step(
                "check-radiometry", "--scene", strange, "--model", model, workdir=folder / "other"
            ),
            "classify-scene": step("classify-scene", *on_scene),
        }


def _in_reverse(scene: Path, target: Path) -> Path:
    """Write a scene whose bands have the names of those in opposite order."""
    with rasterio.open(scene) as dataset:
        profile, names = dataset.profile, dataset.descriptions
        values = dataset.read()[::-1]
    with rasterio.open(target, "w", **profile) as dataset:
        dataset.write(values)
        dataset.descriptions = names
    return target


if __name__ == "__main__":
    main()
