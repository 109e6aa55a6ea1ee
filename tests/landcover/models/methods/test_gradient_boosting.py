import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_info, threadpool_limits

from landcover.models.methods.gradient_boosting import Options, fit, weights_of
from landcover.models.training_set import TrainingSet

OPTIONS = Options(rounds=2, leaves=4)


def made(sizes=(300, 60)):
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(1, len(sizes) + 1), sizes).astype(np.uint8)
    return rng.normal(codes[:, None], 1, (len(codes), 3)).astype(np.float32), codes


def test_one_thread_trains_however_many_there_are(monkeypatch):
    seen = []
    plain = HistGradientBoostingClassifier.fit

    def watched(self, *data):
        seen.extend(p["num_threads"] for p in threadpool_info() if p["user_api"] == "openmp")
        return plain(self, *data)

    monkeypatch.setattr(HistGradientBoostingClassifier, "fit", watched)
    with threadpool_limits(2, user_api="openmp"):
        fit(TrainingSet.of_pixels(*made()), OPTIONS, 0)
    assert seen
    assert set(seen) == {1}


@pytest.mark.parametrize(("exponent", "ratio"), [(0.0, 1), (0.5, 5**0.5), (1.0, 5)])
def test_a_rare_class_weighs_more_and_a_pixel_one_on_average(exponent, ratio):
    weights = weights_of(made()[1], exponent)
    assert weights[-1] / weights[0] == pytest.approx(ratio)  # 300 / 60 = 5
    assert weights.mean() == pytest.approx(1)
