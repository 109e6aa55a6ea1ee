"""Train a classifier on samples, and write on its card what it knows and how well it did."""

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from landcover.counts import counted
from landcover.cpus import cores
from landcover.errors import InputError
from landcover.io.bands import MOST_LEARNED
from landcover.io.files.atomic import write_csv, write_json
from landcover.io.files.paths import AnyPath
from landcover.io.records.run_record import DISTRIBUTION, with_recipe
from landcover.models.classifier import Classifier, Method, Start
from landcover.models.file import QUANTILES, Card, CardBand, Model, load_model, save_model
from landcover.models.forest.window_features import WINDOWS
from landcover.models.forest.windowed import UNUSED, USED
from landcover.models.methods import METHODS
from landcover.models.options import (
    describe_options,
    options_as_dict,
    options_as_text,
    read_options,
)
from landcover.models.spectra import find_clusters, find_scene_clusters
from landcover.models.training_set import TrainingSet
from landcover.operation import (
    CSV,
    JSON,
    ONNX,
    Choices,
    Details,
    Folder,
    ModelFile,
    Needs,
    Range,
    Seed,
    TableFile,
)
from landcover.progress import (
    Metric,
    metrics_so_far,
    progress_between,
    remark,
    remarks_so_far,
    report_progress,
    without_metrics,
)
from landcover.samples.selection import read_selection
from landcover.training.beside import compare, rival_of
from landcover.training.cross_validation import FEATURES, Validation, importance_of, validate
from landcover.training.ground import Region
from landcover.training.joining import Joined, join_places
from landcover.training.loading import Labelled, load_samples

PARTITIONS = 5
QUICK_FIT = 2.0
"""CPU seconds; a method that takes longer is validated in one partition."""
FEW_PLACES = 10
_UNRELIABLE = 0.1
"""Between mean confidence and accuracy: more is told."""
_DIGITS = 7
"""Of a correlation, so that a card of many bands stays short."""
_POINTS = 200
"""Of a curve, at most."""
_NO_MODULE = (
    "{} is trained by {}, which is not installed: pip install -c constraints.txt -e .[torch] "
    "installs it, on Linux the build for GPUs, 2.7 GB to fetch. For processors alone first take "
    "pip install -c constraints.txt torch --index-url $TORCH_INDEX_URL, an index of such builds"
)
_NO_START = "start continues the training of a network, {} starts anew: leave it out"

_DEVICE = "device"
"""The option by which a method asks for a GPU."""


def _all_options(without: Collection[str] = ()) -> str:
    return " ".join(f"{m.name}: {describe_options(m.options, without)}." for m in METHODS.values())


MethodName = Annotated[str, Choices(METHODS)]
OptionsOfMethod = Annotated[str, Details(_all_options(), without_gpus=_all_options([_DEVICE]))]


@dataclass(frozen=True)
class Training:
    """A trained classifier and how well it did.

    Attributes:
        model: one ONNX file with its card.
        report: accuracy_spatial with accuracy_spatial_interval (95 %, of places drawn anew) and
            partition_spread (standard deviation over partitions), accuracy_random, gap, macro_f1,
            per_class (ppv, tpr, f1, n pixels, places), groups (places), partitions, distance
            (pixels within which places count as one), windows (3,7 or none), reliability (how
            often pixels are right that have a confidence, in places not trained on), importance,
            scenes (accuracy_spatial, n pixels and places of each samples folder), labels_by (the
            rules that made labels, where people did not), skipped and remarks; of a network
            beside it, the random forest on the same folds and the mean of both with their gain,
            and losses, the curve of its training (step, loss, loss_held_out).
        importance: by how much the accuracy in places not trained on falls if a band's values,
            windows and all, or the features of one kind in all bands are exchanged for others
            (band, importance, deviation), the most important one first.
        accuracy: share of samples classified right in places not trained on (in samples not
            trained on, if validation is random); NaN if it cannot be told.
    """

    model: ONNX
    report: JSON
    importance: CSV
    accuracy: Annotated[float, Range(0, 1)]


