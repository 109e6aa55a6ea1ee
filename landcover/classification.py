"""Train a classifier on samples, and classify a scene with it.

Accuracy is measured on places the classifier has not seen: folds never share a polygon or block.
The figure of a random split stands beside it; the gap is what neighbouring pixels pretend.
"""

import csv
import hashlib
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rasterio.io import DatasetReader

from landcover.errors import InputError
from landcover.legend import NODATA
from landcover.models import QUANTILES, Card, CardBand, Model, load_model, save_model
from landcover.operation import JSON, ONNX, AnyPath, File, Folder, GeoTIFF, Seed
from landcover.processors import cores
from landcover.progress import progress_between, report_progress
from landcover.radiometry import Radiometry, compare
from landcover.rasters import Grid, bands_of, open_raster, read_valid, writing_cog
from landcover.samples import Samples, read_samples
from landcover.writing import write_json

FOLDS = 5
ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class Training:
    """A trained classifier and how well it did.

    Attributes:
        model: one ONNX file with its card.
        report: accuracy_spatial, accuracy_random, gap, per_class, groups, skipped.
        accuracy: share of samples classified right in places not trained on (in samples not
            trained on, if validation is random); NaN if it cannot be told.
    """

    model: ONNX
    report: JSON
    accuracy: float


@dataclass(frozen=True)
class Classification:
    """A classified scene.

    Attributes:
        map: class codes, with legend and colours; nodata 255.
        confidence: probability of the chosen class in percent; nodata 255.
        coverage: valid, classified and masked pixels with the reason, bands and radiometry.
        classified: number of classified pixels.
    """

    map: GeoTIFF
    confidence: GeoTIFF
    coverage: JSON
    classified: int


@dataclass(frozen=True)
class Pixels:
    """What a classifier learns from.

    Attributes:
        values: float32 (N, bands), valid pixels only.
        codes: uint8 (N,).
        groups: text (N,), the place of each.
    """

    values: np.ndarray
    codes: np.ndarray
    groups: np.ndarray

    def take(self, which: np.ndarray) -> "Pixels":
        """Return some of them."""
        return Pixels(self.values[which], self.codes[which], self.groups[which])


def train_classifier(
    samples: Folder,
    selection: File | None = None,
    method: Literal["random-forest", "gradient-boosting"] = "random-forest",
    validation: Literal["spatial", "random"] = "spatial",
    start: File | None = None,
    seed: Seed = 0,
    workdir: AnyPath = "",
) -> Training:
    """Train a classifier and measure it on places it has not seen.

    A forest learns from the centre pixel of each sample, or from every labelled pixel where the
    samples have masks. The saved model is trained on all of them; the measured accuracy comes
    from five models that each left out a fifth of the places, and chooses nothing.

    Args:
        samples: a samples folder.
        selection: which samples to use, as balance-samples writes it; all by default.
        method: random forest or gradient-boosted trees.
        validation: which figure becomes the accuracy; the report holds both.
        start: a model whose training continues; only networks can.
        seed: of training and folds.
        workdir: folder to write to.

    Raises:
        InputError: the samples hold fewer than two classes, or an input does not do.
    """
    from landcover.classifiers import CLASSIFIERS

    if start is not None:
        raise InputError(f"start continues the training of a network, {method} starts anew")
    opened = read_samples(samples)
    chosen = None if selection is None else read_selection(selection)
    pixels = pixels_of(opened, chosen)
    _need_two_classes(opened, pixels)
    fit = CLASSIFIERS[method].fit
    with progress_between(0.05, 0.85):
        report = validate(fit, pixels, opened, seed)
    report_progress(0.85, "training on all samples")
    trees = fit(pixels.values, pixels.codes, seed)
    accuracy = report[f"accuracy_{validation}"]
    card = _card(opened, pixels, method, report | {"kind": validation})
    folder = Path(workdir)
    save_model(folder / "model.onnx", Model(card, trees))
    write_json(folder / "report.json", report)
    return Training(folder / "model.onnx", folder / "report.json", accuracy)


