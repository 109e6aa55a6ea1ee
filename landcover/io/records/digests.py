"""SHA-256 of what an operation reads and writes: files by their bytes, folders by what they hold.

Folders may be a hostile user's: no link out of them is followed, and nothing is opened that is
no plain file.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from landcover.errors import InputError
from landcover.io.files.safe_open import open_beneath
from landcover.io.gdal_drivers import SHAPEFILE_PARTS, parts_beside
from landcover.io.sidecars.category_names import file_of_names
from landcover.io.sidecars.validity import files_of_validity


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, hexadecimal.

    Raises:
        InputError: it cannot be read, or is no plain file.
    """
    return _of_file(path, follow=True)


def sha256_of_path(path: Path) -> str:
    """Return the SHA-256, hexadecimal, of a file, or of what a folder holds.

    A folder's is that of the canonical JSON {relative path: SHA-256} of its visible files; a
    link counts as the file in the folder that it leads to, one that leads out of it as its
    target. A shapefile's is that of its parts by their endings, as is a raster's that has the
    names of its classes, its nodata, its mask or its header (ENVI) beside it.

    Raises:
        InputError: a file cannot be read.
    """
    if path.is_dir():
        return sha256_of_json(dict(_digests_below(path)))
    if path.suffix.lower() == ".shp":
        return sha256_of_json(dict(_digests_of_parts(path)))
    names = file_of_names(path)
    beside = dict(files_of_validity(path)) | ({} if names is None else {".aux.xml": names})
    beside |= {part.name.removeprefix(path.stem): part for part in _headers_of(path)}
    if beside:
        parts = {path.suffix: path} | beside
        return sha256_of_json({ending: sha256_of_file(part) for ending, part in parts.items()})
    return sha256_of_file(path)


def _headers_of(path: Path) -> list[Path]:
    """Return the header of an ENVI file, which says what its bytes mean."""
    parts = [Path(part) for part in parts_beside(PurePosixPath(path))]
    return [part for part in parts if part.suffix == ".hdr" and part.is_file()]


def sha256_of_json(value: object) -> str:
    """Return the SHA-256, hexadecimal, of a value's canonical JSON: sorted keys, no blanks."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _of_file(path: Path, follow: bool) -> str:
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InputError(f"{path.name} is no plain file")
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}") from error


def _digests_below(root: Path) -> Iterator[tuple[str, str]]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in (*links, *files):
            path = Path(folder, name)
            if name.startswith(".") or not (path.is_symlink() or path.is_file()):
                continue
            relative = path.relative_to(root)
            linked = path.is_symlink()
            content = _of_link(root, relative) if linked else _of_file(path, follow=False)
            yield relative.as_posix(), content


def _of_link(root: Path, link: Path) -> str:
    """Return the digest of what a link in a folder leads to: that is what is read."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with os.fdopen(open_beneath(folder, link.parts), "rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        pass  # it leads out of the folder, or nowhere: nobody reads it
    finally:
        os.close(folder)
    return hashlib.sha256(b"link to " + os.fsencode((root / link).readlink())).hexdigest()


def _digests_of_parts(path: Path) -> Iterator[tuple[str, str]]:
    yield ".shp", sha256_of_file(path)
    for ending in SHAPEFILE_PARTS:
        for part in (path.with_suffix(ending), path.with_suffix(ending.upper())):
            if part.is_file():
                yield ending, sha256_of_file(part)
                break