def train_classifier(
    samples: Folder | list[Folder],
    selection: TableFile | None = None,
    method: MethodName = "random-forest",
    options: OptionsOfMethod = "",
    validation: Literal["spatial", "random"] = "spatial",
    start: ModelFile | None = None,
    seed: Seed = 0,
    workdir: AnyPath = "",
) -> Training:
    """Train a classifier and measure it on places it has not seen.

    A forest learns from the centre pixel of each sample, or from every labelled pixel where the
    samples have masks; and from the windows around it where they have a context of 3 pixels.
    Samples of several scenes are matched by their bands' names and wavelengths, and labels that
    lie on the same ground are one place in all of them. The saved model is trained on all
    samples; the measured accuracy comes from models that each left out a fifth of the places, and
    chooses nothing. Places that lie closer than the range of the variogram of the first principal
    band are one.

    Args:
        samples: a samples folder, or several of the same bands and units.
        selection: which samples to use, as balance-samples writes it; all by default.
        method: how the classifier is trained; random-forest where labelled places are few,
            gradient-boosting where they are many or maps must be fast.
        options: of the method, a JSON object; what it leaves out has its default.
        validation: which figure becomes the accuracy; the report holds both.
        start: a model of the same method and bands whose training continues; only networks can.
        seed: of training and folds.
        workdir: folder to write to.

    Raises:
        InputError: the samples hold fewer than two classes, or an input is invalid.
    """
    chosen_method = METHODS[method]
    chosen_options = read_options(options, chosen_method.options)
    need_module(chosen_method)
    begun = None if start is None else _model_of(start, method)
    folders = samples if isinstance(samples, list) else [samples]
    chosen = None if selection is None else read_selection(selection)
    uses_windows = partial(chosen_method.uses_windows or _never, chosen_options)
    labelled = load_samples(folders, chosen, chosen_method.sees_context, uses_windows)
    if chosen_method.uses_windows is not None:
        has_windows = labelled.training_set.around is not None
        chosen_options = replace(chosen_options, windows=USED if has_windows else UNUSED)
    _need_two_classes(labelled)
    _need_few_bands(labelled)
    for name in labelled.without_sample:
        remark(f"no sample of {name} was used, the model does not know that class")
    if not chosen_method.sees_context:
        _remark_on_centres(labelled, method)

    further = () if begun is None else (start_of(begun, labelled),)
    fit = partial(_fitted, method, chosen_options, seed, further)

    report_progress(0.05, "joining places that lie close together")
    joined = places_apart(labelled)
    training_set = replace(labelled.training_set, places=joined.places)
    partitions = _partitions(chosen_method, training_set, chosen_options)
    with progress_between(0.07, 0.8), without_metrics():
        measured = validate(fit, training_set, labelled.legend, seed, partitions, Path(workdir))
    measured.report["distance"] = joined.distance
    measured.report["windows"] = getattr(chosen_options, "windows", UNUSED)
    if chosen_method.beside and measured.unseen is not None:
        with progress_between(0.8, 0.85):
            rival = rival_of(METHODS[chosen_method.beside], training_set, seed)
            measured.report["beside"] = compare(measured.unseen, method, rival, seed)
    report_progress(0.85, "training on all samples")
    with progress_between(0.85, 0.98):
        classifier = fit(training_set)
    losses = _losses(metrics_so_far())
    if losses:
        measured.report["losses"] = losses
    _remark_on_labels(labelled)
    _remark_on_places(labelled, joined)
    _remark_on(measured)
    _remark_on_reliability(measured.report["reliability"])
    folder = Path(workdir)
    card = _card(labelled, method, options_as_dict(chosen_options), measured, validation, seed)
    save_model(folder / "model.onnx", Model(card, classifier))
    with progress_between(0.98, 1):
        importance = measured.importance or importance_of(classifier, training_set, seed)
    write_csv(folder / "importance.csv", FEATURES, importance)
    report = measured.report | {
        "importance": [dict(zip(FEATURES, row, strict=True)) for row in importance],
        "scenes": _by_scene(labelled, training_set.places, measured.right),
        "labels_by": list(labelled.labels_by),
        "remarks": remarks_so_far(),
    }
    write_json(folder / "report.json", with_recipe(report))
    return Training(
        folder / "model.onnx",
        folder / "report.json",
        folder / "importance.csv",
        measured.report[f"accuracy_{validation}"],
    )


