"""The texts of the panel in other languages, from gettext catalogues in locale/.

English is what stands in the code. To add a language, add locale/LANGUAGE/sample_map.po; a test
names the entries that are missing.
Sentences of errors are marked by standing in `InputError`, others by `text`.
"""

from collections.abc import Callable
from pathlib import Path

from babel.messages.pofile import read_po

Say = Callable[..., str]
LOCALE = Path(__file__).parent / "locale"


def catalogs() -> dict[str, dict[str, str]]:
    """Return the translations by language and English text."""
    return {path.parent.name: _read(path) for path in sorted(LOCALE.glob("*/sample_map.po"))}


def saying(language: str) -> Say:
    """Return what translates a text and then fills in the {names}."""
    known = catalogs().get(language, {})
    return lambda english, **values: known.get(english, english).format(**values)


def text(english: str) -> str:
    """Mark a sentence that is translated when it is shown."""
    return english


def _read(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        found = read_po(file)
    return {str(m.id): str(m.string) for m in found if m.id and m.string and not m.fuzzy}
