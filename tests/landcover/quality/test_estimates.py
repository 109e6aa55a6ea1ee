import numpy as np
import pytest
from scipy.stats import binomtest

from benchmarks.intervals import measure
from landcover.errors import InputError
from landcover.quality.confusion import Confusion
from landcover.quality.estimates import area_adjusted, clopper_pearson

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
    """Of 50 points a class; benchmarks/intervals.py has more maps and more samples."""
    found = measure((0.98, 0.9, 0.8), (0.6, 0.3, 0.1), points=50, draws=2000, seed=11)
    assert min(found.ours.values()) >= 0.93, found


def test_an_interval_has_a_width_where_every_point_agrees():
    estimates = area_adjusted(Confusion(("a", "b"), np.diag([50, 50])), [100, 900])
    limit = 0.025 ** (1 / 50)  # Clopper-Pearson, by hand: p^50 = 2.5 %
    assert estimates.users["a"] == pytest.approx((1, 1 - limit))
    assert estimates.intervals.users["a"] == pytest.approx((limit, 1))
    below = np.hypot(0.1, 0.9) * (1 - limit)
    assert estimates.accuracy == pytest.approx((1, below))
    assert estimates.intervals.accuracy == pytest.approx((1 - below, 1))
    # a is 10 % of the map; of the rest up to 90 % x (1 - limit) may be a and was not seen
    odds = np.sqrt(0.1**2 - (0.1 * (1 - limit)) ** 2) / (0.9 * (1 - limit))
    assert estimates.intervals.producers["a"] == pytest.approx((odds / (1 + odds), 1))


def test_limits_of_a_share_equal_those_of_scipy():
    hits, trials = np.array([0, 1, 37, 49, 50]), np.full(5, 50)
    low, high = clopper_pearson(hits, trials)
    for k, *ends in zip(hits.tolist(), low, high, strict=True):
        exact = binomtest(k, 50).proportion_ci(0.95, "exact")
        assert ends == pytest.approx([exact.low, exact.high])


def test_a_class_that_only_the_reference_knows_has_an_area_and_no_users_accuracy():
    counts = np.array([[40, 2], [0, 30], [8, 0]])  # the third is on no map
    square = np.zeros((3, 3), int)
    square[:, :2] = counts
    estimates = area_adjusted(Confusion(("a", "b", "bog"), square), [100, 100, 0])
    assert estimates.shares["bog"][0] == pytest.approx(0.5 * 8 / 48)
    assert np.isnan(estimates.users["bog"]).all()
    assert estimates.producers["bog"][0] == 0
    assert estimates.intervals.producers["bog"] == (0, 0)  # what is not mapped is missed
    assert np.isnan(estimates.intervals.users["bog"]).all()


def test_fewer_than_two_points_in_a_stratum_are_too_few():
    with pytest.raises(InputError, match="needs two pixels of each class, b has fewer"):
        area_adjusted(Confusion(("a", "b"), np.array([[9, 1], [2, 0]])), [10, 10])
