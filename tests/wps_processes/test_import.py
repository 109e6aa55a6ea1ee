"""A delivery is imported through the service: a folder or an archive by its storage name."""

import numpy as np
import pytest
import rasterio

from tests.products import sentinel_2, write_image, zipped
from tests.wps_processes.test_service import texts
from tests.wps_processes.web.test_pages import Browser


@pytest.fixture
def home(wps):
    return wps.root / "users/anna"


def scene_of(wps):
    """Return the pixels and bands of what the newest job has imported."""
    (job, *_) = wps.jobs()
    assert job["state"] == "successful", job["error"]
    with rasterio.open(wps.root / f"users/anna/jobs/{job['id']}/scene.tif") as dataset:
        return dataset.read(), dataset.descriptions


def test_a_folder_and_a_zip_give_the_same_scene_in_the_sandbox(wps, home):
    safe = sentinel_2(home / "in")
    zipped(safe, home / "in/product.zip")
    described = wps.get(
        service="WPS", version="1.0.0", request="DescribeProcess", identifier="import-scene"
    )
    assert "The name of a file or folder in the storage" in " ".join(texts(described, "//text()"))
    found = []
    for name in (f"home/in/{safe.name}", "home/in/product.zip"):
        wps.execute("import-scene", source=[name], bands="B02,B11")
        found.append(scene_of(wps))
    assert found[0][1] == ("B02", "B11")
    np.testing.assert_array_equal(found[0][0], found[1][0])


def test_an_envi_file_brings_its_header(wps, home):
    values = np.full((1, 40, 40), 7, np.uint16)
    write_image(home / "e.dat", values, 10, "ENVI")
    wps.execute("import-scene", source=["home/e.dat"])
    np.testing.assert_array_equal(scene_of(wps)[0], values)


def test_a_form_offers_folders_too(wps, home):
    safe = sentinel_2(home)
    page = Browser(wps, "anna").open("processes/import-scene")
    assert f"home/{safe.name}" in page.texts("//select[@name='source']/option")
