"""How often is a shifted scene found, and how often an unshifted one suspected?

    python -m benchmarks.radiometry [DATA]

cuts windows out of real scenes, plants shifts in them, and asks models of the same scene (trained
without the window's quarter of the labels) and of other sensors. DATA is a folder with the scenes
named below; without it the two scenes of the demonstration are used. Writes radiometry.csv, a row
per window, model and case, and prints the table for README.md.
"""

import csv
import math
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.stats import beta

from landcover.classification.training import spectra_on_card
from landcover.classification.validation import Pixels
from landcover.classifiers import random_forest
from landcover.classifiers.tree_ensemble import TreeEnsemble
from landcover.labels import open_labels
from landcover.legend import Legend
from landcover.models import Card
from landcover.radiometry import Radiometry, compare_pixels
from landcover.rasters import Band, Grid, open_raster, read_valid
from landcover.sensors import Measured

SIDE = 64
FEWEST_CLASSES = 3
LEAST_SHARE = 0.05
"""Of a window, for a class to count."""
MOST_PER_CLASS = 2000
SENTINEL = ("B01", "blue", "green", "red", "B05", "B06", "B07", "nir", "B8A", "B09", "B10",
            "swir1", "swir2")  # fmt: skip
LANDSAT = ("blue", "green", "red", "nir", "swir1", "swir2")
MODIS = LANDSAT[:5]
WAVELENGTHS = (443, 490, 560, 665, 705, 740, 783, 842, 865, 945, 1375, 1610, 2190)
COLUMNS = (
    "scene",
    "model",
    "row",
    "column",
    "classes",
    "case",
    "planted",
    "verdict",
    "known",
    "labelled",
    "right",
    "right_harmonised",
)


@dataclass(frozen=True)
class Source:
    """Where a scene and its labels are; `scale` is reflectance per count, None for 8-bit counts.

    Models of scenes of one `family` know each other's sensor and season.
    """

    scene: str
    labels: str
    bands: tuple[str, ...]
    scale: float | None
    family: str
    every: int = 1
    """Shifts are planted in one of so many windows."""


_CHIAPAS, _ICE = "l7_chiapas/", "sea_ice_ne_greenland/terra_202209"
DATA = {
    "Brandenburg, Sentinel-2 L1C, winter": Source(
        "s2_brandenburg/s2_l1c_20170216_13bands_10m.tif",
        "s2_brandenburg/osm_landuse.gpkg", SENTINEL, 1e-4, "s2", 5),
    "North Carolina, Landsat 7 counts": Source(
        "l7_north_carolina/lsat7_2000_6bands.tif",
        "l7_north_carolina/training_polygons.gpkg", LANDSAT, None, "l7 counts"),
    "Chiapas, Landsat 7 SR, November": Source(
        _CHIAPAS + "le7_022049_1999-11-18.tif", _CHIAPAS + "training_data.shp", LANDSAT, 1e-4,
        "l7 November"),
    "Chiapas, Landsat 7 SR, April": Source(
        _CHIAPAS + "le7_022049_2002-04-16.tif", _CHIAPAS + "training_data.shp", LANDSAT, 1e-4,
        "l7 April"),
    "Greenland, MODIS, clear": Source(
        _ICE + "13_west_reflectance_uint16.tif", _ICE + "13_west_reference_nir.tif", MODIS, 1e-4,
        "ice"),
    "Greenland, MODIS, next day, cloudy": Source(
        _ICE + "14_west_cloudy_reflectance_uint16.tif",
        _ICE + "14_west_cloudy_reference_nir.tif", MODIS, 1e-4, "ice"),
}  # fmt: skip
DEMO = {
    "Brandenburg, Sentinel-2 L1C, winter": Source(
        "demo/scene.tif", "demo/labels.gpkg", SENTINEL, 1e-4, "s2", 5),
    "North Carolina, Landsat 7 counts": Source(
        "demo-landsat/scene.tif", "demo-landsat/labels.gpkg", LANDSAT, None, "l7 counts"),
}  # fmt: skip
FEW_CLASSES = {"farm", "forest", "meadow", "residential", "water"}


