"""How a job's results are shown to people."""

from types import SimpleNamespace

import pytest

from landcover.operations import OPERATIONS
from wps_processes.web.results import results_of

PUBLISHED = {operation.identifier: operation for operation in OPERATIONS}


@pytest.mark.parametrize(
    ("operation", "name", "value", "shown"),
    [
        ("train-classifier", "accuracy", 0.7862771137671536, "78.6 %"),
        ("train-classifier", "accuracy", None, "not defined"),
        ("assess-quality", "kappa", 0.6512345678901234, "0.651"),
        ("assess-quality", "labelled", 1234567, "1,234,567"),
        ("compare-maps", "p_value", 0.03212345678901234, "0.032"),
        ("compare-maps", "p_value", 1.2e-9, "under 0.001"),
        ("compare-maps", "better", "neither", "neither"),
        ("classify-scene", "map", "home/jobs/7/map.tif", "home/jobs/7/map.tif"),
    ],
)
def test_figures_have_as_many_digits_as_they_deserve(operation, name, value, shown):
    job = SimpleNamespace(id="7", operation=operation, outputs={name: value})
    (result,) = results_of(job, PUBLISHED, "/services/wps/")
    assert result.value == shown
