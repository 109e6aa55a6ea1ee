"""Forests: the kernels against scikit-learn and LightGBM, and whole scenes against OTB.

Everybody runs the same trees: ours are read from the others' models.
"""

import pickle
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np
import rasterio
from sklearn.ensemble import RandomForestClassifier

from benchmarks import forests, made
from benchmarks.measure import LANDCOVER, PEERS, ROUNDS, Row, Usage, compare, run
from landcover.models.file import load_model
from landcover.models.forest.ensemble import TreeEnsemble
from landcover.models.forest.kernel_c import CompiledKernel, library
from landcover.models.forest.kernel_numpy import NumpyKernel

PIXELS = 262_144
SHALLOW_SIDE = 2048
SMALL_SIDE = 2000
DEEP_SIDE = 1024
"""Orfeo ToolBox takes a minute for so small a scene."""
DEPTHS = {"shallow": 5, "deep": 25}


def rows(side: int) -> list[Row]:
    """Compare on 100 trees of depth 5 and of depth 25, and on boosting of 800 trees."""
    found = [*_kernels(), *_scenes("shallow", SHALLOW_SIDE), *_scenes("deep", DEEP_SIDE)]
    return [*found, _memory(side)] if side else found


def _kernels() -> list[Row]:
    """Compare in one process, without files, on one thread."""
    pixels, _ = made.spectra(PIXELS, 0)
    train_pixels, train_codes = made.spectra(20_000, 1)
    found = []
    for name, depth in DEPTHS.items():
        forest = RandomForestClassifier(100, max_depth=depth, random_state=0, n_jobs=1)
        forest.fit(train_pixels, train_codes)
        found += _against(f"classify pixels, {name} forest", forests.of_sklearn(forest), pixels,
                          "scikit-learn", forest.predict_proba)  # fmt: skip
    few = pixels[: PIXELS // 8]
    boosted = lightgbm.LGBMClassifier(n_estimators=100, num_leaves=31, n_jobs=1, verbose=-1)
    boosted.fit(train_pixels, train_codes)
    trees = forests.of_lightgbm(boosted.booster_, boosted.classes_)
    theirs: Callable[[np.ndarray], np.ndarray] = boosted.booster_.predict
    return found + _against("classify pixels, boosting", trees, few, "LightGBM", theirs)


def _against(
    what: str,
    trees: TreeEnsemble,
    pixels: np.ndarray,
    peer: str,
    predict: Callable[[np.ndarray], np.ndarray],
) -> list[Row]:
    values = np.ascontiguousarray(pixels.T.reshape(len(pixels[0]), 1, -1).astype(np.uint16))
    valid = np.ones(values.shape[1:], bool)
    runs: dict[str, Callable[[], object]] = {peer: lambda: predict(pixels)}
    gates = {}
    for kernel, ours in _with_kernels(trees).items():
        gates[kernel] = _equal_labels(ours.classify(values, valid)[0], trees, predict(pixels))
        runs[kernel] = lambda ours=ours: ours.classify(values, valid)  # type: ignore[misc]
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS + 1):
        for name, predicted in runs.items():
            start = time.process_time()
            predicted()
            taken[name].append(time.process_time() - start)
    usage = {name: Usage(statistics.median(times[1:]), None) for name, times in taken.items()}
    return [Row(f"{what}, kernel {name}", usage[name], peer, usage[peer], gates[name])
            for name in gates]  # fmt: skip


def _with_kernels(trees: TreeEnsemble) -> dict[str, TreeEnsemble]:
    """Return the same trees, bound to each kernel that there is, by its name."""
    found = {"numpy": trees}
    trees.__dict__["_kernel"] = NumpyKernel(trees._ranked)
    if loaded := library():
        found["c"] = replace(trees)
        found["c"].__dict__["_kernel"] = CompiledKernel(trees._ranked, loaded)
    return found


def _equal_labels(codes: np.ndarray, trees: TreeEnsemble, probability: np.ndarray) -> str:
    best = np.sort(probability, axis=1)
    near = best[:, -1] - best[:, -2] < 1e-6
    differ = (codes.ravel() != trees.codes[probability.argmax(axis=1)]) & ~near
    if differ.any():
        raise SystemExit(f"{differ.sum()} labels differ")
    return f"0 of {codes.size:,} labels differ ({near.sum()} near-ties apart)"


