"""Files that arrive in parts: they lie hidden until they are whole, and never replace anything.

    home/uploads/.unfinished/ID.json   what was announced: name, bytes, when it was changed
    home/uploads/.unfinished/ID.part   what has arrived, from the first byte on
    home/uploads/NAME                  the whole file

How far an upload is, is the length of its part: nothing else is written, so that whatever is
killed, and whichever service goes on, no byte is counted that is not there. All of it lies in its
owner's home, counts for their quota, and may be changed by them at any time: folders are entered
by descriptor, no link is followed, and what is announced is checked again when the file is placed.
"""

import fcntl
import json
import logging
import os
import re
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path, PurePosixPath
from typing import Annotated
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from landcover.counts import sized
from landcover.disk import why_unwritable
from landcover.errors import NameRefused, NotThere
from landcover.io.files.atomic import draft_name
from landcover.storage import DEPTH, Storage
from wps_processes.caller import Caller
from wps_processes.errors import (
    AlreadyThere,
    NoSuchUpload,
    QuotaReached,
    UploadBusy,
    UploadConflict,
    UploadRefused,
)
from wps_processes.jobs.folder import storage_of
from wps_processes.jobs.quota import Quota

LOGGER = logging.getLogger(__name__)
FOLDER = "home/uploads"
MOST_BYTES = 64 << 30
"""Of one file; import-scene unpacks no more."""

KEPT_SECONDS = 7 * 86_400
"""An upload to which nothing was added for so long is removed."""

MOST_UNFINISHED = 50
"""Of one user."""

_FINISHED_SECONDS = 3_600
"""So long it is known of a whole file that it is whole: the answer may have been lost."""

_HOUSEKEEPING_SECONDS = 3_600.0
_UNFINISHED = ".unfinished"
_ID = re.compile(r"[0-9a-f]{32}")
_LONGEST_PART, _LONGEST_NAME = 255, 1_000  # bytes
_MOST_RECORD = 8 << 10
_MOST_OF_A_NAME = 1_000
_MOST_LOOKED_AT = 10_000
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FILE_MODE = 0o660


