"""The commands of docs/maps.md, as they stand there."""

import shlex

import numpy as np

from landcover import assess_quality
from landcover.cli import main
from tests.readmes import blocks
from tests.scenes import pixels, write_labels, write_raster


def test_commands_of_the_page_run(write_map, speckled, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for year in ("2020", "2024"):
        (tmp_path / year).mkdir()
    later = np.where(speckled == 1, 2, speckled)
    write_map("2020/map.tif", speckled)
    write_map("2024/map.tif", later)
    path = write_map("map.tif", speckled)
    write_labels(tmp_path / "districts.gpkg", [("north", pixels(0, 0, 40, 120))], field="name")
    reference = write_labels(tmp_path / "labels.gpkg", [("town", pixels(20, 20, 30, 30))])
    write_raster(tmp_path / "confidence.tif", np.full(speckled.shape, 90, np.uint8))
    write_labels(tmp_path / "points.gpkg", [("town", pixels(20, 20, 1, 1).centroid)])
    assess_quality(path, reference, workdir=tmp_path / "assessed")
    (page,) = blocks("docs/maps.md", "sh")
    commands = [shlex.split(line) for line in page.splitlines()]
    assert len(commands) == 7
    for program, *arguments in commands:
        assert program == "landcover"
        assert main(arguments) == 0, capsys.readouterr().err
    assert (tmp_path / "package" / "package.zip").is_file()
