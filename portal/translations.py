"""What the faces say of operations in other languages, from gettext catalogues in locale/.

A name is translated as people read it ("Class field"), a title as the docstring has it.
To add a language, add locale/LANGUAGE/operations.po; a test names the entries that are missing.
"""

from pathlib import Path

from babel.messages.pofile import read_po

LOCALE = Path(__file__).parent / "locale"


def catalogs(folder: Path = LOCALE, domain: str = "operations") -> dict[str, dict[str, str]]:
    """Return the translations by language and English text.

    Args:
        folder: holds LANGUAGE/DOMAIN.po.
        domain: of the texts.
    """
    return {path.parent.name: _read(path) for path in sorted(folder.glob(f"*/{domain}.po"))}


def _read(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        found = read_po(file)
    return {str(m.id): str(m.string) for m in found if m.id and m.string and not m.fuzzy}
