"""A full disk locks nobody out: on a really full file system, with the real server, in a browser.

Homes are file systems of their own without a free block or inode, and the state folder is one that
a test fills, mounted in a namespace that only this geoportal sees.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket
from owslib.wps import SYNC, WebProcessingService
from playwright.sync_api import expect

from landcover.disk import FULL, room_on
from tests.browser import ARTIFACTS, chromium, new_page, sign_in
from tests.conftest import STOP_SECONDS, Geoportal, clean_environment, wait_until_ready
from tests.test_course_in_the_hub import execute

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SECONDS = 240
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]
USERS = ("kernels", "reader")
# each home: most of it in one file, then a folder, then what fits; and then no inode is left
FILL = """
set -e
mkdir -p "$GEOPORTAL_STATE"
mount -t tmpfs -o size=192m,mode=700 tmpfs "$GEOPORTAL_STATE"
for user in $USERS; do
    home="$GEOPORTAL_STATE/storage/users/$user"
    mkdir -p "$home"
    mount -t tmpfs -o size=4m,nr_inodes=64,mode=700 tmpfs "$home"
    mkdir "$home/scenes" "$home/old"
    head -c 2000000 /dev/zero > "$home/scenes/july.tif"
    for name in a b c; do head -c 400000 /dev/zero > "$home/old/$name.tif"; done
    head -c 9000000 /dev/zero > "$home/rest.bin" 2> /dev/null || true
    i=0
    while mkdir "$home/empty$i" 2> /dev/null; do i=$((i + 1)); done
