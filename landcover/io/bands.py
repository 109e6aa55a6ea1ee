"""Which bands of a scene are used, what they are called, and which of them a model means.

One band has many names: B02 (ESA), B2 (Earth Engine), blue (STAC), B02_20230801. They are matched
by what they are called, else by what is known of their wavelengths, and only where one band alone
can be meant; where nothing decides, people say it (`bands`).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np
from rasterio.io import DatasetReader

from landcover.counts import counted
from landcover.errors import InputError
from landcover.io.raster import Band, alpha_bands, bands_of, mask_bands, unique_names
from landcover.io.sensors import is_near, key_of, wavelengths_of
from landcover.progress import remark

MOST_LEARNED = 600
"""Bands that a model takes: the correlation of more does not fit into a card that is read."""
_EXACTLY = 1.0
"""Centre wavelengths that differ by less than this, in nm, are the same."""
_NAMED = 12
"""Bands that one sentence gives."""
ABOUT_PIXELS = ("SCL", "QA_PIXEL", "valid_dates")
"""Bands that say how a pixel was measured: classes of Sentinel-2, bits of Landsat, the number of
dates of a composite. A model that learned them would learn clouds."""


class Named(Protocol):
    """A band of a scene, of samples or of a model."""

    @property
    def name(self) -> str:
        """As its file calls it."""

    @property
    def wavelength(self) -> float | None:
        """Its centre wavelength in nm, None if unknown."""


@dataclass(frozen=True)
class SceneBands:
    """Bands of a scene that are used.

    Attributes:
        indexes: in the file, from 1.
        bands: the same, by names of which each is another.
        described: of each, whether the file or a person named it.
    """

    indexes: tuple[int, ...]
    bands: tuple[Band, ...]
    described: tuple[bool, ...]

    @property
    def names(self) -> list[str]:
        """What they are called."""
        return [band.name for band in self.bands]


def choose_bands(dataset: DatasetReader, text: str = "", about_pixels: bool = False) -> SceneBands:
    """Return the bands of a scene that are used; those that are masks are not.

    Args:
        dataset: the scene.
        text: as in `B04,red=B4,B8A`: which, in which order, and by which names; empty takes all
            but those that are about pixels. bN is the Nth band of the file, unless one is so
            called.
        about_pixels: whether those are taken too where nothing is chosen.

    Raises:
        InputError: a band that is chosen is not there or is a mask, or a name stands twice.
    """
    masks = mask_bands(dataset)
    bands = bands_of(dataset)
    told = [bool((name or "").strip()) for name in dataset.descriptions]
    usable = [index for index in dataset.indexes if index not in masks]
    everything = SceneBands(
        tuple(usable),
        tuple(bands[index - 1] for index in usable),
        tuple(told[index - 1] for index in usable),
    )
    name = Path(dataset.name).name
    if text.strip():
        chosen = _chosen(everything, text, name)
    else:
        chosen = everything if about_pixels else _of_ground(everything, name)
    _remark_on_names(dataset, chosen)
    _remark_on_alpha(dataset, chosen, masks)
    return chosen


def is_about_pixels(name: str) -> bool:
    """Return whether a band says how a pixel was measured, of whatever date."""
    bare = name.rpartition(":")[2]
    return bare.casefold() in {known.casefold() for known in ABOUT_PIXELS}


def _of_ground(everything: SceneBands, file: str) -> SceneBands:
    """Return the bands without those about pixels, if others are left."""
    kept = [i for i, name in enumerate(everything.names) if not is_about_pixels(name)]
    if not kept or len(kept) == len(everything.names):
        return everything
    left_out = [name for name in everything.names if is_about_pixels(name)]
    remark(
        f"{listed(left_out)} of {file} {counted(len(left_out), 'says|say')} how pixels were "
        "measured and nothing of the ground, and are not used; name them in bands to use them"
    )
    return SceneBands(
        tuple(everything.indexes[i] for i in kept),
        tuple(everything.bands[i] for i in kept),
        tuple(everything.described[i] for i in kept),
    )


def _chosen(everything: SceneBands, text: str, file: str) -> SceneBands:
    """Return bands by what people wrote."""
    at = {f"b{index}": i for i, index in enumerate(everything.indexes)}
    at |= {name: i for i, name in enumerate(everything.names)}
    pairs = [_pair(part, everything.names) for part in text.split(",")]
    missing = [source for _, source in pairs if source not in at]
    if missing:
        raise InputError(
            f"bands names {missing[0]}, which {file} has not: it has {listed(everything.names)}; "
            "bN is the Nth band of the file"
        )
    twice = [name for name, n in Counter(name for name, _ in pairs).items() if n > 1]
    if twice:
        raise InputError(f"bands names {twice[0]} twice, each band needs a name of its own")
    which = [at[source] for _, source in pairs]
    _need_different(which, [source for _, source in pairs])
    known = wavelengths_of([name for name, _ in pairs])
    return SceneBands(
        tuple(everything.indexes[i] for i in which),
        tuple(
            Band(name, everything.bands[i].wavelength or (None if name == source else guess))
            for (name, source), i, guess in zip(pairs, which, known, strict=True)
        ),
        tuple(
            everything.described[i] or name != source
            for (name, source), i in zip(pairs, which, strict=True)
        ),
    )


def _need_different(which: Sequence[int], sources: Sequence[str]) -> None:
    """Refuse one band under two names, as B02 and b1: a model would count it twice."""
    for number, index in enumerate(which):
        first = which.index(index)
        if first < number:
            raise InputError(
                f"bands names {sources[first]} and {sources[number]}, which are one band: each "
                "is taken once"
            )


def _pair(part: str, names: Sequence[str]) -> tuple[str, str]:
    """Return the new and the old name in `red=B4`, the same in `B4`."""
    if part.strip() in names:  # which may hold a = of its own
        return part.strip(), part.strip()
    name, is_renamed, source = (side.strip() for side in part.partition("="))
    source = source if is_renamed else name
    if not name or not source or "=" in source:
        raise InputError(
            f"bands has {part.strip() or 'nothing'} between commas, it needs names as in "
            "B04,red=B4,B8A"
        )
    return name, source


def _remark_on_names(dataset: DatasetReader, chosen: SceneBands) -> None:
    told = [(dataset.descriptions[index - 1] or "").strip() for index in chosen.indexes]
    often = Counter(name for name in told if name)
    twice = [name for name, n in often.items() if n > 1]
    if twice:
        numbered = [new for new, old in zip(chosen.names, told, strict=True) if old in twice]
        remark(
            f"{counted(len(twice), '# name|names of bands stands|stand several times')} in "
            f"{Path(dataset.name).name}: these bands are called {listed(numbered)}, in file order"
        )


def _remark_on_alpha(dataset: DatasetReader, chosen: SceneBands, masks: Sequence[int]) -> None:
    for index in sorted(set(alpha_bands(dataset)) - set(masks)):
        is_used = index in chosen.indexes
        remark(
            f"band {index} of {Path(dataset.name).name} is tagged alpha and holds more than "
            "transparent and opaque: "
            + ("it is taken for a band like others" if is_used else
               "it is not used, but where it is 0 pixels are taken for missing ones")
        )  # fmt: skip


@dataclass(frozen=True)
class Match:
    """Bands that were found for others.

    Attributes:
        at: for each wanted band the index of the band that is meant, None where none alone is.
        renamed: (wanted, found) names where they differ.
    """

    at: tuple[int | None, ...]
    renamed: tuple[tuple[str, str], ...]

    @property
    def summary(self) -> str:
        """What was taken for what."""
        return listed([f"{found} for {wanted}" for wanted, found in self.renamed])


def match_named(
    wanted: Sequence[Named], present: Sequence[Named], described: Sequence[bool] = ()
) -> Match:
    """Find bands by name, then by name without case, date and zeros, then by wavelength.

    Each step takes what the step before left over, and only where one band alone can be meant.

    Args:
        wanted: bands of a model or of other samples.
        present: bands of a scene or of samples.
        described: of these, whether anybody named them; others are found by the very name only.
            By default those count as unnamed that are called as such bands are.
    """
    where = {band.name: i for i, band in enumerate(present)}
    names = unique_names([band.name for band in wanted])
    at: list[int | None] = [where.get(name) for name in names]
    told = described or [not _may_be_a_number(band) for band in present]
    for is_alike in (_by_key, _by_same_wavelength, _by_near_wavelength):
        free = [i for i in range(len(present)) if i not in at and told[i]]
        missing = [number for number, found in enumerate(at) if found is None]
        table = np.array(
            [[is_alike(wanted[number], present[i]) for i in free] for number in missing], bool
        ).reshape(len(missing), len(free))
        for row, column in _alone(table):
            at[missing[row]] = free[column]
    renamed = [
        (names[number], present[i].name)
        for number, i in enumerate(at)
        if i is not None and present[i].name != names[number]
    ]
    return Match(tuple(at), tuple(renamed))


def _alone(table: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the pairs in which row and column have no other."""
    for row, column in np.argwhere(table):
        if table[row].sum() == table[:, column].sum() == 1:
            yield int(row), int(column)


