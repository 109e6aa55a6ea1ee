"""How long does a preview take? One scene of a real size, strokes, and what is told of them.

    python -m benchmarks.preview

Polygons of 49 pixels of 5 classes on made scenes of 512 x 512 pixels: 20 on 13 bands, 20 on the
64 bands of an embedding. CPU seconds from a stroke to each thing that is told, medians of five
strokes after one that warms up, with one thread; and, as a floor in the same run, scikit-learn's
own forest of as many trees, trained on the same features and asked for the same pixels.
"""

import os
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import numpy as np
import rasterio
from affine import Affine
from rasterio.warp import transform_bounds
from shapely.geometry import box, mapping
from threadpoolctl import threadpool_limits

from landcover.io.legend import Legend
from landcover.models.forest.window_features import window_features
from landcover.models.methods.random_forest import Options, trainer
from sample_map.data.features import Sample
from sample_map.tools.live_scene import LiveScene
from sample_map.tools.preview import Preview
from sample_map.tools.small_forest import TREES, Question, learn
from sample_map.tools.where_next import WhereNext

SIDE, SPOTS, POLYGONS, ROUNDS = 512, 32, 20, 5
NAMES = ("water", "forest", "farm", "meadow", "town")
NAME, CRS = "shared/scene.tif", "EPSG:32633"
STAGES = ("coarse", "full", "ready", "accuracy", "unknown")
TRANSFORM = Affine(10, 0, 330_000, 0, -10, 5_822_000)
KINDS = (
    (13, "uint16", False),
    (13, "uint16", True),
    (64, "float32", False),
    (64, "float32", True),
)


def main() -> None:
    """Print a row for each kind of scene."""
    print("| bands | windows | " + " | ".join(STAGES) + " | next place | scikit-learn | ratio |")
    print("|" + "---|" * (len(STAGES) + 5))
    for bands, dtype, windows in KINDS:
        with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
            os.environ["HOME"] = folder
            write_scene(Path(folder) / NAME, bands, dtype)
            print(row(bands, windows), flush=True)


def write_scene(path: Path, bands: int, dtype: str) -> None:
    """Write squares of five spectra, with noise, in tiles as classify-scene's COGs have them."""
    path.parent.mkdir()
    rng = np.random.default_rng(0)
    spectra = rng.normal(1000, 300, (len(NAMES), bands))
    kinds = rng.integers(len(NAMES), size=(SIDE // SPOTS, SIDE // SPOTS))
    kinds = kinds.repeat(SPOTS, axis=0).repeat(SPOTS, axis=1)
    values = spectra[kinds].transpose(2, 0, 1) + rng.normal(0, 250, (bands, SIDE, SIDE))
    profile = {
        "driver": "GTiff", "width": SIDE, "height": SIDE, "count": bands, "dtype": dtype,
        "crs": CRS, "transform": TRANSFORM, "tiled": True, "blockxsize": 256, "blockysize": 256,
        "compress": "deflate",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(values.clip(1).astype(dtype))
        dataset.descriptions = [f"B{number}" for number in range(1, bands + 1)]


def drawn(seed: int) -> tuple[Sample, ...]:
    """Return polygons of 7 x 7 pixels; each class as often as any other."""
    rng = np.random.default_rng(seed)
    corners = rng.permutation((SIDE // SPOTS) ** 2)[:POLYGONS]
    samples = []
    for number, corner in enumerate(corners.tolist()):
        row, column = (SPOTS * at + 8 for at in divmod(corner, SIDE // SPOTS))
        bounds = (*(TRANSFORM @ (column, row + 7)), *(TRANSFORM @ (column + 7, row)))
        outline = box(*transform_bounds(CRS, "EPSG:4326", *bounds))
        samples.append(Sample.new(NAMES[number % len(NAMES)], mapping(outline), "eve", NAME))
    return tuple(samples)


def row(bands: int, windows: bool) -> str:
    """Return the figures of a kind of scene."""
    corners = (*(TRANSFORM @ (0, SIDE)), *(TRANSFORM @ (SIDE, 0)))
    west, south, east, north = transform_bounds(CRS, "EPSG:4326", *corners)
    bounds = (south, west, north, east)
    questions = [
        Question("tab", NAME, bounds, windows, drawn(seed), Legend.of(NAMES))
        for seed in range(ROUNDS + 1)
    ]
    told = strokes(questions)
    taken = [f"{median(one[stage] for one in told):.2f}" for stage in STAGES]
    asked = median(one["next"] for one in told)
    theirs = floor(questions[1])
    ratio = theirs / median(one["full"] for one in told)
    used = "yes" if windows else "no"
    return (
        f"| {bands} | {used} | {' | '.join(taken)} | {1000 * asked:.0f} ms | {theirs:.2f} | "
        f"{ratio:.1f} |"
    )


def strokes(questions: list[Question]) -> list[dict[str, float]]:
    """Return the CPU seconds until each thing was told, stroke by stroke; the first warms up."""
    found: dict[str, float] = {}
    ended = threading.Event()

    def send(message: dict, buffers: object) -> None:
        found[message["stage"]] = time.process_time()
        if message["stage"] in ("unknown", "none"):
            ended.set()

    preview, told = Preview(send), []
    for question in questions:
        found.clear()
        ended.clear()
        begun = time.process_time()
        preview.begin(question)
        ended.wait()
        taken = {stage: at - begun for stage, at in found.items()}
        begun = time.process_time()
        WhereNext().next(preview.shown("tab"), "fewest", question.samples)
        told.append(taken | {"next": time.process_time() - begun})
    preview.close()
    return told[1:]


def floor(question: Question) -> float:
    """Return what scikit-learn takes for the same pixels, read and with features already."""
    scene = LiveScene(question.scene)
    trained = learn(question, scene)
    known = trained.training_set
    block = scene.read(scene.look(question.bounds))
    seen = window_features(block.values, block.valid) if question.windows else block.inner(0)[0]
    pixels = seen.reshape(len(seen), -1).T.astype(np.float32)
    scene.close()
    begun = time.process_time()
    forest = trainer(known.codes, 0, 1, Options(trees=TREES)).fit(known.features, known.codes)
    forest.predict_proba(pixels)
    return time.process_time() - begun


if __name__ == "__main__":
    main()