def classify_scene(
    scene: File,
    model: File,
    radiometry: Literal["refuse", "harmonise", "ignore"] = "refuse",
    workdir: AnyPath = "",
) -> Classification:
    """Classify every valid pixel of a scene.

    Args:
        scene: GeoTIFF or COG with the model's bands.
        model: a model of train-classifier.
        radiometry: what to do with a scene whose values the model never saw: refuse it, correct
            what can be corrected, or classify it all the same and mark the map.
        workdir: folder to write to.

    Raises:
        InputError: the bands do not match, the spectra are foreign, or no pixel is valid.
    """
    trained = load_model(model)
    with open_raster(scene) as dataset:
        indexes, matching = match_bands(dataset, trained.card)
        compared = compare(dataset, indexes, trained.card)
        if compared.verdict != "ok" and radiometry != "ignore":
            raise InputError(f"{Path(scene).name} was not classified: {compared.advice}")
        counts = _write_map(dataset, indexes, trained, _map_tags(compared), Path(workdir))
    coverage = {
        "valid": counts["valid"],
        "classified": counts["classified"],
        "masked": {"nodata in a band that the model uses": counts["masked"]},
        "bands": matching,
        "radiometry": {"verdict": compared.verdict, "outside": compared.outside},
    }
    write_json(Path(workdir) / "coverage.json", coverage)
    return Classification(
        map=Path(workdir) / "map.tif",
        confidence=Path(workdir) / "confidence.tif",
        coverage=Path(workdir) / "coverage.json",
        classified=counts["classified"],
    )


def read_selection(path: AnyPath) -> set[tuple[str, int]]:
    """Return file and index of the samples that a selection keeps.

    Raises:
        InputError: it is no table with the columns file, index and kept.
    """
    name = Path(path).name
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {(row["file"], int(row["index"])) for row in rows if int(row["kept"])}
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"{name} needs the columns file, index, class, cluster, kept") from error


def pixels_of(samples: Samples, chosen: set[tuple[str, int]] | None) -> Pixels:
    """Return the labelled, valid pixels of the chosen samples.

    Raises:
        InputError: the selection names a sample that is not there, or nothing remains.
    """
    unknown = set() if chosen is None else chosen - set(_names(samples))
    if unknown:
        file, index = min(unknown)
        raise InputError(f"the selection names sample {index} of {file}, which is not there")
    parts = []
    for batch in samples.batches():
        file = batch.container.file
        kept = np.array([chosen is None or (file, i) in chosen for i in batch.indexes], bool)
        labelled = (batch.codes != NODATA) & batch.valid & kept[:, None, None]
        sample, row, column = np.nonzero(labelled)
        parts.append(
            Pixels(
                batch.chips[sample, :, row, column].astype(np.float32),
                batch.codes[labelled],
                batch.groups[sample],
            )
        )
    pixels = Pixels(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.groups for part in parts]),
    )
    if not len(pixels.codes):
        raise InputError("no sample is left to train on")
    return pixels


def validate(fit: Any, pixels: Pixels, samples: Samples, seed: int) -> dict[str, Any]:
    """Measure a method on folds by place and, beside it, on random folds.

    Args:
        fit: a classifier's fit.
        pixels: what it learns from.
        samples: whose legend names the classes.
        seed: of training and folds.

    Returns:
        The report of train-classifier; accuracies are NaN where fewer than two classes lie in
        two places or more.
    """
    skipped = _classes_of_one_place(pixels)
    usable = pixels.take(np.flatnonzero(~np.isin(pixels.codes, list(skipped))))
    names = {entry.code: entry.name for entry in samples.legend.classes}
    report: dict[str, Any] = {
        "accuracy_spatial": math.nan,
        "accuracy_random": math.nan,
        "gap": math.nan,
        "per_class": {},
        "groups": len(np.unique(pixels.groups)),
        "skipped": {names[c]: "fewer than two places" for c in sorted(skipped)},
    }
    if len(np.unique(usable.codes)) < 2:
        return report
    with progress_between(0, 0.5):
        spatial = _cross_validate(fit, usable, _folds_by_place(usable, seed), seed)
    with progress_between(0.5, 1):
        random = _cross_validate(fit, usable, _folds_at_random(usable, seed), seed)
    report["accuracy_spatial"] = float((spatial == usable.codes).mean())
    report["accuracy_random"] = float((random == usable.codes).mean())
    report["gap"] = report["accuracy_random"] - report["accuracy_spatial"]
    report["per_class"] = {
        names[code]: _class_figures(usable.codes, spatial, code)
        for code in np.unique(usable.codes)
    }
    return report


