"""Amounts: as Kubernetes, administrators and registries write them, and as people read them."""

import re
from collections.abc import Mapping

GPU = "nvidia.com/gpu"
"""Kubernetes' name of the resource."""
ROOM = {"M": 2**20, "G": 2**30, "T": 2**40}
"""Units of memory and disks as administrators write them, of 1024 each."""
DOWNLOAD = {"M": 10**6, "G": 10**9, "T": 10**12}
"""Units of what is downloaded, of 1000 each as registries count."""
_KUBERNETES = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_KUBERNETES |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}


def in_bytes(text: str, units: Mapping[str, int]) -> int:
    """Return the bytes that a number with a unit means, such as 50G.

    Args:
        text: digits and one of the units.
        units: `ROOM` or `DOWNLOAD`.
    """
    return int(text[:-1]) * units[text[-1]]


def quantity(text: str) -> float:
    """Return what Kubernetes means by an amount, in cores, bytes or pieces; 0 if it is none."""
    match = re.fullmatch(r"([0-9.]+(?:[eE][0-9]+)?)([A-Za-z]*)", text)
    return float(match[1]) * _KUBERNETES.get(match[2], 1.0) if match else 0.0


def size(count: float) -> str:
    """Return a number of bytes as people read the size of a file."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def memory(count: float) -> str:
    """Return a number of bytes as people read a profile's memory."""
    return f"{count / 2**30:.3g} GiB"
