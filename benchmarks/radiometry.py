"""How often is a shifted scene found, and how often an unshifted one suspected?

    python -m benchmarks.radiometry [DATA [SCENES [TARGET]]]
    python -m benchmarks.radiometry TABLE.csv ...

plants in real scenes, their halves and quarters, what can go wrong with a scene (`planted`), and
asks the model of the clean scene. How much a plant matters is the share of labels that move when
the forest of the clean scene classifies the planted one. DATA is a folder with the scenes named
below, SCENES a part of their names; without DATA the two scenes of the demonstration are used.
Writes radiometry.csv, or TARGET, a row per case, and prints the tables for README.md; given such
tables it only prints. Rows are written to TARGET.part until all are there: begun again, the
benchmark goes on after the last of them.
"""

import csv
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from affine import Affine
from rasterio.io import DatasetReader, MemoryFile
from scipy.stats import beta

from benchmarks.planted import Case, Unit, cases
from landcover.inference.block import Correction
from landcover.inference.radiometry import Radiometry, compare
from landcover.io.legend import Legend
from landcover.io.raster import Band, Grid, open_raster, read_valid
from landcover.io.scene_pixels import sample_pixels
from landcover.models.file import Card
from landcover.models.footprint import CELL, Footprint
from landcover.models.forest.ensemble import TreeEnsemble
from landcover.models.methods import random_forest
from landcover.models.training_set import TrainingSet
from landcover.samples.folder import MOST_SCENE_PIXELS
from landcover.samples.labels import open_labels
from landcover.training.train import spectra_on_card

MOST_PER_CLASS = 2000
MOST_MOVED = 5_000
"""Pixels by which the share of labels that move is told."""
PLANTED_PARTS = 4
"""The whole, where all is planted, and so many less one of its parts, with a third each."""
MOST_PIECES = 12
REASON = 90
"""Characters of the advice that a row keeps."""
PIECE = 96
"""Side of the pieces that are asked for as they are."""
SENTINEL = (443, 490, 560, 665, 705, 740, 783, 842, 865, 945, 1375, 1610, 2190)
LANDSAT = (483, 560, 662, 835, 1648, 2206)
MODIS = (469, 555, 645, 858, 2130)
TRUE_COLOUR, FALSE_COLOUR = (645, 555, 469), (2130, 858, 645)
COLUMNS = ("scene", "half", "part", "model", "kind", "case", "moved", "verdict", "known", "right",
           "right_harmonised", "clean_kept", "reason")  # fmt: skip


@dataclass(frozen=True)
class Source:
    """Where a scene and its labels are, and which half of the scenes it belongs to."""

    scene: str
    labels: str
    unit: Unit
    sets_thresholds: bool


