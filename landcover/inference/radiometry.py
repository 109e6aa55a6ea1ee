"""Are a scene's spectra such as the model was trained on?

A classifier answers for every pixel, also for spectra it never saw: a model trained on foreign
spectra once called a whole region water (Avramenko et al. 2021). So before a scene is classified,
some thousand of its pixels are compared with what is on the model's card:

- are values wrong whatever the land: cut off, filled, dead, doubled
  (`landcover.inference.shifts.faults`)?
- as they are: how many resemble the clusters of the training pixels, and of their scene?
- do they fit much better in another unit, after a gain, an offset or haze, of all bands or of each
  (`landcover.inference.shifts.changes`), or with bands exchanged?
- does a part of the scene need another change than the rest?

Only bands together can tell: a bright field in the right unit and a dark one in the wrong unit
agree in each band. What is found and what is missed is in `benchmarks/README.md`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import shapely
from rasterio.io import DatasetReader

from landcover.cpus import one_blas_thread
from landcover.errors import InputError
from landcover.inference.area import Area
from landcover.inference.shifts.comparison import MOST_PIXELS, Comparison
from landcover.inference.shifts.judgement import judge
from landcover.inference.shifts.order import KNOWN_WELL
from landcover.inference.shifts.resemblance import Resemblance, write_resemblance
from landcover.inference.shifts.verdict import BandRadiometry, Radiometry, Verdict
from landcover.io.bands import SceneBands, choose_bands, in_file_order, match_bands, match_named
from landcover.io.files.atomic import write_csv
from landcover.io.files.paths import AnyPath
from landcover.io.raster import open_scene
from landcover.io.scene_pixels import ScenePixels, sample_pixels
from landcover.io.sensors import Measured, measured_by
from landcover.models.file import Card, load_model
from landcover.models.footprint import Footprint
from landcover.models.spectra import Spectra
from landcover.operation import CSV, GeoTIFF, ModelFile, RasterFile, SceneFile
from landcover.progress import remark, report_progress

__all__ = ["Radiometry", "RadiometryCheck", "check_radiometry", "compare", "compare_pixels",
           "remark_on"]  # fmt: skip


@dataclass(frozen=True)
class RadiometryCheck:
    """What check-radiometry found.

    Attributes:
        verdict: ok, shifted (by what is known and can be corrected) or foreign.
        bands: per band the offset and gain that bring the scene to the model's values, and the
            share of pixels outside the range of the training pixels.
        unknown: how much each pixel, as it is, resembles the training pixels, in percent; those
            of low values are unknown to the model; nodata 255.
        advice: one sentence.
    """

    verdict: Literal["ok", "shifted", "foreign"]
    bands: CSV
    unknown: GeoTIFF
    advice: str


def check_radiometry(
    scene: SceneFile,
    model: ModelFile,
    bands: str = "",
    mask: RasterFile | None = None,
    workdir: AnyPath = "",
) -> RadiometryCheck:
    """Return whether a model can be trusted with a scene, before anything is classified.

    Args:
        scene: GeoTIFF or COG.
        model: a model of train-classifier.
        bands: of the scene to use, in their order, renamed where that helps, as in
            B04,red=B4,B8A; all by default.
        mask: raster of one band whose pixels of 0 or nodata are invalid in the scene, such as
            clouds; all other values are valid.
        workdir: folder to write to.

    Raises:
        InputError: the scene or the model cannot be read, bands names what is not there, or no
            pixel is valid.
    """
    card = load_model(model).card
    folder = Path(workdir)
    with open_scene(scene, mask) as dataset:
        chosen = choose_bands(dataset, bands, about_pixels=True)
        found = _of_any_bands(dataset, chosen, card)
        remark_on(found)
        unknown = _write_unknown(dataset, chosen, card, folder / "unknown.tif")
    rows = [(band.name, band.offset, band.gain, band.outside) for band in found.bands]
    write_csv(folder / "bands.csv", ("band", "offset", "gain", "outside share"), rows)
    return RadiometryCheck(found.verdict, folder / "bands.csv", unknown, found.advice)


def _write_unknown(dataset: DatasetReader, chosen: SceneBands, card: Card, target: Path) -> Path:
    """Write how much each pixel resembles the training pixels; without the bands, none does."""
    try:
        indexes, _ = match_bands(chosen, card.bands)
    except InputError:
        remark("the scene lacks bands of the model: no pixel resembles what it learned")
        return write_resemblance(dataset, chosen.indexes[:1], None, target)
    some = sample_pixels(dataset, indexes).some(MOST_PIXELS).values
    return write_resemblance(dataset, indexes, Resemblance.of(spectra_of(card), some), target)


def remark_on(found: Radiometry) -> None:
    """Say what should be known of a scene that is taken as it is."""
    if found.verdict == "ok" and found.known <= KNOWN_WELL:
        remark(found.advice)
    for sentence in found.remarks:
        remark(sentence)


def compare(
    dataset: DatasetReader, indexes: Sequence[int], card: Card, area: Area | None = None
) -> Radiometry:
    """Compare a scene with a model's card.

    Args:
        dataset: the scene.
        indexes: its bands, from 1, in the model's order.
        card: of the model.
        area: to which the comparison is limited.

    Raises:
        InputError: no pixel is valid.
    """
    report_progress(0, "reading pixels from all over the scene")
    pixels = sample_pixels(dataset, indexes, area)
    report_progress(0, "comparing them with the spectra that the model learned")
    return compare_pixels(pixels, card, measured_by(dataset), lies_at(dataset, card.places))


def lies_at(dataset: DatasetReader, places: Footprint | None) -> bool:
    """Return whether a scene covers a place where its model was trained."""
    if places is None or dataset.crs is None:
        return False
    try:
        outlines = places.outlines(dataset.crs)
    except InputError:  # the two coordinate systems have nothing in common
        return False
    return bool(shapely.box(*_bounds(dataset)).intersects(outlines).any())


def _bounds(dataset: DatasetReader) -> tuple[float, float, float, float]:
    """Return left, bottom, right and top of a scene, however it is turned."""
    columns = np.array([0, dataset.width, 0, dataset.width])
    rows = np.array([0, 0, dataset.height, dataset.height])
    x, y = dataset.transform @ (columns, rows)
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def compare_pixels(
    pixels: ScenePixels, card: Card, measured: Measured, at_home: bool = False
) -> Radiometry:
    """Compare pixels with a model's card.

    Args:
        pixels: their bands in the model's order.
        card: of the model.
        measured: what the scene says of its sensor and units.
        at_home: whether the scene covers a place where the model was trained.
    """
    some = pixels.some(MOST_PIXELS)
    with one_blas_thread():
        return judge(Comparison(pixels, some, spectra_of(card), card, measured, at_home))


def spectra_of(card: Card) -> Spectra:
    """Return the spectra that a model knows by its card."""
    return Spectra.of(
        card.clusters,
        np.array([band.mean for band in card.bands]),
        np.array([band.std for band in card.bands]),
        np.array(card.correlation),
        card.scene_clusters,
    )


def _of_any_bands(dataset: DatasetReader, scene: SceneBands, card: Card) -> Radiometry:
    """Compare a scene whose bands may lack the model's names."""
    try:
        indexes, _ = match_bands(scene, card.bands)
    except InputError as error:
        nothing = tuple(BandRadiometry(band.name, None, None, None) for band in card.bands)
        if len(scene.indexes) != len(card.bands):
            return Radiometry("foreign", nothing, 0.0, f"{error}; {_remedy(scene, card)}")
        in_order = compare(dataset, scene.indexes, card)
        advice = f"{error}; {_ADVICE_ON_NAMES[in_order.verdict]}"
        if in_order.verdict != "foreign":
            advice = f"{advice} {in_file_order(scene, card.bands)}"
        return Radiometry("foreign", in_order.bands, in_order.known, advice)
    return compare(dataset, indexes, card)


_ADVICE_ON_NAMES: dict[Verdict, str] = {
    "ok": "taken in file order they fit what it learned, set bands to",
    "shifted": "taken in file order they fit after a correction, set bands to",
    "foreign": "taken in file order they do not fit what it learned either",
}


def _remedy(scene: SceneBands, card: Card) -> str:
    """Say what can be done with a scene that lacks bands of the model."""
    found = match_named(card.bands, scene.bands, scene.described)
    shared = [band.name for band, at in zip(card.bands, found.at, strict=True) if at is not None]
    here = "train a model on this scene"
    if not shared:
        return f"by name and wavelength it shares none of them: {here}"
    return (
        f"by name and wavelength it shares {', '.join(shared)}: {here}, or train one on these "
        "bands of both scenes by the input bands of extract-samples"
    )
