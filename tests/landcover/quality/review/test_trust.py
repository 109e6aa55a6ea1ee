import numpy as np
import pytest
from scipy import stats

from landcover.quality.review.plan import Part, for_margin, for_tolerance
from landcover.quality.review.trust import (
    ZONES,
    Rate,
    Witnesses,
    exceeding,
    most_evidence,
    trusted_zones,
    zone_of,
)


def each_alone(wrong):
    wrong = np.asarray(wrong, float)
    at = np.arange(len(wrong))
    return Witnesses(at, np.ones(len(wrong)), wrong, at, np.ones(len(wrong)))


def test_one_label_a_witness_gives_the_exact_interval():
    rate = Rate.of(each_alone([1] * 3 + [0] * 57))
    exact = stats.binomtest(3, 60).proportion_ci(method="exact")
    assert rate.interval == pytest.approx((exact.low, exact.high))
    assert rate.doubt_that(0.2) == pytest.approx(stats.binom.cdf(3, 60, 0.2))


def test_labels_of_one_witness_count_once():
    ids = np.repeat(np.arange(10), 50)
    found = Witnesses(ids, np.ones(500), (ids == 0).astype(float), np.arange(500), np.ones(500))
    assert (Rate.of(found).share, Rate.of(found).witnesses) == pytest.approx((0.1, 10))


def test_nothing_wrong_needs_59_witnesses_at_5_percent():
    p_values = exceeding(np.zeros(2), np.array([58, 59]), 0.05)
    assert p_values[0] > 0.05 >= p_values[1]


def test_a_failed_zone_ends_the_row():
    """The surest half is wrong, the rest is not: no zone counts, though the whole would pass."""
    zones = np.repeat(np.arange(1, ZONES + 1), 100)
    wrong = (zones == 1) & (np.arange(1000) % 4 == 0)
    found = trusted_zones(each_alone(wrong), zones, np.linspace(0.1, 1, 10), 0.05)
    assert found[-1].p_value < 0.05
    assert not any(zone.trusted for zone in found)
    found = trusted_zones(each_alone(np.zeros(1000)), zones, np.linspace(0.1, 1, 10), 0.05)
    assert all(zone.trusted for zone in found)
    assert [zone.sequentially for zone in found] == [False] * 4 + [True] * 6


def test_zones_are_tenths_from_the_surest_on():
    doubt = np.linspace(1, 0, 20)
    assert zone_of(doubt, np.ones(20)).tolist() == np.repeat(np.arange(10, 0, -1), 2).tolist()


def test_evidence_grows_with_right_witnesses_only():
    assert most_evidence(np.zeros(200), 0.05) > 20
    assert most_evidence(np.ones(200), 0.05) == 1


def test_small_parts_need_fewer_labels():
    few, many = (Part("map", pixels, 0.1) for pixels in (200, 10_000_000))
    assert for_margin(few, 0.05) < for_margin(many, 0.05)
    assert for_tolerance(Part("x", 100, 0.0), 0.05) < for_tolerance(Part("x", 10**6, 0.0), 0.05)
    assert for_tolerance(Part("x", 10**6, 0.0), 0.05) == 59


def test_where_more_errors_are_expected_than_tolerated_no_number_is_enough():
    assert for_tolerance(Part("x", 10**6, 0.06), 0.05) is None


def test_drawn_labels_count_as_if_each_weighed_most():
    weight = np.repeat([9.0, 1.0], 50)
    ids = np.zeros(100, int)  # in one window: they were drawn one by one all the same
    found = Witnesses(ids, weight, weight * 0, ids, weight, drawn=True)
    assert Rate.of(found).witnesses == pytest.approx(500 / 9)
    zones = trusted_zones(found, np.ones(100, int), np.linspace(0.1, 1, 10), 0.1)
    assert zones[-1].trusted
    assert not any(zone.sequentially for zone in zones)
