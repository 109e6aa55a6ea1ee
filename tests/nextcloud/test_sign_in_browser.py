"""A person signs in at Nextcloud with a browser.

The screenshots are kept in test-artifacts/: look at them.
"""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.nextcloud.conftest import Hub
from tests.stand_ins.nextcloud.cloud import Cloud
from tests.test_browser import ARTIFACTS, page  # noqa: F401  # a fixture

pytestmark = [pytest.mark.e2e, pytest.mark.browser]
UID = "Eve Smith@Lab.org"


def test_person_signs_in_by_the_button_and_the_pages_of_nextcloud(
    page: Page,  # noqa: F811
    hub: Hub,
    cloud: Cloud,
) -> None:
    _ = cloud.inside  # a real one has other pages
    page.goto(f"{hub.url}/hub/login?next=%2Fhub%2Fhome")
    page.screenshot(path=ARTIFACTS / "nextcloud-1-button.png")
    page.get_by_role("button", name="Sign in with Nextcloud").click()
    page.get_by_role("link", name="Log in").click()
    page.get_by_label("Account name").fill(UID)
    page.get_by_label("Password").fill(cloud.passwords[UID])
    page.screenshot(path=ARTIFACTS / "nextcloud-2-password.png")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text(f"You are {UID}.")).to_be_visible()
    page.get_by_role("button", name="Grant access").click()
    expect(page).to_have_url(re.compile(r"/hub/home$"))
    expect(page.get_by_text(UID.lower())).to_be_visible()
    page.screenshot(path=ARTIFACTS / "nextcloud-3-home.png")


def test_person_who_is_not_admitted_is_told_so(page: Page, hub: Hub, cloud: Cloud) -> None:  # noqa: F811
    _ = cloud.inside
    page.context.clear_cookies()
    page.goto(f"{hub.url}/hub/oauth_login")
    page.get_by_role("link", name="Log in").click()
    page.get_by_label("Account name").fill("carol")
    page.get_by_label("Password").fill(cloud.passwords["carol"])
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Grant access").click()
    expect(page.get_by_text("not currently authorized")).to_be_visible()
    page.screenshot(path=ARTIFACTS / "nextcloud-4-refused.png")
