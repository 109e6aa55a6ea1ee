"""Classify a scene: every valid pixel gets a class, and the coverage report proves it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from rasterio.io import DatasetReader

from landcover.errors import InputError
from landcover.legend import NODATA
from landcover.models import Model, load_model
from landcover.operation import JSON, AnyPath, File, GeoTIFF
from landcover.processors import cores
from landcover.progress import report_progress
from landcover.radiometry import Radiometry, compare, match_bands
from landcover.rasters import Grid, open_raster, read_valid, writing_cog
from landcover.writing import write_json

ROWS_AT_ONCE = 64


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
        "radiometry": compared.to_dict(),
    }
    write_json(Path(workdir) / "coverage.json", coverage)
    return Classification(
        map=Path(workdir) / "map.tif",
        confidence=Path(workdir) / "confidence.tif",
        coverage=Path(workdir) / "coverage.json",
        classified=counts["classified"],
    )


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
