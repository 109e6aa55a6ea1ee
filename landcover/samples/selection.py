"""selection.csv: which samples of folders are used, and digests that tell of which folder.

The digest stands in a column of its own, so that every reader of CSV keeps it; rows of several
folders are told apart by it. It covers what
indexes point at, the chips in their order; class names, colours and companions may change.
"""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from landcover.errors import InputError
from landcover.io.files.atomic import write_csv
from landcover.io.files.paths import AnyPath
from landcover.progress import remark
from landcover.samples.folder import Batch, Samples

COLUMNS = ("file", "index", "class", "cluster", "kept", "samples")
_DIGITS = 16
_PREFIX = "sha256:"
"""No spreadsheet takes what begins so for a number."""
_AGAIN = "balance these samples anew"


class ChipsDigest:
    """SHA-256 of all chips of a folder, fed batch by batch as they are read."""

    def __init__(self) -> None:
        """Start before the first container."""
        self._hash = hashlib.sha256()

    def add(self, batch: Batch) -> None:
        """Update the digest by a batch, whatever its size and byte order."""
        chips = batch.chips.astype(batch.chips.dtype.newbyteorder("<"), copy=False)
        if not batch.start:
            shape = (len(batch.container), *chips.shape[1:])
            heading = json.dumps([batch.container.file, chips.dtype.str, shape])
            self._hash.update(heading.encode("utf-8", "surrogateescape"))
        self._hash.update(np.ascontiguousarray(chips).data)

    @classmethod
    def of(cls, samples: Samples) -> "ChipsDigest":
        """Return that of a whole folder, which is read for it."""
        digest = cls()
        for batch in samples.batches():
            digest.add(batch)
        return digest

    def __str__(self) -> str:
        """Return what stands in selection.csv."""
        return _PREFIX + self._hash.hexdigest()[:_DIGITS]


@dataclass(frozen=True)
class Selection:
    """Which samples of one folder to use.

    Attributes:
        kept: file and index of each.
        listed: number of samples that are listed, kept or not, by file.
        digest: of the chips that were balanced; "" in selections that carry none.
    """

    kept: frozenset[tuple[str, int]]
    listed: Counter[str]
    digest: str = ""

    def check_present(self, samples: Samples) -> None:
        """Refuse a selection that names samples that a folder lacks, or leaves some out.

        Raises:
            InputError: it does.
        """
        sizes = {box.file: len(box) for box in samples.containers}
        unknown = {(file, i) for file, i in self.kept if not 0 <= i < sizes.get(file, 0)}
        if unknown:
            file, index = min(unknown)
            raise InputError(
                f"the selection names sample {index} of {file}, which is not there: {_AGAIN}"
            )
        if self.digest:
            return
        lists_all = self.listed.total() > len(self.kept)  # one made by hand may list some
        for file, size in sizes.items():
            if lists_all and self.listed[file] != size:
                raise InputError(
                    f"the selection lists {self.listed[file]} samples of {file}, which holds "
                    f"{size}: {_AGAIN}"
                )
        remark(
            "the selection does not say from which samples it was made: if samples were drawn or "
            f"extracted since, {_AGAIN}"
        )

    def check_digest(self, found: ChipsDigest) -> None:
        """Refuse a selection that was made from other chips.

        Raises:
            InputError: it was.
        """
        if self.digest and self.digest != str(found):
            raise InputError(
                "the selection was made from other samples than these, its indexes mean others: "
                f"{_AGAIN}"
            )


@dataclass(frozen=True)
class Selections:
    """What one selection.csv chooses: a selection of each of the folders it was made from."""

    parts: tuple[Selection, ...]

    @property
    def kept(self) -> list[tuple[str, int]]:
        """File and index of all samples that are used, folder by folder."""
        return [sample for part in self.parts for sample in sorted(part.kept)]

    def of(self, opened: Sequence[Samples]) -> list[Selection]:
        """Return the selection of each folder.

        Raises:
            InputError: it was made from others, or it names samples that they lack.
        """
        if len(self.parts) != len(opened):
            raise InputError(
                f"the selection was made from {_folders(len(self.parts))}, {len(opened)} "
                f"{'is' if len(opened) == 1 else 'are'} given: give all that it was made from, or "
                f"{_AGAIN}"
            )
        found = list(self.parts) if len(opened) == 1 else [self._of(one) for one in opened]
        for part, samples in zip(found, opened, strict=True):
            part.check_present(samples)
        return found

    def _of(self, samples: Samples) -> Selection:
        digest = str(ChipsDigest.of(samples))
        for part in self.parts:
            if part.digest == digest:
                return part
        raise InputError(
            f"the selection was made from other samples than those of {samples.scene or 'all'} "
            f"that are given: {_AGAIN}"
        )


def _folders(count: int) -> str:
    return "one samples folder" if count == 1 else f"{count} samples folders"


def write_selection(path: Path, rows: Iterable[tuple[Any, ...]]) -> None:
    """Write a selection.

    Args:
        path: of the table.
        rows: file, index, class, cluster, 0 or 1, and the digest of its folder, of each sample.
    """
    write_csv(path, COLUMNS, rows)


def read_selection(path: AnyPath) -> Selections:
    """Read a selection.

    Raises:
        InputError: it is no table with the columns file, index and kept.
    """
    name = Path(path).name
    kept: dict[str, set[tuple[str, int]]] = {}
    listed: dict[str, Counter[str]] = {}
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                digest = (row.get("samples") or "").strip()
                listed.setdefault(digest, Counter())[row["file"]] += 1
                of_folder = kept.setdefault(digest, set())
                if int(row["kept"]):
                    of_folder.add((row["file"], int(row["index"])))
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"{name} needs the columns {', '.join(COLUMNS[:5])}") from error
    digests = list(kept) or [""]
    return Selections(
        tuple(
            Selection(frozenset(kept.get(digest, ())), listed.get(digest, Counter()), digest)
            for digest in digests
        )
    )
