"""HDF5 and NetCDF-4: a file may hold links to others, and pixels that lie in others.

Every link is looked at before GDAL opens the file, and none is followed.

Source: The HDF Group, HDF5 User's Guide (external links, external storage, virtual datasets).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from landcover.errors import InputError
from landcover.io.raster import MOST_BLOCK_MIB

_MOST_OBJECTS = 20_000


def need_own_content(path: Path, name: str) -> None:
    """Refuse a file that refers to other files, or whose chunks would fill memory.

    Raises:
        InputError: it does so, or is damaged.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            for place, found in _objects(file, name):
                _check(place, found, name)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise InputError(f"{name} is no whole HDF5 file, it may be damaged: {error}") from error


def _objects(file: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield links that lead elsewhere, and every dataset once."""
    import h5py

    waiting, seen = [file["/"]], set()
    while waiting:
        group = waiting.pop()
        for key in group:
            place = f"{group.name.rstrip('/')}/{key}"
            link = group.get(key, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                yield place, link
            if not isinstance(link, h5py.HardLink):
                continue  # a soft one names an object that has a hard one too
            found = group[key]
            address = h5py.h5o.get_info(found.id).addr
            if address in seen:
                continue
            seen.add(address)
            if len(seen) > _MOST_OBJECTS:
                raise InputError(f"{name} holds more than {_MOST_OBJECTS:,} objects")
            if isinstance(found, h5py.Group):
                waiting.append(found)
            elif isinstance(found, h5py.Dataset):
                yield place, found


def _check(place: str, found: Any, name: str) -> None:
    import h5py

    if isinstance(found, h5py.ExternalLink):
        raise InputError(
            f"{name} has a link to {found.filename} at {place}, other files are not followed: "
            "copy the data into it, as with h5repack or xarray's to_netcdf"
        )
    if found.is_virtual or found.external:
        raise InputError(
            f"{name} keeps the pixels of {place} in other files, which are not followed: copy "
            "them into it, as with h5repack or xarray's to_netcdf"
        )
    if found.chunks is not None:
        mib = found.dtype.itemsize * _product(found.chunks) / 2**20
        if mib > MOST_BLOCK_MIB:
            raise InputError(
                f"{name} stores {place} in chunks of {mib:.0f} MiB, needs ones of at most "
                f"{MOST_BLOCK_MIB} MiB: write it anew, as with nccopy -c"
            )


def _product(shape: tuple[int, ...]) -> int:
    whole = 1
    for side in shape:
        whole *= int(side)
    return whole
