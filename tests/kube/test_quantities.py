"""Amounts as they are written and as people read them."""

import pytest

from kube.quantities import DOWNLOAD, ROOM, in_bytes, memory, quantity, size


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 bytes"), (999, "999 bytes"), (734_003_200, "734 MB"), (8e9, "8 GB"), (2e12, "2 TB")],
)
def test_sizes_are_shown_as_people_read_them(count, shown):
    assert size(count) == shown


def test_memory_is_shown_as_profiles_have_it():
    assert memory(1.5 * 2**30) == "1.5 GiB"


def test_room_counts_by_1024_and_downloads_by_1000():
    assert in_bytes("2G", ROOM) == 2_147_483_648
    assert in_bytes("2G", DOWNLOAD) == 2_000_000_000


@pytest.mark.parametrize(
    ("text", "count"),
    [("4", 4), ("250m", 0.25), ("1e3", 1000), ("2k", 2000), ("1Ki", 1024), ("0.5Gi", 2**29),
     ("1G", 10**9), ("much", 0)],
)  # fmt: skip
def test_amounts_are_read_as_kubernetes_writes_them(text, count):
    assert quantity(text) == count
