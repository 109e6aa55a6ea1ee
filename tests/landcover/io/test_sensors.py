"""What scenes say of the instrument that measured them."""

import pytest

from landcover.io.sensors import Measured


@pytest.mark.parametrize(
    ("scene", "model", "differs"),
    [
        ("Landsat 7 ETM+", "Sentinel-2A MSI", True),
        ("LANDSAT_8 OLI_TIRS", "Landsat 7 ETM+", True),
        ("Sentinel-2B MSI", "Sentinel-2A MSI", False),
        ("Sentinel-2B", "Landsat 7 ETM+", False),
        (None, "Sentinel-2A MSI", False),
        ("Sentinel-2A MSI", None, False),
    ],
)
def test_instruments_differ_only_where_both_are_known(scene, model, differs):
    assert Measured(scene).is_of_other_instrument(model) == differs