def match_bands(dataset: DatasetReader, card: Card) -> tuple[list[int], str]:
    """Return the scene's bands, from 1, in the model's order, and how they were matched.

    Raises:
        InputError: a band of the model is missing, or the number differs where none has a name.
    """
    wanted = [band.name for band in card.bands]
    if not any(dataset.descriptions):
        if dataset.count != len(wanted):
            raise InputError(
                f"the scene has {dataset.count} bands without names, the model needs "
                f"{len(wanted)}: {', '.join(wanted)}"
            )
        return list(dataset.indexes), "in file order, the scene names no bands"
    names = [band.name for band in bands_of(dataset)]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise InputError(
            f"the scene has no band {', '.join(missing)}, it has {', '.join(names)}; the model "
            f"needs {', '.join(wanted)}"
        )
    return [names.index(name) + 1 for name in wanted], "by name"


def _names(samples: Samples) -> Iterator[tuple[str, int]]:
    for container in samples.containers:
        yield from ((container.file, index) for index in range(len(container)))


def _need_two_classes(samples: Samples, pixels: Pixels) -> None:
    names = {entry.code: entry.name for entry in samples.legend.classes}
    present = [names.get(code, str(code)) for code in np.unique(pixels.codes)]
    if len(present) < 2:
        raise InputError(f"the samples hold only the class {present[0]}, training needs two")


def _classes_of_one_place(pixels: Pixels) -> set[int]:
    return {
        int(code)
        for code in np.unique(pixels.codes)
        if len(np.unique(pixels.groups[pixels.codes == code])) < 2
    }


def _folds_by_place(pixels: Pixels, seed: int) -> np.ndarray:
    """Return int (N,), the fold of each pixel; a place lies in one, classes spread over all."""
    rng = np.random.default_rng(seed)
    fold = np.zeros(len(pixels.codes), int)
    groups, group = np.unique(pixels.groups, return_inverse=True)
    table = np.zeros((len(groups), 256), int)  # pixels of each class in each place
    np.add.at(table, (group, pixels.codes), 1)
    load = np.zeros((FOLDS, 256))
    totals = np.maximum(table.sum(axis=0), 1)
    # the biggest places first, each to the fold that has least of its classes
    order = rng.permutation(len(groups))
    chosen = np.zeros(len(groups), int)
    for place in order[np.argsort(-table[order].max(axis=1), kind="stable")]:
        share = table[place] / totals
        chosen[place] = ((load + share) ** 2).sum(axis=1).argmin()
        load[chosen[place]] += share
    fold[:] = chosen[group]
    return fold


