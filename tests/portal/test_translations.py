"""What is said of operations has its translations, and no translation is left over."""

import re

import pytest

from landcover.operations import OPERATIONS
from portal.translations import catalogs
from wps_processes.naming import title_of


def said() -> set[str]:
    """Return the names and titles of operations, and the names of what they read and write."""
    named = [o.identifier for o in OPERATIONS]
    named += [one.name for o in OPERATIONS for one in (*o.inputs, *o.outputs)]
    return {title_of(name) for name in named} | {o.title for o in OPERATIONS}


@pytest.mark.parametrize("language", ["ru"])
def test_names_and_titles_are_translated_and_no_translation_is_left_over(language):
    assert set(catalogs()[language]) == said()


def test_translations_are_in_their_script():
    assert all(re.search("[а-яА-Я]", text) for text in catalogs()["ru"].values())


def test_a_text_that_is_not_translated_yet_is_left_out(tmp_path):
    (tmp_path / "de").mkdir()
    entries = 'msgid "Map"\nmsgstr "Karte"\n\nmsgid "Scene"\nmsgstr ""\n'
    (tmp_path / "de" / "operations.po").write_text(entries)
    assert catalogs(tmp_path) == {"de": {"Map": "Karte"}}
