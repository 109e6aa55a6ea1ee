"""A notebook shows how far an operation is, in a real kernel."""

import pytest
from jupyter_client.manager import start_new_kernel

CODE = """
import time
from pathlib import Path
from landcover.notebook_progress import told_in_notebook
from landcover.progress import report_progress
def work(seconds):
    with told_in_notebook("made-up") as remark:
        report_progress(0.5, "in the <middle>")
        time.sleep(seconds)
        remark("a thing is weak")
"""


@pytest.fixture(scope="module")
def client():
    manager, client = start_new_kernel(kernel_name="python3")
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.fixture
def shown(client):
    def execute(code):
        found = []

        def hear(message):
            if message["msg_type"] in ("display_data", "update_display_data", "stream"):
                content = message["content"]
                found.append(content.get("text") or content["data"]["text/html"])

        client.execute_interactive(CODE + code, timeout=60, output_hook=hear)
        return found

    return execute


def test_work_that_takes_long_shows_a_bar_and_then_its_remarks(shown):
    bar, *_, end = shown("work(2.6)")
    assert '<progress max="1" value="0.500">' in bar
    assert "made-up: in the &lt;middle&gt;" in bar
    assert "made-up: done after" in end
    assert "<li>a thing is weak</li>" in end


def test_short_work_shows_its_remarks_alone(shown):
    (only,) = shown("work(0)")
    assert "<progress" not in only
    assert "a thing is weak" in only


def test_work_that_fails_says_so(shown):
    found = shown(
        "try:\n"
        "    with told_in_notebook('made-up') as remark:\n"
        "        remark('half'); raise ValueError\n"
        "except ValueError: pass"
    )
    assert "ended without a result" in found[-1]


def test_outside_a_notebook_remarks_are_logged(caplog):
    from landcover.notebook_progress import told_in_notebook

    with told_in_notebook("made-up") as remark:
        remark("a thing is weak")
    assert "a thing is weak" in caplog.text
