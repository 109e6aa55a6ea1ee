"""Mixtures of spectra: of groups of pixels, and how far land is mixed as in a training scene."""

import numpy as np
import pytest

from landcover.models.spectra import Cluster, Mixed, Spectra, likelihoods_by_group

WIDE = ((100.0, 0.0), (0.0, 100.0))


def spectra():
    """One class, whose scene holds as much of it as of other land."""
    at_20, at_80 = (20.0, 20.0), (80.0, 80.0)
    scene = [Cluster(0, at_20, WIDE, 0.5), Cluster(0, at_80, WIDE, 0.5)]
    mean, std = np.array([20.0, 20.0]), np.array([10.0, 10.0])
    return Spectra.of([Cluster(1, at_20, WIDE)], mean, std, np.eye(2), scene)


def land(dark, bright):
    """Pixels of the two kinds of land."""
    rng = np.random.default_rng(0)
    return np.vstack([rng.normal(20, 10, (dark, 2)), rng.normal(80, 10, (bright, 2))])


def other_mixture(pixels):
    known = spectra()
    density = known.log_density(pixels)
    return known.other_mixture(density, Mixed.of(density))


def test_land_mixed_as_in_the_training_scene_is_told_from_a_part_of_it():
    assert other_mixture(land(500, 500)) == pytest.approx(0, abs=0.02)
    assert other_mixture(land(1000, 0)) == pytest.approx(np.log(2), abs=0.05)  # half of its scene


def test_groups_at_once_are_as_each_by_itself():
    density = spectra().log_density(land(60, 40))
    groups = [np.arange(0, 60), np.arange(50, 100), np.arange(3)]
    by_itself = [Mixed.of(density[group], 8).likelihoods.mean() for group in groups]
    assert likelihoods_by_group(density, groups, 8) == pytest.approx(by_itself)


def test_one_component_in_float32_is_a_column_of_all():
    known, pixels = spectra(), land(30, 30)
    every = known.log_density(pixels)
    for component in (*range(len(known.means)), -1):
        alone = known.log_density_of(component, known.looked_at(pixels))
        assert alone == pytest.approx(every[:, component], rel=1e-4)
