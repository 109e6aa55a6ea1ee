"""The names that a form offers: files of the user that some operation reads."""

from pathlib import Path

import pytest

from sample_map.server import names
from sample_map.server.names import names_at_home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "eve"
    for folder in ("a/b", "jobs/1", ".hidden", "course"):
        (home / folder).mkdir(parents=True)
    (tmp_path / "shared").mkdir()
    (home / "shared").symlink_to(Path("..", "shared"))
    for file in ("a/b/deep.TIF", "top.tif", "notes.txt", "jobs/1/map.tif", ".hidden/x.tif",
                 "course/page.tif", "../shared/scene.tif", "../bob.tif"):  # fmt: skip
        (home / file).touch()
    (home / "link.tif").symlink_to(Path("..", "bob.tif"))
    (home / "bad\n.tif").touch()
    monkeypatch.setenv("HOME", str(home))
    return home


def test_files_are_offered_from_the_roots_down_and_no_link_is_followed(home):
    assert names_at_home((".tif",)) == ["home/top.tif", "shared/scene.tif", "home/a/b/deep.TIF"]


def test_walk_stops_when_there_is_enough_or_the_time_is_over(home, monkeypatch):
    monkeypatch.setattr(names, "MOST_NAMES", 1)
    assert names_at_home((".tif",)) == ["home/top.tif"]
    monkeypatch.setattr(names, "_SECONDS", 0.0)
    assert names_at_home((".tif",)) == []
