"""Jobs that train a network: followed step by step, and ended at once."""

import time

import psutil
import pytest

from benchmarks.served import DEADLINE, until
from landcover import extract_samples
from tests.needs_torch import need_torch

WITHIN = 5
"""Seconds in which a dismissed training has to be gone."""
STARTS = 4 * DEADLINE


@pytest.mark.proof
@pytest.mark.parametrize(
    ("method", "cut"), [("chip-cnn", {"context": 2}), ("unet", {"patches": 16})]
)
def test_a_training_that_is_dismissed_is_gone_within_seconds(start, method, cut):
    need_torch()
    wps = start()
    home = wps.root / "users/anna"
    extract_samples(wps.root / "shared/scene.tif", home / "labels.gpkg", workdir=home, **cut)
    wps.execute(
        "train-classifier", asynchronous=True, samples="home/samples", method=method,
        options='{"steps": 100000}',
    )  # fmt: skip
    (job,) = until(lambda: wps.ledger.of_user("anna"))
    until(lambda: "step" in wps.ledger.get(job.id).message, STARTS)  # torch computes
    process = psutil.Process(wps.ledger.get(job.id).pid)
    below = process.children(recursive=True)
    began = time.monotonic()
    answer = wps.client.delete(
        f"/services/wps/jobs/{job.id}", headers={"Authorization": "token anna"}
    )
    assert (answer.status_code, answer.get_json()["state"]) == (200, "dismissed")
    assert psutil.wait_procs([process, *below], timeout=WITHIN)[1] == []
    assert time.monotonic() - began < WITHIN
    folder = home / "jobs" / job.id
    assert not list(folder.glob("*.onnx"))
