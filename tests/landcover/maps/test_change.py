"""Changes, held against counts of the pixels, and against a truth that is known."""

import csv
import json

import numpy as np
import pytest
import rasterio

from landcover import detect_changes, draw_reference_sample
from landcover.errors import InputError
from landcover.io.legend import Legend
from tests.scenes import label_points, pixels, write_labels

NAMES = {1: "forest", 2: "town", 3: "water"}


@pytest.fixture
def years(write_map, speckled):
    """Two maps: some forest became town, some water forest."""
    later = speckled.copy()
    later[20:50, 20:80] = np.where(later[20:50, 20:80] == 1, 2, later[20:50, 20:80])
    later[60:70, 5:40] = np.where(later[60:70, 5:40] == 3, 1, later[60:70, 5:40])
    later[80:, 100:] = 255
    return speckled, later


def lines(result):
    with result.transitions.open(encoding="utf-8") as file:
        return {(line["from"], line["to"]): line for line in csv.DictReader(file)}


def test_table_counts_the_pixels(write_map, years, tmp_path):
    first, second = years
    result = detect_changes(
        write_map("1.tif", first), write_map("2.tif", second), workdir=tmp_path / "out"
    )
    both = (first != 255) & (second != 255)
    found = lines(result)
    for (a, b), line in found.items():
        pair = (first == {v: k for k, v in NAMES.items()}[a]) & (
            second == {v: k for k, v in NAMES.items()}[b]
        )
        assert int(line["pixels"]) == pair.sum()
    assert sum(int(line["pixels"]) for line in found.values()) == both.sum()
    assert result.changed == pytest.approx((first != second)[both].mean())


def test_map_names_the_transitions_the_largest_first(write_map, years, tmp_path):
    first, second = years
    result = detect_changes(
        write_map("1.tif", first), write_map("2.tif", second), workdir=tmp_path / "out"
    )
    with rasterio.open(result.changes) as dataset:
        codes = dataset.read(1)
        legend = json.loads(dataset.tags()["LANDCOVER_LEGEND"])
    assert [(c["code"], c["name"]) for c in legend] == [
        (1, "unchanged"), (2, "forest to town"), (3, "water to forest"),
    ]  # fmt: skip
    assert ((codes == 2) == ((first == 1) & (second == 2))).all()
    assert ((codes == 1) == ((first == second) & (first != 255))).all()
    assert ((codes == 255) == ((first == 255) | (second == 255))).all()


def test_more_transitions_than_codes_share_the_last(write_map, tmp_path):
    legend = Legend.of([f"class {letter:02}" for letter in range(20)])
    rng = np.random.default_rng(1)
    first, second = rng.integers(1, 21, (2, 120, 120)).astype(np.uint8)
    second[0, :60] = first[0, :60]
    result = detect_changes(
        write_map("1.tif", first, legend), write_map("2.tif", second, legend),
        workdir=tmp_path / "out",
    )  # fmt: skip
    with rasterio.open(result.changes) as dataset:
        codes = dataset.read(1)
    counts = np.bincount(codes.ravel(), minlength=256)
    table = np.zeros((21, 21), int)
    np.add.at(table, (first.ravel(), second.ravel()), 1)
    np.fill_diagonal(table, 0)
    assert counts[2:254].tolist() == sorted(table.ravel().tolist(), reverse=True)[:252]
    assert counts[254] == table.sum() - counts[2:254].sum()


def test_other_grid_and_codes_meet_by_name(write_map, years, tmp_path, caplog):
    first, second = years
    other = Legend.from_list([
        {"code": 7, "name": "forest"}, {"code": 8, "name": "town"}, {"code": 9, "name": "water"},
    ])  # fmt: skip
    moved = np.full((92, 121), 255, np.uint8)
    moved[:90, :120] = np.where(second == 255, 255, second + 6)
    result = detect_changes(
        write_map("1.tif", first), write_map("2.tif", moved, other), workdir=tmp_path / "out"
    )
    plain = detect_changes(
        write_map("1.tif", first), write_map("3.tif", second), workdir=tmp_path / "plain"
    )
    assert lines(result) == lines(plain)
    assert "2.tif lay on another grid" in caplog.text


def test_sample_tells_how_much_really_changed(write_map, tmp_path):
    rng = np.random.default_rng(2)
    before = np.where(np.arange(300) < 180, 1, 3)[None].repeat(300, 0).astype(np.uint8)
    after = before.copy()
    after[:60, :100] = 2

    def seen(truth):  # each map errs in 5 % of its pixels
        wrong = rng.random(truth.shape) < 0.05
        return np.where(wrong, rng.integers(1, 4, truth.shape), truth).astype(np.uint8)

    maps = write_map("1.tif", seen(before)), write_map("2.tif", seen(after))
    plain = detect_changes(*maps, workdir=tmp_path / "plain")
    drawn = draw_reference_sample(plain.changes, per_class=80, workdir=tmp_path / "points")

    def truth_at(row, column):
        a, b = before[row, column], after[row, column]
        return "unchanged" if a == b else f"{NAMES[a]} to {NAMES[b]}"

    labelled = label_points(drawn.points, tmp_path / "labelled.gpkg", truth_at)
    result = detect_changes(*maps, labelled, workdir=tmp_path / "out")
    assert result.changes.read_bytes() == plain.changes.read_bytes()
    real = (before != after).mean()
    line = lines(result)["forest", "town"]
    total = sum(float(each["hectares"]) for each in lines(result).values())
    assert plain.changed > 1.5 * real
    assert float(line["low"]) / total < real < float(line["high"]) / total
    assert "of the area really changed" in result.report.read_text()


