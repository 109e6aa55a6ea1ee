import numpy as np
import pytest

from landcover.errors import InputError
from landcover.samples import folder_name, read_samples
from tests.scenes import write_raster


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


def test_an_empty_folder_is_no_folder_of_samples(tmp_path):
    with pytest.raises(InputError, match="holds no sample"):
        read_samples(tmp_path)
