"""The texts of the panel in other languages, from gettext catalogues in locale/.

English is what stands in the code. To add a language, add locale/LANGUAGE/sample_map.po; a test
names the entries that are missing. What is said of operations comes from portal/locale/.
Sentences of errors are marked by standing in `InputError`, others by `text`.
"""

from collections.abc import Callable
from pathlib import Path

from portal import translations

Say = Callable[..., str]
LOCALE = Path(__file__).parent / "locale"


def catalogs() -> dict[str, dict[str, str]]:
    """Return the translations by language and English text."""
    shared = translations.catalogs()
    own = translations.catalogs(LOCALE, "sample_map")
    return {language: shared.get(language, {}) | own[language] for language in own}


def saying(language: str) -> Say:
    """Return what translates a text and then fills in the {names}."""
    known = catalogs().get(language, {})
    return lambda english, **values: known.get(english, english).format(**values)


def text(english: str) -> str:
    """Mark a sentence that is translated when it is shown."""
    return english
