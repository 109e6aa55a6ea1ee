import json
import os
import signal
import subprocess
import sys
import textwrap
from threading import Event

import numpy as np
import onnx
import pytest
import rasterio

from landcover import balance_samples, classify_scene, extract_samples, train_classifier
from landcover.errors import InputError, Stopped
from landcover.executors.parts import Share, ShareSealed, carried_by
from landcover.executors.workers import ForkedWorkers
from landcover.inference import classify as classification
from landcover.inference import map_parts
from landcover.inference import windows as windows_of_map
from landcover.inference.block import Correction
from landcover.inference.classify import UNFINISHED
from landcover.io.records.checkpoints import resumable
from landcover.models.file import load_model
from landcover.models.forest import kernel
from landcover.operations import by_identifier
from landcover.progress import Pace, collecting_notes, progress_to
from tests.scenes import CRS, TRANSFORM, pixels, quarters, write_labels, write_raster

NAMES = ("B02", "B03", "B04")
OUTPUTS = ("map.tif", "map.tif.aux.xml", "map.qml", "confidence.tif", "coverage.json")
RECORDS = ("run.json", "run.classify-scene.json")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model of four classes."""
    folder = tmp_path_factory.mktemp("model")
    values, codes = quarters(96)
    places = [(row, column) for row in (2, 18, 34, 50, 66, 82) for column in (3, 20, 52, 80)]
    shapes = [(f"class {codes[place]}", pixels(*place, 5, 5)) for place in places]
    samples = extract_samples(
        write_raster(folder / "scene.tif", values, names=NAMES),
        write_labels(folder / "labels.gpkg", shapes),
        workdir=folder,
    ).samples
    return train_classifier(samples, workdir=folder).model


@pytest.mark.parametrize(("dtype", "right"), [("uint8", [61, 62]), ("float32", [60.8, 61.8])])
def test_corrected_values_are_whole_where_those_of_the_training_were(dtype, right):
    correction = Correction.of((np.array([1.0]), np.array([-5.2])), dtype)
    assert correction.apply(np.array([[[66, 67]]], np.uint8))[0, 0] == pytest.approx(right)


def spectra(height, width, dtype="uint16"):
    """Return (3, height, width) of mixed spectra, each class and much between them."""
    rng = np.random.default_rng(height + width)
    values = rng.integers(100, 2500, (3, height // 8 + 1, width // 8 + 1))
    values = np.kron(values, np.ones((1, 8, 8), int))[:, :height, :width]
    return (values + rng.integers(0, 50, values.shape)).astype(dtype)


def sparse(height, width):
    """Return spectra, nine of ten pixels 0: what is tried with them does not depend on trees."""
    values = spectra(height, width)
    values[:, np.random.default_rng(5).random((height, width)) < 0.9] = 0
    return values


def write_scene(path, values, mask=None, **how):
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=values.shape[1], width=values.shape[2],
        dtype=values.dtype, crs=CRS, transform=TRANSFORM, compress="deflate", **how,
    ) as dataset:  # fmt: skip
        dataset.write(values)
        dataset.descriptions = NAMES
        if mask is not None:
            dataset.write_mask(mask)
    return path


def at_once(model, values, valid):
    """Classify a whole array in one piece."""
    trees = load_model(model).classifier
    probability = trees.predict_proba(values[:, valid].T.astype(np.float32))
    codes, confidence = np.full((2, *valid.shape), 255, np.uint8)
    codes[valid] = trees.codes[probability.argmax(axis=1)]
    confidence[valid] = np.rint(probability.max(axis=1) * 100)
    return codes, confidence


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


TILED = {"tiled": True, "blockxsize": 512, "blockysize": 512}
SMALL = {"tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "band"}
ODD = {"tiled": True, "blockxsize": 400, "blockysize": 400, "interleave": "pixel"}
TALL = {"tiled": True, "blockxsize": 160, "blockysize": 1040}
ROWS = {"blockysize": 7, "interleave": "pixel"}
ONE_STRIP = {"blockysize": 600, "interleave": "band"}


@pytest.mark.parametrize(
    ("size", "how"),
    [((1, 1), {}), ((1, 700), {}), ((700, 1), {}), ((511, 513), TILED), ((513, 511), SMALL),
     ((1025, 600), ODD), ((600, 1025), ODD), ((1050, 530), TALL), ((530, 1050), ROWS),
     ((520, 600), ROWS | {"interleave": "band"}), ((600, 520), ONE_STRIP)],
)  # fmt: skip
@pytest.mark.parametrize("holes", ["none", "nodata", "mask", "nan"])
def test_the_map_is_that_of_the_whole_array(size, how, holes, trained, tmp_path):
    values = spectra(*size, "float32" if holes == "nan" else "uint16")
    rng = np.random.default_rng(0)
    valid = rng.random(size) > 0.9 if holes != "none" else np.ones(size, bool)
    valid[0, 0] = True
    mask = None
    if holes == "nodata":
        values[rng.integers(0, 3, size)[None] == np.arange(3)[:, None, None]] |= 1
        values[1][~valid] = 0
        how = how | {"nodata": 0}
    if holes == "nan":
        values[2][~valid] = np.nan
    if holes == "mask":
        mask = valid
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        scene = write_scene(tmp_path / "scene.tif", values, mask, **how)
    result = classify_scene(scene, trained, radiometry="ignore", workdir=tmp_path)
    codes, confidence = at_once(trained, values, valid)
    np.testing.assert_array_equal(read(result.map), codes)
    np.testing.assert_array_equal(read(result.confidence), confidence)
    coverage = json.loads(result.coverage.read_text())
    assert coverage["valid"] == coverage["classified"] == result.classified == valid.sum()
    assert list(coverage["masked"].values()) == [(~valid).sum()]
    assert {path.name for path in tmp_path.iterdir()} == {"scene.tif", *OUTPUTS, *RECORDS}


@pytest.fixture(scope="module")
def whole(trained, tmp_path_factory):
    """A scene of 3 x 3 windows, and what an unbroken run makes."""
    folder = tmp_path_factory.mktemp("whole")
    scene = write_scene(folder / "scene.tif", sparse(1100, 1200), **SMALL, nodata=0)
    classify(scene, trained, folder)
    return scene, {name: (folder / name).read_bytes() for name in OUTPUTS}


def classify(scene, model, folder):
    return classify_scene(scene, model, radiometry="ignore", workdir=folder)


def stop_at(share, error):
    """Return a listener that raises when the work is so far."""

    def listen(fraction, sentence):
        if fraction >= share:
            raise error

    return listen


def interrupt(scene, model, folder, share=0.6, error=None):
    error = error or Stopped("by the test")
    with pytest.raises(type(error)), progress_to(stop_at(share, error)):
        classify(scene, model, folder)


def run_and_listen(scene, model, folder):
    """Classify; return the sentences of progress."""
    said = []
    with progress_to(lambda fraction, sentence: said.append((fraction, sentence))):
        classify(scene, model, folder)
    return said


def outputs(folder):
    assert {path.name for path in folder.iterdir()} == {*OUTPUTS, *RECORDS}
    return {name: (folder / name).read_bytes() for name in OUTPUTS}


def test_without_the_kernel_in_c_the_map_is_the_same_and_the_user_told(
    whole, trained, tmp_path, monkeypatch
):
    monkeypatch.setattr(kernel, "library", lambda: None)
    scene, expected = whole
    with collecting_notes(lambda sentence: None) as notes:
        classify(scene, trained, tmp_path)
    assert kernel.SLOW in notes.remarks
    assert outputs(tmp_path) == expected


@pytest.mark.parametrize(
    ("share", "error"),
    [(0.01, Stopped("by the test")), (0.4, Stopped("by the test")), (0.4, KeyboardInterrupt()),
     (0.8, OSError(28, "full")), (1.0, Stopped("by the test"))],
)  # fmt: skip
def test_an_interrupted_run_goes_on_where_it_was(share, error, whole, trained, tmp_path):
    scene, expected = whole
    interrupt(scene, trained, tmp_path, share, error)
    assert {path.name for path in tmp_path.iterdir()} >= set(UNFINISHED)
    said = run_and_listen(scene, trained, tmp_path)
    assert outputs(tmp_path) == expected
    begun = [fraction for fraction, sentence in said if sentence.startswith("continuing at")]
    # what was under way is finished, so it can be more than the share
    assert len(begun) == 1 or share < 0.4
    if share == 1:
        assert begun == [1.0]


@pytest.mark.parametrize(("share", "how"), [(0.3, ODD), (0.9, ODD), (0.6, TALL), (0.6, ROWS)])
def test_blocks_that_are_not_the_maps_are_no_obstacle(share, how, trained, tmp_path):
    scene = write_scene(tmp_path / "scene.tif", sparse(1100, 1200), **how, nodata=0)
    (tmp_path / "whole").mkdir()
    (tmp_path / "folder").mkdir()
    classify(scene, trained, tmp_path / "whole")
    interrupt(scene, trained, tmp_path / "folder", share)
    classify(scene, trained, tmp_path / "folder")
    assert outputs(tmp_path / "folder") == outputs(tmp_path / "whole")


def test_a_killed_process_leaves_what_the_next_one_needs(whole, trained, tmp_path):
    scene, expected = whole
    program = """
        import sys
        from landcover import classify_scene
        from landcover.progress import progress_to

        def listen(fraction, sentence):
            print(f"{fraction} {sentence}", flush=True)
            if fraction > 0.6:
                sys.stdin.read()  # until the end

        with progress_to(listen):
            classify_scene(*sys.argv[1:3], radiometry="ignore", workdir=sys.argv[3])
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), scene, trained, tmp_path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as child:  # fmt: skip
        while float(child.stdout.readline().split()[0]) <= 0.6:
            pass
        child.send_signal(signal.SIGKILL)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {*UNFINISHED, ".classify-scene.unfinished"}
    said = run_and_listen(scene, trained, tmp_path)
    assert any("continuing at" in sentence for _, sentence in said)
    assert outputs(tmp_path) == expected