done
exec "$PYTHON" -m hub
"""


def skip_without_mounts() -> None:
    if subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode:
        pytest.skip("nobody may mount in a namespace of their own here, so no disk can be filled")


def fill(file: Path) -> None:
    """Write to the end of a file until no byte more goes onto the disk."""
    with file.open("ab", buffering=0) as rest:
        for size in (1 << 20, 1):
            with suppress(OSError):
                while rest.write(bytes(size)):
                    pass


def run_job(full: Geoportal, token: dict[str, str]) -> dict[str, Any]:
    """Start a job, and return it when it is over."""
    inputs = [("scene", "shared/demo/scene.tif"), ("labels", "shared/demo/labels.gpkg")]
    WebProcessingService(full.wps, headers=token).execute("extract-samples", inputs, mode=SYNC)
    jobs = requests.get(f"{full.wps}jobs", headers=token, timeout=60).json()["jobs"]
    return dict(jobs[0])


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Geoportal]:
    """A geoportal in which the homes of `USERS` are full before their first server starts."""
    skip_without_mounts()
    state = tmp_path_factory.mktemp("full") / "state"
    environment = clean_environment(state, USERS=" ".join(USERS), PYTHON=sys.executable)
    with (
        state.with_name("state.stderr").open("a") as errors,
        subprocess.Popen(
            [*NAMESPACE, "bash", "-c", FILL], env=environment, stdout=subprocess.PIPE,
            stderr=errors, text=True,
        ) as process,
    ):  # fmt: skip
        running = wait_until_ready(process, state)
        # as the geoportal's own namespace has it
        yield replace(running, state=Path(f"/proc/{process.pid}/root{state}"))
        assert running.stop() == 0
        process.wait(STOP_SECONDS)


def test_on_a_full_disk_a_server_starts_computes_and_frees_room(full: Geoportal):
    session, server = full.start_server("kernels")
    room = session.get(f"{server}geoportal/room", timeout=SECONDS).json()
    assert (room["limit"], room["share"], room["allowed"]) == ("disk", 1.0, 4 << 20)
    assert [place["name"] for place in room["biggest"]] == [
        "scenes/july.tif", "old", "rest.bin",
    ]  # fmt: skip
    assert session.get(f"{server}lab", timeout=SECONDS).ok

    kernel = session.post(f"{server}api/kernels", json={}, timeout=SECONDS)
    assert kernel.status_code == 201
    channels = f"{server.replace('http', 'ws', 1)}api/kernels/{kernel.json()['id']}/channels"
    header = [f"Authorization: {session.headers['Authorization']}"]
    with closing(websocket.create_connection(channels, SECONDS, header=header)) as connection:
        wrote = execute(connection, "open('more.txt', 'w').write('x')")
        assert "No space left on device" in wrote.errors[0]
        assert execute(connection, "print(6 * 7)").text == "42\n"

    layout = {"data": {}, "metadata": {"id": "default"}}
    kept = session.put(f"{server}lab/api/workspaces/default", json=layout, timeout=SECONDS)
    assert kept.status_code == 204

    note = {"type": "file", "format": "text", "content": "kept"}
    assert not session.put(f"{server}api/contents/note.txt", json=note, timeout=SECONDS).ok
    for name in ("scenes/july.tif", "old"):
        gone = session.delete(f"{server}api/contents/{name}", timeout=SECONDS)
        assert gone.status_code == 204
    room = session.get(f"{server}geoportal/room", timeout=SECONDS).json()
    assert room["share"] < 0.3
    assert room["biggest"] == []
    assert session.put(f"{server}api/contents/note.txt", json=note, timeout=SECONDS).ok
    session.close()


@pytest.mark.browser
def test_banner_says_what_takes_most_room_and_leads_there(full: Geoportal):
    with chromium() as browser:
        page = new_page(browser)
        sign_in(page, full, "reader")
        banner = page.locator("#geoportal-room")
        expect(banner).to_contain_text(
            "The disk of your home directory is 100 % full: 4.0 MiB of 4.0 MiB."
        )
        expect(banner).to_contain_text(
            re.compile(r"scenes/july\.tif 1\.9 MiB, old/ 1\.1 MiB, rest\.bin \d+ KiB\.")
        )
        page.wait_for_selector("#geoportal-welcome")
        page.screenshot(path=ARTIFACTS / "10-full-disk.png")
        welcome = page.locator("#geoportal-welcome").bounding_box()
        shown = banner.bounding_box()
        assert welcome is not None
        assert shown is not None
        assert shown["y"] == 0
        assert 20 < shown["height"] < 60  # px: a line or two
        assert shown["height"] < welcome["y"] < 200
        banner.get_by_role("link", name="old/").click()
        expect(page.locator(".jp-DirListing-item", has_text="b.tif")).to_be_visible()
        banner.get_by_role("link", name="scenes/july.tif").click()
        expect(page.locator(".jp-DirListing-item", has_text="july.tif")).to_be_visible()
        page.screenshot(path=ARTIFACTS / "11-full-disk-folder.png")
        banner.get_by_role("button").click()
        expect(banner).to_be_hidden()


def test_on_a_full_disk_people_sign_in_start_servers_and_are_told_why_jobs_fail(full: Geoportal):
    token = {"Authorization": f"token {full.token}"}
    rest = full.storage / "shared" / "rest.bin"
    fill(rest)
    assert room_on(full.state) == 0

    assert requests.get(f"{full.url}/hub/api/user", headers=token, timeout=60).ok
    with full.login("late") as late:
        page = late.get(full.wps, headers={"Accept": "text/html"}, timeout=60)
        assert "You have no jobs yet" in page.text
    session, server = full.start_server("late")
    kernel = session.post(f"{server}api/kernels", json={}, timeout=SECONDS)
    assert kernel.status_code == 201
    session.close()

    fill(rest)  # the room that the server was given and did not need
    failed = run_job(full, token)
    assert (failed["state"], failed["error"]) == ("failed", FULL)
    rest.unlink()
    assert run_job(full, token)["state"] == "successful"


def test_first_start_on_a_full_disk_is_one_sentence(tmp_path: Path):
    skip_without_mounts()
    state = tmp_path / "state"
    state.mkdir()
    script = 'mount -t tmpfs -o size=4m tmpfs "$GEOPORTAL_STATE" && exec "$PYTHON" -m hub'
    done = subprocess.run(
        [*NAMESPACE, "bash", "-c", script], capture_output=True, text=True, timeout=120,
        env=clean_environment(state, PYTHON=sys.executable),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        rf"The disk of {state} is full \(\d MiB are free, a start needs \d+\): free some room, "
        r"or name another folder with GEOPORTAL_STATE\.\n",
        done.stderr,
    )


@pytest.mark.browser
def test_with_room_left_there_is_no_banner(geoportal: Geoportal):
    with chromium() as browser:
        page = new_page(browser)
        with page.expect_response(re.compile("geoportal/room")) as asked:
            sign_in(page, geoportal, "roomy")
        if asked.value.json()["share"] >= 0.9:
            pytest.skip("the disk of this machine is nearly full itself")
        page.wait_for_selector("#geoportal-welcome")
        expect(page.locator("#geoportal-room")).to_have_count(0)


def test_home_that_cannot_even_be_made_is_told(tmp_path: Path):
    """What a spawner cannot mend is still an error, and not a server without a home."""
    from hub.local.embedded import prepare_home

    (tmp_path / "users").write_text("a file in the way")
    with pytest.raises(OSError, match="users"):
        prepare_home(tmp_path / "users" / "eve")
