"""Automatic labels of sea ice: how right they are, which scenes are refused, what a U-Net adds.

    python -m benchmarks.sea_ice CLEAR REFERENCE CLOUDY REFERENCE [LAND] [--networks]

Pictures of one place on two days and, for each, a raster of codes 1 open water, 2 thin, 3 thick
that the pictures do not contain, such as one of the near infrared. Thresholds are fitted on the
left half of the clear picture and labels are scored on right halves; networks, which need more of
a reference, learn on the upper half and are scored on lower ones. `veiled` is made:
a smooth white veil of up to 60 % on about half of the clear picture, and shadows down to 55 % of
the light on about half of it; the mean of four.

The filter's numbers and the criterion for refusal were chosen on such scenes themselves: the
figures of `stretch` and of the table of windows are not those of a scene that nobody had seen.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rasterio
from scipy.ndimage import gaussian_filter

from landcover.operations import by_identifier
from landcover.scenes.auto_labels.label import label_scenes
from landcover.scenes.auto_labels.one_scene import Task
from landcover.scenes.auto_labels.rules import read_rules
from landcover.scenes.auto_labels.thresholds import Modes, otsu

_VEILS = 4
_WINDOW = 138
_COPIES = 24
"""Scenes of the measurement of map and reduce."""
_SEEDS = 2
_OPTIONS = {"width": 8, "depth": 3, "steps": 160, "batch": 8, "crop": 96, "held_out": 0.0}


@dataclass(frozen=True)
class Day:
    """A picture (3, H, W) and what is known of it, codes (H, W), 0 where nothing is."""

    picture: np.ndarray
    truth: np.ndarray
    profile: dict

    def with_picture(self, picture: np.ndarray) -> "Day":
        """Return the same place under other light."""
        return Day(picture, self.truth, self.profile)

    def first_half(self, axis: int) -> "Day":
        """Return the upper half (axis 0) or the left one (axis 1)."""
        own = _half(self.truth.shape, axis, second=False)
        return Day(self.picture[(..., *own)], self.truth[own], self.profile)

    def write(self, path: Path, values: np.ndarray) -> Path:
        """Write a raster of this place."""
        values = values.reshape(-1, *values.shape[-2:])
        _, height, width = values.shape
        profile = self.profile | {"height": height, "width": width, "count": len(values)}
        with rasterio.open(path, "w", **profile) as dataset:
            dataset.write(values)
            if len(values) == 3:
                dataset.descriptions = ["red", "green", "blue"]
        return path


def _half(shape: tuple[int, ...], axis: int, second: bool) -> tuple[slice, slice]:
    middle = shape[axis] // 2
    part = slice(middle, None) if second else slice(middle)
    return (part, slice(None)) if axis == 0 else (slice(None), part)


def main() -> None:
    """Print the tables for README.md."""
    files = [Path(word) for word in sys.argv[1:] if not word.startswith("--")]
    clear, cloudy = _read(*files[:2]), _read(*files[2:4])
    veiled = [clear.with_picture(_veiled(clear.picture, seed)) for seed in range(_VEILS)]
    days = {"clear": [clear], "veiled": veiled, "cloudy": [cloudy]}
    with TemporaryDirectory() as name:
        folder = Path(name)
        _print_labels(days, folder)
        _print_refusals(days)
        _print_map_reduce(clear, folder)
        if "--networks" in sys.argv:
            _print_networks(days, folder, files[4] if files[4:] else None)


def _read(picture: Path, truth: Path) -> Day:
    with rasterio.open(picture) as dataset, rasterio.open(truth) as codes:
        kept = ("crs", "transform")
        profile = {"driver": "GTiff", "dtype": "uint8"} | {k: dataset.profile[k] for k in kept}
        return Day(dataset.read(), codes.read(1), profile)


def _veiled(picture: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    veil, light = (_smooth(rng, picture.shape[1:]) for _ in range(2))
    shaded = picture * (1 - 0.45 * light)
    return np.rint(shaded * (1 - 0.6 * veil) + 245 * 0.6 * veil).astype(np.uint8)


def _smooth(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return a smooth field from 0, in about half of the scene, to 1."""
    rough = gaussian_filter(rng.normal(size=shape), 40)
    return np.clip(rough / rough.max(), 0, 1)


_WAYS = {
    "literature (31, 205)": {"calibrate": "none"},
    "fitted to the reference, left half": {"calibrate": "reference"},
    "Otsu": {},
    "published filter, Otsu": {"filter": "published"},
    "stretch, Otsu": {"filter": "stretch"},
}