def test_classes_of_one_map_only_are_named(write_map, years, tmp_path, caplog):
    first, _ = years
    other = Legend.from_list([
        {"code": 1, "name": "forest"}, {"code": 2, "name": "town"}, {"code": 3, "name": "sea"},
    ])  # fmt: skip
    result = detect_changes(
        write_map("1.tif", first), write_map("2.tif", first, other), workdir=tmp_path / "out"
    )
    assert result.changed == pytest.approx((first == 3).sum() / (first != 255).sum())
    assert "no class as these of 1.tif, so all their area counts as changed: water" in caplog.text
    assert "no class as these of 2.tif, so all their area counts as changed: sea" in caplog.text


@pytest.mark.parametrize("label", ["forest", "forest to forest"])
def test_labels_that_are_no_transitions_are_refused(write_map, years, tmp_path, label):
    first, second = years
    maps = write_map("1.tif", first), write_map("2.tif", second)
    changes = detect_changes(*maps, workdir=tmp_path / "plain").changes
    drawn = draw_reference_sample(changes, per_class=5, workdir=tmp_path / "points")
    labelled = label_points(
        drawn.points, tmp_path / "labelled.gpkg",
        lambda r, c: label if first[r, c] == second[r, c] else "forest to town",
    )  # fmt: skip
    with pytest.raises(InputError, match=f"points of {label}, which is no transition"):
        detect_changes(*maps, labelled, workdir=tmp_path / "out")


def test_transitions_in_quotes_have_estimates(write_map, tmp_path):
    legend = Legend.of(["a", "a to b", "b to c", "c"])
    code = dict(zip(legend.names, legend.codes, strict=True))
    first, second = np.full((2, 40, 40), code["a"], np.uint8)
    second[:10] = code["b to c"]
    first[10:20], second[10:20] = code["a to b"], code["c"]
    maps = write_map("1.tif", first, legend), write_map("2.tif", second, legend)
    changes = detect_changes(*maps, workdir=tmp_path / "plain").changes
    drawn = draw_reference_sample(changes, per_class=20, workdir=tmp_path / "points")
    names = ['"a" to "b to c"', '"a to b" to "c"', "unchanged", "unchanged"]
    labelled = label_points(
        drawn.points, tmp_path / "labelled.gpkg", lambda row, _: names[row // 10]
    )
    found = lines(detect_changes(*maps, labelled, workdir=tmp_path / "out"))
    assert found["a", "b to c"]["estimated"]
    assert found["a to b", "c"]["estimated"]


def test_impossible_transitions_are_named(write_map, years, tmp_path, caplog):
    first, second = years
    result = detect_changes(
        write_map("1.tif", first), write_map("2.tif", second),
        impossible="water to forest; town to water", workdir=tmp_path / "out",
    )  # fmt: skip
    found = lines(result)
    assert {pair for pair, line in found.items() if line["impossible"] == "1"} == {
        ("water", "forest")
    }
    assert "called impossible are there, so one of the maps errs: water to forest" in caplog.text


@pytest.mark.parametrize("text", ["forest", "forest to lake", "town to town"])
def test_impossible_needs_two_classes(write_map, years, tmp_path, text):
    first, second = years
    with pytest.raises(InputError, match=f"impossible holds {text}, needs two classes"):
        detect_changes(write_map("1.tif", first), write_map("2.tif", second), impossible=text,
                       workdir=tmp_path / "out")  # fmt: skip


def test_maps_that_do_not_overlap_are_refused(write_map, speckled, tmp_path):
    first = np.full((40, 40), 255, np.uint8)
    first[:10] = 1
    second = np.full((40, 40), 255, np.uint8)
    second[20:] = 1
    with pytest.raises(InputError, match="they do not overlap"):
        detect_changes(write_map("1.tif", first), write_map("2.tif", second),
                       workdir=tmp_path / "out")  # fmt: skip


def test_points_of_another_map_are_refused(write_map, years, tmp_path):
    first, second = years
    labels = write_labels(tmp_path / "own.gpkg", [("unchanged", pixels(0, 0, 3, 3).centroid)])
    with pytest.raises(InputError, match="lacks the columns map and stratum"):
        detect_changes(write_map("1.tif", first), write_map("2.tif", second), labels,
                       workdir=tmp_path / "out")  # fmt: skip
