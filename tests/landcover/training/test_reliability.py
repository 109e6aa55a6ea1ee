"""Is 80 % right in 80 %? Bins against sums made by hand."""

import json

import numpy as np
import pytest

from landcover import extract_samples, train_classifier
from landcover.training.reliability import reliability_of
from tests.scenes import pixels, write_labels, write_raster


def test_bins_hold_the_share_of_right_pixels():
    confidence = np.array([[0.82, 0.88, 0.5, 1.0], [0.84, 0.86, 0.55, 0.95]])
    right = np.array([[True, False, True, True], [True, True, False, True]])
    found = reliability_of(right, confidence)
    low, high, highest = found["bins"]
    assert (low["from"], low["to"], low["pixels"]) == (0.5, 0.6, 1)
    assert (low["confidence"], low["right"]) == (0.525, 0.5)
    assert (high["confidence"], high["right"], high["pixels"]) == (pytest.approx(0.85), 0.75, 2)
    assert (highest["confidence"], highest["right"]) == (pytest.approx(0.975), 1)
    assert found["error"] == pytest.approx((0.05 + 0.4 + 0.05) / 8)
    assert found["excess"] == pytest.approx((0.05 + 0.4 - 0.05) / 8)


def test_labels_by_chance_are_told_with_too_much_confidence(tmp_path):
    rng = np.random.default_rng(2)
    values = np.kron(rng.integers(0, 9000, (2, 8, 8)), np.ones((1, 8, 8), int)).astype(np.uint16)
    shapes = [(str(rng.choice(["a", "b"])), pixels(8 * row, 8 * column, 5, 5))
              for row in range(8) for column in range(8)]  # fmt: skip
    scene = write_raster(tmp_path / "scene.tif", values, names=("x", "y"))
    labels = write_labels(tmp_path / "labels.gpkg", shapes)
    samples = extract_samples(scene, labels, workdir=tmp_path).samples
    trained = train_classifier(samples, options='{"trees": 20}', workdir=tmp_path)
    report = json.loads(trained.report.read_text())
    reliability = report["reliability"]
    assert sum(one["pixels"] for one in reliability["bins"]) == pytest.approx(1600)
    told = sum(one["confidence"] * one["pixels"] for one in reliability["bins"]) / 1600
    assert reliability["excess"] == pytest.approx(told - report["accuracy_spatial"], abs=1e-6)
    assert reliability["excess"] > 0.1
    assert "points greater than the share of pixels that are right" in " ".join(report["remarks"])
    assert [row["band"] for row in report["importance"]] in (["x", "y"], ["y", "x"])
