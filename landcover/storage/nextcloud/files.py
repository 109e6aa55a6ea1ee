"""A user's files at Nextcloud: listed, and streamed in and out a piece at a time.

What breaks off goes on where it stopped: a download by the rest of the file, if that is still the
same, an upload by the chunks that are not there yet. A new file appears whole or not at all. One
that is overwritten keeps its number, to which its shares and old versions hang: another file moved
into its place would lose them.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import quote

from landcover.errors import InputError, LandcoverError, NameRefused, NextcloudError, Unavailable
from landcover.io.files.atomic import draft_name
from landcover.progress import Pace
from landcover.storage.nextcloud.connection import (
    PIECE,
    Connection,
    Refusal,
    errors_about,
    reading,
)
from landcover.storage.nextcloud.listings import Remote, listing

CHUNK = 16 << 20
"""An upload in chunks has chunks of at least so many bytes; Nextcloud takes 5 MiB to 5 GiB."""

ATTEMPTS = 5
"""So often in a row may a transfer break off within one piece."""

_MOST_CHUNKS = 10_000


class Files:
    """The files of one user; a path is relative to the user's root, with slashes."""

    def __init__(self, connection: Connection, chunk: int = CHUNK) -> None:
        """Ask by `connection`; what is larger than `chunk` bytes is uploaded in chunks."""
        self._connection, self._chunk = connection, chunk

    def stat(self, path: str) -> Remote:
        """Describe a file or folder.

        Raises:
            NameRefused: there is none.
            NextcloudError: Nextcloud does not answer as it should.
        """
        with errors_about(path):
            return listing(self._connection.session, self._address(path), 0, 1)[0]

    def exists(self, path: str) -> bool:
        """Return whether there is such a file or folder."""
        with suppress(NameRefused):
            return bool(self.stat(path))
        return False

    def inside(self, path: str, most: int) -> list[Remote]:
        """Describe what is in a folder, by name.

        Args:
            path: where it is.
            most: so many files and folders it may hold.

        Raises:
            NameRefused: there is no such folder.
            InputError: it holds more.
            NextcloudError: Nextcloud does not answer as it should.
        """
        with errors_about(path):
            session, address = self._connection.session, self._address(path)
            _itself, *entries = listing(session, address, 1, most + 2)
        if len(entries) > most:
            raise InputError(f"{path} holds more than {most:,} files and folders, needs fewer")
        for entry in entries:
            _components(entry.name)  # it becomes a name of this machine
        return sorted(entries, key=lambda entry: entry.name)

    def make_folder(self, path: str) -> None:
        """Make a folder with its parents; one that is there is left as it is."""
        parts = _components(path)
        if self.exists(path):
            return
        for end in range(1, len(parts) + 1):
            with errors_about(path):
                _unless(405, self._client.create_folder, _quoted("/".join(parts[:end])))

    def delete(self, path: str) -> None:
        """Move a file or folder into Nextcloud's trash bin."""
        if not path:
            raise NameRefused("the whole of a user's files is not deleted")
        with errors_about(path):
            self._client.delete_path(_quoted(path))

    def download(self, path: str, file: BinaryIO, most: int) -> Remote:
        """Write a file's content to `file`, which is empty.

        Args:
            path: where it is.
            file: open for writing, and seekable.
            most: more bytes than these are not fetched.

        Raises:
            NameRefused: there is no such file.
            InputError: it is larger, or was changed meanwhile.
            NextcloudError: Nextcloud does not answer as it should, or breaks off again and again.
        """
        known = self.stat(path)
        if known.is_folder:
            raise InputError(f"{path} is a folder, needs a file")
        if known.size > most:
            raise InputError(
                f"{path} has {known.size / 2**20:,.0f} MiB, no more than {most / 2**20:,.0f} "
                "are fetched"
            )
        pace = Pace(f"fetching {known.name}", max(known.size, 1), known.size)
        tries = _Tries()
        while file.tell() < known.size:
            with tries.counting(file):
                self._receive(path, known, file, pace)
        return known

    def upload(self, file: BinaryIO, path: str, replace: bool = False) -> None:
        """Make a file of what `file` holds, with its time of change; folders are made for it.

        Args:
            file: a file of this machine, open for reading.
            path: where it goes.
            replace: put it into the place of one that is there.

        Raises:
            InputError: there is one already, or `file` is changed meanwhile.
            NextcloudError: no room, no permission, or Nextcloud does not answer as it should.
        """
        before = os.fstat(file.fileno())
        parent = str(PurePosixPath(path).parent)
        if parent != ".":
            self.make_folder(parent)
        overwrites = replace and self.exists(path)
        # chunks wait elsewhere until all are there: what is overwritten is never half new
        if before.st_size > self._chunk or (overwrites and before.st_size):
            self._send_in_chunks(file, before, path, replace)
        elif overwrites:
            self._put(file, before, path, path)
        else:
            self._send_beside(file, before, path)

    @property
    def _client(self) -> Any:
        return self._connection.client

    def _address(self, path: str) -> str:
        parts = _components(path)
        return self._connection.address("remote.php", "dav", "files", self._connection.uid, *parts)

    def _receive(self, path: str, known: Remote, file: BinaryIO, pace: Pace) -> None:
        """Append what is missing, as far as it comes."""
        start = file.tell()
        asked = {"Range": f"bytes={start}-", "If-Range": known.etag} if start else {}
        with errors_about(path):
            answer = self._connection.session.request(
                "GET", self._address(path), headers=asked, stream=True
            )
        with answer, reading():
            if answer.headers.get("ETag", known.etag) != known.etag:
                raise InputError(f"{path} was changed while it was fetched, try again")
            if answer.status_code != HTTPStatus.PARTIAL_CONTENT:
                file.seek(0)  # the server knows no ranges
                file.truncate()
            elif not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                raise NextcloudError(f"Nextcloud sends another part of {path} than was asked for")
            for piece in self._connection.session.arriving(answer):
                if file.tell() + len(piece) > known.size:
                    raise NextcloudError(f"Nextcloud sends more of {path} than there is")
                file.write(piece)
                pace.advance(len(piece))
                pace.report()
        if file.tell() < known.size:
            raise Unavailable("Nextcloud broke off, try again later")

    def _send_beside(self, file: BinaryIO, status: os.stat_result, path: str) -> None:
        beside = str(PurePosixPath(path).with_name(draft_name("upload")))
        try:
            self._put(file, status, beside, path)
            with _not_over(path), errors_about(path):
                self._client.move_path(_quoted(beside), _quoted(path), overwrite=False)
        except LandcoverError:
            with suppress(LandcoverError):
                self.delete(beside)
            raise

    def _put(self, file: BinaryIO, status: os.stat_result, path: str, shown: str) -> None:
        with errors_about(shown):
            _again_if_broken(
                lambda: self._client.upload_file_contents(
                    _Part(file, 0, status.st_size).body, _quoted(path), int(status.st_mtime)
                )
            )
        _check_unchanged(file, status, shown)

    def _send_in_chunks(
        self, file: BinaryIO, status: os.stat_result, path: str, replace: bool
    ) -> None:
        """Send the chunks that are not there yet, and have them put together."""
        length = max(self._chunk, -(-status.st_size // _MOST_CHUNKS))
        folder = _Chunks(self._connection, self._address(path), _upload_id(path, status, length))
        pace = Pace(f"uploading {PurePosixPath(path).name}", status.st_size, status.st_size)
        with errors_about(path):
            there = folder.sizes()
        for number, start in enumerate(range(0, status.st_size, length), 1):
            part = _Part(file, start, min(length, status.st_size - start))
            if there.get(f"{number:05}") != len(part):
                with errors_about(path):
                    _again_if_broken(folder.put, number, part)
            pace.advance(len(part))
            pace.report()
        try:
            _check_unchanged(file, status, path)
        except InputError:
            folder.drop()
            raise
        with _not_over(path), errors_about(path):
            folder.assemble(status, replace)


class _Chunks:
    """An upload that is not yet put together."""

    def __init__(self, connection: Connection, target: str, upload_id: str) -> None:
        self._session, self._target = connection.session, target
        self._parts = ("remote.php", "dav", "uploads", connection.uid, upload_id)
        self._connection = connection

    def sizes(self) -> dict[str, int]:
        """Return the sizes of the chunks that are there; begin if nothing is."""
        try:
            found = listing(self._session, self._address(), 1, _MOST_CHUNKS + 2)
        except Refusal as refusal:
            if refusal.status != HTTPStatus.NOT_FOUND:
                raise
            self._session.request("MKCOL", self._address(), headers={"Destination": self._target})
            return {}
        return {chunk.name: chunk.size for chunk in found}

    def put(self, number: int, part: "_Part") -> None:
        part.seek(0)
        headers = {"Destination": self._target, "Content-Type": "application/octet-stream"}
        address = self._address(f"{number:05}")
        self._session.request("PUT", address, headers=headers, data=part)

    def assemble(self, status: os.stat_result, replace: bool) -> None:
        headers = {
            "Destination": self._target,
            "OC-Total-Length": str(status.st_size),
            "X-OC-Mtime": str(int(status.st_mtime)),
            "Overwrite": "T" if replace else "F",
        }
        self._session.request("MOVE", self._address(".file"), headers=headers)

    def drop(self) -> None:
        with suppress(Refusal, LandcoverError):  # Nextcloud clears it away after a day
            self._session.request("DELETE", self._address())

    def _address(self, *more: str) -> str:
        return self._connection.address(*self._parts, *more)


class _Part:
    """A part of a file, to be sent without reading it into memory."""

    def __init__(self, file: BinaryIO, start: int, length: int) -> None:
        self._file, self._start, self._length = file, start, length
        self._at = 0

    @property
    def body(self) -> "_Part | bytes":
        """What a request can send; of an empty stream it would not tell the length."""
        return self if self._length else b""

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(PIECE), b"")

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence, self._length)
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = self._length - self._at
        self._file.seek(self._start + self._at)
        piece = self._file.read(min(size, left) if size >= 0 else left)
        self._at += len(piece)
        return piece


