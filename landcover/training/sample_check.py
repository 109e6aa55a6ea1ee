"""Find training polygons and points that a person should look at again; remove none.

Four looks: who lies in another class's place (told by models that have not seen the place), whose
spectrum is far from its class (local outlier factor, Breunig et al., SIGMOD 2000), who overlaps or
repeats another one, and who was drawn on an old image.
"""

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Annotated

import numpy as np
import shapely

from landcover.counts import counted
from landcover.errors import InputError
from landcover.io.files.atomic import draft_folder, write_csv
from landcover.io.files.paths import AnyPath
from landcover.io.legend import NODATA, Legend
from landcover.io.raster import Grid, open_raster
from landcover.io.vector_formats.formats import GEOTIFF, need_labels
from landcover.models.methods import METHODS
from landcover.models.training_set import TrainingSet
from landcover.operation import CSV, GPKG, LabelFile, Range, SceneFile, Seed
from landcover.progress import progress_between, remark, report_progress
from landcover.samples.extraction import extract_samples
from landcover.samples.folder import read_samples
from landcover.samples.labels import to_crs_of
from landcover.samples.outlines import duplicates, overlaps
from landcover.training.cross_validation import Unseen, validate
from landcover.training.fold_parts import Fit
from landcover.training.loading import Labelled, load_samples
from landcover.training.train import places_apart

COLUMNS = ("feature", "id", "class", "finding", "other", "score")
FAR = 2.0
"""Local outlier factor from which on a spectrum is far from its class; 1 is among its own."""
_NEIGHBOURS = 20
_FEW = 5
"""Features of a class below which nobody knows what its spectra are."""
_FOREST = "random-forest"
_DATED = re.compile(r"(?<!\d)((?:19|20)\d\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])(?!\d)")


@dataclass(frozen=True)
class SampleCheck:
    """Training samples to look at again.

    Attributes:
        findings: one line a finding (feature, its number in the file from 1; id; class; finding:
            other class, far spectrum, overlap, duplicate or old image; other: class or feature
            that it is about; score), the clearest ones of each kind first.
        places: the same as points to fly to.
        total: number of findings.
        share: of the samples that have one.
    """

    findings: CSV
    places: GPKG
    total: int
    share: Annotated[float, Range(0, 1)]


@dataclass(frozen=True)
class _Finding:
    feature: int
    kind: str
    other: str
    score: float


@dataclass(frozen=True)
class _Drawn:
    """The features of a file that have a class.

    Attributes:
        numbers: int (N,), of each in the file, from 0.
        names: of their classes.
        geometries: shapely (N,), in the scene's system.
        ids: texts (N,), empty where there are none.
        dates: of the image that each was drawn on, or when it was drawn; None if unknown.
        crs: of the scene.
        pixel: side of a pixel.
    """

    numbers: np.ndarray
    names: tuple[str, ...]
    geometries: np.ndarray
    ids: tuple[str, ...]
    dates: tuple[date | None, ...]
    crs: str
    pixel: float


def check_samples(
    scene: SceneFile,
    labels: LabelFile,
    class_field: str = "class",
    layer: str = "",
    oldest: str = "",
    seed: Seed = 0,
    workdir: AnyPath = "",
) -> SampleCheck:
    """List training samples that a person should look at again.

    A sample lies in another class's place if models that have not seen it, trained on all other
    places, are as sure that it is of another class as they are of that class's own. Its spectrum
    is far if it is far from those of its class, which may have several kinds of spectra. Overlaps
    of different classes and near duplicates are found by their outlines. Nothing is removed: a
    rare sample is often right.

    Args:
        scene: GeoTIFF or COG.
        labels: polygons and points, as extract-samples takes them.
        class_field: attribute of the labels that holds the class.
        layer: of labels that hold several.
        oldest: date (YYYY-MM-DD); samples on older images are listed, by the date in the name of
            their image (attribute image), else by when they were drawn (attribute drawn).
        seed: of the models and folds.
        workdir: folder to write to.

    Raises:
        InputError: an input is invalid, or no sample lies on the scene.
    """
    bound = _date(oldest)
    drawn = _read(Path(labels), class_field, layer, scene)
    found = [*_by_outline(drawn), *_by_age(drawn, bound)]
    with draft_folder(Path(workdir), "samples") as folder:
        with progress_between(0, 0.3):
            samples = extract_samples(scene, labels, class_field, layer=layer, workdir=folder)
        labelled = load_samples([samples.samples], None, with_context=False)
        features = _features(samples.samples)
    with progress_between(0.3, 0.9):
        found += _by_folds(drawn, labelled, features, seed)
    found += _by_spectra(drawn, labelled, features)
    found.sort(key=lambda f: (f.kind, -f.score, f.feature))
    return _written(Path(workdir), drawn, found)


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise InputError(f"oldest is {text}, it needs to be a date as 2024-05-31") from error


