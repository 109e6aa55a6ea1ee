"""A person uploads a product by the service's page: it breaks off, goes on, and becomes a scene.

The screenshots are kept in test-artifacts/: look at them.
"""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from playwright.sync_api import Page, Request, Route, expect

from tests.browser import ARTIFACTS, chromium, give_password, new_page
from tests.conftest import Geoportal
from tests.products import sentinel_2

pytestmark = [pytest.mark.e2e, pytest.mark.browser]
MIB = 1 << 20
USER = "uploader"


@pytest.fixture(scope="module")
def page(geoportal: Geoportal) -> Iterator[Page]:
    with chromium() as browser:
        page = new_page(browser)
        page.goto(f"{geoportal.wps}upload")
        give_password(page, geoportal, USER)  # to the hub, which one is sent to
        yield page


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of a product, as large as six requests may carry."""
    folder = tmp_path_factory.mktemp("product")
    safe = sentinel_2(folder)
    packed = folder / f"{safe.name}.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(safe.rglob("*")):
            archive.write(path, path.relative_to(folder))
        archive.writestr(f"{safe.name}/preview.bin", np.random.default_rng(0).bytes(5 * MIB))
    return packed


def drag(page: Page, *paths: Path) -> None:
    """Drag files from the desk onto the page, as a person does."""
    box = page.locator("#drop").bounding_box()
    assert box is not None
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send(
            "Input.dispatchDragEvent",
            {"type": kind, "x": box["x"] + 50, "y": box["y"] + 20, "data": data},
        )
    session.detach()


def test_an_upload_that_breaks_off_goes_on_and_becomes_a_scene(
    page: Page, geoportal: Geoportal, product: Path
) -> None:
    home = geoportal.storage / "users" / USER
    expect(page.get_by_role("heading", name="Upload", exact=True)).to_be_visible()
    passed = []

    def break_off(route: Route, request: Request) -> None:
        if request.method == "PATCH":
            passed.append(request)
        if len(passed) > 3:
            route.abort()
        else:
            route.continue_()

    page.route("**/uploads/*", break_off)
    drag(page, product)
    expect(page.get_by_text("it is tried again")).to_be_visible()
    page.screenshot(path=ARTIFACTS / "20-upload-broken-off.png")
    page.unroute("**/uploads/*")
    page.on("dialog", lambda dialog: dialog.accept())  # files are still on their way
    page.goto(f"{geoportal.wps}upload")
    expect(page.get_by_role("heading", name="Not whole yet")).to_be_visible()
    expect(page.get_by_text("3.0 MiB of")).to_be_visible()
    page.screenshot(path=ARTIFACTS / "21-upload-not-whole.png")
    assert not (home / "uploads" / product.name).exists()

    offsets: list[int] = []
    page.on(
        "request",
        lambda request: (
            offsets.append(int(request.headers["upload-offset"]))
            if request.method == "PATCH"
            else None
        ),
    )
    page.get_by_label("Choose files").set_input_files(product)
    expect(page.get_by_text(f"Is whole: home/uploads/{product.name}")).to_be_visible()
    assert offsets[0] == 3 * MIB  # what had arrived is not sent again
    assert (home / "uploads" / product.name).read_bytes() == product.read_bytes()
    page.screenshot(path=ARTIFACTS / "22-upload-whole.png")

    page.get_by_role("link", name="Import as scene").click()
    expect(page.get_by_label("Source (needed)")).to_have_value(f"home/uploads/{product.name}")
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".state")).to_have_text("successful")
    (scene,) = home.glob("jobs/*/scene.tif")
    with rasterio.open(scene) as dataset:
        assert "B04" in dataset.descriptions
        assert dataset.tags()["SENSOR"] == "Sentinel-2B MSI"


def test_a_folder_is_dragged_and_nothing_is_sent_twice(
    page: Page, geoportal: Geoportal, product: Path
) -> None:
    safe = product.with_suffix("")
    (safe / ".DS_Store").write_bytes(b"")
    for said in ("Is whole: home/uploads/", "is there already, with the same size"):
        page.goto(f"{geoportal.wps}upload")
        drag(page, safe)
        expect(page.get_by_role("link", name="Import the folder as scene")).to_be_visible()
        expect(page.get_by_text("Hidden files left out: 1.")).to_be_visible()
        files = [path for path in safe.rglob("*") if path.is_file() and path.name[0] != "."]
        expect(page.get_by_text(said)).to_have_count(len(files))
    page.screenshot(path=ARTIFACTS / "23-upload-folder.png")
    there = geoportal.storage / "users" / USER / "uploads" / safe.name
    for path in files:
        assert (there / path.relative_to(safe)).read_bytes() == path.read_bytes()
    page.get_by_role("link", name="Import the folder as scene").click()
    expect(page.get_by_label("Source (needed)")).to_have_value(f"home/uploads/{safe.name}")


def test_one_that_is_stopped_is_removed_or_gone_on_with(
    page: Page, geoportal: Geoportal, tmp_path: Path
) -> None:
    page.goto(f"{geoportal.wps}upload")
    large = tmp_path / "large.tif"
    large.write_bytes(np.random.default_rng(0).bytes(4 * MIB))
    page.route("**/uploads/*", lambda route: route.abort())
    page.get_by_label("Choose files").set_input_files(large)
    expect(page.get_by_text("it is tried again")).to_be_visible()
    page.get_by_role("button", name=re.compile("Stop large.tif")).click()
    expect(page.get_by_text("Stopped. What has arrived stays")).to_be_visible()
    page.unroute("**/uploads/*")
    page.goto(f"{geoportal.wps}upload")
    page.get_by_role("button", name="Remove large.tif").click()
    expect(page.get_by_role("button", name="Remove large.tif")).to_have_count(0)
    left = geoportal.storage / "users" / USER / "uploads" / ".unfinished"
    assert not list(left.glob("*.part"))
