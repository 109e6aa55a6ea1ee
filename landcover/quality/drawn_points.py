"""Points of a drawn sample, recognised when they come back labelled.

Each point carries two texts: `map`, which names the map it was drawn from, and `stratum`, a seal
on its stratum and its pixel. They travel in the file, whatever program edits it and in whatever
format it is saved; nothing is kept elsewhere. A seal can be read with the map only and looks
random, so that whoever labels does not see what the map shows. It guards against mistakes, not
against forgery: who labels a sample decides its outcome anyway.

The masking is the synthetic initialisation vector of Rogaway and Shrimpton 2006
(doi:10.1007/11761679_23), with the map's digest for a key.
"""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from landcover.counts import counted
from landcover.errors import InputError
from landcover.io.files.paths import AnyPath
from landcover.io.legend import Legend
from landcover.io.records.digests import sha256_of_file
from landcover.io.vector_formats.formats import need_labels
from landcover.quality.report import Note
from landcover.samples.labels import Labels, Points, Polygons

MAP, STRATUM = "map", "stratum"
"""Columns of a drawn sample."""
_DIGITS = 16
_PACKED = struct.Struct(">IBIII")
_CHECK = 7
_REMEDY = (
    "draw points with draw-reference-sample from the very map that is assessed, and label them"
)


class DrawnPoint(NamedTuple):
    """A point as it was drawn.

    Attributes:
        seed: of the draw.
        code: of its stratum, the class that the map shows.
        drawn: number of points that the draw took from that stratum.
        row: of its pixel.
        column: of its pixel.
    """

    seed: int
    code: int
    drawn: int
    row: int
    column: int

    @property
    def stratum(self) -> tuple[int, int, int]:
        """Draw and stratum it belongs to."""
        return self[:3]


@dataclass(frozen=True)
class MapDigest:
    """What names a map: the SHA-256 of its file."""

    whole: str

    @classmethod
    def of(cls, path: AnyPath) -> "MapDigest":
        """Read a map.

        Raises:
            InputError: it cannot be read.
        """
        return cls(sha256_of_file(Path(path)))

    @property
    def shown(self) -> str:
        """The digits that stand in the column `map`."""
        return self.whole[:_DIGITS]

    def seal(self, point: DrawnPoint) -> str:
        """Return what stands in the column `stratum`: hexadecimal digits."""
        body = _PACKED.pack(*point)
        check = self._digest(b"check", body)[:_CHECK]
        return (check + self._masked(body, check)).hex()

    def unseal(self, text: object) -> DrawnPoint | None:
        """Return the point that a seal is of; None if it is none of this map."""
        try:
            sealed = bytes.fromhex(str(text))
            check, body = sealed[:_CHECK], self._masked(sealed[_CHECK:], sealed[:_CHECK])
            point = DrawnPoint(*_PACKED.unpack(body))
        except (ValueError, struct.error):
            return None
        return point if check == self._digest(b"check", body)[:_CHECK] else None

    def _masked(self, body: bytes, check: bytes) -> bytes:
        mask = self._digest(b"mask", check)
        return bytes(a ^ b for a, b in zip(body, mask, strict=False))

    def _digest(self, purpose: bytes, what: bytes) -> bytes:
        return hashlib.sha256(
            b"landcover stratum %b %b %b" % (purpose, self.whole.encode(), what)
        ).digest()


@dataclass(frozen=True)
class Returned:
    """What became of a drawn sample.

    Attributes:
        drawn: number of points drawn.
        unlabelled: points without a class, by code of their stratum.
        moved: points that lie on another pixel than the drawn one.
        added: points of no draw from this map, and copies.
        missing: drawn points that are not there any more.
    """

    drawn: int
    unlabelled: Mapping[int, int]
    moved: int
    added: int
    missing: int

    def to_dict(self, legend: Legend) -> dict[str, Any]:
        """Return the JSON form, strata by name."""
        return asdict(self) | {"unlabelled": self.unlabelled_by_name(legend)}

    def unlabelled_by_name(self, legend: Legend) -> dict[str, int]:
        """Return the number of points without a class by name of their stratum."""
        names = {entry.code: entry.name for entry in legend.classes}
        return {names.get(code, str(code)): n for code, n in self.unlabelled.items()}


def drawn_only(
    labels: Labels, reference: AnyPath, layer: str, map: AnyPath
) -> tuple[Points, Returned]:
    """Keep the points that lie where they were drawn from a map.

    Args:
        labels: the reference on the map's grid.
        reference: the file.
        layer: of it, if it holds several.
        map: the map that is assessed.

    Raises:
        InputError: the reference is no sample that was drawn from this map.
    """
    name = Path(reference).name
    if not isinstance(labels, Points):
        found = "holds polygons" if isinstance(labels, Polygons) else "is a raster"
        raise InputError(f"a stratified design needs points, {name} {found}: {_REMEDY}")
    digest = MapDigest.of(map)
    seals = _seals(Path(reference), layer, digest, Path(map).name)
    kept, returned = _sorted_out(labels, [digest.unseal(seal) for seal in seals])
    if not len(kept.codes):
        raise InputError(
            f"no labelled point of {name} lies where it was drawn from {Path(map).name}: {_REMEDY}"
        )
    return kept, returned