def _scenes(name: str, side: int) -> list[Row]:
    """Compare from scene to map; what we write and the others do not is the confidence."""
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        scene = made.spectral_scene(folder / "scene.tif", side)
        what = f"classify-scene, {side}², {name} forest"
        found = _scene_against_otb(folder, scene, what, DEPTHS[name])
        return found + _scene_against_sklearn(folder, scene, what, DEPTHS[name])


def _memory(side: int) -> Row:
    """Compare the memory of a large scene with that of a small one; strips are the harder form."""
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        forest = RandomForestClassifier(100, max_depth=DEPTHS["shallow"], random_state=0)
        forest.fit(*made.spectra(20_000, 1))
        made.model(folder / "model.onnx", forests.of_sklearn(forest))
        small, large = (
            run(_ours(folder, made.spectral_scene(folder / "scene.tif", s, tiled=False)))
            for s in (SMALL_SIDE, side)
        )
        assert small.mib is not None
        assert large.mib is not None
        more = f"memory {large.mib / small.mib - 1:+.0%}"
        what = f"classify-scene, {side}² in strips, shallow forest"
        return Row(what, large, f"the same, {SMALL_SIDE}²", small, more)


def _ours(folder: Path, scene: Path) -> tuple[str | Path, ...]:
    return (*LANDCOVER, "classify-scene", "--scene", scene, "--model", folder / "model.onnx",
            "--radiometry", "ignore", "--workdir", folder)  # fmt: skip


def _scene_against_otb(folder: Path, scene: Path, what: str, depth: int) -> list[Row]:
    otb = ("otbcli_ImageClassifier", "-in", scene, "-model", folder / "otb.yml", "-out",
           folder / "otb.tif", "uint8")  # fmt: skip
    if not shutil.which(otb[0]):
        return [Row(what, Usage(float("nan"), None), "Orfeo ToolBox", None, "–")]
    points = made.points(folder / "points.sqlite")
    subprocess.run(
        ["otbcli_TrainVectorClassifier", "-io.vd", points, "-cfield", "class", "-feat",
         *(f"band_{band}" for band in range(made.BANDS)), "-classifier", "rf",
         "-classifier.rf.max", str(depth), "-classifier.rf.min", "2",
         "-classifier.rf.nbtrees", "100", "-classifier.rf.acc", "0",
         "-io.out", folder / "otb.yml"],
        check=True, capture_output=True,
    )  # fmt: skip
    made.model(folder / "model.onnx", forests.of_otb(folder / "otb.yml", made.BANDS))

    def gate() -> str:
        return _equal_maps(folder, scene, folder / "otb.tif")

    return compare(f"{what} of OTB", _ours(folder, scene), {"Orfeo ToolBox": otb}, gate)


def _scene_against_sklearn(folder: Path, scene: Path, what: str, depth: int) -> list[Row]:
    forest = RandomForestClassifier(100, max_depth=depth, random_state=0, n_jobs=1)
    forest.fit(*made.spectra(20_000, 1))
    (folder / "forest.pickle").write_bytes(pickle.dumps(forest))
    made.model(folder / "model.onnx", forests.of_sklearn(forest))
    naive = (*PEERS, "classify_whole", scene, folder / "forest.pickle", folder / "naive.tif")
    floor = (*PEERS, "decode_and_encode", scene, folder / "map.tif", folder / "floor.tif")

    def gate() -> str:
        return _equal_maps(folder, scene, folder / "naive.tif")

    peers = {"rasterio and scikit-learn": naive, "floor: decode and encode": floor}
    return compare(f"{what} of scikit-learn", _ours(folder, scene), peers, gate)


def _equal_maps(folder: Path, scene: Path, theirs: Path) -> str:
    """Compare maps; where they differ, the two best classes must be as good as equal."""
    with rasterio.open(folder / "map.tif") as first, rasterio.open(theirs) as second:
        differ = first.read(1) != second.read(1)
    with rasterio.open(scene) as dataset:
        pixels = dataset.read()[:, differ].T
    best = np.sort(load_model(folder / "model.onnx").classifier.predict_proba(pixels), axis=1)
    if (best[:, -1] - best[:, -2] > 1e-6).any():
        raise SystemExit("labels differ")
    return f"0 of {differ.size:,} labels differ ({differ.sum()} near-ties apart)"
