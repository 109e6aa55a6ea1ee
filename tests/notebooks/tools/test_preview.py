"""The preview: the classes that classify-scene gives with the same trees, in the right order."""

import io
import threading
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.warp import transform_bounds
from shapely.geometry import box, mapping

from landcover import check_radiometry, classify_scene, extract_samples
from landcover.inference.shifts.resemblance import Resemblance
from landcover.io.legend import NODATA, Legend
from landcover.models.file import Card, Model, save_model
from landcover.training.train import spectra_on_card
from sample_map.data.features import Sample
from sample_map.data.layers import UNKNOWN_BELOW
from sample_map.tools import live_scene
from sample_map.tools.live_scene import LiveScene
from sample_map.tools.preview import Preview, unknown_in
from sample_map.tools.small_forest import TREES, Question, learn, seen_in, spectra_of
from sample_map.tools.where_next import WhereNext
from tests.scenes import write_raster

SIDE, SECONDS = 160, 60
NAME, LEGEND = "shared/scene.tif", Legend.of(["water", "forest"])
BOXES = [("water", 10, 10), ("water", 60, 70), ("forest", 110, 20), ("forest", 140, 130)]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user's home with a scene in shared/: dark in the west, bright in the east, a hole."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "shared").mkdir()
    rng = np.random.default_rng(0)
    values = rng.normal(500, 150, (4, SIDE, SIDE)) + 400 * (np.arange(SIDE) > SIDE // 2)
    values = values.clip(1)
    values[:, 90:100, 90:100] = 0
    values[:, 5:15, 140:155] = 60_000  # like nothing that is drawn
    path = tmp_path / NAME
    write_raster(path, values.astype("uint16"), crs="EPSG:32633", nodata=0)
    return tmp_path


@pytest.fixture
def question(home):
    """All of the scene, and two places of each class."""
    with rasterio.open(home / NAME) as dataset:
        transform = dataset.transform
        west, south, east, north = transform_bounds(dataset.crs, "EPSG:4326", *dataset.bounds)

    def sample(name, column, row):
        corners = *(transform @ (column, row + 8)), *(transform @ (column + 8, row))
        west, south, east, north = transform_bounds("EPSG:32633", "EPSG:4326", *corners)
        return Sample.new(name, mapping(box(west, south, east, north)), "eve", NAME)

    drawn = tuple(sample(*one) for one in BOXES)
    return Question("tab", NAME, (south, west, north, east), False, drawn, LEGEND)


@pytest.fixture
def open_preview():
    """A preview, what it told, and what waits for a stage."""
    told, told_more, opened = [], threading.Condition(), []

    def send(message, buffers):
        with told_more:
            told.append((message, buffers))
            told_more.notify_all()

    def wait(stage):
        def found():
            return [one for one in told if one[0]["stage"] in (stage, "none")]

        with told_more:
            assert told_more.wait_for(found, SECONDS)
            return found()[-1]

    opened.append(Preview(send))
    yield opened[0], told, wait
    opened[0].close()


def saved(folder, question, trained, classifier):
    """Write the small forest as a model file."""
    known = trained.training_set
    card = Card(
        method="random-forest", legend=LEGEND, dtype="uint16", nodata=0, chip_size=1,
        samples_sha256="0" * 64, code_version="0", validation={},
        **spectra_on_card(known, 0, known.pixels),
    )  # fmt: skip
    save_model(folder / "model.onnx", Model(card, classifier))
    return folder / "model.onnx"


@pytest.mark.parametrize("windows", [False, True])
def test_classes_are_those_of_classify_scene_with_the_same_trees(
    home, question, windows, tmp_path
):
    question = replace(question, windows=windows)
    scene = LiveScene(NAME)
    trained = learn(question, scene)
    model = saved(tmp_path, question, trained, trained.classifier)
    made = classify_scene(home / NAME, model, radiometry="ignore", workdir=tmp_path)
    with rasterio.open(made.map) as dataset:
        whole = dataset.read(1)
    look = scene.look(question.bounds)
    rows, columns = look.window.toslices()
    assert look.window.width * look.window.height >= 0.9 * SIDE**2
    for step in (1, 3, 4):
        seen = seen_in(trained.classifier, scene.read(look), step, threading.Event())
        assert np.array_equal(seen.codes, whole[rows, columns][::step, ::step]), step
    assert (whole == NODATA).sum() == 100
    resemblance = Resemblance.of(spectra_of(trained.training_set), scene.some_pixels)
    unknown = unknown_in(resemblance, scene.read(look), 1)
    checked = check_radiometry(home / NAME, model, workdir=tmp_path)
    with rasterio.open(checked.unknown) as dataset:
        assert np.array_equal(unknown, (dataset.read(1) < UNKNOWN_BELOW)[rows, columns])
    assert unknown[5:15, 140:155].all()
    scene.close()


def test_forest_is_the_one_that_train_classifier_would_train(home, question, tmp_path):
    from landcover.models.methods.random_forest import Options, fit
    from landcover.training.loading import load_samples

    scene = LiveScene(NAME)
    labels = tmp_path / "drawn.geojson"
    features = ",".join(one.line for one in question.samples)
    labels.write_text(f'{{"type": "FeatureCollection", "features": [{features}]}}')
    cut = extract_samples(home / NAME, labels, workdir=tmp_path).samples
    known = load_samples([cut], None, with_context=False).training_set
    ours, theirs = learn(question, scene).classifier, fit(known, Options(trees=TREES), 0)
    assert ours.to_graph() == theirs.to_graph()
    scene.close()


def test_it_is_told_coarse_then_fine_then_how_good_and_how_strange(question, open_preview):
    shown, told, wait = open_preview
    shown.begin(question)
    unknown, _ = wait("unknown")
    assert [message["stage"] for message, _ in told] == [
        "coarse", "full", "ready", "accuracy", "unknown",
    ]  # fmt: skip
    assert all(message["to"] == "tab" for message, _ in told)
    coarse, full = (Image.open(io.BytesIO(buffers[0])) for _, buffers in told[:2])
    assert coarse.size[0] < full.size[0] / 3
    colors = {color[:3] for _, color in full.convert("RGBA").getcolors() if color[3]}
    assert colors == {tuple(bytes.fromhex(c.color[1:])) for c in LEGEND.classes}
    south, west, north, east = told[1][0]["bounds"]
    assert (south, west) <= (question.bounds[0], question.bounds[1])
    assert (north, east) >= (question.bounds[2] - 1e-4, question.bounds[3] - 1e-4)
    (last,) = told[3][0]["accuracies"]
    assert last["places"] == 4
    assert 0.5 < last["accuracy_spatial"] <= 1
    assert 0.99 * 150 / (SIDE**2 - 100) < unknown["share"] < 0.02


def test_next_stroke_ends_what_was_begun_and_accuracies_follow_one_another(question, open_preview):
    shown, told, wait = open_preview
    for count in (2, 3, 4):  # two and three: what a hand draws while nothing is ready
        shown.begin(replace(question, samples=question.samples[-count:]))
    wait("unknown")
    assert [message["stage"] for message, _ in told].count("unknown") == 1
    told.clear()
    shown.begin(replace(question, samples=question.samples[1:]))
    wait("unknown")
    accuracies = next(m["accuracies"] for m, _ in told if m["stage"] == "accuracy")
    assert [one["skipped"] for one in accuracies][-2:] == [[], ["water"]]
    assert accuracies[-1]["accuracy_spatial"] is None


def test_one_class_and_a_view_beside_the_scene_are_said(question, open_preview):
    shown, told, wait = open_preview
    shown.begin(replace(question, samples=question.samples[:2]))
    assert "draw places of two classes" in wait("none")[0]["why"]
    told.clear()
    shown.begin(replace(question, bounds=(0.0, 0.0, 1.0, 1.0)))
    assert "outside of what the map shows" in wait("none")[0]["why"]


def test_large_view_is_thinned_and_then_cut_and_says_so(home, question, monkeypatch, open_preview):
    monkeypatch.setattr(live_scene, "MOST_PIXELS", SIDE**2 // 4)
    monkeypatch.setattr(live_scene, "MOST_BYTES", SIDE**2 * 4)  # half of the scene
    shown, _, wait = open_preview
    shown.begin(question)
    full, _ = wait("full")
    assert full["step"] == 2
    assert any("only the middle of the view" in remark for remark in full["about"])


def test_scene_that_is_written_anew_is_read_anew(home, question, open_preview):
    shown, told, wait = open_preview
    shown.begin(question)
    wait("unknown")
    before = shown.shown("tab").seen.codes
    with rasterio.open(home / NAME) as dataset:
        values, profile = dataset.read(), dataset.profile
    (home / NAME).unlink()
    with rasterio.open(home / NAME, "w", **profile) as dataset:
        dataset.write(values[:, ::-1, ::-1])
    told.clear()
    shown.begin(question)
    wait("unknown")
    assert not np.array_equal(shown.shown("tab").seen.codes, before)


def test_next_place_is_valid_apart_and_asked_once(question, open_preview):
    shown, _, wait = open_preview
    shown.begin(question)
    wait("unknown")
    view, where = shown.shown("tab"), WhereNext()
    places = [where.next(view, "fewest", question.samples) for _ in range(12)]
    at = np.array([(place.row, place.column) for place in places])
    assert not ((at >= 90) & (at < 100)).all(axis=1).any()
    distance = np.abs(at[:, None] - at[None]).max(axis=2)[np.triu_indices(len(at), 1)]
    assert distance.min() >= 10
    from_drawn = np.abs(at[:, None] - view.trained.at[None]).max(axis=2)
    assert from_drawn.min() >= 10
    (west, _), _, (east, _), *_ = places[0].corners
    assert west < places[0].middle[0] < east
    few = replace(question.samples[0], id="more")
    (asked,) = {WhereNext().next(view, "fewest", (*question.samples, few)).class_name}
    assert asked == "forest"  # of which there are two places, and three of water


def test_place_that_was_put_off_may_come_again_and_one_nobody_can_tell_may_not(
    question, open_preview
):
    shown, _, wait = open_preview
    shown.begin(question)
    wait("unknown")
    where = WhereNext()
    first = where.next(shown.shown("tab"), "random", question.samples)
    second = where.next(shown.shown("tab"), "random", question.samples)
    where.put_off(NAME, (first.row, first.column))
    assert where.give_up(NAME, (second.row, second.column)) == 1
    assert where.asked[NAME] == [(second.row, second.column)]