def test_progress_only_grows(whole, trained, tmp_path):
    said = run_and_listen(whole[0], trained, tmp_path)
    fractions = [fraction for fraction, _ in said]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] == 1
    assert any(sentence.startswith("classifying, ") for _, sentence in said)


@pytest.mark.parametrize("change", ["scene", "model", "version"])
def test_tiles_of_other_work_are_not_taken(change, whole, trained, tmp_path, monkeypatch):
    scene, _ = whole
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder = tmp_path / "folder"
    folder.mkdir()
    interrupt(scene, trained, folder)
    model = trained
    if change == "scene":  # the same size, names and place
        values = sparse(1100, 1200)[::-1]
        scene = write_scene(tmp_path / "scene.tif", values, **SMALL, nodata=0)
    if change == "model":  # the same trees even
        model = tmp_path / "model.onnx"
        rewrite_card(trained, model, {"author": "somebody"})
    if change == "version":
        monkeypatch.setattr(classification, "version", lambda name: "999")
    said = run_and_listen(scene, model, folder)
    assert not any("continuing" in sentence for _, sentence in said)
    classify(scene, model, elsewhere)
    assert outputs(folder) == outputs(elsewhere)


def rewrite_card(source, target, changes):
    proto = onnx.load(source)
    card = next(entry for entry in proto.metadata_props if entry.key == "landcover.card")
    card.value = json.dumps(json.loads(card.value) | changes)
    onnx.save(proto, target)


