"""Text as a ledger and a page can hold it."""


def storable(text: str) -> str:
    """Replace what is no character, and NUL: no page has the one, PostgreSQL refuses the other."""
    return text.encode(errors="replace").decode().replace("\0", "?")