def _fitted(
    method: str, options: Any, seed: int, further: Sequence[Start], training_set: TrainingSet
) -> Classifier:
    """Train a method, of which all but the training set is known by others too."""
    return METHODS[method].fit(training_set, options, seed, *further)


def _never(options: Any, context: int) -> bool:
    return False


def needs_of_training(inputs: Mapping[str, Any]) -> Needs:
    """Return what the chosen method needs; a GPU besides where the options ask for one."""
    method = METHODS[inputs.get("method") or "random-forest"]
    options = read_options(inputs.get("options") or "", method.options)
    wants_gpu = getattr(options, _DEVICE, "") == "gpu"
    return replace(method.needs, gpus=int(wants_gpu), parts=True)


def settle_training(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs with the options of the method as one canonical JSON text.

    Raises:
        InputError: the options are not those of the method, or the method takes no start.
    """
    method = inputs.get("method") or "random-forest"
    options = read_options(inputs.get("options") or "", METHODS[method].options)
    if inputs.get("start") is not None and not METHODS[method].continues:
        raise InputError(_NO_START.format(method), "start")
    return {**inputs, "options": options_as_text(options)}


def _by_scene(labelled: Labelled, places: np.ndarray, right: np.ndarray) -> list[dict[str, Any]]:
    """Return how well places of each samples folder were told by models that had not seen them."""
    found = []
    for number, scene in enumerate(labelled.scenes):
        of_scene = labelled.ground.folder == number
        tested = of_scene & ~np.isnan(right)
        found.append(
            {
                "scene": scene,
                "n": int(of_scene.sum()),
                "places": len(np.unique(places[of_scene])),
                "accuracy_spatial": float(right[tested].mean()) if tested.any() else math.nan,
            }
        )
    return found


def places_apart(labelled: Labelled) -> Joined:
    """Return the places of the pixels, those that lie close together joined."""
    found = [_of_region(labelled, region) for region in labelled.ground.regions]
    if len(found) == 1:
        return found[0][1]
    places = np.zeros(len(labelled.training_set), np.int64)
    first = 0
    for which, joined in found:
        _, number = np.unique(joined.places, return_inverse=True)
        places[which] = first + number
        first += int(number.max()) + 1
    known = [joined.distance for _, joined in found if joined.distance is not None]
    return Joined(
        places,
        max(known) if len(known) == len(found) else None,
        any(joined.is_cut for _, joined in found),
    )


def _of_region(labelled: Labelled, region: Region) -> tuple[np.ndarray, Joined]:
    """Return the indexes of the pixels of a region, and their places."""
    training_set, ground = labelled.training_set, labelled.ground
    which = np.flatnonzero(np.isin(ground.folder, region.folders))
    if region.at is None:
        return which, Joined(ground.places[which], None, is_cut=False)
    return which, join_places(
        ground.places[which],
        region.at,
        training_set.pixels[which],
        training_set.codes[which],
        labelled.in_blocks[which],
        max(labelled.chip_size, region.spacing),
        ground.folder[which],
    )


def need_module(method: Method) -> None:
    """Refuse to begin what would end for want of a module.

    Raises:
        InputError: the extra of the method is not installed; it says how it is.
    """
    if method.extra and find_spec(method.extra) is None:
        raise InputError(_NO_MODULE.format(method.name, method.extra), "method")


def _model_of(start: AnyPath, method: str) -> Model:
    """Read a model to start from.

    Raises:
        InputError: the method takes none, or it is of another method.
    """
    if not METHODS[method].continues:
        raise InputError(_NO_START.format(method), "start")
    model = load_model(start)
    if model.card.method != method:
        raise InputError(
            f"the model of start is a {model.card.method}, and the method is {method}: both need "
            "to be the same",
            "start",
        )
    return model


def start_of(model: Model, labelled: Labelled) -> Start:
    """Return a model as a start for samples of the same bands; its classes are met by name.

    Raises:
        InputError: the samples have other bands.
    """
    own = [band.name for band in model.card.bands]
    needed = [band.name for band in labelled.training_set.bands]
    if own != needed:
        raise InputError(
            f"the model of start has the bands {', '.join(own)}, the samples {', '.join(needed)}: "
            "extract with bands, which chooses, orders and renames them",
            "start",
        )
    by_code = {entry.code: entry.name for entry in model.card.legend.classes}
    codes = [labelled.legend.code_of_name(by_code[int(c)]) or 0 for c in model.classifier.codes]
    if not any(codes):
        remark("the model of start knows none of the classes: only its features are kept")
    return Start(model.classifier.to_graph(), np.array(codes, np.uint8))


def _losses(metrics: Sequence[Metric]) -> list[dict[str, float | int]]:
    """Return the curve of a training: step, loss and, where it was measured, loss_held_out.

    Of many steps the mean of a few stands for them.
    """
    curve: dict[int, dict[str, float | int]] = {}
    by_name = {name: [m for m in metrics if m.name == name] for name in ("loss", "loss_held_out")}
    several = max(1, -(-len(by_name["loss"]) // _POINTS))
    for start in range(0, len(by_name["loss"]), several):
        some = by_name["loss"][start : start + several]
        step = some[-1].step
        curve[step] = {"step": step, "loss": float(np.mean([m.value for m in some]))}
    for metric in by_name["loss_held_out"]:
        curve.setdefault(metric.step, {"step": metric.step})["loss_held_out"] = metric.value
    return [curve[step] for step in sorted(curve)]


def _partitions(method: Method, training_set: TrainingSet, options: Any) -> int:
    """Return into how many partitions the places are dealt."""
    if method.fit_seconds is None or method.fit_seconds(training_set, options) > QUICK_FIT:
        return 1
    return PARTITIONS


def _need_two_classes(labelled: Labelled) -> None:
    names = {entry.code: entry.name for entry in labelled.legend.classes}
    present = [names.get(code, str(code)) for code in np.unique(labelled.training_set.codes)]
    if len(present) < 2:
        raise InputError(f"the samples hold only the class {present[0]}, training needs two")


def _need_few_bands(labelled: Labelled) -> None:
    bands = len(labelled.training_set.bands)
    if bands > MOST_LEARNED:
        raise InputError(
            f"the samples have {bands} bands, a model takes at most {MOST_LEARNED}: extract with "
            "bands, which chooses some"
        )


def _remark_on_centres(labelled: Labelled, method: str) -> None:
    """Say what of a chip is not learned from."""
    if not labelled.centres_only:
        return
    if labelled.training_set.around is None:
        remark(
            f"{method} learns from the centre pixel of each sample alone and not from what "
            "surrounds it: extract with masks to use every labelled pixel of a chip"
        )
    elif labelled.chip_size > 1:
        remark(
            f"{method} learns from the centre pixel of each sample and the windows of "
            f"{' and '.join(map(str, WINDOWS))} pixels around it, and from nothing else of a chip"
        )


def _remark_on_labels(labelled: Labelled) -> None:
    """Say that a model was measured on labels like those that taught it, where rules made them."""
    if labelled.labels_by:
        remark(
            f"labels were made by {' and '.join(labelled.labels_by)}, not by people: the accuracy "
            "says how well the model learned the rules, in places that it has not seen; how good "
            "its maps are only a reference says that people made (assess-quality)"
        )


def _remark_on_places(labelled: Labelled, joined: Joined) -> None:
    """Remark on what counts as one place."""
    if joined.distance is None:
        remark(
            "it is not known where all samples lie: those of different features, files or folders "
            "count as different places, and if they lie side by side the accuracy is too good"
        )
        return
    before, after = len(np.unique(labelled.ground.places)), int(joined.places.max()) + 1
    if after < before:
        remark(
            f"{before:,} labelled features or blocks are {counted(after, '# place|places')}: "
            f"those less than {counted(max(1, round(joined.distance)), '# pixel|pixels')} apart "
            "are alike and count as one"
        )
    if joined.is_cut:
        remark(
            "labels lie so close together all over the scene that places touch, and the accuracy "
            "may be a little too good"
        )


def _remark_on(measured: Validation) -> None:
    """Remark on what the accuracy does not cover, and how far it can be trusted."""
    report = measured.report
    if report["accuracy_spatial_interval"]:
        lower, upper = (f"{100 * end:.1f}" for end in report["accuracy_spatial_interval"])
        few = f"; they are fewer than {FEW_PLACES}, and the interval is too narrow"
        remark(
            f"the accuracy in unseen places is {100 * report['accuracy_spatial']:.1f} %, from "
            f"{lower} to {upper} % with a confidence of 95 %, told by "
            + counted(measured.places, "# place|places")
            + (few if measured.places < FEW_PLACES else "")
        )
    for name in report["skipped"]:
        remark(
            f"the accuracy says nothing of {name}, which has fewer than two places: "
            "draw it in another place too"
        )
    if math.isnan(report["accuracy_spatial"]):
        remark(
            "no accuracy can be told: fewer than two classes lie in two places or more; the "
            "importance of bands is that for the training pixels themselves"
        )


def _remark_on_reliability(reliability: dict[str, Any] | None) -> None:
    """Say how far the confidence of a map is from the share of right pixels."""
    if reliability is None or abs(reliability["excess"]) < _UNRELIABLE:
        return
    excess = reliability["excess"]
    kind = "greater" if excess > 0 else "less"
    remark(
        f"in unseen places the confidence is on average {100 * abs(excess):.0f} points {kind} "
        "than the share of pixels that are right: read that of the map accordingly"
    )


def _card(
    labelled: Labelled,
    method: str,
    options: dict[str, Any],
    measured: Validation,
    validation: str,
    seed: int,
) -> Card:
    training_set = labelled.training_set
    present = set(np.unique(training_set.codes).tolist())
    kept = tuple(entry for entry in labelled.legend.classes if entry.code in present)
    return Card(
        method=method,
        legend=type(labelled.legend)(kept),
        **spectra_on_card(training_set, seed, labelled.scene_pixels),
        dtype=labelled.dtype,
        nodata=labelled.nodata,
        chip_size=labelled.chip_size,
        samples_sha256=hashlib.sha256(
            training_set.pixels.tobytes() + training_set.codes.tobytes()
        ).hexdigest(),
        code_version=version(DISTRIBUTION),
        validation=_finite(measured.report | {"kind": validation}),
        options=options,
        threads=options.get("threads") or cores(),
        seed=seed,
        places=labelled.footprint,
        **asdict(labelled.measured),
    )


def spectra_on_card(
    training_set: TrainingSet, seed: int, scene_pixels: np.ndarray | None = None
) -> dict[str, Any]:
    """Return what a card says of the training pixels: bands, correlation and clusters.

    Args:
        training_set: the labelled pixels.
        seed: of the search for clusters.
        scene_pixels: (N, bands), drawn from all over the scenes; None if unknown.
    """
    pixels, bands = training_set.pixels, training_set.bands
    values = pixels.astype(np.float64)
    quantiles = np.quantile(values, QUANTILES, axis=0)
    return {
        "bands": tuple(
            CardBand(band.name, band.wavelength, float(mean), float(std), tuple(of_band.tolist()))
            for band, mean, std, of_band in zip(
                bands, values.mean(axis=0), values.std(axis=0), quantiles.T, strict=True
            )
        ),
        "correlation": _correlation(values),
        "clusters": find_clusters(pixels, training_set.codes, seed),
        "scene_clusters": ()
        if scene_pixels is None
        else find_scene_clusters(scene_pixels, pixels, seed),
    }


def _correlation(values: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """Return the correlation of bands (N, bands); a constant band correlates with none."""
    centred = values - values.mean(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    scaled = centred / np.where(length == 0, 1, length)
    return tuple(tuple(row) for row in (scaled.T @ scaled).round(_DIGITS).tolist())


def _finite(report: dict[str, Any]) -> dict[str, Any]:
    kept = ("kind", "accuracy_spatial", "accuracy_spatial_interval", "accuracy_random", "groups")
    values = {key: report[key] for key in kept} | {"skipped": list(report["skipped"])}
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }
