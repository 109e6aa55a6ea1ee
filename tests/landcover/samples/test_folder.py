import json

import numpy as np
import pytest

from landcover import extract_samples
from landcover.errors import InputError
from landcover.samples.folder import read_samples
from landcover.samples.writer import folder_name
from tests.scenes import pixels, write_labels, write_raster


def test_folder_names_are_percent_encoded():
    assert folder_name("forest_1-x y") == "forest_1-x y"
    assert folder_name("../x%") == "%2E%2E%2Fx%25"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "s/forest").mkdir(parents=True)
    (tmp_path / "s/water").mkdir()
    np.save(tmp_path / "s/forest/x.npy", np.ones((3, 2, 1, 1), np.float32))
    np.save(tmp_path / "s/water/y.npy", np.zeros((2, 2, 1, 1), np.float32))
    return tmp_path / "s"


def test_a_folder_without_description_is_read_by_its_names(folder):
    write_raster(folder / "water/chip.tif", np.ones((2, 5, 5), np.float32))
    (folder / "water/notes.txt").write_text("no container")
    read = read_samples(folder)
    assert [(c.file, c.code, len(c.chips)) for c in read.containers] == [
        ("forest/x.npy", 1, 3),
        ("water/chip.tif", 2, 1),
        ("water/y.npy", 2, 2),
    ]
    assert [band.name for band in read.bands] == ["b1", "b2"]


def test_a_pickled_container_is_refused(folder):
    np.save(folder / "water/z.npy", np.array([{"evil": 1}], object), allow_pickle=True)
    with pytest.raises(InputError, match="needs numbers"):
        read_samples(folder)


def test_a_container_that_promises_more_than_it_holds_is_refused(folder):
    whole = (folder / "water/y.npy").read_bytes()
    (folder / "water/y.npy").write_bytes(whole.replace(b"(2, 2, 1, 1)", b"(9, 9, 9, 9)"))
    with pytest.raises(InputError, match="truncated"):
        read_samples(folder)


def test_a_container_of_three_axes_is_refused(folder):
    np.save(folder / "water/z.npy", np.ones((2, 2, 1)))
    with pytest.raises(InputError, match="has 3 axes, needs 4"):
        read_samples(folder)


def test_a_link_out_of_the_folder_is_refused(folder, tmp_path):
    np.save(tmp_path / "secret.npy", np.ones((1, 2, 1, 1), np.float32))
    (folder / "water/z.npy").symlink_to(tmp_path / "secret.npy")
    with pytest.raises(InputError, match="leads out of the samples folder"):
        read_samples(folder)


def test_what_samples_json_does_not_know_is_refused(folder):
    (folder / "samples.json").write_text('{"version": 1, "classes": {"forest": 1}}')
    with pytest.raises(InputError, match=r"holds the folder water, which samples.json does not"):
        read_samples(folder)


def test_a_link_to_a_class_is_refused(folder, tmp_path):
    (tmp_path / "ice").mkdir()
    (folder / "ice").symlink_to(tmp_path / "ice")
    with pytest.raises(InputError, match="holds the link ice"):
        read_samples(folder)


@pytest.mark.parametrize(
    ("described", "message"),
    [
        (
            '"dtype": "uint16"',
            "forest/x.npy holds float32, by samples.json the samples are uint16",
        ),
        ('"chip_size": 3', "chips of 1 x 1 pixels, which do not fit the chip_size 3"),
    ],
)
def test_samples_json_is_checked_against_the_containers(folder, described, message):
    (folder / "samples.json").write_text(f'{{"version": 1, {described}}}')
    with pytest.raises(InputError, match=message):
        list(read_samples(folder).batches())


@pytest.mark.parametrize(
    "pixels", ["[]", "[1, 2]", "[[]]", "[[1], [1, 2]]", "[[NaN]]", "[[1e39]]", '[["a"]]', "null"]
)
def test_pixels_of_the_scene_that_are_none_are_refused(folder, pixels):
    (folder / "samples.json").write_text(f'{{"version": 1, "scene_pixels": {pixels}}}')
    with pytest.raises(InputError, match=r"samples\.json has an invalid scene_pixels"):
        read_samples(folder)


def test_pixels_of_the_scene_need_the_bands_of_the_chips(folder):
    (folder / "samples.json").write_text('{"version": 1, "scene_pixels": [[1, 2, 3, 4, 5]]}')
    with pytest.raises(InputError, match="scene_pixels of 5 bands, the samples have"):
        read_samples(folder)


def test_containers_of_several_dtypes_are_said(folder, caplog):
    np.save(folder / "water/y.npy", np.zeros((2, 2, 1, 1), np.uint8))
    assert len(list(read_samples(folder).batches())) == 2
    assert "some samples are float32 and some uint8" in caplog.text


def test_an_empty_folder_is_no_folder_of_samples(tmp_path):
    with pytest.raises(InputError, match="holds no sample"):
        read_samples(tmp_path)


def test_validity_beside_a_container_is_honoured(folder):
    valid = np.ones((3, 1, 1), np.uint8)
    valid[1] = 0
    np.save(folder / "forest/x.valid.npy", valid)
    first, second = read_samples(folder).batches()
    assert first.valid.ravel().tolist() == [True, False, True]
    assert second.valid.all()
    assert len(read_samples(folder)) == 5  # it is no container


# --- places -------------------------------------------------------------------------------------


def labelled_places(folder):
    """Return the places of each labelled pixel by row and column, and the names of all places."""
    samples = read_samples(folder)
    cells, names = {}, {}
    for batch in samples.batches():
        assert batch.places.dtype == np.int64
        assert batch.places.shape == batch.codes.shape
        origin = batch.container.origin(batch.start, batch.indexes.stop)
        height, width = batch.codes.shape[1:]
        for sample, i, j in np.argwhere(batch.codes != 255):
            row = int(origin[sample, 1]) - height // 2 + int(i)
            column = int(origin[sample, 2]) - width // 2 + int(j)
            place = int(batch.places[sample, i, j])
            cells.setdefault((row, column), set()).add(place)
            names[place] = samples.name_of_place(place)
    assert len(set(names.values())) == len(names), "two numbers of one place"
    return cells, names


POLYGONS = [("a", (0, 0, 9, 30)), ("a", (10, 5, 20, 3)), ("b", (10, 8, 3, 20)),
            ("b", (60, 0, 9, 9)), ("a", (60, 20, 9, 100))]  # fmt: skip


@pytest.mark.parametrize(
    "options", [{}, {"context": 4}, {"chip_size": 8, "masks": True}, {"patches": 16},
                {"chip_size": 8, "masks": True, "context": 3}, {"patches": 50, "context": 7}]
)  # fmt: skip
def test_a_polygon_is_one_place_and_two_polygons_in_a_chip_are_two(tmp_path, options):
    scene = write_raster(tmp_path / "scene.tif", np.ones((1, 130, 130), np.uint8))
    labels = write_labels(tmp_path / "l.gpkg", [(name, pixels(*at)) for name, at in POLYGONS])
    samples = extract_samples(scene, labels, workdir=tmp_path, **options).samples
    cells, names = labelled_places(samples)
    assert set(names.values()) == {f"feature {number}" for number in range(5)} or options.get(
        "chip_size"
    )
    for (row, column), found in cells.items():
        inside = [number for number, (_, (top, left, height, width)) in enumerate(POLYGONS)
                  if top <= row < top + height and left <= column < left + width]  # fmt: skip
        assert [names[place] for place in found] == [f"feature {inside[0]}"]
    if options.get("chip_size") == 8:
        several = [len(np.unique(chip[code != 255])) for batch in read_samples(samples).batches()
                   for chip, code in zip(batch.places, batch.codes, strict=True)]  # fmt: skip
        assert max(several) == 2


@pytest.mark.parametrize(
    "options", [{}, {"context": 4}, {"chip_size": 9, "masks": True}, {"patches": 50},
                {"patches": 100, "context": 5}]
)  # fmt: skip
def test_a_block_is_one_place_wherever_the_chip_of_a_pixel_lies(tmp_path, options):
    scene = write_raster(tmp_path / "scene.tif", np.ones((1, 130, 130), np.uint8))
    labels = write_raster(tmp_path / "l.tif", np.ones((130, 130), np.uint8), nodata=0)
    samples = extract_samples(scene, labels, workdir=tmp_path, **options).samples
    cells, names = labelled_places(samples)
    for (row, column), found in cells.items():
        assert [names[place] for place in found] == [f"block {row // 64} {column // 64}"]
    assert len(names) == (4 if options.get("chip_size") else 9)


def test_a_mask_without_places_goes_by_blocks_as_it_may_hold_several_polygons(tmp_path):
    scene = write_raster(tmp_path / "scene.tif", np.ones((1, 130, 130), np.uint8))
    labels = write_labels(tmp_path / "l.gpkg", [(name, pixels(*at)) for name, at in POLYGONS])
    samples = extract_samples(scene, labels, chip_size=8, masks=True, workdir=tmp_path).samples
    for file in samples.rglob("*.place.npy"):
        file.unlink()
    cells, names = labelled_places(samples)
    for (row, column), found in cells.items():
        assert [names[place] for place in found] == [f"block {row // 64} {column // 64}"]


def test_samples_from_nowhere_known_have_their_file_as_place(folder):
    np.save(folder / "water/y.origin.npy", np.array([[-1, -1, 64], [7, 0, 0]], np.int32))
    samples = read_samples(folder)
    found = [[samples.name_of_place(place) for place in batch.places.ravel()]
             for batch in samples.batches()]  # fmt: skip
    assert found == [["file forest/x.npy"] * 3, ["block -1 1", "feature 7"]]


# --- samples that do not hold what samples.json says --------------------------------------------


LEGEND = [{"code": 1, "name": "forest"}, {"code": 2, "name": "water"}]


@pytest.fixture
def patches(tmp_path):
    """A folder of four patches of 3 x 3 pixels with a context of 1."""
    root = tmp_path / "s"
    (root / "patches").mkdir(parents=True)
    mask = np.full((4, 5, 5), 255, np.uint8)
    mask[:, 2, 2] = 1
    place = np.where(mask == 1, 8, -1).astype(np.int32)
    np.save(root / "patches/x.npy", np.ones((4, 2, 5, 5), np.float32))
    np.save(root / "patches/x.mask.npy", mask)
    np.save(root / "patches/x.place.npy", place)
    np.save(root / "patches/x.valid.npy", np.ones((4, 5, 5), np.uint8))
    np.save(root / "patches/x.origin.npy", np.zeros((4, 3), np.int32))
    described = {"version": 1, "legend": LEGEND, "context": 1, "patches": 3, "classes": {}}
    (root / "samples.json").write_text(json.dumps(described))
    return root, described


def read_whole(root):
    return [(batch.codes, batch.places) for batch in read_samples(root).batches()]


def test_patches_are_read(patches):
    root, _ = patches
    ((codes, places),) = read_whole(root)
    assert (codes == 1).sum() == 4
    assert set(places[codes == 1].tolist()) == {8}


@pytest.mark.parametrize(
    ("companion", "array", "sentence"),
    [
        ("mask", np.ones((4, 5, 4), np.uint8), "x.mask.npy holds uint8 of the shape"),
        ("mask", np.ones((3, 5, 5), np.uint8), "x.mask.npy holds uint8 of the shape"),
        ("mask", np.ones((4, 5, 5), np.float32), "x.mask.npy holds float32"),
        ("mask", np.full((4, 5, 5), 256), "x.npy holds 256, which is no code"),
        ("mask", np.full((4, 5, 5), 3, np.uint8), "x.npy holds 3, which is no code"),
        ("mask", np.zeros((4, 5, 5), np.uint8), "x.npy holds 0, which is no code"),
        ("place", np.ones((4, 5, 5, 1), np.int32), "x.place.npy holds int32 of the shape"),
        ("place", np.ones((4, 5, 5)), "x.place.npy holds float64"),
        ("place", np.full((4, 5, 5), -2), "x.place.npy holds -2, needs -1 to"),
        ("place", np.full((4, 5, 5), 2**31), "x.place.npy holds 2147483648, needs -1 to"),
        ("place", np.full((4, 5, 5), 2**64 - 1, np.uint64), "x.place.npy holds 18446744073709551"),
        ("valid", np.ones((4, 2, 5, 5), np.uint8), "x.valid.npy holds uint8 of the shape"),
        ("valid", np.ones((4, 5, 5), np.float32), "x.valid.npy holds float32"),
        ("origin", np.full((4, 3), -2), "x.origin.npy holds -2, needs -1 to"),
        ("origin", np.full((4, 3), 2**40), "x.origin.npy holds 1099511627776, needs"),
        ("mask", None, "patches/x.npy has no mask beside it, patches need one"),
    ],
)
def test_a_companion_of_patches_that_is_none_is_refused(patches, companion, array, sentence):
    root, _ = patches
    file = root / f"patches/x.{companion}.npy"
    file.unlink()
    if array is not None:
        np.save(file, array)
    with pytest.raises(InputError, match=sentence):
        read_whole(root)


def test_patches_without_places_go_by_blocks(patches):
    root, _ = patches
    (root / "patches/x.place.npy").unlink()
    ((codes, places),) = read_whole(root)
    assert {read_samples(root).name_of_place(p) for p in places[codes == 1]} == {"block 0 0"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"context": 2}, "holds patches of 5 x 5 pixels, by samples.json they are 3 with a cont"),
        ({"patches": 5}, "holds patches of 5 x 5 pixels, by samples.json they are 5 with a cont"),
        ({"context": 2**31, "patches": 2**31}, "holds patches of 5 x 5 pixels"),
        ({"context": -1}, "has an invalid context"),
        ({"context": 1.5}, "has an invalid context"),
        ({"context": True}, "has an invalid context"),
        ({"context": None}, "has an invalid context"),
        ({"context": 10**400}, "has an invalid context"),
        ({"patches": True}, "has an invalid patches"),
        ({"patches": "3"}, "has an invalid patches"),
        ({"patches": -3}, "has an invalid patches"),
        ({"patches": [3]}, "has an invalid patches"),
        ({"classes": {"patches": 1}}, "has classes beside patches"),
        ({"legend": None}, "legend"),
        (
            {"patches": 0, "classes": {"patches": 1}, "context": 3},
            "5 x 5 pixels, which do not fit",
        ),
        ({"patches": 0, "classes": {"patches": 1}, "chip_size": 2}, "which do not fit"),
    ],
)
def test_a_description_that_contradicts_the_chips_is_refused(patches, change, sentence):
    root, described = patches
    (root / "samples.json").write_text(json.dumps(described | change))
    with pytest.raises(InputError, match=sentence):
        read_whole(root)


def test_patches_need_their_folder_and_a_legend(patches):
    root, described = patches
    del described["legend"]
    (root / "samples.json").write_text(json.dumps(described))
    with pytest.raises(InputError, match="patches and no legend"):
        read_whole(root)
    described["legend"] = LEGEND
    (root / "samples.json").write_text(json.dumps(described))
    (root / "patches").rename(root / "patch")
    with pytest.raises(InputError, match="no folder patches"):
        read_whole(root)
