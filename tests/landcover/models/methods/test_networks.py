"""chip-cnn and unet from samples to map, through train-classifier."""

import hashlib
import json

import numpy as np
import pytest
import rasterio

from landcover import classify_scene, extract_samples, train_classifier
from landcover.errors import InputError
from landcover.models.file import load_model
from landcover.models.methods import METHODS
from landcover.models.network.classifier import NetworkClassifier
from landcover.operations import by_identifier
from landcover.progress import progress_to
from landcover.training.loading import load_samples
from landcover.training.train import needs_of_training
from tests.needs_torch import need_torch
from tests.scenes import pixels, write_labels, write_raster

SMALL = {
    "chip-cnn": {"steps": 30, "width": 8, "learning_rate": 0.02},
    "unet": {"width": 4, "depth": 1, "steps": 30, "batch": 8, "crop": 16, "learning_rate": 0.02},
}
CUT = {"chip-cnn": {"chip_size": 4}, "unet": {"patches": 16, "context": 8}}
SIDE = 64


def options(method, **changes):
    return json.dumps(SMALL[method] | changes)


def made(folder, method, names=("bare", "green"), seed=0):
    """Write a scene of stripes, which differ in one of two bands, and cut samples of them."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    values = rng.normal(500, 60, (2, SIDE, SIDE))
    values[1, SIDE // 2 :] += 400
    scene = write_raster(folder / "scene.tif", values.astype(np.uint16), names=("red", "nir"))
    shapes = [(names[row >= SIDE // 2], pixels(row, column, 8, 8)) for row in (4, 20, 36, 52)
              for column in (4, 20, 36, 52)]  # fmt: skip
    labels = write_labels(folder / "labels.gpkg", shapes)
    return scene, extract_samples(scene, labels, workdir=folder, **CUT[method]).samples


def trained(samples, method, folder, **changes):
    asked = changes.pop("options", options(method))
    return train_classifier(samples, method=method, options=asked, workdir=folder, **changes)


@pytest.fixture
def with_torch():
    need_torch()


@pytest.mark.slow
@pytest.mark.usefixtures("with_torch")
@pytest.mark.parametrize("method", SMALL)
def test_from_samples_to_map(method, tmp_path, monkeypatch):
    scene, samples = made(tmp_path, method)
    heard, unheard = [], [0]
    probabilities = NetworkClassifier.probabilities

    def counted(*arguments):
        unheard[-1] += 1
        return probabilities(*arguments)

    def listen(fraction, sentence):
        heard.append((fraction, sentence))
        unheard.append(0)

    monkeypatch.setattr(NetworkClassifier, "probabilities", counted)
    with progress_to(listen):
        result = trained(samples, method, tmp_path)
    assert max(unheard) == 1  # so it can be stopped between any two
    assert result.accuracy > 0.95
    assert any(sentence == "measuring the importance of bands" for _, sentence in heard)
    assert any("training, step" in sentence for _, sentence in heard)
    fractions = [fraction for fraction, _ in heard]
    assert fractions == sorted(fractions)
    report = json.loads(result.report.read_text())
    steps = [point["step"] for point in report["losses"]]
    assert steps == sorted(set(steps))
    assert report["losses"][-1]["loss"] < report["losses"][0]["loss"]
    beside = report["beside"]
    compared = list(beside["methods"])
    assert compared[0] == method
    assert compared[1].startswith("random-forest")
    assert beside["methods"][method]["accuracy"] == pytest.approx(report["accuracy_spatial"])
    assert any(said.startswith("on the same folds: ") for said in report["remarks"])
    metrics = json.loads((tmp_path / "run.json").read_text())["run"]["metrics"]
    assert len([m for m in metrics if m["name"] == "loss"]) == len(steps)  # of one fit alone
    model = load_model(result.model)
    assert model.card.method == method
    assert model.card.threads == 1
    found = classify_scene(scene, result.model, workdir=tmp_path).map
    with rasterio.open(found) as dataset:
        mapped = dataset.read(1)
    inner = np.r_[0 : SIDE // 2 - 4, SIDE // 2 + 4 : SIDE]  # the border of the stripes is blurred
    assert (mapped[inner] == np.where(inner < SIDE // 2, 1, 2)[:, None]).mean() > 0.97


@pytest.mark.usefixtures("with_torch")
@pytest.mark.parametrize("method", SMALL)
def test_equal_seeds_are_equal_bytes(method, tmp_path):
    _, samples = made(tmp_path, method)
    fit, kind = METHODS[method].fit, METHODS[method].options
    training_set = load_samples([samples], None, True).training_set
    graphs = [
        fit(training_set, kind(**SMALL[method]), seed).to_graph().SerializeToString()
        for seed in (3, 3, 4)
    ]
    assert graphs[0] == graphs[1]
    assert graphs[0] != graphs[2]


@pytest.mark.usefixtures("with_torch")
def test_training_goes_on_from_another_scene(tmp_path):
    _, samples = made(tmp_path / "a", "chip-cnn")
    first = trained(samples, "chip-cnn", tmp_path / "a").model
    _, others = made(tmp_path / "b", "chip-cnn", names=("green", "water"), seed=1)
    few = options("chip-cnn", steps=1, learning_rate=1e-6)
    result = trained(others, "chip-cnn", tmp_path / "b", start=first, options=few)
    model = load_model(result.model)
    assert model.card.legend.names == ("green", "water")
    run = json.loads((tmp_path / "b/run.json").read_text())
    assert hashlib.sha256(first.read_bytes()).hexdigest() in json.dumps(run["recipe"])
    wider = options("chip-cnn", width=9)
    with pytest.raises(InputError, match="start is of another size than the options say"):
        trained(others, "chip-cnn", tmp_path / "c", start=first, options=wider)


@pytest.mark.usefixtures("with_torch")
def test_a_start_of_another_method_or_of_other_bands_is_refused(tmp_path):
    scene, samples = made(tmp_path, "chip-cnn")
    forest = train_classifier(samples, options='{"trees": 2}', workdir=tmp_path / "f").model
    with pytest.raises(InputError, match="is a random-forest, and the method is chip-cnn"):
        trained(samples, "chip-cnn", tmp_path / "a", start=forest)
    first = trained(samples, "chip-cnn", tmp_path / "a").model
    other = extract_samples(
        scene, tmp_path / "labels.gpkg", chip_size=4, bands="nir,red", workdir=tmp_path / "b"
    ).samples
    with pytest.raises(InputError, match="has the bands red, nir, the samples nir, red"):
        trained(other, "chip-cnn", tmp_path / "b", start=first)


def test_a_start_is_refused_by_methods_that_begin_anew(tmp_path):
    with pytest.raises(InputError, match="random-forest starts anew"):
        train_classifier(tmp_path, start=tmp_path / "model.onnx", workdir=tmp_path)


@pytest.mark.parametrize("method", SMALL)
def test_without_torch_it_says_how_to_install_it(method, tmp_path, monkeypatch):
    monkeypatch.setattr("landcover.training.train.find_spec", lambda name: None)
    with pytest.raises(InputError) as refused:
        train_classifier(tmp_path / "samples", method=method, workdir=tmp_path)
    said = str(refused.value)
    assert said.startswith(f"{method} is trained by torch, which is not installed")
    assert "pip install -c constraints.txt -e .[torch]" in said
    assert "2.7 GB" in said
    assert "--index-url $TORCH_INDEX_URL" in said


def test_a_job_asks_for_a_gpu_where_the_options_do():
    asked = {"method": "unet", "options": '{"device": "gpu"}'}
    assert needs_of_training(asked).gpus == 1
    assert needs_of_training({"method": "unet"}).gpus == 0
    assert by_identifier("train-classifier").needs(asked).gpus == 1
