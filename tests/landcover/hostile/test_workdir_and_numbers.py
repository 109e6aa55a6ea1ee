"""Hostile and odd input: the folder to write to, and numbers."""

import numpy as np
import pytest
import rasterio

from tests.landcover.hostile.desk import (
    a_map,
    a_reference,
    a_scene,
    patched_tag,
    some_labels,
    some_samples,
)
from tests.scenes import CRS, TRANSFORM, pixels, write_labels


@pytest.mark.parametrize("operation", ["extract-samples", "balance-samples", "assess-quality"])
def test_a_folder_to_write_to_that_is_none_is_refused(desk, operation):
    scene, labels = a_scene(desk), some_labels(desk)
    inputs = {
        "extract-samples": {"scene": scene, "labels": labels},
        "balance-samples": {"samples": some_samples(desk)},
        "assess-quality": {"map": a_map(desk), "reference": a_reference(desk)},
    }[operation]
    for workdir in (scene, scene / "below"):
        said = desk.refuses(operation, **inputs, workdir=workdir)
        assert "folder" in said


def test_an_input_in_the_way_of_the_output_survives(desk):
    (desk.out / "samples").mkdir()
    labels = write_labels(desk.out / "samples/labels.gpkg", [("a", pixels(0, 0, 2, 2))])
    before = labels.read_bytes()
    desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=labels)
    assert labels.exists(), "the user's labels were deleted"
    assert labels.read_bytes() == before


def test_a_folder_of_the_user_in_the_way_of_the_output_survives(desk):
    (desk.out / "samples").mkdir()
    notes = desk.out / "samples/notes.txt"
    notes.write_text("my work of a week")
    (desk.out / "counts.csv").mkdir()
    (desk.out / "counts.csv/mine.txt").write_text("mine")
    desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=some_labels(desk))
    assert notes.exists(), "a folder that is no samples folder was deleted"
    assert (desk.out / "counts.csv/mine.txt").exists()


@pytest.mark.parametrize("in_the_way", ["file", "link", "dead link"])
def test_something_else_in_the_place_of_the_samples_is_replaced_or_refused(desk, in_the_way):
    target, elsewhere = desk.out / "samples", desk.root / "elsewhere"
    elsewhere.mkdir()
    if in_the_way == "file":
        target.write_text("x")
    else:
        target.symlink_to(elsewhere if in_the_way == "link" else desk.root / "absent")
    desk.does_or_refuses("extract-samples", scene=a_scene(desk), labels=some_labels(desk))
    assert list(elsewhere.iterdir()) == []


def test_a_failure_leaves_the_samples_of_before(desk):
    desk.does("extract-samples", scene=a_scene(desk), labels=some_labels(desk))
    far = some_labels(desk, pixels(500, 500, 2, 2), name="far.gpkg")
    desk.refuses("extract-samples", scene=a_scene(desk), labels=far)
    assert desk.counts() == {"a": 256}


@pytest.mark.parametrize("seed", [-1, 0, 2**31, 2**32, 2**64, 10**30])
def test_any_seed_is_taken_or_refused(desk, seed):
    scene, labels = a_scene(desk), some_labels(desk)
    many = {"max_per_class": 5, "seed": seed}
    result = desk.does_or_refuses("extract-samples", scene=scene, labels=labels, **many)
    assert result is None or result["total"] == 5
    desk.does_or_refuses("balance-samples", samples=some_samples(desk), seed=seed)


@pytest.mark.parametrize(
    "number", ["", " ", "1e3", "1.5", "nan", "inf", "-1", "0x10", "²", "9" * 5000, "one", "1,5"]
)
def test_numbers_that_are_none_are_refused(desk, number):
    scene, labels = a_scene(desk), some_labels(desk)
    desk.refuses("extract-samples", scene=scene, labels=labels, chip_size=number)
    desk.refuses("extract-samples", scene=scene, labels=labels, max_per_class=number)
    folder = some_samples(desk)
    for name in ("clusters", "threshold", "step"):
        desk.refuses("balance-samples", samples=folder, **{name: number})