class _Announced(BaseModel):
    """What was announced of a file, as it lies beside its part."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(max_length=_LONGEST_NAME)]
    length: Annotated[int, Field(ge=0, le=MOST_BYTES)]
    modified: Annotated[str, Field(max_length=40)] = ""
    placed: Annotated[str, Field(max_length=_LONGEST_NAME + 8)] = ""


@dataclass(frozen=True)
class Upload:
    """One of them.

    Attributes:
        id: 32 hexadecimal digits.
        name: below home/uploads, as announced.
        length: bytes of the whole file.
        modified: when its owner's computer says that it was changed; "" if it did not.
        offset: bytes that have arrived.
        until: seconds since 1970; if nothing is added it is removed then.
        placed: the storage name of the whole file; "" while it is not whole.
    """

    id: str
    name: str
    length: int
    modified: str
    offset: int
    until: float
    placed: str = ""


class Uploads:
    """The uploads of all users."""

    def __init__(self, root: Path, quota: Quota) -> None:
        """Store them below the root of the storage tree, as far as the quota allows."""
        self._root, self._quota = root, quota
        self._stopping = threading.Event()

    def begin(self, caller: Caller, name: str, length: int, modified: str = "") -> Upload:
        """Announce a file; one without bytes is placed at once.

        Args:
            caller: whose file it is.
            name: below home/uploads; `/` is between the folders of a delivery.
            length: bytes of the whole file.
            modified: when it was changed, as its owner's computer writes it.

        Raises:
            UploadRefused: the name leads elsewhere or is hidden, or the file is too large.
            UploadConflict: the name is taken.
            AlreadyThere: by a file of the same size.
            QuotaReached: there is no room for the whole file.
        """
        *above, last = checked_name(name)
        if not 0 <= length <= MOST_BYTES:
            raise UploadRefused(
                f"{name} has {sized(length)}, at most {sized(MOST_BYTES)} are taken"
            )
        storage = storage_of(caller, self._root)
        with _unfinished(storage, make=True) as folder, _target(storage, above) as target:
            _check_free(target, last, name, length)
            others = [other for other in _uploads_in(folder) if not other.placed]
            if len(others) >= MOST_UNFINISHED:
                raise UploadRefused(
                    f"{len(others)} of your uploads are unfinished: go on with them, or remove "
                    "some"
                )
            missing = length + sum(other.length - other.offset for other in others)
            self._check_room(caller, folder, missing)
            announced = _Announced(name=name, length=length, modified=modified[:40])
            upload_id = uuid4().hex
            with _explained(self._root):
                os.close(os.open(f"{upload_id}.part", _NEW, _FILE_MODE, dir_fd=folder))
                _write(folder, upload_id, announced)
        LOGGER.info("upload begun", extra={"user": caller.name, "file": name, "bytes": length})
        return self.get(caller, upload_id)

    def get(self, caller: Caller, upload_id: str) -> Upload:
        """Return one of a caller's uploads.

        Raises:
            NoSuchUpload: there is none, or no more.
            UploadBusy: it has arrived, and is being placed.
        """
        with _unfinished(storage_of(caller, self._root)) as folder:
            upload = _known(folder, upload_id)
            if upload.offset < upload.length or upload.placed:
                return upload
            with suppress(NoSuchUpload):  # a service died just before it placed the file
                return self.append(caller, upload_id, upload.length, b"")
            return _known(folder, upload_id)  # somebody has placed it meanwhile

    def of(self, caller: Caller) -> list[Upload]:
        """Return a caller's unfinished uploads, those that were added to last first."""
        try:
            with _unfinished(storage_of(caller, self._root)) as folder:
                found = [each for each in _uploads_in(folder) if not each.placed]
        except NoSuchUpload:
            return []
        return sorted(found, key=lambda each: each.until, reverse=True)

    def append(self, caller: Caller, upload_id: str, offset: int, content: bytes) -> Upload:
        """Add what follows; whoever adds the last byte places the file.

        Args:
            caller: whose upload it is.
            upload_id: which one.
            offset: how many bytes the caller knows to be there.
            content: the bytes after these.

        Raises:
            NoSuchUpload: there is none, or no more.
            UploadBusy: another request adds to it.
            UploadConflict: another number of bytes is there.
            UploadRefused: it would be longer than announced.
            QuotaReached: there is no more room; what has arrived stays.
        """
        storage = storage_of(caller, self._root)
        with _unfinished(storage) as folder, _locked(folder, upload_id) as part:
            upload = _known(folder, upload_id)
            if offset != upload.offset:
                raise UploadConflict(f"{upload.offset} bytes have arrived, and not {offset}")
            if offset + len(content) > upload.length:
                raise UploadRefused(f"{upload.name} was announced with {upload.length} bytes")
            self._check_room(caller, folder, upload.length - offset)
            with _explained(self._root):
                _add(part, offset, content)
                if offset + len(content) == upload.length:
                    name = _place(storage, folder, part, upload)
                    LOGGER.info("upload placed", extra={"user": caller.name, "file": name})
            return _known(folder, upload_id)

    def remove(self, caller: Caller, upload_id: str) -> None:
        """Remove what has arrived of an upload; a file that is whole stays.

        Raises:
            NoSuchUpload: there is none, or no more.
        """
        with _unfinished(storage_of(caller, self._root)) as folder:
            _known(folder, upload_id)
            _forget(folder, upload_id)

    def purge(self) -> None:
        """Remove what nobody has gone on with for a week, of all users."""
        with os.scandir(self._root / "users") as folders:
            for each in folders:
                with (
                    suppress(NoSuchUpload, UploadRefused, OSError),
                    _unfinished(Storage(self._root, each.name)) as folder,
                ):
                    _uploads_in(folder)

    def keep_house(self) -> None:
        """Purge now and every hour, until told to stop."""
        while not self._stopping.is_set():
            with suppress(FileNotFoundError):  # nobody has a folder yet
                self.purge()
            self._stopping.wait(_HOUSEKEEPING_SECONDS)

    def stop(self) -> None:
        """Let `keep_house` end."""
        self._stopping.set()

    def _check_room(self, caller: Caller, folder: int, missing: int) -> None:
        self._quota.check_room(caller.folder, missing)
        disk = os.fstatvfs(folder)
        free = disk.f_bavail * disk.f_frsize
        if missing > free:
            raise QuotaReached(
                f"{sized(missing)} are missing and the disk has room for {sized(free)}: "
                "ask an administrator, or delete what you do not need"
            )


