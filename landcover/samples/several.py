"""Several samples folders that are used together: of the same bands and one unit, each once."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from landcover.errors import InputError
from landcover.io.bands import match_named
from landcover.io.files.paths import AnyPath
from landcover.io.raster import Band
from landcover.io.records.digests import sha256_of_path
from landcover.io.sensors import Measured, is_near
from landcover.progress import remark
from landcover.samples.folder import Samples, read_scenes


def open_folders(folders: Sequence[AnyPath]) -> list[Samples]:
    """Open samples folders that are to be used together; each scene counts as a folder.

    Raises:
        InputError: one is invalid, or stands twice.
    """
    _need_different(folders)
    return [of_scene for folder in folders for of_scene in read_scenes(folder)]


def _need_different(folders: Sequence[AnyPath]) -> None:
    there = [folder for folder in map(Path, folders) if folder.exists()]
    for one, other in combinations(there, 2):
        if one.samefile(other):
            raise InputError(f"samples names the folder {one.name} twice, each is read once")
    digests = [sha256_of_path(folder) for folder in there] if len(there) > 1 else []
    for number, digest in enumerate(digests):
        if digest in digests[:number]:
            first = digests.index(digest) + 1
            raise InputError(
                f"samples folder {number + 1} is a copy of folder {first}: every sample would "
                "count twice"
            )


def bands_in_order(samples: Samples, first: Samples) -> list[int]:
    """Return where the bands of the first folder are in another one's chips."""
    whose = (
        f"the samples of {samples.scene or 'one folder'} have",
        first.scene or "the first folder",
    )
    return in_order_of(samples.bands, first.bands, *whose)


def in_order_of(
    bands: Sequence[Band], wanted: Sequence[Band], whose: str, others: str
) -> list[int]:
    """Return where the wanted bands are among others, by name and by what light they see.

    Args:
        bands: of one scene.
        wanted: of another one.
        whose: the first are, and have, for a message.
        others: that have the wanted ones.

    Raises:
        InputError: they are not the same bands.
    """
    match = match_named(wanted, _of_this_sensor(bands, wanted))
    found = [i for i in match.at if i is not None]
    if not len(found) == len(wanted) == len(bands):
        names, needed = (", ".join(band.name for band in some) for some in (bands, wanted))
        raise InputError(
            f"{whose} the bands {names}, those of {others} {needed}: all need the same"
        )
    if match.renamed:
        remark(f"the scenes name their bands differently, matched were {match.summary}")
    return found


def _of_this_sensor(bands: Sequence[Band], wanted: Sequence[Band]) -> list[Band]:
    """Return bands that have no name in common with those of another sensor that see other light.

    B4 is red on one sensor and near infrared on another: by wavelength alone it can be found.
    """
    known = {band.name: band.wavelength for band in wanted}
    return [
        Band(f"{band.name} of another sensor", band.wavelength)
        if band.wavelength and known.get(band.name) and not _is_near(band, known[band.name])
        else band
        for band in bands
    ]


def _is_near(band: Band, wavelength: float | None) -> bool:
    return is_near(band.wavelength or 0, wavelength or 0)


def measured_by_all(opened: Sequence[Samples]) -> Measured:
    """Return what all scenes say alike of sensor, level and unit.

    Raises:
        InputError: their units differ, so that equal values would mean different things.
    """
    return measured_alike([samples.measured for samples in opened])


def measured_alike(scenes: Sequence[Measured]) -> Measured:
    """Return what scenes say alike of sensor, level and unit.

    Raises:
        InputError: their units differ.
    """
    told = set(scenes)
    if len(told) == 1:
        return scenes[0]
    if len({(measured.scale, measured.offset) for measured in told}) > 1:
        raise InputError(
            "the samples were cut from scenes of different units (scale and offset): bring the "
            "scenes to one unit first"
        )
    remark("the samples come from different sensors or processing levels")
    return Measured(scale=scenes[0].scale, offset=scenes[0].offset)