def _seals(path: Path, layer: str, digest: MapDigest, map_name: str) -> Sequence[object]:
    from landcover.io.vector import read_columns

    columns = read_columns(path, need_labels(path), [MAP, STRATUM], layer)
    if len(columns) < 2:
        raise InputError(
            f"{path.name} lacks the columns {MAP} and {STRATUM}, which a stratified design needs: "
            f"{_REMEDY}"
        )
    found = sorted({str(value) for value in columns[MAP] if value})
    if digest.shown not in found:
        others = ", ".join(found[:2]) or "no map"
        raise InputError(
            f"{path.name} was drawn from another map ({others}) than {map_name} "
            f"({digest.shown}): {_REMEDY}"
        )
    return list(columns[STRATUM])


def _sorted_out(points: Points, origins: Sequence[DrawnPoint | None]) -> tuple[Points, Returned]:
    """Keep the points in their places.

    Args:
        points: those with a class, on the map's grid.
        origins: how each feature of the file was drawn; None if it was not.
    """
    has_class = np.ones(len(origins), bool)
    has_class[list(points.unlabelled)] = False
    of_feature = np.flatnonzero(has_class)[points.features]
    at = np.array([(-1, -1) if o is None else (o.row, o.column) for o in origins], np.int64)
    in_place = (at[of_feature] == np.stack([points.rows, points.columns], axis=1)).all(axis=1)
    known = _known(origins)
    counted = _known([origins[feature] for feature in of_feature[in_place].tolist()])
    unlabelled = _known([origins[feature] for feature in points.unlabelled]) - counted
    drawn = sum(stratum[2] for stratum in {origin.stratum for origin in known})
    codes = [origin.code for origin in unlabelled]
    kept = replace(
        points,
        rows=points.rows[in_place],
        columns=points.columns[in_place],
        codes=points.codes[in_place],
        features=points.features[in_place],
        outside=0,
        unlabelled=(),
    )
    return kept, Returned(
        drawn=drawn,
        unlabelled={code: codes.count(code) for code in sorted(set(codes))},
        moved=len(known - counted - unlabelled),
        added=len(origins) - len(known),
        missing=drawn - len(known),
    )


def _known(origins: Sequence[DrawnPoint | None]) -> set[DrawnPoint]:
    return {origin for origin in origins if origin is not None}


def notes_on_returned(returned: Returned, legend: Legend) -> tuple[Note, ...]:
    """Return notes on points of a drawn sample that do not count, and what that means.

    Args:
        returned: what became of the sample.
        legend: of the map.
    """
    by_class = ", ".join(
        f"{name} {n:,}" for name, n in returned.unlabelled_by_name(legend).items()
    )
    empty = sum(returned.unlabelled.values())
    notes = []
    if empty:
        notes.append(
            Note(
                f"{empty:,} of {returned.drawn:,} drawn points have no class and do not count "
                f"(by the class on the map: {by_class}); the sample of these classes is that "
                "much smaller.",
                f"Точек выборки без класса: {empty:,} из {returned.drawn:,}, они не учтены (по "
                f"классу карты: {by_class}); выборка этих классов меньше на столько же.",
            )
        )
    if returned.missing:
        notes.append(
            Note(
                f"{returned.missing:,} of {returned.drawn:,} drawn points are not in the file.",
                f"Точек выборки, которых нет в файле: {returned.missing:,} из {returned.drawn:,}.",
            )
        )
    if returned.moved:
        notes.append(
            Note(
                counted(
                    returned.moved,
                    "# point|points was|were moved to another pixel than the drawn one and "
                    "does|do not count.",
                ),
                f"Точек, сдвинутых на другой пиксель: {returned.moved:,}, они не учтены.",
            )
        )
    if returned.added:
        notes.append(
            Note(
                counted(
                    returned.added,
                    "# point|points was|were added to the drawn ones, or copied, and does|do not "
                    "count.",
                ),
                f"Точек, добавленных к выборке или скопированных: {returned.added:,}, они не "
                "учтены.",
            )
        )
    if empty or returned.missing or returned.moved:
        notes.append(
            Note(
                "The estimates suppose that the drawn points that do not count were left out by "
                "chance: if it was the doubtful ones, the map is worse than it looks.",
                "Оценки предполагают, что неучтённые точки выборки пропущены случайно: если это "
                "самые сомнительные, карта хуже, чем кажется.",
            )
        )
    return tuple(notes)
