"""Hostile and odd input: legends given."""

import os
from pathlib import Path

import pytest

from tests.landcover.hostile.desk import a_map, a_scene, some_labels


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\0" * 2000, b"code,name\n" * 500_000, b"\xff\xfe\x00", b"II*\0", b"[" * 200_000,
        b'{"legend": [{"code": 1, "name": "a"}, {"code": 1, "name": "b"}]}',
        b'[{"code": 1e999, "name": "a"}]', b'[{"code": 1, "name": ["a"]}]',
        b'[{"code": 1, "name": "a", "color": {"red": 1}}]', b'{"1": "a", "2": "a"}',
    ],
)  # fmt: skip
def test_a_hostile_legend_is_refused_in_one_sentence(desk, content):
    legend = desk.inputs / "legend.csv"
    legend.write_bytes(content)
    labels, mapped = some_labels(desk), a_map(desk)
    desk.refuses("extract-samples", scene=a_scene(desk), labels=labels, legend=legend)
    desk.refuses("assess-quality", map=mapped, reference=labels, legend=legend)
    desk.refuses("compare-maps", first=mapped, second=mapped, reference=labels, legend=legend)


def test_a_legend_that_is_a_pipe_or_a_device_is_refused(desk):
    os.mkfifo(desk.inputs / "pipe")
    for legend in (desk.inputs / "pipe", Path("/dev/zero"), desk.inputs / "gone"):
        desk.refuses(
            "extract-samples", scene=a_scene(desk), labels=some_labels(desk), legend=legend
        )


@pytest.mark.parametrize("layer", ["gone", "a' OR 1=1 --", "x" * 5000, "\x1b[31m", "0"])
def test_a_layer_that_is_not_there_is_refused(desk, layer):
    desk.refuses("extract-samples", scene=a_scene(desk), labels=some_labels(desk), layer=layer)