def _print_labels(days: dict[str, list[Day]], folder: Path) -> None:
    print("| labels | clear | veiled | cloudy |\n|---|---|---|---|")
    left = days["clear"][0].first_half(1)
    training = (left.write(folder / "left.tif", left.picture),
                left.write(folder / "left_truth.tif", left.truth))  # fmt: skip
    fitted = _fitted(*training, folder)
    for way, inputs in _WAYS.items():
        given = {"rules": fitted, "calibrate": "none"} if "reference" in way else inputs
        scores = [np.mean([_score(_labels(day, given, folder), day) for day in some])
                  for some in days.values()]  # fmt: skip
        print(f"| {way} | " + " | ".join(f"{score:.3f}" for score in scores) + " |", flush=True)


def _fitted(scene: Path, truth: Path, folder: Path) -> Path:
    """Return rules with the thresholds that fit the left half."""
    done = by_identifier("label-by-color").run(
        {"scenes": [scene], "reference": truth, "calibrate": "reference"}, folder / "fitted"
    )
    with rasterio.open(done.result.labels / scene.name) as dataset:
        low, high = map(int, dataset.tags()["THRESHOLDS"].split())
    rules = folder / "fitted.json"
    ranges = (("a", 1, 0, low), ("b", 2, low + 1, high), ("c", 3, high + 1, 255))
    classes = (
        f'{{"name": "{name}", "code": {code}, "ranges": {{"V": [{first}, {last}]}}}}'
        for name, code, first, last in ranges
    )
    rules.write_text(f'{{"classes": [{", ".join(classes)}]}}')
    return rules


def _labels(day: Day, inputs: dict, folder: Path) -> np.ndarray:
    """Return the labels of a whole picture."""
    scene = day.write(folder / "scene.tif", day.picture)
    done = by_identifier("label-by-color").run(
        {"scenes": [scene], **inputs}, folder / "labels", overwrite=True
    )
    with rasterio.open(done.result.labels / "scene.tif") as dataset:
        return dataset.read(1)


def _score(labels: np.ndarray, day: Day, axis: int = 1) -> float:
    """Return the share of the reference in the second half that labels agree with."""
    own = _half(day.truth.shape, axis, second=True)
    known = (day.truth[own] > 0) & (day.truth[own] < 255)
    return float((labels[own] == day.truth[own])[known].mean())


def _print_refusals(days: dict[str, list[Day]]) -> None:
    """Print which windows are refused, and how right Otsu's labels are in them and in others."""
    print(
        "\n| even veil | windows | taken | right in those taken, lowest | right in those refused |"
    )
    print("|---|---|---|---|---|")
    for veil in (0, 0.3, 0.5, 0.7, 0.9):
        found = []
        for day in (days["clear"][0], days["cloudy"][0]):
            values = day.picture.max(axis=0)
            veiled = np.rint(values * (1 - veil) + 225 * veil).astype(np.uint8)
            found += [_judged(veiled[w], day.truth[w]) for w in _windows_of(day.truth.shape)]
        rated = [(is_taken, right) for is_taken, right in found if not np.isnan(right)]
        taken = [right for is_taken, right in rated if is_taken]
        refused = [right for is_taken, right in rated if not is_taken]
        lowest = f"{np.mean(taken):.3f}, {min(taken):.3f}" if taken else "–"
        others = f"{np.mean(refused):.3f}" if refused else "–"
        print(f"| {100 * veil:.0f} % | {len(rated)} | {len(taken)} | {lowest} | {others} |")


