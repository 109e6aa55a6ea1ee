import os

import pytest

from landcover.cpus import cores


@pytest.mark.parametrize(
    ("said", "expected"), [("1", 1), ("100000", None), ("0", None), ("", None), ("4,2", None)]
)
def test_a_container_says_how_many_cores_are_its_own(monkeypatch, said, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert cores() == (expected or len(os.sched_getaffinity(0)))
