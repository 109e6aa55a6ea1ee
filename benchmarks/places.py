"""Is the accuracy in unseen places true? Chance labels, and accuracies on places made anew.

    python -m benchmarks.places [DRAWS [SETS]]

Chance: 36 sites of the demo's Landsat scene, each labelled by points, polygons, chips or a
raster, get one of two classes by chance, 18 each, again and again. There is nothing to learn: the
accuracy in unseen places is 0.5 if no neighbour of a tested pixel was trained on.

Coverage: made data of four classes, where each place differs from its class as a whole; an
interval covers if it holds the accuracy of the saved model on 500 places that nobody saw.
"""

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import rasterio
from shapely import Point, box

from demo.data import prepare
from landcover import extract_samples
from landcover.io.legend import Legend
from landcover.models.forest.ensemble import TreeEnsemble
from landcover.models.methods.random_forest import Options, fit
from landcover.models.training_set import TrainingSet
from landcover.training.cross_validation import predict, validate
from landcover.training.loading import Labelled, load_samples
from landcover.training.train import places_apart

SITES, SIDE = 36, 6
CHIP = 3
TREES = Options(trees=30)
NAMES = ("a", "b", "c", "d")
BANDS, NEW_PLACES = 4, 500
COUNTS = (10, 40, 150)


