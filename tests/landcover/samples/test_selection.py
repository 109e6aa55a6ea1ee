"""A selection belongs to the samples it was made from."""

import csv

import numpy as np
import pytest

from landcover import balance_samples
from landcover.errors import InputError
from landcover.progress import collecting_notes
from landcover.samples.selection import COLUMNS, read_selection
from landcover.training.loading import load_samples


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name, level, count in (("forest", 900, 40), ("water", 200, 30)):
        (tmp_path / "s" / name).mkdir(parents=True)
        chips = rng.normal(level, 30, (count, 2, 1, 1)).astype(np.uint16)
        np.save(tmp_path / "s" / name / "x.npy", chips)
    return tmp_path / "s"


@pytest.fixture
def selection(folder, tmp_path):
    return balance_samples(folder, clusters=2, threshold=10, workdir=tmp_path).selection


def rewrite(path, columns=COLUMNS, keep=lambda row: True, **values):
    with path.open(newline="") as file:
        rows = [row | values for row in csv.DictReader(file) if keep(row)]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def use(folder, selection):
    with collecting_notes(lambda sentence: None) as notes:
        used = load_samples([folder], read_selection(selection), False)
    return len(used.training_set), notes.remarks


def test_a_selection_is_used_with_its_samples_alone(folder, selection):
    kept = len(read_selection(selection).kept)
    count, remarks = use(folder, selection)
    assert count == kept < 70
    assert not any("selection" in remark for remark in remarks)
    chips = np.load(folder / "water/x.npy")
    np.save(folder / "water/x.npy", chips[::-1].copy())  # as many, others
    with pytest.raises(InputError, match="made from other samples than these"):
        use(folder, selection)
    np.save(folder / "water/x.npy", chips.astype(">u2"))  # the same in another byte order
    assert use(folder, selection)[0] == kept


def test_a_selection_of_before_is_used_with_a_remark(folder, selection):
    kept = len(read_selection(selection).kept)
    rewrite(selection, COLUMNS[:5])
    count, remarks = use(folder, selection)
    assert count == kept
    assert any("does not say from which samples it was made" in remark for remark in remarks)


def test_a_selection_of_before_that_leaves_samples_out_is_refused(folder, selection):
    rewrite(selection, COLUMNS[:5])
    chips = np.load(folder / "water/x.npy")
    np.save(folder / "water/x.npy", np.concatenate([chips, chips]))
    with pytest.raises(InputError, match=r"lists 30 samples of water/x.npy, which holds 60"):
        use(folder, selection)
    rewrite(selection, COLUMNS[:5], keep=lambda row: row["kept"] == "1")  # chosen by hand
    assert use(folder, selection)[0] == len(read_selection(selection).kept)


def test_a_selection_of_two_folders_is_refused_for_one(folder, selection):
    with selection.open("a") as file:
        file.write("water/x.npy,0,water,1,1,sha256:0000000000000000\n")
    with pytest.raises(InputError, match="made from 2 samples folders, 1 is given"):
        use(folder, selection)


@pytest.fixture
def other(tmp_path):
    """Samples of other places: other chips in files of the same names, one class more."""
    rng = np.random.default_rng(1)
    for name, level, count in (("forest", 900, 25), ("sand", 2000, 35)):
        (tmp_path / "o" / name).mkdir(parents=True)
        chips = rng.normal(level, 30, (count, 2, 1, 1)).astype(np.uint16)
        np.save(tmp_path / "o" / name / "x.npy", chips)
    return tmp_path / "o"


def test_several_folders_are_balanced_together_and_trained_in_any_order(folder, other, tmp_path):
    found = balance_samples([folder, other], clusters=2, threshold=10, workdir=tmp_path)
    assert found.before == 130
    chosen = read_selection(found.selection)
    assert len(chosen.kept) == found.after < 130
    for folders in ([folder, other], [other, folder]):
        used = load_samples(folders, chosen, False)
        assert len(used.training_set) == found.after
        # by the class names of its own folder: sand is in one only
        names = {entry.code: entry.name for entry in used.legend.classes}
        pixels = used.training_set.pixels[:, 0]
        levels = {"forest": 900, "water": 200, "sand": 2000}
        wanted = [levels[names[code]] for code in used.training_set.codes.tolist()]
        np.testing.assert_allclose(pixels, wanted, atol=200)


def test_a_selection_of_several_folders_needs_all_and_no_others(folder, other, tmp_path):
    chosen = read_selection(balance_samples([folder, other], workdir=tmp_path).selection)
    with pytest.raises(InputError, match="made from 2 samples folders, 1 is given"):
        load_samples([folder], chosen, False)
    chips = np.load(other / "sand/x.npy")
    np.save(other / "sand/x.npy", chips[::-1].copy())
    with pytest.raises(InputError, match="made from other samples than those of"):
        load_samples([folder, other], chosen, False)
    alone = read_selection(balance_samples(folder, workdir=tmp_path / "alone").selection)
    with pytest.raises(InputError, match="made from one samples folder, 2 are given"):
        load_samples([folder, other], alone, False)


def test_a_selection_that_names_what_is_not_there_is_refused(folder, selection):
    rewrite(selection, keep=lambda row: row["kept"] == "1", index="70")
    with pytest.raises(InputError, match=r"sample 70 of forest/x.npy, which is not there"):
        use(folder, selection)
