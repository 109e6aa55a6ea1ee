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


def sized(count: int) -> str:
    """Return a number of bytes in the largest unit that leaves a whole one.

    >>> [sized(size) for size in (12, 5 << 20, 3 << 29)]
    ['12 bytes', '5.0 MiB', '1.5 GiB']
    """
    for unit, name in ((2**30, "GiB"), (2**20, "MiB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return counted(count, "# byte|bytes")