@dataclass(frozen=True)
class Scene:
    """A scene in memory: values (bands, H, W), validity and codes (H, W), 0 unlabelled."""

    source: Source
    values: np.ndarray
    valid: np.ndarray
    codes: np.ndarray
    classified: np.ndarray
    forest: TreeEnsemble | None = None

    def labelled(self, roles: tuple[str, ...], without: int | None = None) -> Pixels:
        """Return the labelled pixels of some bands, without a quarter of the windows."""
        rows, columns = (np.arange(side) // SIDE % 2 for side in self.codes.shape)
        quarter = rows[:, None] * 2 + columns
        chosen = (self.codes > 0) & self.valid & (quarter != without)
        values = self.values[[self.source.bands.index(role) for role in roles]][:, chosen].T
        codes = self.codes[chosen]
        rng = np.random.default_rng(0)
        kept = np.concatenate(
            [
                rng.permutation(np.flatnonzero(codes == c))[:MOST_PER_CLASS]
                for c in np.unique(codes)
            ]
        )
        return Pixels(values[kept].astype(np.float32), codes[kept], np.zeros(len(kept), str))

    def windows(self) -> Iterator["_Window"]:
        """Yield the windows with enough valid pixels."""
        height, width = self.codes.shape
        for row in range(0, height - SIDE + 1, SIDE):
            for column in range(0, width - SIDE + 1, SIDE):
                window = np.s_[row : row + SIDE, column : column + SIDE]
                valid = self.valid[window]
                if valid.sum() < 1000:
                    continue
                shares = np.bincount(self.classified[window][valid]) / valid.sum()
                classes = int((shares >= LEAST_SHARE).sum())
                pixels = self.values[:, *window][:, valid]
                yield _Window(row, column, pixels, self.codes[window][valid], classes)


@dataclass(frozen=True)
class _Window:
    """Valid pixels (bands, N) and labels (N,), 0 for none, and the number of classes."""

    row: int
    column: int
    pixels: np.ndarray
    codes: np.ndarray
    classes: int

    @property
    def quarter(self) -> int:
        return self.row // SIDE % 2 * 2 + self.column // SIDE % 2


def main() -> None:
    """Write the rows and print the table."""
    rows = []
    with TemporaryDirectory() as folder:
        for row in _rows(_open(Path(folder))):
            rows.append(row)
            print(f"\r{len(rows)} comparisons", end="", file=sys.stderr, flush=True)
    target = Path(__file__).with_suffix(".csv")
    with target.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    print(file=sys.stderr)
    _print(rows)
    _print_harmonised(rows)


def _open(folder: Path) -> dict[str, Scene]:
    if len(sys.argv) > 1:
        return {name: _scene(Path(sys.argv[1]), source) for name, source in DATA.items()}
    from demo.data import prepare

    prepare(folder)
    return {name: _scene(folder, source) for name, source in DEMO.items()}


def _scene(folder: Path, source: Source) -> Scene:
    with open_raster(folder / source.scene) as dataset:
        grid = Grid.of(dataset)
        window = next(grid.windows(grid.height, grid.width))
        values, valid = read_valid(dataset, window)
        with open_labels(folder / source.labels, "class", grid) as labels:
            codes = labels.read(window).codes.astype(np.uint8)
            if source.bands == SENTINEL:  # of eight noisy classes, the five that can be told apart
                known = [c.code for c in labels.legend.classes if c.name in FEW_CLASSES]
                codes = np.where(np.isin(codes, known), codes, 0)
    scene = Scene(source, values.astype(np.float64), valid, codes, codes)
    pixels = scene.labelled(source.bands)
    forest = random_forest.fit(pixels.values, pixels.codes, 0)
    every = values.reshape(len(values), -1).T.astype(np.float32)
    return Scene(
        source, scene.values, valid, codes, forest.predict(every).reshape(codes.shape), forest
    )


def _rows(scenes: dict[str, Scene]) -> Iterator[dict[str, object]]:
    """Yield a row per window, model and case."""
    cards = _Cards(scenes)
    for name, scene in scenes.items():
        for number, window in enumerate(scene.windows()):
            cases = _unshifted(name, scenes, window, cards)
            if number % scene.source.every == 0:
                cases = chain(cases, _planted(name, scenes, window, number, cards))
            for model, case, planted, found, right in cases:
                told = (name, model, window.row, window.column, window.classes, case, int(planted),
                        found.verdict, round(found.known, 3), *right)  # fmt: skip
                yield dict(zip(COLUMNS, told, strict=True))


_Case = tuple[str, str, bool, Radiometry, tuple[object, object, object]]
_NO_MAP = ("", "", "")


def _unshifted(
    name: str, scenes: dict[str, Scene], window: _Window, cards: "_Cards"
) -> Iterator[_Case]:
    """Yield what models of the same sensor and season say of a window."""
    for other, theirs in scenes.items():
        if theirs.source.family == scenes[name].source.family:
            card = cards.get(other, theirs.source.bands, window.quarter)
            yield other, "as it is", False, _judge(window.pixels, card), _NO_MAP


def _planted(
    name: str, scenes: dict[str, Scene], window: _Window, number: int, cards: "_Cards"
) -> Iterator[_Case]:
    """Yield what its own model says of a shifted window, and other sensors' of it as it is."""
    source = scenes[name].source
    for case, shifted in _shifts(window.pixels, source, number):
        found = _judge(shifted, cards.get(name, source.bands, window.quarter))
        right = (
            _NO_MAP if found.verdict != "shifted" else _right(scenes[name], window, shifted, found)
        )
        yield name, case, True, found, right
    for other, theirs in scenes.items():
        if (theirs.source.bands, theirs.source.scale) != (source.bands, source.scale):
            roles = tuple(r for r in LANDSAT if r in source.bands and r in theirs.source.bands)
            few = window.pixels[[source.bands.index(role) for role in roles]]
            found = _judge(few, cards.get(other, roles, None))
            yield other, "another sensor", True, found, _NO_MAP


def _right(
    scene: Scene, window: _Window, shifted: np.ndarray, found: Radiometry
) -> tuple[int, int, int]:
    """Return the labelled pixels, and how many are mapped right from clean and harmonised ones."""
    assert scene.forest is not None
    labelled = window.codes > 0
    gain, offset = (part[:, None] for part in found.correction)
    right = [
        int((scene.forest.predict(values[:, labelled].T) == window.codes[labelled]).sum())
        for values in (window.pixels, gain * shifted + offset)
    ]
    return int(labelled.sum()), right[0], right[1]


class _Cards:
    """The cards of models, each made once: of a scene, some bands, without a quarter."""

    def __init__(self, scenes: dict[str, Scene]) -> None:
        self._scenes = scenes
        self._made: dict[tuple[str, tuple[str, ...], int | None], Card] = {}

    def get(self, scene: str, roles: tuple[str, ...], quarter: int | None) -> Card:
        if (scene, roles, quarter) not in self._made:
            pixels = self._scenes[scene].labelled(roles, quarter)
            self._made[scene, roles, quarter] = _card(roles, pixels)
        return self._made[scene, roles, quarter]


def _shifts(pixels: np.ndarray, source: Source, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what can go wrong with a scene on the way to a user."""
    if source.scale:
        yield "offset of 1000 not taken off", pixels + 1000
        yield "offset of 1000 taken off twice, signed", pixels - 1000
        yield "offset of 1000 taken off twice, cut off at 0", np.maximum(pixels - 1000, 0)
        yield "reflectance from 0 to 1", pixels * source.scale
        yield "stretched to 8 bit", np.rint(np.clip(pixels * source.scale * 255, 0, 255))
    else:
        yield "counts from 0 to 1", pixels / 255
        yield "counts stretched to 10000", np.rint(pixels * 1e4 / 255)
    if source.bands == SENTINEL:
        yield "L2A, simulated", _without_atmosphere(pixels)
    blue, red, nir = (source.bands.index(role) for role in ("blue", "red", "nir"))
    yield "blue and red exchanged", _exchanged(pixels, blue, red)
    yield "red and near infrared exchanged", _exchanged(pixels, red, nir)
    yield "bands in reverse order", pixels[::-1]
    order = np.arange(len(pixels))
    rng = np.random.default_rng(seed)
    while (order == np.arange(len(pixels))).all():
        order = rng.permutation(len(pixels))
    yield "bands in random order", pixels[order]


def _exchanged(pixels: np.ndarray, first: int, second: int) -> np.ndarray:
    order = np.arange(len(pixels))
    order[[first, second]] = second, first
    return pixels[order]


def _without_atmosphere(pixels: np.ndarray) -> np.ndarray:
    """Take off a path radiance that falls with wavelength, and divide by a transmittance."""
    wavelength = np.array(WAVELENGTHS)[:, None]
    path = 1150 * (443 / wavelength) ** 3
    transmittance = np.clip(0.78 + 0.2 * (wavelength - 443) / 700, 0.78, 0.97)
    return np.maximum((pixels - path) / transmittance, 1)


def _judge(pixels: np.ndarray, card: Card) -> Radiometry:
    return compare_pixels(pixels.T, card, Measured())


def _card(roles: tuple[str, ...], pixels: Pixels) -> Card:
    described = spectra_on_card([Band(role, None) for role in roles], pixels, 0)
    return Card(
        method="random-forest", legend=Legend.of(["a", "b"]), dtype="uint16", nodata=None,
        chip_size=1, samples_sha256="", code_version="", validation={}, created="", **described,
    )  # fmt: skip


def _print(rows: list[dict[str, object]]) -> None:
    counted: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for row in rows:
        few = row["classes"] < FEWEST_CLASSES  # type: ignore[operator]
        group = "windows of fewer than three classes" if few else "three classes or more"
        suspected = row["verdict"] != "ok"
        counted[group, str(row["case"])].append(suspected)
        counted[group, "all shifts" if row["planted"] else "all unshifted"].append(suspected)
    print("| windows | case | n | not ok | share | 95 % interval |\n|---|---|---|---|---|---|")
    for (group, case), found in sorted(counted.items()):
        low, high = _interval(sum(found), len(found))
        share = f"{sum(found) / len(found):.1%} | {low:.1%} to {high:.1%}"
        print(f"| {group} | {case} | {len(found)} | {sum(found)} | {share} |")


def _print_harmonised(rows: list[dict[str, object]]) -> None:
    """Print how accurate maps of harmonised windows are, of all classes and scenes."""
    counted: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(4, int))
    for row in rows:
        if row["labelled"] != "":
            counts = (row["labelled"], row["right"], row["right_harmonised"], 1)
            counted[str(row["case"])] += np.array(counts, int)
    print("\n| harmonised | windows | labelled pixels | clean map right | harmonised map right |")
    print("|---|---|---|---|---|")
    for case, (labelled, clean, harmonised, windows) in sorted(counted.items()):
        shares = f"{clean / labelled:.2%} | {harmonised / labelled:.2%}"
        print(f"| {case} | {windows} | {labelled} | {shares} |")


def _interval(hits: int, total: int) -> tuple[float, float]:
    """Return the interval of Clopper and Pearson (Biometrika 26, 1934)."""
    low = 0.0 if hits == 0 else float(beta.ppf(0.025, hits, total - hits + 1))
    high = 1.0 if hits == total else float(beta.ppf(0.975, hits + 1, total - hits))
    assert math.isfinite(low + high)
    return low, high


if __name__ == "__main__":
    main()
