"""Train a classifier on samples, and write on its card what it knows and how well it did."""

import csv
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from landcover.classification.validation import Pixels, validate
from landcover.errors import InputError
from landcover.legend import NODATA
from landcover.models import QUANTILES, Card, CardBand, Model, save_model
from landcover.operation import JSON, ONNX, AnyPath, Folder, ModelFile, Seed, TableFile
from landcover.progress import progress_between, report_progress
from landcover.rasters import Band
from landcover.samples import Samples, read_samples
from landcover.spectra import find_clusters
from landcover.writing import write_json

FOLDS = 5


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


def train_classifier(
    samples: Folder,
    selection: TableFile | None = None,
    method: Literal["random-forest", "gradient-boosting"] = "random-forest",
    validation: Literal["spatial", "random"] = "spatial",
    start: ModelFile | None = None,
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
        raise InputError(
            f"start continues the training of a network, {method} starts anew: leave it out"
        )
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
    card = _card(opened, pixels, method, report | {"kind": validation}, seed)
    folder = Path(workdir)
    save_model(folder / "model.onnx", Model(card, trees))
    write_json(folder / "report.json", report)
    return Training(folder / "model.onnx", folder / "report.json", accuracy)


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
        raise InputError(
            f"the selection names sample {index} of {file}, which is not there: "
            "balance these samples anew"
        )
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
        raise InputError("the selection leaves no sample to train on: balance these samples anew")
    return pixels


def _names(samples: Samples) -> Iterator[tuple[str, int]]:
    for container in samples.containers:
        yield from ((container.file, index) for index in range(len(container)))


def _need_two_classes(samples: Samples, pixels: Pixels) -> None:
    names = {entry.code: entry.name for entry in samples.legend.classes}
    present = [names.get(code, str(code)) for code in np.unique(pixels.codes)]
    if len(present) < 2:
        raise InputError(f"the samples hold only the class {present[0]}, training needs two")


def _card(
    samples: Samples, pixels: Pixels, method: str, validation: dict[str, Any], seed: int
) -> Card:
    present = set(np.unique(pixels.codes).tolist())
    kept = tuple(entry for entry in samples.legend.classes if entry.code in present)
    return Card(
        method=method,
        legend=type(samples.legend)(kept),
        **spectra_on_card(samples.bands, pixels, seed),
        dtype=samples.dtype,
        nodata=samples.nodata,
        chip_size=samples.chip_size,
        samples_sha256=hashlib.sha256(
            pixels.values.tobytes() + pixels.codes.tobytes()
        ).hexdigest(),
        code_version=version("landcover-geoportal"),
        validation=_finite(validation),
        created=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        **asdict(samples.measured),
    )


def spectra_on_card(bands: Sequence[Band], pixels: Pixels, seed: int) -> dict[str, Any]:
    """Return what a card says of the training pixels: bands, correlation and clusters."""
    values = pixels.values.astype(np.float64)
    quantiles = np.quantile(values, QUANTILES, axis=0)
    return {
        "bands": tuple(
            CardBand(band.name, band.wavelength, float(mean), float(std), tuple(of_band.tolist()))
            for band, mean, std, of_band in zip(
                bands, values.mean(axis=0), values.std(axis=0), quantiles.T, strict=True
            )
        ),
        "correlation": _correlation(values),
        "clusters": find_clusters(pixels.values, pixels.codes, seed),
    }


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