def test_huge_numbers_keep_everything(desk):
    huge = 10**30
    scene, labels = a_scene(desk), some_labels(desk)
    done = desk.does_or_refuses("extract-samples", scene=scene, labels=labels, max_per_class=huge)
    assert done is None or done["total"] == 256
    folder = some_samples(desk)
    done = desk.does_or_refuses("balance-samples", samples=folder, threshold=huge)
    assert done is None or done["after"] == 5
    done = desk.does_or_refuses(
        "balance-samples", samples=folder, threshold=1, step=huge, clusters=1
    )
    assert done is None or done["after"] == 1
    desk.refuses("balance-samples", samples=folder, clusters=huge)
    desk.refuses("extract-samples", scene=scene, labels=labels, chip_size=huge)


def test_a_vast_scene_of_almost_no_bytes_is_read_where_the_labels_are(desk):
    path = desk.inputs / "vast.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=20_000, height=20_000, count=3, dtype="uint16", crs=CRS,
        transform=TRANSFORM, tiled=True, blockxsize=512, blockysize=512, SPARSE_OK=True,
    ):  # fmt: skip
        pass
    assert path.stat().st_size < 2_000_000
    labels = some_labels(desk, pixels(10_000, 10_000, 2, 2))
    assert desk.does("extract-samples", scene=path, labels=labels)["total"] == 4


def test_few_bytes_that_claim_vast_blocks_bands_or_sides_are_refused_before_they_are_read(desk):
    tile = desk.inputs / "tile.tif"
    with rasterio.open(
        tile, "w", driver="GTiff", width=16, height=16, count=1, dtype="uint8", crs=CRS,
        transform=TRANSFORM, tiled=True, blockxsize=16, blockysize=16,
    ) as dataset:  # fmt: skip
        dataset.write(np.ones((1, 16, 16), np.uint8))
    width, height, tile_width, tile_height, bands = 256, 257, 322, 323, 277
    claims = {
        "blocks of 65536 x 65536 pixels, 4096 MiB each": {
            width: 65_536, height: 65_536, tile_width: 65_536, tile_height: 65_536},
        "holds 65535 bands": {bands: 65_535},
        "1000000000 x 1000000000 pixels": {
            width: 10**9, height: 10**9, tile_width: 2**15, tile_height: 2**15},
    }  # fmt: skip
    for named, claimed in claims.items():
        content = tile.read_bytes()
        for tag, value in claimed.items():
            content = patched_tag(content, tag, value)
        vast = desk.inputs / "vast.tif"
        vast.write_bytes(content)
        for operation, inputs in (
            ("extract-samples", {"scene": vast, "labels": some_labels(desk)}),
            ("extract-samples", {"scene": a_scene(desk, name="s.tif"), "labels": vast}),
            ("assess-quality", {"map": vast, "reference": a_reference(desk)}),
            ("assess-quality", {"map": a_map(desk), "reference": vast}),
        ):
            said = desk.refuses(operation, **inputs)
            assert named in said or "damaged" in said, operation


@pytest.mark.parametrize("name", ["x" * 256, "ü" * 128, "/".join(["x" * 200] * 25)])
def test_a_name_longer_than_any_file_can_have_is_refused(desk, name):
    scene, labels, long = a_scene(desk), some_labels(desk), desk.inputs / name
    for operation, inputs in (
        ("extract-samples", {"scene": long, "labels": labels}),
        ("extract-samples", {"scene": scene, "labels": long}),
        ("extract-samples", {"scene": scene, "labels": labels, "legend": long}),
        ("balance-samples", {"samples": long}),
        ("train-classifier", {"samples": long}),
        ("classify-scene", {"scene": scene, "model": long}),
    ):
        assert "bytes" in desk.refuses(operation, **inputs)