_CHIAPAS, _ICE = "l7_chiapas/", "sea_ice_ne_greenland/terra_202209"
_SENTINEL, _COUNTS = Unit(1e4, "uint16", SENTINEL), Unit(255, "uint8", LANDSAT)
DATA = {
    "Chiapas, November": Source(
        _CHIAPAS + "le7_022049_1999-11-18.tif", _CHIAPAS + "training_data.shp",
        Unit(1e4, "int16", LANDSAT), True),
    "Chiapas, April": Source(
        _CHIAPAS + "le7_022049_2002-04-16.tif", _CHIAPAS + "training_data.shp",
        Unit(1e4, "int16", LANDSAT), True),
    "Greenland, true colour": Source(
        _ICE + "13_west_truecolor.tif", _ICE + "13_west_reference_nir.tif",
        Unit(255, "uint8", TRUE_COLOUR), True),
    "Greenland, true colour, cloudy": Source(
        _ICE + "14_west_cloudy_truecolor.tif", _ICE + "14_west_cloudy_reference_nir.tif",
        Unit(255, "uint8", TRUE_COLOUR), True),
    "Greenland, false colour": Source(
        _ICE + "13_west_falsecolor721.tif", _ICE + "13_west_reference_nir.tif",
        Unit(255, "uint8", FALSE_COLOUR), True),
    "Brandenburg": Source(
        "s2_brandenburg/s2_l1c_20170216_13bands_10m.tif", "s2_brandenburg/osm_landuse.gpkg",
        _SENTINEL, True),
    "North Carolina": Source(
        "l7_north_carolina/lsat7_2000_6bands.tif", "l7_north_carolina/training_polygons.gpkg",
        _COUNTS, False),
    "Greenland, reflectance": Source(
        _ICE + "13_west_reflectance_uint16.tif", _ICE + "13_west_reference_nir.tif",
        Unit(1e4, "uint16", MODIS), False),
    "Greenland, reflectance, cloudy": Source(
        _ICE + "14_west_cloudy_reflectance_uint16.tif", _ICE + "14_west_cloudy_reference_nir.tif",
        Unit(1e4, "uint16", MODIS), False),
    "Greenland, false colour, cloudy": Source(
        _ICE + "14_west_cloudy_falsecolor721.tif", _ICE + "14_west_cloudy_reference_nir.tif",
        Unit(255, "uint8", FALSE_COLOUR), False),
}  # fmt: skip
DEMO = {
    "Brandenburg": Source("demo/scene.tif", "demo/labels.gpkg", _SENTINEL, True),
    "North Carolina": Source("demo-landsat/scene.tif", "demo-landsat/labels.gpkg", _COUNTS, False),
}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """A scene or a part of it: values (bands, H, W), validity and codes (H, W), 0 unlabelled."""

    source: Source
    values: np.ndarray
    valid: np.ndarray
    codes: np.ndarray
    transform: Affine = Affine.translation(500_000, 5_800_000) @ Affine.scale(10, -10)

    def part(self, rows: slice, columns: slice) -> "Scene":
        """Cut a part out, which knows where it lies."""
        moved = self.transform @ Affine.translation(columns.start, rows.start)
        return replace(self, values=self.values[:, rows, columns],
                       valid=self.valid[rows, columns], codes=self.codes[rows, columns],
                       transform=moved)  # fmt: skip

    @property
    def classes(self) -> set[int]:
        """The classes of its labels."""
        return set(np.unique(self.codes[self.valid]).tolist()) - {0}

    def labelled(self) -> TrainingSet:
        """Return its labelled pixels, at most MOST_PER_CLASS of a class."""
        chosen = (self.codes > 0) & self.valid
        values, codes = self.values[:, chosen].T, self.codes[chosen]
        rng = np.random.default_rng(0)
        kept = np.concatenate(
            [rng.permutation(np.flatnonzero(codes == c))[:MOST_PER_CLASS] for c in self.classes]
        )
        bands = [Band(f"b{wave}", float(wave)) for wave in self.source.unit.wavelengths]
        return TrainingSet.of_pixels(values[kept].astype(np.float32), codes[kept], bands=bands)

    def opened(self, values: np.ndarray) -> DatasetReader:
        """Write values of the same size as a GeoTIFF in memory, and open it."""
        bands, height, width = values.shape
        file = MemoryFile()
        with file.open(
            driver="GTiff", count=bands, height=height, width=width, dtype=values.dtype,
            tiled=True, blockxsize=128, blockysize=128, crs="EPSG:32633", transform=self.transform,
        ) as target:  # fmt: skip
            target.write(values)
            target.write_mask(self.valid)
        return file.open()


@dataclass(frozen=True)
class Trained:
    """The model of a scene: its forest and its card."""

    forest: TreeEnsemble
    card: Card
    _labels: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    @classmethod
    def on(cls, scene: Scene) -> "Trained":
        """Train on the labels of a scene."""
        forest = random_forest.fit(scene.labelled(), random_forest.Options(), 0)
        return cls(forest, card_of(scene))

    def labels_of(self, part: Scene) -> tuple[np.ndarray, np.ndarray]:
        """Return some pixels of a clean part, bool (H, W), and their labels on its map."""
        if id(part) not in self._labels:
            chosen = _some(part)
            labels = self.forest.predict(part.values[:, chosen].T.astype(np.float32))
            self._labels[id(part)] = chosen, labels
        return self._labels[id(part)]


