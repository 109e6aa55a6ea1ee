"""Numbers in sentences: 1 pixel is, 2 pixels are."""

import re


def counted(number: int, words: str) -> str:
    """Return words that agree with a number.

    Args:
        number: to be told.
        words: of ours; # stands for the number, and of one|many the form is taken that fits.

    >>> [counted(n, "# band|bands does|do not count") for n in (1, 1200)]
    ['1 band does not count', '1,200 bands do not count']
    """
    agreed = re.sub(r"(\w+)\|(\w+)", r"\1" if number == 1 else r"\2", words)
    return agreed.replace("#", f"{number:,}")