def _folds_at_random(pixels: Pixels, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(len(pixels.codes)) % FOLDS


def _cross_validate(fit: Any, pixels: Pixels, folds: np.ndarray, seed: int) -> np.ndarray:
    """Return uint8 (N,), the class of each pixel as told by a model that did not see its fold."""
    predicted = np.zeros(len(pixels.codes), np.uint8)
    numbers = np.unique(folds)
    for done, number in enumerate(numbers):
        report_progress(done / len(numbers), f"validating, fold {done + 1} of {len(numbers)}")
        test = folds == number
        train = pixels.take(np.flatnonzero(~test))
        if len(np.unique(train.codes)) < 2:
            predicted[test] = train.codes[0]  # one class is all that could be learned
            continue
        predicted[test] = fit(train.values, train.codes, seed).predict(pixels.values[test])
    return predicted


def _class_figures(truth: np.ndarray, predicted: np.ndarray, code: int) -> dict[str, Any]:
    hits = int(((truth == code) & (predicted == code)).sum())
    in_truth, in_map = int((truth == code).sum()), int((predicted == code).sum())
    ppv = hits / in_map if in_map else math.nan
    tpr = hits / in_truth if in_truth else math.nan
    f1 = 2 * hits / (in_map + in_truth) if in_map + in_truth else math.nan
    return {"ppv": ppv, "tpr": tpr, "f1": f1, "n": in_truth}


def _card(samples: Samples, pixels: Pixels, method: str, validation: dict[str, Any]) -> Card:
    values = pixels.values.astype(np.float64)
    quantiles = np.quantile(values, QUANTILES, axis=0)
    bands = tuple(
        CardBand(band.name, band.wavelength, float(mean), float(std), tuple(of_band.tolist()))
        for band, mean, std, of_band in zip(
            samples.bands, values.mean(axis=0), values.std(axis=0), quantiles.T, strict=True
        )
    )
    present = set(np.unique(pixels.codes).tolist())
    kept = tuple(entry for entry in samples.legend.classes if entry.code in present)
    return Card(
        method=method,
        legend=type(samples.legend)(kept),
        bands=bands,
        correlation=_correlation(values),
        dtype=samples.dtype,
        nodata=samples.nodata,
        chip_size=samples.chip_size,
        samples_sha256=hashlib.sha256(
            pixels.values.tobytes() + pixels.codes.tobytes()
        ).hexdigest(),
        code_version=version("landcover-geoportal"),
        validation=_finite(validation),
        created=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    )


def _correlation(values: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """Return the correlation of bands (N, bands); a constant band correlates with none."""
    centred = values - values.mean(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    scaled = centred / np.where(length == 0, 1, length)
    return tuple(tuple(row) for row in (scaled.T @ scaled).tolist())


def _finite(report: dict[str, Any]) -> dict[str, Any]:
    kept = ("kind", "accuracy_spatial", "accuracy_random", "groups")
    values = {key: report[key] for key in kept}
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }


def _map_tags(compared: Radiometry) -> dict[str, str]:
    if compared.verdict == "ok":
        return {}
    return {"RADIOMETRY": f"ignored:{compared.verdict}"}


def _write_map(
    dataset: DatasetReader, indexes: list[int], model: Model, tags: dict[str, str], folder: Path
) -> dict[str, int]:
    """Classify block by block; return the numbers of valid, classified and masked pixels."""
    grid = Grid.of(dataset)
    windows = list(grid.windows())
    counts = dict.fromkeys(("valid", "classified", "masked"), 0)
    with (
        writing_cog(folder / "map.tif", grid, "class", model.card.legend, tags) as classes,
        writing_cog(folder / "confidence.tif", grid, "confidence in percent", tags=tags) as sure,
        ThreadPoolExecutor(cores()) as pool,
    ):
        for done, window in enumerate(windows):
            report_progress(
                done / len(windows), f"classifying, block {done + 1} of {len(windows)}"
            )
            values, valid = read_valid(dataset, window, indexes)
            codes, confidence = _classify(values, valid, model, pool)
            classes.write(codes, window)
            sure.write(confidence, window)
            counts["valid"] += int(valid.sum())
            counts["classified"] += int((codes != NODATA).sum())
            counts["masked"] += int((~valid).sum())
        if not counts["classified"]:  # before the files are whole: nothing is left of them
            raise InputError(f"{Path(dataset.name).name} holds no valid pixel")
    return counts


def _classify(
    values: np.ndarray, valid: np.ndarray, model: Model, pool: ThreadPoolExecutor
) -> tuple[np.ndarray, np.ndarray]:
    """Return codes and confidence, uint8 (H, W), of values (bands, H, W)."""
    rows = [slice(top, top + ROWS_AT_ONCE) for top in range(0, len(valid), ROWS_AT_ONCE)]
    parts = list(pool.map(lambda part: model.trees.classify(values[:, part], valid[part]), rows))
    return np.concatenate([c for c, _ in parts]), np.concatenate([p for _, p in parts])