def checked_name(name: str) -> tuple[str, ...]:
    """Return the components of a name below home/uploads.

    Raises:
        UploadRefused: it leads elsewhere, is hidden, or cannot be shown on a page.
    """
    parts = tuple(name.split("/"))
    if len(parts) > DEPTH:
        raise UploadRefused(f"the name has {len(parts)} parts, needs {DEPTH} at most")
    for part in parts:
        if part.strip() != part or part.startswith(".") or not part:
            raise UploadRefused(
                f"the name {name[:80]} has a part that is empty, hidden, or begins or ends with a "
                "space: rename it"
            )
        if "\\" in part or not part.isprintable():
            raise UploadRefused(
                f"the name {name[:80]} holds a backslash or what no page shows: rename it"
            )
        if len(part.encode()) > _LONGEST_PART or len(name.encode()) > _LONGEST_NAME:
            raise UploadRefused(f"the name {name[:80]}... is too long: rename it")
    return parts


@contextmanager
def _unfinished(storage: Storage, make: bool = False) -> Iterator[int]:
    """Open the folder of a user's parts.

    Raises:
        NoSuchUpload: there is none yet.
        UploadRefused: something else is in its place.
    """
    name = f"{FOLDER}/{_UNFINISHED}"
    try:
        folder = storage.make_folder(name) if make else storage.open(f"{name}/")
    except NameRefused as error:
        if not make and isinstance(error, NotThere):
            raise NoSuchUpload("you have no such upload") from error
        raise UploadRefused(
            f"{name} cannot be made, a file or a link is in the way: move it away"
        ) from error
    try:
        yield folder
    finally:
        os.close(folder)


@contextmanager
def _target(storage: Storage, above: Sequence[str]) -> Iterator[int]:
    """Open the folder in which a whole file is placed, made if need be.

    Raises:
        UploadConflict: a file or a link is in the way.
    """
    name = "/".join((FOLDER, *above))
    try:
        folder = storage.make_folder(name)
    except NameRefused as error:
        raise UploadConflict(
            f"{name} cannot be made, a file or a link is in the way: move it away, or rename "
            "what you upload"
        ) from error
    try:
        yield folder
    finally:
        os.close(folder)


def _uploads_in(folder: int) -> list[Upload]:
    """Return what is there, and remove what is over."""
    with os.scandir(folder) as entries:
        names = [each.name for each in islice(entries, _MOST_LOOKED_AT)]
    found = []
    for upload_id in sorted({name.partition(".")[0] for name in names}):
        try:
            upload = _known(folder, upload_id)
        except NoSuchUpload:
            _forget_if_old(folder, upload_id)
            continue
        if upload.until < time.time():
            _forget(folder, upload_id)
        else:
            found.append(upload)
    return found


def _check_free(target: int, last: str, name: str, length: int) -> None:
    try:
        known = os.stat(last, dir_fd=target, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISREG(known.st_mode) and known.st_size == length:
        raise AlreadyThere(
            f"{name} is there already, with the same size: it was left as it is",
            f"{FOLDER}/{name}",
        )
    raise UploadConflict(
        f"{name} is there already, with another size: it was left as it is; rename one of the two"
    )


def _place(storage: Storage, folder: int, part: int, upload: Upload) -> str:
    """Give a whole file its name, or one like it if that was taken meanwhile; return it."""
    os.fsync(part)
    *above, name = checked_name(upload.name)
    with _target(storage, above) as target:
        given = _linked(folder, f"{upload.id}.part", target, name)
        os.fsync(target)
    placed = "/".join((FOLDER, *above, given))
    announced = _Announced(
        name=upload.name, length=upload.length, modified=upload.modified, placed=placed
    )
    _write(folder, upload.id, announced)
    os.unlink(f"{upload.id}.part", dir_fd=folder)
    return placed


def _known(folder: int, upload_id: str) -> Upload:
    """Return an upload as it now is.

    Raises:
        NoSuchUpload: there is none, or what was announced of it cannot be read.
    """
    try:
        announced, changed = _read(folder, upload_id)
        if not announced.placed:
            try:
                part = os.stat(f"{upload_id}.part", dir_fd=folder, follow_symlinks=False)
                offset, until = part.st_size, part.st_mtime + KEPT_SECONDS
            except FileNotFoundError:  # it may have been placed since
                announced, changed = _read(folder, upload_id)
                if not announced.placed:
                    raise
        if announced.placed:
            offset, until = announced.length, changed + _FINISHED_SECONDS
    except (OSError, ValueError) as error:
        raise NoSuchUpload("you have no such upload") from error
    return Upload(
        upload_id, announced.name, announced.length, announced.modified, offset, until,
        announced.placed,
    )  # fmt: skip


def _read(folder: int, upload_id: str) -> tuple[_Announced, float]:
    if not _ID.fullmatch(upload_id):
        raise ValueError("no id of an upload")
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(f"{upload_id}.json", flags, dir_fd=folder), "rb") as file:
        changed = os.fstat(file.fileno()).st_mtime
        try:
            return _Announced.model_validate_json(file.read(_MOST_RECORD)), changed
        except ValidationError as error:
            raise ValueError("it was changed by somebody") from error