def main() -> None:
    """Write the rows and print the tables, or print those of tables written before."""
    given = sys.argv[1:]
    if given and given[0].endswith(".csv"):
        print_tables([row for path in given for row in _read(Path(path))])
        return
    data = Path(given[0]) if given else None
    target = Path(given[2]) if len(given) > 2 else Path(__file__).with_suffix(".csv")
    part = target.with_suffix(".part")
    done = _read(part) if part.exists() else []
    with TemporaryDirectory() as folder, part.open("a", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not done:
            table.writeheader()
        for name, scene in _open(Path(folder), data, given[1] if len(given) > 1 else ""):
            for row in _rows(name, scene, {_key(row) for row in done}):
                table.writerow(row)
                file.flush()
    part.replace(target)
    print_tables(_read(target))


def _key(row: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(row[column] for column in COLUMNS[: COLUMNS.index("moved")])


def _read(path: Path) -> list[dict[str, object]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [dict(row) for row in csv.DictReader(file)]


def _open(folder: Path, data: Path | None, wanted: str) -> Iterator[tuple[str, Scene]]:
    if data is None:
        from demo.data import prepare

        prepare(folder)
    sources = DEMO if data is None else DATA
    for name, source in sources.items():
        if wanted in name:
            yield name, _scene(data or folder, source)


def _scene(folder: Path, source: Source) -> Scene:
    with open_raster(folder / source.scene) as dataset:
        grid = Grid.of(dataset)
        window = next(grid.windows(grid.height, grid.width))
        values, valid = read_valid(dataset, window)
        with open_labels(folder / source.labels, "class", grid) as labels:
            codes = labels.read(window).codes.astype(np.uint8)
    return Scene(source, values.astype(np.float32), valid, codes)


def parts_of(scene: Scene) -> Iterator[tuple[str, Scene]]:
    """Yield the whole scene, and its halves and quarters that hold all classes."""
    height, width = scene.valid.shape
    whole, upper, lower = slice(0, height), slice(0, height // 2), slice(height // 2, height)
    wide, left, right = slice(0, width), slice(0, width // 2), slice(width // 2, width)
    parts = {
        "whole": (whole, wide), "north": (upper, wide), "south-east": (lower, right),
        "west": (whole, left), "north-west": (upper, left), "east": (whole, right),
        "south": (lower, wide), "north-east": (upper, right), "south-west": (lower, left),
    }  # fmt: skip
    for name, at in parts.items():
        part = scene.part(*at)
        if part.classes == scene.classes:
            yield name, part


_AS_IT_IS = "as it is", "as it is"
_OPPOSITE = {"north": "south", "south": "north", "west": "east", "east": "west"}


def _rows(name: str, scene: Scene, done: Set[tuple[object, ...]]) -> Iterator[dict[str, object]]:
    """Yield a row per part and case that is not done, the unchanged ones first."""
    told = {"scene": name, "half": "sets" if scene.source.sets_thresholds else "tries"}
    trained = Trained.on(scene)
    parts = dict(parts_of(scene))
    for part_name, part in [*parts.items(), *islice(_pieces(scene), MOST_PIECES)]:
        about = told | {"part": part_name, "model": "of the scene"}
        if (*about.values(), *_AS_IT_IS) not in done:
            yield about | _as_it_is(part, trained.card)
    for part_name, other_name in _OPPOSITE.items():
        if part_name in parts and other_name in parts:
            about = told | {"part": part_name, "model": "of the other half"}
            if (*about.values(), *_AS_IT_IS) not in done:
                yield about | _as_it_is(parts[part_name], card_of(parts[other_name]))
    for number, (part_name, part) in enumerate(islice(parts.items(), PLANTED_PARTS)):
        about = told | {"part": part_name, "model": "of the scene"}
        for turn, case in enumerate(cases(scene.source.unit, number)):
            is_asked = part_name == "whole" or turn % 3 == number % 3
            if is_asked and (*about.values(), case.kind, case.name) not in done:
                yield about | _planted(part, trained, case)


def _pieces(scene: Scene) -> Iterator[tuple[str, Scene]]:
    """Yield pieces of a scene on which at least two classes are labelled."""
    height, width = scene.valid.shape
    for row in range(0, height - PIECE + 1, PIECE):
        for column in range(0, width - PIECE + 1, PIECE):
            piece = scene.part(slice(row, row + PIECE), slice(column, column + PIECE))
            if len(piece.classes) >= 2 and piece.valid.mean() > 0.5:
                yield f"piece {row} {column}", piece


def _as_it_is(part: Scene, card: Card) -> dict[str, object]:
    found = _judge(part, part.values.astype(part.source.unit.dtype), card)
    return _told(*_AS_IT_IS, 0.0, found)


def _planted(part: Scene, trained: Trained, case: Case) -> dict[str, object]:
    values = case.plant(part.values)
    values = part.source.unit.stored(values) if case.keeps_dtype else values.astype(np.float32)
    chosen, before = trained.labels_of(part)
    shifted = values[:, chosen].astype(np.float64)
    after = trained.forest.predict(shifted.T.astype(np.float32))
    found = _judge(part, values, trained.card)
    row = _told(case.kind, case.name, float((before != after).mean()), found)
    if found.verdict != "shifted":
        return row
    correction = Correction.of(found.correction, trained.card.dtype)
    harmonised = trained.forest.predict(_corrected(correction, shifted))
    labelled = _labelled(part)
    codes, clean = part.codes[labelled], part.values[:, labelled]
    right, right_harmonised = (
        float((trained.forest.predict(v) == codes).mean())
        for v in (clean.T.astype(np.float32), _corrected(correction, values[:, labelled]))
    )
    return row | {
        "right": round(right, 4),
        "right_harmonised": round(right_harmonised, 4),
        "clean_kept": round(float((harmonised == before).mean()), 4),
    }


def _corrected(correction: Correction, values: np.ndarray) -> np.ndarray:
    """Return pixels (N, bands) of values (bands, N) as classify-scene harmonises them."""
    return correction.apply(values[:, :, None])[:, :, 0].T


def _labelled(part: Scene) -> np.ndarray:
    """Return bool (H, W), labelled pixels drawn evenly."""
    return _some(replace(part, valid=part.valid & (part.codes > 0)))


def _some(part: Scene) -> np.ndarray:
    """Return bool (H, W), valid pixels drawn evenly."""
    at = np.flatnonzero(part.valid)
    drawn = np.random.default_rng(0).permutation(at)[:MOST_MOVED]
    chosen = np.zeros(part.valid.size, bool)
    chosen[drawn] = True
    return chosen.reshape(part.valid.shape)


def _judge(part: Scene, values: np.ndarray, card: Card) -> Radiometry:
    with part.opened(values) as dataset:
        return compare(dataset, dataset.indexes, card)


def _told(kind: str, case: str, moved: float, found: Radiometry) -> dict[str, object]:
    return {"kind": kind, "case": case, "moved": round(moved, 3), "verdict": found.verdict,
            "known": round(found.known, 3), "reason": found.advice[:REASON]}  # fmt: skip


def card_of(scene: Scene) -> Card:
    """Return the card of the model of a scene."""
    with scene.opened(scene.values.astype(scene.source.unit.dtype)) as dataset:
        around = sample_pixels(dataset, dataset.indexes).some(MOST_SCENE_PIXELS).values
    described = spectra_on_card(scene.labelled(), 0, around)
    return Card(
        method="random-forest", legend=Legend.of(["a", "b"]), dtype=scene.source.unit.dtype,
        nodata=None, chip_size=1, samples_sha256="", code_version="", validation={},
        places=_places(scene), **described,
    )  # fmt: skip


def _places(scene: Scene) -> Footprint:
    cells = np.argwhere((scene.codes > 0) & scene.valid) // CELL
    return Footprint.of_cells(cells, "EPSG:32633", scene.transform, CELL, True)


def print_tables(rows: Sequence[dict[str, object]]) -> None:
    """Print how many plants were found, how many clean parts suspected, and how maps fare."""
    for half, title in (("sets", "scenes that set the thresholds"), ("tries", "other scenes")):
        of_half = [row for row in rows if row["half"] == half]
        if of_half:
            print(f"\n### {title}: {', '.join(sorted({str(row['scene']) for row in of_half}))}\n")
            _print_found(of_half)
            _print_harmonised(of_half)
    _print_missed(rows)


def _print_missed(rows: Sequence[dict[str, object]]) -> None:
    """Print the plants that moved labels and were not found, and the clean parts suspected."""
    print("\n| scene | part | case | labels that moved | verdict |\n|---|---|---|---|---|")
    for row in rows:
        is_clean, is_ok = row["kind"] == "as it is", row["verdict"] == "ok"
        if is_clean != is_ok and (is_clean or _moved(row) != "less than 5 %"):
            told = (row[key] for key in ("scene", "part", "case", "moved", "verdict"))
            print(f"| {' | '.join(map(str, told))} |")


def _moved(row: dict[str, object]) -> str:
    moved = float(str(row["moved"]))
    return "10 % or more" if moved >= 0.1 else "5 to 10 %" if moved >= 0.05 else "less than 5 %"


def _print_found(rows: Sequence[dict[str, object]]) -> None:
    counted: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for row in rows:
        found = row["verdict"] != "ok"
        if row["kind"] == "as it is":
            counted["as it is", str(row["model"])].append(found)
            continue
        counted["all plants", _moved(row)].append(found)
        counted[str(row["kind"]), _moved(row)].append(found)
    print("| plant | labels that move | n | not ok | share | 95 % interval |")
    print("|---|---|---|---|---|---|")
    for (kind, moved), found in sorted(counted.items()):
        low, high = _interval(sum(found), len(found))
        share = f"{sum(found) / len(found):.1%} | {low:.1%} to {high:.1%}"
        print(f"| {kind} | {moved} | {len(found)} | {sum(found)} | {share} |")


def _print_harmonised(rows: Sequence[dict[str, object]]) -> None:
    """Print how harmonised maps compare with the clean ones."""
    counted: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for row in rows:
        if row["verdict"] == "shifted" and row.get("right"):
            right, harmonised, kept = (
                float(str(row[key])) for key in ("right", "right_harmonised", "clean_kept")
            )
            counted[str(row["kind"])].append((right, harmonised, kept))
    print(
        "\n| harmonised | n | clean map right | harmonised right | within 1 point | same label |"
    )
    print("|---|---|---|---|---|---|")
    for kind, figures in sorted(counted.items()):
        right, harmonised, kept = np.nanmean(np.array(figures), axis=0)
        within = np.mean([abs(a - b) <= 0.01 for a, b, _ in figures])
        print(f"| {kind} | {len(figures)} | {right:.2%} | {harmonised:.2%} | {within:.0%} | "
              f"{kept:.2%} |")  # fmt: skip


def _interval(hits: int, total: int) -> tuple[float, float]:
    """Return the interval of Clopper and Pearson (Biometrika 26, 1934)."""
    low = 0.0 if hits == 0 else float(beta.ppf(0.025, hits, total - hits + 1))
    high = 1.0 if hits == total else float(beta.ppf(0.975, hits + 1, total - hits))
    return low, high


if __name__ == "__main__":
    main()