def _by_key(wanted: Named, band: Named) -> bool:
    if wanted.wavelength and band.wavelength and not is_near(wanted.wavelength, band.wavelength):
        return False  # B4 is red on one sensor, near infrared on another
    return not _may_be_a_number(wanted) and key_of(wanted.name) == key_of(band.name)


def _may_be_a_number(band: Named) -> bool:
    """Return whether b2 may only mean the second of bands that nobody named."""
    return band.wavelength is None and band.name[:1] == "b" and band.name[1:].isdecimal()


def _by_same_wavelength(wanted: Named, band: Named) -> bool:
    if wanted.wavelength is None or band.wavelength is None:
        return False
    return abs(wanted.wavelength - band.wavelength) < _EXACTLY


def _by_near_wavelength(wanted: Named, band: Named) -> bool:
    if wanted.wavelength is None or band.wavelength is None:
        return False
    return is_near(wanted.wavelength, band.wavelength)


_OTHER_SCENE = "use a scene of the sensor that the model learned, or train a model on this one"


def match_bands(scene: SceneBands, wanted: Sequence[Named]) -> tuple[list[int], str]:
    """Return the scene's bands, from 1 in its file, in a model's order, and how they were matched.

    Raises:
        InputError: a band of the model is missing, or the number differs where none has a name.
    """
    names = unique_names([band.name for band in wanted])
    if not any(scene.described):
        if len(scene.indexes) != len(names):
            raise InputError(
                f"the scene has {counted(len(scene.indexes), '# band|bands without names')}"
                f", the model needs {len(names)}: {', '.join(names)}: {_OTHER_SCENE}"
            )
        remark(
            "the scene names no bands: they were taken in file order as "
            f"{', '.join(names)}; say by bands which they are if that is not their order"
        )
        return list(scene.indexes), "in file order, the scene names no bands"
    match = match_named(wanted, scene.bands, scene.described)
    missing = [name for name, i in zip(names, match.at, strict=True) if i is None]
    if missing:
        raise InputError(
            f"the scene has no band {', '.join(missing)}, it has {', '.join(scene.names)}; the "
            f"model needs {', '.join(names)}: say by bands which is which, as in "
            f"{missing[0]}={_spare(scene, match)}; or, if it is of another sensor, {_OTHER_SCENE}"
        )
    found = [i for i in match.at if i is not None]
    _remark_on_wavelengths(wanted, [scene.bands[i] for i in found])
    indexes = [scene.indexes[i] for i in found]
    if not match.renamed:
        return indexes, "by name"
    remark(
        "the scene's bands have other names than the model's and were matched by name or "
        f"wavelength: {match.summary}"
    )
    return indexes, f"by name or wavelength: {match.summary}"


def _remark_on_wavelengths(wanted: Sequence[Named], found: Sequence[Band]) -> None:
    """Remark on bands of one name that are not the same band, as B4 of two sensors."""
    for model, band in zip(wanted, found, strict=True):
        known = model.wavelength and band.wavelength
        if known and not is_near(model.wavelength or 0, band.wavelength or 0):
            remark(
                f"band {band.name} of the scene is centred at {band.wavelength:g} nm, the model's "
                f"at {model.wavelength:g} nm: they have one name and are not the same band"
            )


def _spare(scene: SceneBands, match: Match) -> str:
    """Return a band that stands for none yet, for an example."""
    left = [name for i, name in enumerate(scene.names) if i not in match.at]
    return next(chain(left, ["NAME"]))


def in_file_order(scene: SceneBands, wanted: Sequence[Named]) -> str:
    """Return the value of `bands` that gives a model's names to a scene's bands in file order."""
    names = unique_names([band.name for band in wanted])
    return ",".join(f"{new}={old}" for new, old in zip(names, scene.names, strict=True))


def listed(names: Sequence[str]) -> str:
    """Return names for a sentence, of many the first."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
