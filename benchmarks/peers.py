"""What others would write, and floors: `python -m benchmarks.peers NAME ARGUMENTS`."""

import csv
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

CACHE = 64 * 2**20


def read_blocks(*paths: str) -> None:
    """Decode rasters block by block and do nothing: the floor of whatever reads them."""
    with rasterio.Env(GDAL_CACHEMAX=CACHE):
        datasets = [rasterio.open(path) for path in paths]
        for _, window in datasets[0].block_windows(1):
            for dataset in datasets:
                dataset.read(window=window)


def read_touched(scene: str, labels: str) -> None:
    """Decode just the blocks that polygons touch: the floor of extraction."""
    import geopandas

    with rasterio.Env(GDAL_CACHEMAX=CACHE), rasterio.open(scene) as dataset:
        height, width = dataset.block_shapes[0]
        touched = set()
        for left, bottom, right, top in geopandas.read_file(labels).bounds.to_numpy():
            first_row, first_column = dataset.index(left, top)
            last_row, last_column = dataset.index(right - 1e-6, bottom + 1e-6)
            for row in range(first_row // height, last_row // height + 1):
                for column in range(first_column // width, last_column // width + 1):
                    touched.add((row, column))
        for row, column in sorted(touched):
            dataset.read(window=Window(column * width, row * height, width, height))


def mask_polygons(scene: str, labels: str, target: str) -> None:
    """Cut each polygon out with rasterio.mask, as tutorials do: GDAL's own cache, 5 % of RAM."""
    import geopandas
    from rasterio.mask import mask

    parts = []
    with rasterio.open(scene) as dataset:
        for shape in geopandas.read_file(labels).geometry:
            values, _ = mask(dataset, [shape], crop=True, nodata=0)
            parts.append(values[:, values[0] != 0])
    np.save(target, np.concatenate(parts, axis=1))


def balance_chips(samples: str, target: str) -> None:
    """Describe every chip file with rasterio and numpy, and thin clusters of scikit-learn."""
    from sklearn.cluster import KMeans

    features, files = [], []
    for path in sorted(Path(samples).glob("*/*.tif")):
        with rasterio.open(path) as dataset:
            values = dataset.read().astype(np.float64)
        features.append(np.r_[values.mean(axis=(1, 2)), values.std(axis=(1, 2))])
        files.append(f"{path.parent.name}/{path.name}")
    described = np.array(features)
    scored = (described - described.mean(axis=0)) / described.std(axis=0)
    found = KMeans(8, n_init=10, random_state=0).fit_predict(scored)
    kept = np.zeros(len(files), int)
    for number in range(8):
        members = np.flatnonzero(found == number)
        kept[members[:: 1 if len(members) < 50 else -(-len(members) // 50)]] = 1
    with Path(target).open("w", newline="") as file:
        csv.writer(file).writerows(zip(files, kept, strict=True))
    np.save(f"{target}.npy", features)


def fit_forest(samples: str, trees: str) -> None:
    """Load samples and fit one forest of scikit-learn: the floor of training, which fits many."""
    from sklearn.ensemble import RandomForestClassifier

    pixels = [np.load(file)[:, :, 0, 0] for file in sorted(Path(samples).glob("*/samples.npy"))]
    codes = np.repeat(np.arange(len(pixels)), [len(of_class) for of_class in pixels])
    RandomForestClassifier(int(trees), random_state=0, n_jobs=1).fit(np.concatenate(pixels), codes)


def pycm_of_vectors(first: str, reference: str, target: str) -> None:
    """Give PyCM the two rasters as vectors."""
    from pycm import ConfusionMatrix

    with rasterio.open(reference) as dataset:
        truth = dataset.read(1).ravel()
    with rasterio.open(first) as dataset:
        codes = dataset.read(1).ravel()
    labelled = truth != 0
    matrix = ConfusionMatrix(truth[labelled], codes[labelled])
    Path(target).write_text(str(matrix.Kappa))


def classify_whole(scene: str, forest: str, target: str) -> None:
    """Read the whole scene, give it to scikit-learn, and write classes and confidence."""
    # as scikit-learn's users keep models; the file is our own of a moment ago, never another's
    trees = pickle.loads(Path(forest).read_bytes())
    with rasterio.open(scene) as dataset:
        values, profile = dataset.read(), dataset.profile
    probability = trees.predict_proba(values.reshape(len(values), -1).T)
    shape = values.shape[1:]
    codes = trees.classes_[probability.argmax(axis=1)].reshape(shape)
    percent = np.rint(probability.max(axis=1) * 100).reshape(shape)
    _write_bands(target, profile, codes, percent)


def decode_and_encode(scene: str, classes: str, target: str) -> None:
    """Decode the scene block by block, and encode a map that is there already, twice."""
    read_blocks(scene)
    with rasterio.open(scene) as dataset:
        profile = dataset.profile
    with rasterio.open(classes) as dataset:
        codes = dataset.read(1)
    _write_bands(target, profile, codes, codes)


def classify_overlapping(scene: str, model: str, target: str) -> None:
    """Average a network over windows of 256 that overlap by half, as tutorials do."""
    _by_network(scene, model, target, side=256, stride=128)


def classify_in_tiles(scene: str, model: str, target: str) -> None:
    """Run a network on tiles that know nothing of their neighbours: the floor of a map."""
    _by_network(scene, model, target, side=512, stride=512)


def _by_network(scene: str, model: str, target: str, side: int, stride: int) -> None:
    """Read the whole scene, run window by window, add up, write codes and confidence."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options)
    with rasterio.open(scene) as dataset:
        values, profile = dataset.read(), dataset.profile
    _, height, width = values.shape
    total: Any = 0
    for top in range(0, max(1, height - side + stride), stride):
        for left in range(0, max(1, width - side + stride), stride):
            rows, columns = slice(top, top + side), slice(left, left + side)
            part = values[None, :, rows, columns].astype(np.float32)
            (probability,) = session.run(None, {"pixels": part})
            if isinstance(total, int):
                total = np.zeros((probability.shape[1], height, width), np.float32)
            total[:, rows, columns] += probability[0]
    share = total.max(axis=0) / total.sum(axis=0)
    _write_bands(target, profile, total.argmax(axis=0) + 1, np.rint(100 * share))


def _write_bands(target: str, profile: dict[str, Any], *bands: np.ndarray) -> None:
    how = {**profile, "count": len(bands), "dtype": "uint8", "predictor": 1, "nodata": 255,
           "interleave": "band"}  # fmt: skip
    with rasterio.open(target, "w", **how) as dataset:
        for number, values in enumerate(bands, 1):
            dataset.write(values.astype(np.uint8), number)


PEERS = {
    peer.__name__: peer
    for peer in (
        read_blocks,
        read_touched,
        mask_polygons,
        balance_chips,
        pycm_of_vectors,
        classify_whole,
        decode_and_encode,
        fit_forest,
        classify_overlapping,
        classify_in_tiles,
    )
}

if __name__ == "__main__":
    PEERS[sys.argv[1]](*sys.argv[2:])