def _write(folder: int, upload_id: str, announced: _Announced) -> None:
    """Write beside and rename; on a full disk the old one stays."""
    beside = draft_name("record")
    try:
        with os.fdopen(os.open(beside, _NEW, _FILE_MODE, dir_fd=folder), "w") as file:
            json.dump(announced.model_dump(), file)
        os.rename(beside, f"{upload_id}.json", src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with suppress(OSError):
            os.unlink(beside, dir_fd=folder)
        raise


@contextmanager
def _locked(folder: int, upload_id: str) -> Iterator[int]:
    """Open the part of an upload for one request alone, also among several services.

    Raises:
        NoSuchUpload: there is none, or the file is whole.
        UploadBusy: another request has it.
    """
    _known(folder, upload_id)
    try:
        part = os.open(f"{upload_id}.part", _OPEN, dir_fd=folder)
    except OSError as error:
        raise NoSuchUpload("this file is whole already, or somebody removed it") from error
    try:
        if not stat.S_ISREG(os.fstat(part).st_mode):
            raise NoSuchUpload("you have no such upload")
        try:
            fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UploadBusy("another request adds to this upload, try again") from error
        yield part
    finally:
        os.close(part)


def _add(part: int, offset: int, content: bytes) -> None:
    """Write all of it, or nothing."""
    try:
        written = 0
        while written < len(content):
            written += os.pwrite(part, content[written:], offset + written)
    except OSError:
        os.ftruncate(part, offset)
        raise


def _linked(folder: int, part: str, target: int, name: str) -> str:
    """Place a part under the first free name, as a link never takes another's place."""
    path = PurePosixPath(name)
    names = (f"{path.stem} ({number}){path.suffix}" for number in count(2))
    for candidate in (name, *islice(names, _MOST_OF_A_NAME)):
        try:
            os.link(part, candidate, src_dir_fd=folder, dst_dir_fd=target, follow_symlinks=False)
        except FileExistsError:
            if not _is_same(folder, part, target, candidate):  # else a service died just here
                continue
        return candidate
    raise UploadConflict(f"there are {_MOST_OF_A_NAME} of {name} already")


def _is_same(folder: int, part: str, target: int, name: str) -> bool:
    one = os.stat(part, dir_fd=folder, follow_symlinks=False)
    other = os.stat(name, dir_fd=target, follow_symlinks=False)
    return os.path.samestat(one, other)


def _forget_if_old(folder: int, upload_id: str) -> None:
    """Remove what belongs to no upload, unless one is just being announced."""
    if not _ID.fullmatch(upload_id):
        return  # not ours
    for ending in ("part", "json"):
        with suppress(OSError):
            known = os.stat(f"{upload_id}.{ending}", dir_fd=folder, follow_symlinks=False)
            if known.st_mtime + KEPT_SECONDS < time.time():
                os.unlink(f"{upload_id}.{ending}", dir_fd=folder)


def _forget(folder: int, upload_id: str) -> None:
    for ending in ("part", "json"):
        with suppress(OSError):
            os.unlink(f"{upload_id}.{ending}", dir_fd=folder)


@contextmanager
def _explained(root: Path) -> Iterator[None]:
    """Turn a full or read-only disk into a refusal."""
    try:
        yield
    except OSError as error:
        sentence = why_unwritable(error, root)
        if sentence is None:
            raise
        raise QuotaReached(f"{sentence}; what has arrived stays") from error
