"""The panel speaks two languages: no text lacks its translation."""

import re
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po

from sample_map.texts import LOCALE, catalogs

FOLDER = LOCALE.parent
KEYWORDS = {"text": None, "InputError": None}


def texts_in_the_code() -> set[str]:
    found = set()
    for path in FOLDER.rglob("*.py"):
        if path.name not in ("course.py", "texts.py"):
            found |= {m[1] for m in extract_from_file("python", path, KEYWORDS)}
    # babel's own reader of JavaScript loses calls inside of templates
    for path in (FOLDER / "panel").glob("*.js"):
        found |= set(re.findall(r'\bt\(\s*"([^"]+)"', path.read_text("utf-8")))
    return {str(text) for text in found if text and not isinstance(text, tuple)}


@pytest.fixture(scope="module", params=["ru"])
def catalog(request):
    with (LOCALE / request.param / "sample_map.po").open("rb") as file:
        return read_po(file)


def test_extraction_finds_what_is_known_to_be_there():
    found = texts_in_the_code()
    assert {"Undo this one", "NOT SAVED: {reason}", "m²", "Cut out"} <= found  # panel.js
    assert (
        "It was cut off at the limit of its size: lower the tolerance." in found
    )  # in a template
    assert {"there is nothing to undo", "the disk is full", "the storage does not answer"} <= found


def test_every_text_is_translated_and_no_translation_is_left_over(catalog):
    translated = {m.id for m in catalog if m.id and m.string and not m.fuzzy}
    assert translated == texts_in_the_code()


def test_translations_fill_in_the_same_names(catalog):
    for message in catalog:
        if message.id:
            names = re.findall(r"\{\w+\}", str(message.id))
            assert sorted(re.findall(r"\{\w+\}", str(message.string))) == sorted(names)


def test_translations_are_in_their_script(catalog):
    assert all(re.search("[а-яА-Я]", str(m.string)) for m in catalog if m.id)


def test_panel_gets_the_catalogues():
    assert catalogs()["ru"]["Undo"] == "Отменить"
    assert Path(LOCALE, "ru").is_dir()
