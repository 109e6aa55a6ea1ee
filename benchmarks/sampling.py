"""How fast is drawing samples: strokes, many samples, and tiles of a large scene?

    python -m benchmarks.sampling [FOLDER]

works below FOLDER (a temporary folder if not given; name one on the storage that you want to
measure), with 50,000 samples in one file and a scene of 1 GB without overviews, and prints a
table. The time from the mouse to the disk adds the way through browser, proxy and kernel, which
tests/test_drawing_in_the_browser.py goes.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rasterio
from affine import Affine

from landcover.io.legend import Legend
from landcover.io.raster import open_raster
from sample_map.data.features import Geometry, Sample, sum_areas
from sample_map.data.store import SampleStore
from sample_map.data.tiles import Look, TileMaker, describe
from sample_map.tools.drawing import Drawing

SAMPLES = 50_000
STROKES = 300
SIDE = 13_000  # pixels; three bands of 16 bits are 1 GB
NAME, SCENE = "home/samples/many.geojson", "home/large.tif"
CLASSES = ("water", "forest", "farm")


def main() -> None:
    """Print the table."""
    with TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else None) as home:
        os.environ["HOME"] = home
        print("| what | median | 95 % | promised |\n|---|---|---|---|")
        _samples()
        _tiles(Path(home) / "large.tif")


def _samples() -> None:
    empty = Drawing(SampleStore(NAME, Legend.of(CLASSES)), "eve")
    for name in CLASSES:
        count = SAMPLES // len(CLASSES) + 1
        empty.add(Sample.new(name, _outline(), "eve", SCENE) for _ in range(count))
    empty.store.close()
    _row(f"open {SAMPLES:,} samples, with their areas", [_seconds(_open)], "")
    drawing = Drawing(SampleStore(NAME), "eve")
    alone = [_seconds(lambda: drawing.draw("water", _outline(), SCENE)) for _ in range(STROKES)]
    _row(f"a stroke, synced, {SAMPLES:,} samples there", alone, "300 ms")
    _row("fold into the file", [_seconds(drawing.store.fold)], "5 s")
    _row("a stroke while others are folded", _while_folding(drawing), "300 ms")
    drawing.store.close()


def _open() -> None:
    store = SampleStore(NAME)
    sum_areas(store.samples.values())
    store.close()


def _while_folding(drawing: Drawing) -> list[float]:
    stop = threading.Event()

    def fold() -> None:
        while not stop.is_set():
            drawing.store.fold()

    folding = threading.Thread(target=fold)
    folding.start()
    took = [_seconds(lambda: drawing.draw("forest", _outline(), SCENE)) for _ in range(STROKES)]
    stop.set()
    folding.join()
    return took


def _tiles(path: Path) -> None:
    rng = np.random.default_rng(0)
    block = rng.integers(0, 4000, (3, 500, SIDE), "uint16")
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=SIDE, width=SIDE, dtype="uint16",
        crs="EPSG:32633", transform=Affine(10, 0, 300000, 0, -10, 5900000),
        tiled=True, compress="deflate", zlevel=1,
    ) as dataset:  # fmt: skip
        for top in range(0, SIDE, 500):
            dataset.write(block, window=((top, top + 500), (0, SIDE)))
    with open_raster(path) as dataset:
        size = dataset.width * dataset.height * dataset.count * 2 / 1e9
    scene, maker = describe(SCENE), TileMaker()
    look = Look(scene.natural)
    first = [_seconds(lambda: maker.tile(SCENE, look, 8, 136, 83))]
    _row(f"the first tile of {size:.1f} GB without overviews", first, "")
    for zoom in (8, 10, 12, 14):
        column, row = 136 << (zoom - 8), 83 << (zoom - 8)
        took = [_seconds(_drawn(maker, look, zoom, column + i, row + 1)) for i in range(8)]
        _row(f"a tile at zoom {zoom}", took, "")


def _drawn(maker: TileMaker, look: Look, *tile: int) -> Callable[[], bytes]:
    return lambda: maker.tile(SCENE, look, *tile)


def _seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _row(what: str, took: list[float], promised: str) -> None:
    median, high = (f"{np.percentile(took, q) * 1000:.0f} ms" for q in (50, 95))
    print(f"| {what} | {median} | {high if len(took) > 1 else '–'} | {promised} |", flush=True)


_RNG = np.random.default_rng(0)


def _outline() -> Geometry:
    """Return an outline of eight corners somewhere in the scene."""
    x, y = _RNG.uniform((12.3, 52.0), (13.8, 53.0))
    angles = np.linspace(0, 2 * np.pi, 9)[:-1]
    ring = [[x + 0.0003 * np.cos(a), y + 0.0002 * np.sin(a)] for a in angles]
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}


if __name__ == "__main__":
    main()