def main() -> None:
    """Print both tables."""
    draws, sets = (int(given) for given in (*sys.argv[1:], *("100", "500")[len(sys.argv) - 1 :]))
    print(f"Chance labels, {draws} draws; nothing can be learned, true is 0.5\n")
    print("| sites labelled by | in unseen places | by a random split | intervals with 0.5 |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for kind, labelled, corners in labelled_sites(Path(folder)):
            print(chance_row(kind, labelled, corners, draws), flush=True)
    print(f"\nCoverage of the 95 % interval, {sets} made data sets\n")
    print(
        "| places | accuracy, mean | truth, mean | covered | width, mean |\n|---|---|---|---|---|"
    )
    for places in COUNTS:
        print(coverage_row(places, sets), flush=True)


def fitted(training_set: TrainingSet) -> TreeEnsemble:
    """Return a small forest."""
    return fit(training_set, TREES, 0)


def labelled_sites(folder: Path) -> Iterator[tuple[str, Labelled, np.ndarray]]:
    """Yield the demo's Landsat scene with the same sites labelled in four ways."""
    prepare(folder)
    scene = folder / "demo-landsat" / "scene.tif"
    with rasterio.open(scene) as dataset:
        profile, valid = dataset.profile, dataset.dataset_mask() > 0
    rng = np.random.default_rng(0)
    corners = sites(valid, rng)
    for kind, chip_size, labels in (
        ("points, 12 of each", 1, points(corners, rng, profile)),
        (f"polygons of {SIDE} x {SIDE} pixels", 1, polygons(corners, profile)),
        (f"chips of {CHIP} x {CHIP} pixels", CHIP, polygons(corners, profile)),
        ("a raster", 1, raster(corners, profile)),
    ):
        workdir = folder / kind
        workdir.mkdir()
        path = workdir / ("labels.tif" if kind == "a raster" else "labels.gpkg")
        if isinstance(labels, np.ndarray):
            flat = {"count": 1, "dtype": "uint8", "nodata": 0}
            with rasterio.open(path, "w", **profile | flat) as dataset:
                dataset.write(labels, 1)
        else:
            labels.to_file(path)
        cut = extract_samples(scene, path, chip_size=chip_size, workdir=workdir)
        yield kind, load_samples([cut.samples], None, with_context=False), corners


def sites(valid: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return row and column (SITES, 2) of the corners of valid squares that lie apart."""
    found: list[np.ndarray] = []
    while len(found) < SITES:
        at = rng.integers(SIDE, np.array(valid.shape) - 2 * SIDE) // CHIP * CHIP
        inside = valid[at[0] : at[0] + SIDE, at[1] : at[1] + SIDE]
        if inside.all() and all(np.abs(at - other).max() >= 3 * SIDE for other in found):
            found.append(at)
    return np.array(found)


def polygons(corners: np.ndarray, profile: dict) -> geopandas.GeoDataFrame:
    """Return a square for each site."""
    boxes = [
        box(*(profile["transform"] @ (column, row + SIDE)),
            *(profile["transform"] @ (column + SIDE, row)))
        for row, column in corners.tolist()
    ]  # fmt: skip
    return _classed(boxes, 1, profile)


def points(corners: np.ndarray, rng: np.random.Generator, profile: dict) -> geopandas.GeoDataFrame:
    """Return twelve pixels of each square, as points."""
    inside = [
        Point(profile["transform"] @ (column + pixel % SIDE + 0.5, row + pixel // SIDE + 0.5))
        for row, column in corners.tolist()
        for pixel in rng.choice(SIDE**2, 12, replace=False).tolist()
    ]
    return _classed(inside, 12, profile)


def raster(corners: np.ndarray, profile: dict) -> np.ndarray:
    """Return the squares as an image of codes."""
    image = np.zeros((profile["height"], profile["width"]), np.uint8)
    for number, (row, column) in enumerate(corners):
        image[row : row + SIDE, column : column + SIDE] = 1 + number % 2
    return image


def _classed(shapes: list, each: int, profile: dict) -> geopandas.GeoDataFrame:
    names = [NAMES[number // each % 2] for number in range(len(shapes))]
    return geopandas.GeoDataFrame({"class": names}, geometry=shapes, crs=profile["crs"])


def chance_row(kind: str, labelled: Labelled, corners: np.ndarray, draws: int) -> str:
    """Return a row of the first table."""
    figures = []
    for draw in range(draws):
        report = chance_report(labelled, corners, draw)
        figures.append([report["accuracy_spatial"], report["accuracy_random"],
                        *report["accuracy_spatial_interval"]])  # fmt: skip
    spatial, random, lower, upper = np.array(figures).T
    error = spatial.std(ddof=1) / np.sqrt(draws)
    covered = ((lower <= 0.5) & (upper >= 0.5)).mean()
    return (
        f"| {kind} | {spatial.mean():.3f}, standard error {error:.3f} | {random.mean():.3f} | "
        f"{100 * covered:.0f} % |"
    )


def chance_report(labelled: Labelled, corners: np.ndarray, draw: int) -> dict:
    """Return the figures of one draw: half of the sites are of one class."""
    (region,) = labelled.ground.regions
    assert region.at is not None
    from_corners = region.at[:, None, ::-1] - corners
    site = np.abs(from_corners - SIDE / 2).max(axis=2).argmin(axis=1)
    of_site = np.random.default_rng(draw).permutation(np.arange(SITES) % 2 + 1)
    drawn = replace(labelled.training_set, codes=of_site[site].astype(np.uint8))
    apart = places_apart(replace(labelled, training_set=drawn))
    return validate(
        fitted, replace(drawn, places=apart.places), Legend.of(NAMES[:2]), draw, partitions=5
    ).report


def made(rng: np.random.Generator, places: int, centres: np.ndarray) -> TrainingSet:
    """Return places of 3 to 120 pixels; each differs from its class as its pixels do from it."""
    main = np.arange(places) % len(centres)
    sizes = rng.lognormal(2.5, 0.8, places).clip(3, 120).astype(int)
    place = np.repeat(np.arange(places), sizes)
    spectra = centres[main] + rng.normal(size=(places, BANDS))
    values = spectra[place] + rng.normal(size=(len(place), BANDS))
    codes = (main[place] + 1).astype(np.uint8)
    return TrainingSet.of_pixels(values.astype(np.float32), codes, place)


def coverage_row(places: int, sets: int) -> str:
    """Return a row of the second table."""
    figures = []
    for number in range(sets):
        rng = np.random.default_rng(number)
        centres = rng.normal(0, 1.5, (len(NAMES), BANDS))
        known, new = made(rng, places, centres), made(rng, NEW_PLACES, centres)
        report = validate(fitted, known, Legend.of(NAMES), number, partitions=5).report
        truth = (predict(fitted(known), new) == new.codes).mean()
        figures.append([report["accuracy_spatial"], truth, *report["accuracy_spatial_interval"]])
    accuracy, truth, lower, upper = np.array(figures).T
    covered = 100 * ((lower <= truth) & (truth <= upper)).mean()
    return (
        f"| {places} | {accuracy.mean():.3f} | {truth.mean():.3f} | {covered:.1f} % | "
        f"{(upper - lower).mean():.3f} |"
    )


if __name__ == "__main__":
    main()
