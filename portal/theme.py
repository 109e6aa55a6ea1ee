"""The look that the pages of the processing and the map in the notebook share."""

from pathlib import Path

THEME = Path(__file__).with_name("theme.css")


def theme() -> str:
    """Return the style sheet of everything with the class geoportal."""
    return THEME.read_text(encoding="utf-8")