def _read(path: Path, class_field: str, layer: str, scene: AnyPath) -> _Drawn:
    kind = need_labels(path)
    if kind == GEOTIFF:
        raise InputError(f"{path.name} is a raster, samples are checked one by one: give polygons")
    from landcover.io.vector import read_columns, read_features

    crs, geometries, names = read_features(path, kind, class_field, layer)
    columns = read_columns(path, kind, ("id", "image", "drawn"), layer)
    with open_raster(scene) as dataset:
        grid = Grid.of(dataset)
    geometries = to_crs_of(grid, geometries, crs, path.name)
    numbers = np.flatnonzero([bool(name) for name in names])
    said = {name: [_text(value) for value in values] for name, values in columns.items()}
    ids, images, times = (said.get(name, [""] * len(names)) for name in ("id", "image", "drawn"))
    return _Drawn(
        numbers=numbers,
        names=tuple(names[n] for n in numbers),
        geometries=geometries[numbers],
        ids=tuple(ids[n] for n in numbers),
        dates=tuple(_dated(Path(images[n]).name) or _dated(times[n]) for n in numbers),
        crs=grid.crs.to_wkt(),
        pixel=float(abs(grid.transform.determinant) ** 0.5),
    )


def _text(value: object) -> str:
    return "" if value is None or value != value or str(value) == "NaT" else str(value)


def _dated(text: str) -> date | None:
    found = _DATED.search(text)
    try:
        return date(*map(int, found.groups())) if found else None
    except ValueError:  # the 31st of a shorter month
        return None


def _by_outline(drawn: _Drawn) -> Iterator[_Finding]:
    _, codes = np.unique(drawn.names, return_inverse=True)
    for what, look in (("overlap", overlaps), ("duplicate", duplicates)):
        for pair in look(drawn.geometries, codes, drawn.pixel):
            yield _Finding(pair.second, what, str(drawn.numbers[pair.first] + 1), pair.share)


def _by_age(drawn: _Drawn, oldest: date | None) -> Iterator[_Finding]:
    if oldest is None:
        return
    unknown = sum(date_ is None for date_ in drawn.dates)
    if unknown:
        remark(counted(unknown, "# sample|samples without a date, whose age is not known"))
    for feature, date_ in enumerate(drawn.dates):
        if date_ is not None and date_ < oldest:
            yield _Finding(feature, "old image", date_.isoformat(), float((oldest - date_).days))


def _features(folder: AnyPath) -> np.ndarray:
    """Return the feature of each labelled pixel, int (M,), in the order of `load_samples`."""
    found = []
    for batch in read_samples(folder).batches():
        found.append(batch.places[(batch.codes != NODATA) & batch.valid])
    return np.concatenate(found)


def _by_folds(
    drawn: _Drawn, labelled: Labelled, features: np.ndarray, seed: int
) -> Iterator[_Finding]:
    training_set = replace(labelled.training_set, places=places_apart(labelled).places)
    measured = validate(_fit(seed), training_set, labelled.legend, seed, partitions=1)
    for name, why in measured.report["skipped"].items():
        remark(f"{name} has {why}: whether its samples lie in another class's place is not known")
    if measured.unseen is None:
        remark("fewer than two classes have two places: whose place samples lie in is not known")
        return
    yield from _elsewhere(measured.unseen, features[measured.unseen.tested], labelled.legend)