@pytest.mark.parametrize("name", UNFINISHED)
@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "turned", "junk"])
def test_damaged_leftovers_cost_time_only(name, damage, whole, trained, tmp_path):
    scene, expected = whole
    interrupt(scene, trained, tmp_path)
    left = tmp_path / name
    data = left.read_bytes()
    match damage:
        case "gone":
            left.unlink()
        case "empty":
            left.write_bytes(b"")
        case "cut":
            left.write_bytes(data[: len(data) // 2])
        case "turned":
            left.write_bytes(data[: len(data) // 2] + data[len(data) // 2 :][::-1])
        case "junk":
            left.write_bytes(os.urandom(5000))
    classify(scene, trained, tmp_path)
    assert outputs(tmp_path) == expected


@pytest.mark.parametrize("name", UNFINISHED)
@pytest.mark.parametrize("thing", ["link", "dangling", "second name", "folder", "pipe"])
def test_nothing_is_written_through_what_lies_in_the_way(name, thing, whole, trained, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "folder"
    folder.mkdir()
    match thing:
        case "link":
            (folder / name).symlink_to(victim)
        case "dangling":
            (folder / name).symlink_to(tmp_path / "new")
        case "second name":
            (folder / name).hardlink_to(victim)
        case "folder":
            (folder / name).mkdir()
        case "pipe":
            os.mkfifo(folder / name)
    with pytest.raises(InputError, match="is in the way, remove it or name another workdir"):
        classify(whole[0], trained, folder)
    assert victim.read_text() == "precious"
    assert {path.name for path in tmp_path.iterdir()} == {"victim", "folder"}
    assert not any((folder / output).exists() for output in OUTPUTS)


def test_the_folder_may_be_a_descriptor(whole, trained, tmp_path):
    """As the service hands it over: the same file system, another name at every attempt."""
    scene, expected = whole
    for attempt in range(2):
        descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
        folder = f"/proc/self/fd/{descriptor}"
        if attempt == 0:
            interrupt(scene, trained, folder)
        else:
            said = run_and_listen(scene, trained, folder)
        os.close(descriptor)
    assert any("continuing at" in sentence for _, sentence in said)
    assert outputs(tmp_path) == expected


def test_a_second_run_in_the_same_folder_is_refused(whole, trained, tmp_path):
    scene, expected = whole
    refused = []

    def listen(fraction, sentence):
        if fraction > 0.3 and not refused:
            with progress_to(lambda *_: None), pytest.raises(InputError) as error:
                classify(scene, trained, tmp_path)
            refused.append(str(error.value))

    with progress_to(listen):
        classify(scene, trained, tmp_path)
    assert refused == ["another run writes to this folder, wait for it or name another workdir"]
    assert outputs(tmp_path) == expected


def test_who_waited_for_a_file_that_is_then_taken_away_makes_a_new_one(tmp_path):
    with resumable(tmp_path, ["a"], {}) as (file,):
        file.write(b"first")
    with resumable(tmp_path, ["a"], {}) as (file,):
        assert file.read() == b""
    assert list(tmp_path.iterdir()) == []


def test_a_scene_that_breaks_off_is_refused_and_leaves_nothing(trained, tmp_path):
    scene = write_scene(tmp_path / "scene.tif", sparse(1100, 1200), **ODD, nodata=0)
    data = bytearray(scene.read_bytes())
    with rasterio.open(scene) as dataset:
        place = int(dataset.get_tag_item("BLOCK_OFFSET_2_2", "TIFF", bidx=1))
    data[place : place + 2000] = bytes(2000)
    scene.write_bytes(data)
    with pytest.raises(InputError, match="cannot be read as GeoTIFF, it may be damaged"):
        classify(scene, trained, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]


def test_few_windows_are_under_way_at_a_time():
    begun = []
    stop = Event()
    with_results = windows_of_map.few_at_once(lambda n: begun.append(n) or n, range(50), 3, stop)
    for done in with_results:
        assert len(begun) <= done + 1 + 3
    assert begun == list(range(50))
    assert stop.is_set()


def test_an_estimate_counts_only_what_this_run_did(monkeypatch):
    now = [100.0]
    said = []
    monkeypatch.setattr("landcover.progress.time.monotonic", lambda: now[0])
    with progress_to(lambda fraction, sentence: said.append(sentence)):
        pace = Pace("classifying", whole=1000, left=400)
        pace.report()
        now[0] += 2
        pace.advance(10)
        pace.report()
        now[0] += 38
        pace.advance(90)
        pace.report()
        pace.advance(290)
        pace.report()
    assert said == [
        "continuing at 60 %",
        "classifying, 61 %",
        "classifying, 70 %, about 2 min left",
        "classifying, 99 %, about 10 s left",
    ]


def written(folder):
    """Return what an operation has written, but for its records, which say when."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if not path.name.startswith(("run.", "."))
    }


@pytest.mark.parametrize("how", [TILED, ODD, TALL, ROWS], ids=["tiled", "odd", "tall", "rows"])
def test_parts_give_the_bytes_of_one_process(how, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(map_parts, "SIDE", 512)
    scene = write_scene(tmp_path / "scene.tif", sparse(1030, 1100), **how, nodata=0)
    inputs = {"radiometry": "ignore", "probabilities": True}
    classify_scene(scene, trained, **inputs, workdir=tmp_path / "one")
    with ForkedWorkers(2) as workers:
        classify_scene(scene, trained, **inputs, workdir=tmp_path / "parts", executor=workers)
    assert written(tmp_path / "parts") == written(tmp_path / "one")
    assert not [*(tmp_path / "parts").glob(".*")]


def test_parts_of_an_area_give_the_bytes_of_one_process(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(map_parts, "SIDE", 512)
    scene = write_scene(tmp_path / "scene.tif", spectra(1030, 1100), **TILED)
    area = write_labels(tmp_path / "area.gpkg", [("here", pixels(300, 400, 500, 300))])
    inputs = {"radiometry": "ignore", "area": area, "bands": "B02,B03,B04"}
    classify_scene(scene, trained, **inputs, workdir=tmp_path / "one")
    for index in range(2):  # as two machines, each of which computes its share
        with carried_by(Share(index, 2)), pytest.raises(ShareSealed):
            in_shares(scene, trained, area, tmp_path / "parts")
    monkeypatch.setattr(map_parts, "_classify_part", None)  # all is there
    classify_scene(scene, trained, **inputs, workdir=tmp_path / "parts")
    assert written(tmp_path / "parts") == written(tmp_path / "one")


def in_shares(scene, model, area, folder):
    folder.mkdir(exist_ok=True)
    by_identifier("classify-scene").function(
        scene, model, "ignore", "B02,B03,B04", area=area, workdir=folder
    )


def test_an_executor_is_refused_where_nothing_falls_into_parts(tmp_path):
    with pytest.raises(InputError, match="balance-samples does not fall into parts"):
        balance_samples(tmp_path, workdir=tmp_path / "out", executor=object())
