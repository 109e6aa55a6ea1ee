import numpy as np
import pytest

from landcover.errors import InputError
from landcover.quality.confusion import Confusion
from landcover.quality.estimates import area_adjusted

OLOFSSON = Confusion(
    ("deforestation", "gain", "forest", "other"),
    np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]).T,
)
MAPPED = [200_000, 150_000, 3_200_000, 6_450_000]


def test_figures_equal_the_worked_example():
    """Olofsson et al. 2014, section 5: four classes, 640 points, of Landsat pixels."""
    estimates = area_adjusted(OLOFSSON, MAPPED, area=900_000)
    assert estimates.accuracy == pytest.approx((0.947, 0.018), abs=5e-4)
    share, half = estimates.shares["deforestation"]
    assert share * estimates.area == pytest.approx(21_158, abs=1)
    assert half * estimates.area == pytest.approx(6_158, abs=6)
    users = {"deforestation": 0.88, "gain": 0.73, "forest": 0.93, "other": 0.96}
    producers = {"deforestation": 0.75, "gain": 0.85, "forest": 0.93, "other": 0.96}
    for name in OLOFSSON.names:
        assert estimates.users[name][0] == pytest.approx(users[name], abs=5e-3)
        assert estimates.producers[name][0] == pytest.approx(producers[name], abs=5e-3)
    assert estimates.users["deforestation"][1] == pytest.approx(0.07, abs=5e-3)
    assert estimates.producers["deforestation"][1] == pytest.approx(0.21, abs=5e-3)


def test_intervals_cover_the_truth_in_95_of_100_samples():
    rng = np.random.default_rng(11)
    mapped = np.array([600_000, 300_000, 100_000])
    truth = np.array([[0.85, 0.10, 0.05], [0.15, 0.75, 0.10], [0.10, 0.20, 0.70]])  # by map class
    weight = mapped / mapped.sum()
    true_areas = weight @ truth
    true_accuracy = weight @ truth.diagonal()
    true_producers = weight * truth.diagonal() / true_areas
    inside = []
    for _ in range(3000):
        by_map = np.stack([rng.multinomial(150, shares) for shares in truth])
        estimates = area_adjusted(Confusion(("a", "b", "c"), by_map.T), mapped.tolist())
        pairs = [
            (estimates.accuracy, true_accuracy),
            *zip(estimates.shares.values(), true_areas, strict=True),
            *zip(estimates.users.values(), truth.diagonal(), strict=True),
            *zip(estimates.producers.values(), true_producers, strict=True),
        ]
        inside.append([abs(value - true) <= half for (value, half), true in pairs])
    coverage = np.mean(inside, axis=0)
    assert (coverage > 0.93).all(), coverage
    assert (coverage < 0.97).all(), coverage


def test_a_class_that_only_the_reference_knows_has_an_area_and_no_users_accuracy():
    counts = np.array([[40, 2], [0, 30], [8, 0]])  # the third is on no map
    square = np.zeros((3, 3), int)
    square[:, :2] = counts
    estimates = area_adjusted(Confusion(("a", "b", "bog"), square), [100, 100, 0])
    assert estimates.shares["bog"][0] == pytest.approx(0.5 * 8 / 48)
    assert np.isnan(estimates.users["bog"]).all()
    assert estimates.producers["bog"][0] == 0


def test_fewer_than_two_points_in_a_stratum_are_too_few():
    with pytest.raises(InputError, match="needs two pixels of each class, b has fewer"):
        area_adjusted(Confusion(("a", "b"), np.array([[9, 1], [2, 0]])), [10, 10])
