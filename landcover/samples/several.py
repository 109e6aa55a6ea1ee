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
from landcover.samples.folder import Samples, read_samples


def open_folders(folders: Sequence[AnyPath]) -> list[Samples]:
    """Open samples folders that are to be used together.

    Raises:
        InputError: one is invalid, or stands twice.
    """
    _need_different(folders)
    return [read_samples(folder) for folder in folders]


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
    match = match_named(first.bands, _of_this_sensor(samples.bands, first.bands))
    found = [i for i in match.at if i is not None]
    if not len(found) == len(first.bands) == len(samples.bands):
        names, wanted = ([band.name for band in one.bands] for one in (samples, first))
        raise InputError(
            f"the samples of {samples.scene or 'one folder'} have the bands {', '.join(names)}, "
            f"those of {first.scene or 'the first folder'} {', '.join(wanted)}: all need the same"
        )
    if match.renamed:
        remark(f"the samples folders name their bands differently, matched were {match.summary}")
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
    told = {samples.measured for samples in opened}
    if len(told) == 1:
        return opened[0].measured
    if len({(measured.scale, measured.offset) for measured in told}) > 1:
        raise InputError(
            "the samples were cut from scenes of different units (scale and offset): bring the "
            "scenes to one unit first"
        )
    remark("the samples come from different sensors or processing levels")
    return Measured(scale=opened[0].measured.scale, offset=opened[0].measured.offset)