def _windows_of(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    for row in range(0, shape[0] - _WINDOW + 1, _WINDOW // 2):
        for column in range(0, shape[1] - _WINDOW + 1, _WINDOW // 2):
            yield np.s_[row : row + _WINDOW, column : column + _WINDOW]


def _judged(values: np.ndarray, truth: np.ndarray) -> tuple[bool, float]:
    """Return whether a window is taken, and how right its labels are; NaN where too few are."""
    histogram = np.bincount(values.ravel(), minlength=256)
    cuts = otsu(histogram, 3)
    known = truth > 0
    labels = np.digitize(values, np.array(cuts) + 1) + 1
    right = (labels == truth)[known].mean() if known.sum() >= 1000 else np.nan
    return not Modes.of(histogram, cuts).lacking(of_colour=True), float(right)


def _print_map_reduce(clear: Day, folder: Path) -> None:
    """Print what 24 scenes cost one after the other, in threads, in one and in two processes."""
    large = np.tile(clear.picture, (1, 2, 2))
    tasks = []
    for number in range(_COPIES):
        scene = clear.write(folder / f"copy{number}.tif", np.roll(large, 17 * number, axis=2))
        tasks.append(Task(scene, None, "", read_rules("sea-ice")))
    print(f"\n{_COPIES} scenes of {large[0].size / 1e6:.1f} MP: count, add up, label\n")
    print("| on | CPU s | wall s |\n|---|---|---|")
    cost = _cost(lambda: label_scenes(tasks, "otsu", _made(folder / "one")))
    print(f"| one process | {cost} |", flush=True)
    for workers in (1, 2):
        with ProcessPoolExecutor(workers, get_context("fork")) as pool:
            list(pool.map(abs, range(workers)))
            begun = time.perf_counter()
            label_scenes(tasks, "otsu", _made(folder / f"of{workers}"), spread=pool.map)
            wall = time.perf_counter() - begun
        print(f"| {workers} worker processes | – | {wall:.2f} |", flush=True)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _cost(work: Callable[[], object]) -> str:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return f"{time.process_time() - cpu:.2f} | {time.perf_counter() - wall:.2f}"


def _print_networks(days: dict[str, list[Day]], folder: Path, land: Path | None = None) -> None:
    """Print how right U-Nets are that learned from labels or from the reference."""
    clear = days["clear"][0]
    labels = {"Otsu": _labels(clear, {}, folder), "the reference": clear.truth}
    if land is not None:
        with rasterio.open(land) as dataset:
            sea = clear.write(folder / "sea.tif", (dataset.read(1) == 0).astype(np.uint8))
        labels["Otsu, land masked"] = _labels(clear, {"masks": [sea]}, folder)
    print(f"\nU-Nets, mean of {_SEEDS} seeds\n")
    print("| learned from | under | clear | veiled | cloudy | agrees with what taught it, clear |"
          "\n|---|---|---|---|---|---|")  # fmt: skip
    plain = [np.mean([_score(_labels(day, {}, folder), day, 0) for day in some])
             for some in days.values()]  # fmt: skip
    print("| nothing: Otsu's labels themselves | – | " + " | ".join(f"{s:.3f}" for s in plain)
          + " | – |")  # fmt: skip
    for name, codes in labels.items():
        for light, seeds in (("clear", ()), ("veils too", (11, 12))):
            pictures = [clear.picture, *(_veiled(clear.picture, seed) for seed in seeds)]
            networks = [_trained(clear, pictures, codes, folder, seed) for seed in range(_SEEDS)]
            cells = [_mean_score(networks, some, None) for some in days.values()]
            cells.append(_mean_score(networks, days["clear"], codes))
            told = " | ".join(f"{cell:.3f}" for cell in cells)
            print(f"| {name} | {light} | {told} |", flush=True)


Network = Callable[[np.ndarray], np.ndarray]


def _trained(
    clear: Day, pictures: Sequence[np.ndarray], codes: np.ndarray, folder: Path, seed: int
) -> Network:
    """Return a U-Net that learned from upper halves, as a function of pictures."""
    import json

    from landcover.models.methods import METHODS
    from landcover.models.options import read_options
    from landcover.training.loading import load_samples

    method = METHODS["unet"]
    samples = []
    for number, picture in enumerate(pictures):
        upper = Day(picture, codes, clear.profile).first_half(0)
        scene = upper.write(folder / f"learn{number}.tif", upper.picture)
        known = np.where(upper.truth < 255, upper.truth, 0).astype(np.uint8)
        labels = upper.write(folder / "learn_labels.tif", known)
        done = by_identifier("extract-samples").run(
            {"scene": scene, "labels": labels, "patches": 128}, folder / f"s{number}",
            overwrite=True,
        )  # fmt: skip
        samples.append(done.result.samples)
    labelled = load_samples(samples, None, method.sees_context)
    options = read_options(json.dumps(_OPTIONS), method.options)
    classifier = method.fit(labelled.training_set, options, seed)

    def mapped(picture: np.ndarray) -> np.ndarray:
        around = ((classifier.halo, classifier.halo),) * 2
        block = np.pad(picture, ((0, 0), *around))
        valid = np.pad(np.ones(picture.shape[1:], bool), around)
        return np.asarray(classifier.classify(block, valid)[0])

    return mapped


def _mean_score(
    networks: Sequence[Network], days: Sequence[Day], instead: np.ndarray | None
) -> float:
    """Return the mean score against the reference, or against labels instead."""
    judged = days if instead is None else [Day(d.picture, instead, d.profile) for d in days]
    return float(np.mean([_score(net(d.picture), d, 0) for net in networks for d in judged]))


if __name__ == "__main__":
    main()