def _elsewhere(unseen: Unseen, owners: np.ndarray, legend: Legend) -> Iterator[_Finding]:
    """Yield the features that are told to be of another class as surely as that class's own are.

    Source: confident learning, Northcutt et al., Journal of AI Research 70 (2021), section 3.1.

    Args:
        unseen: what models told of places that they had not seen.
        owners: int (N,), the feature of each pixel there.
        legend: names the classes.
    """
    own = np.searchsorted(unseen.classes, unseen.codes)
    sure = unseen.probability[np.arange(len(own)), own]
    usual = np.bincount(own, sure, len(unseen.classes)) / np.bincount(own)
    present, first, owner = np.unique(owners, return_index=True, return_inverse=True)
    sums = [np.bincount(owner, column) for column in unseen.probability.T]
    mean = np.stack(sums, axis=1) / np.bincount(owner)[:, None]  # (features, classes)
    told, labelled = mean.argmax(axis=1), own[first]
    for at in np.flatnonzero(told != labelled):
        if mean[at, told[at]] >= usual[told[at]]:
            entry = legend.at(int(unseen.classes[told[at]]))
            margin = mean[at, told[at]] - mean[at, labelled[at]]
            yield _Finding(int(present[at]), "other class", entry.name if entry else "", margin)


def _fit(seed: int) -> Fit:
    method = METHODS[_FOREST]
    return lambda training_set: method.fit(training_set, method.options(), seed)


def _by_spectra(drawn: _Drawn, labelled: Labelled, features: np.ndarray) -> Iterator[_Finding]:
    report_progress(0.9, "comparing spectra")
    present, means, codes = _means(labelled.training_set, features)
    few = []
    for code in np.unique(codes):
        of_class = np.flatnonzero(codes == code)
        entry = labelled.legend.at(int(code))
        name = entry.name if entry else ""
        if len(of_class) < _FEW:
            few.append(name)
            continue
        for which, factor in zip(of_class, _outlier_factors(means[of_class]), strict=True):
            if factor > FAR:
                yield _Finding(int(present[which]), "far spectrum", name, float(factor))
    if few:
        remark(
            f"{', '.join(few)}: fewer than {_FEW} samples on the scene, so that it is not known "
            "which spectra are far"
        )


def _means(
    training_set: TrainingSet, features: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the features that have pixels, their mean spectra (F, bands), z-scored, and codes."""
    present, first, owner = np.unique(features, return_index=True, return_inverse=True)
    pixels = training_set.pixels.astype(np.float64)
    spread = pixels.std(axis=0)
    scored = (pixels - pixels.mean(axis=0)) / np.where(spread > 0, spread, 1)
    sums = np.stack([np.bincount(owner, band) for band in scored.T], axis=1)
    means = sums / np.bincount(owner)[:, None]
    return present, means, training_set.codes[first]


def _outlier_factors(spectra: np.ndarray) -> np.ndarray:
    from sklearn.neighbors import LocalOutlierFactor

    # of more than half of a small class the one that is far would be a neighbour of all others
    neighbours = min(_NEIGHBOURS, len(spectra) // 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of equal spectra, which are among their own
        found = LocalOutlierFactor(neighbours).fit(spectra).negative_outlier_factor_
    return -np.asarray(found)


def _written(folder: Path, drawn: _Drawn, found: Sequence[_Finding]) -> SampleCheck:
    from landcover.io.vector import write_points

    rows = [
        (int(drawn.numbers[f.feature]) + 1, drawn.ids[f.feature], drawn.names[f.feature],
         f.kind, f.other, round(f.score, 4))
        for f in found
    ]  # fmt: skip
    write_csv(folder / "findings.csv", COLUMNS, rows)
    at = np.array([f.feature for f in found], int)
    points = shapely.point_on_surface(drawn.geometries[at])
    kinds = (np.int64, object, object, object, object, np.float64)
    columns = zip(*rows, strict=True) if rows else [()] * len(COLUMNS)
    fields = [
        (name, np.array(column, kind))
        for name, column, kind in zip(COLUMNS, columns, kinds, strict=True)
    ]
    write_points(folder / "places.gpkg", points, drawn.crs, fields)
    return SampleCheck(
        folder / "findings.csv",
        folder / "places.gpkg",
        len(found),
        len(set(at.tolist())) / len(drawn.numbers),
    )
