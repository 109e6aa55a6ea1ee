"""The texts of the panel in other languages, from gettext catalogues in locale/.

English is what stands in the code. To add a language, add locale/LANGUAGE/sample_map.po; a test
names the entries that are missing.
Sentences of errors are marked by standing in `InputError`, others by `text`.
"""

from pathlib import Path

from babel.messages.pofile import read_po

LOCALE = Path(__file__).parent / "locale"


def catalogs() -> dict[str, dict[str, str]]:
    """Return the translations by language and English text."""
    return {path.parent.name: _read(path) for path in sorted(LOCALE.glob("*/sample_map.po"))}


def text(english: str) -> str:
    """Mark a sentence that the panel translates when it shows it."""
    return english


def _read(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        found = read_po(file)
    return {str(m.id): str(m.string) for m in found if m.id and m.string and not m.fuzzy}
