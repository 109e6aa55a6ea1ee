"""Used bytes and the biggest places of a folder, counted within bounds and without links."""

import os
from pathlib import Path

import pytest

from landcover.storage.usage import Place, measure

MIB = 1 << 20


@pytest.fixture
def fill(tmp_path):
    """Write a file of so many MiB below the folder; return what it occupies there, in bytes."""

    def write(name: str, mib: int) -> int:
        path = tmp_path / "home" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, mib * MIB)  # what is written may get blocks later
        return path.stat().st_blocks * 512

    return write


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir(exist_ok=True)
    return tmp_path / "home"


def test_all_below_is_counted(home, fill):
    used = fill("a.tif", 1) + fill("scenes/b.tif", 2) + fill("scenes/.hidden/c.tif", 1)
    usage = measure(home)
    assert usage.used == used >= 4 * MIB
    assert usage.is_whole


def test_places_are_named_where_most_of_a_folder_lies(home, fill):
    big = fill("work/old/scene.tif", 8)
    envs = sum(fill(f"envs/torch/{i}/lib.so", 1) for i in range(6))
    small = fill("notes.txt", 1)
    assert measure(home).biggest == (
        Place("work/old/scene.tif", False, big),
        Place("envs/torch", True, envs),
        Place("notes.txt", False, small),
    )


def test_no_more_places_are_named_than_asked_for(home, fill):
    for i in range(7):
        fill(f"{i}.tif", 1 + (i == 3))
    named = measure(home, places=2).biggest
    assert len(named) == 2
    assert named[0].name == "3.tif"


def test_no_link_is_followed(home, fill, tmp_path):
    used = fill("a.tif", 1)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.tif").write_bytes(bytes(MIB))
    (home / "folder").symlink_to(outside)
    (home / "file").symlink_to(outside / "secret.tif")
    (home / "loop").symlink_to(home)
    usage = measure(home)
    assert used <= usage.used < used + MIB // 2  # the links themselves may take a block each
    assert usage.biggest[0] == Place("a.tif", False, used)


def test_file_with_two_names_is_counted_once(home, fill):
    used = fill("a.tif", 1)
    Path(home / "b.tif").hardlink_to(home / "a.tif")
    assert measure(home).used == used


def test_sparse_file_is_what_it_occupies(home):
    with (home / "sparse.bin").open("wb") as file:
        file.truncate(1 << 40)
    assert measure(home).used < MIB


def test_names_that_are_left_out_do_not_count(home, fill):
    used = fill("work/shared/a.tif", 1)
    fill("shared/b.tif", 2)
    assert measure(home, leave_out=("shared",)).used == used


@pytest.mark.parametrize(
    ("bound", "is_countable"), [({"most_entries": 3}, False), ({"most_seconds": 0.0}, True)]
)
def test_measurement_ends_at_its_bounds_and_says_so(home, fill, bound, is_countable):
    for i in range(10):
        fill(f"{i}.tif", 1)
    usage = measure(home, **bound)
    assert (usage.is_whole, usage.is_countable) == (False, is_countable)
    assert usage.used <= 4 * MIB


def test_very_deep_folders_end_the_walk(home):
    deep = os.open(home, os.O_RDONLY)
    for _ in range(200):
        os.mkdir("d", dir_fd=deep)
        deeper = os.open("d", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = deeper
    os.close(deep)
    usage = measure(home)
    assert (usage.is_whole, usage.is_countable) == (False, False)


def test_folder_that_may_not_be_read_is_passed_over(home, fill):
    used = fill("a.tif", 1)
    fill("closed/b.tif", 1)
    (home / "closed").chmod(0)
    try:
        usage = measure(home)
    finally:
        (home / "closed").chmod(0o700)
    # root reads whatever it likes
    assert usage.used == used if os.geteuid() else usage.used > used


def test_missing_folder_is_told():
    with pytest.raises(FileNotFoundError):
        measure(Path("/nowhere/home"))