class _Tries:
    """Gives up a transfer that breaks off again and again without getting on."""

    def __init__(self) -> None:
        self._fruitless = 0

    @contextmanager
    def counting(self, file: BinaryIO) -> Iterator[None]:
        began = file.tell()
        try:
            yield
        except Unavailable:
            self._fruitless = 0 if file.tell() - began >= PIECE else self._fruitless + 1
            if self._fruitless >= ATTEMPTS:
                raise


def _again_if_broken(send: Callable[..., object], *arguments: object) -> None:
    for _ in range(ATTEMPTS - 1):
        with suppress(Unavailable):
            send(*arguments)
            return
    send(*arguments)


def _unless(status: int, ask: Callable[..., object], *arguments: object) -> None:
    """Send a request, and treat one refusal as success."""
    try:
        ask(*arguments)
    except Refusal as refusal:
        if refusal.status != status:
            raise


@contextmanager
def _not_over(path: str) -> Iterator[None]:
    """Translate the refusal of a file that is there already."""
    try:
        yield
    except NextcloudError as error:
        refusal = error.__cause__
        if isinstance(refusal, Refusal) and refusal.status == HTTPStatus.PRECONDITION_FAILED:
            raise InputError(f"{path} is there already, choose another name") from error
        raise


def _check_unchanged(file: BinaryIO, before: os.stat_result, path: str) -> None:
    after = os.fstat(file.fileno())
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise InputError(f"{path} was changed while it was uploaded, try again")


def _upload_id(path: str, status: os.stat_result, length: int) -> str:
    """Return the same name for the same upload, so that another try finds its chunks."""
    known = f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0{length}"
    return f"geoportal-{hashlib.sha256(known.encode()).hexdigest()[:32]}"


def _components(path: str) -> list[str]:
    parts = path.split("/") if path else []
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise NameRefused(f"{path} is no path at Nextcloud")
    return parts


def _quoted(path: str) -> str:
    """Quote a path as the wrapper does not: it would cut it at # and ?, and read %41 as A."""
    return quote("/".join(_components(path)))
