"""The modules of the panel: each by itself in a browser, and joined into the one that is loaded.

What a file test_*.js exports is a test; expect.js has what it compares with.
"""

import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route

from sample_map import panel
from tests.browser import chromium

HERE = Path(__file__).parent
ORIGIN = "http://panel.test"
TESTS = [
    (path.name, name)
    for path in sorted(HERE.glob("test_*.js"))
    for name in re.findall(r"^export (?:async )?function (\w+)", path.read_text(), re.MULTILINE)
]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page to which the modules are served as they are, without a server."""
    with chromium() as browser:
        page = browser.new_page()
        page.route(f"{ORIGIN}/**", _serve)
        page.goto(f"{ORIGIN}/")
        yield page


def _serve(route: Route) -> None:
    _, *folders, name = route.request.url.removeprefix(ORIGIN).split("/")
    if not name:
        return route.fulfill(body="", content_type="text/html")
    folder = panel.FOLDER if folders == ["panel"] else HERE
    return route.fulfill(body=(folder / name).read_text(), content_type="text/javascript")


@pytest.mark.browser
@pytest.mark.parametrize(("file", "name"), TESTS)
def test_module(page: Page, file: str, name: str) -> None:
    page.evaluate("async ([file, name]) => (await import(file))[name]()", [f"/{file}", name])


@pytest.mark.browser
def test_joined_modules_are_one_module_that_renders(page: Page) -> None:
    run = """async (text) => {
        const address = URL.createObjectURL(new Blob([text], {type: "text/javascript"}));
        return typeof (await import(address)).default.render;
    }"""
    assert page.evaluate(run, panel.script()) == "function"


@pytest.mark.browser
def test_names_of_joined_modules_never_meet(page: Page, tmp_path: Path) -> None:
    write(
        tmp_path,
        a="export const SIDE = 2;\nconst inner = 1;\nexport const sum = () => SIDE + inner;",
        b='import { sum } from "./a.js";\nconst inner = 10;\nexport async function more() {\n'
        "  return sum() + inner;\n}",
        c='import { SIDE as side, sum } from "./a.js";\nimport { more } from "./b.js";\n'
        "const inner = 100;\nexport default async () => (await more()) + inner + side + sum();",
    )
    run = """async (text) => {
        const address = URL.createObjectURL(new Blob([text], {type: "text/javascript"}));
        return (await import(address)).default();
    }"""
    assert page.evaluate(run, panel.script(tmp_path, "c")) == 118


def test_circle_of_modules_is_refused(tmp_path: Path) -> None:
    write(tmp_path, a='import { b } from "./b.js";', b='import { a } from "./a.js";')
    with pytest.raises(graphlib.CycleError):
        panel.script(tmp_path, "a")


@pytest.mark.parametrize("line", ["export const [A, B] = [1, 2];", 'import d from "./a.js";'])
def test_form_that_cannot_be_joined_is_refused(tmp_path: Path, line: str) -> None:
    write(tmp_path, a=line, b='import { A } from "./a.js";')
    with pytest.raises(ValueError, match="another form"):
        panel.script(tmp_path, "b")


def write(folder: Path, **modules: str) -> None:
    for name, source in modules.items():
        (folder / f"{name}.js").write_text(source)
