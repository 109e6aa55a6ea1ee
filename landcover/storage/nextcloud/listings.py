"""What is in a folder, read as WebDAV tells it: entry by entry, as the answer arrives.

A tree of the whole answer, as nextcloud-api-wrapper makes one, takes thirty times its room, and no
other thread has a turn while it grows. Source: RFC 4918, sections 9.1 and 14.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import unquote
from xml.etree import ElementTree

from landcover.storage.nextcloud.connection import Session, reading

_ASKED = (
    b'<?xml version="1.0"?><d:propfind xmlns:d="DAV:"><d:prop>'
    b"<d:resourcetype/><d:getcontentlength/><d:getetag/><d:getlastmodified/>"
    b"</d:prop></d:propfind>"
)
_RESPONSE, _FOLDER, _HREF = "{DAV:}response", "{DAV:}collection", "{DAV:}href"
_SIZE, _ETAG = "{DAV:}getcontentlength", "{DAV:}getetag"
_MODIFIED = "{DAV:}getlastmodified"
_READ = (_HREF, _SIZE, _ETAG, _MODIFIED)
_LONGEST_TAG = 1 << 16  # bytes
_DEEPEST = 32  # elements within one another; a listing has six


@dataclass(frozen=True)
class Remote:
    """A file or folder at Nextcloud.

    Attributes:
        name: its own name.
        is_folder: whether it is a folder.
        size: of a file, in bytes.
        etag: another one whenever the content changes, and of a folder what is in it.
        modified: when, in seconds since 1970.
    """

    name: str
    is_folder: bool
    size: int
    etag: str
    modified: float


def listing(session: Session, address: str, depth: int, most: int) -> list[Remote]:
    """Return what is at an address, and after it what is in there.

    Args:
        session: of the user.
        address: of a file or folder, quoted.
        depth: 0 for itself alone, 1 for what is in it too.
        most: after so many entries the rest is left out.

    Raises:
        Refusal: Nextcloud refuses.
        NextcloudError: Nextcloud breaks off, or its answer is too long.
        SyntaxError, ValueError, LookupError: the answer is no listing.
    """
    headers = {"Depth": str(depth), "Content-Type": "application/xml"}
    answer = session.request("PROPFIND", address, headers=headers, data=_ASKED, stream=True)
    with answer, reading():
        found = _entries_in(session.small(answer), most)
    if not found:
        raise ValueError("an empty listing names not even the folder itself")
    return found


def _entries_in(pieces: Iterable[bytes], most: int) -> list[Remote]:
    responses = _Responses()
    parser = ElementTree.XMLParser(target=responses)
    unread = 0
    for piece in pieces:
        heard = responses.heard
        parser.feed(piece)
        unread = 0 if responses.heard > heard else unread + len(piece)
        if unread > _LONGEST_TAG:
            raise ValueError("a tag without end, which the parser keeps as a whole")
        if len(responses.found) > most:
            return responses.found[:most]
    parser.close()
    return responses.found


class _Responses:
    """Keeps of what a parser comes by no more than names and properties."""

    def __init__(self) -> None:
        self.found: list[Remote] = []
        self.heard = 0
        self._known: dict[str, str] = {}
        self._text: list[str] = []
        self._depth = 0

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise ValueError("a listing has no declarations, whose entities could grow without end")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.heard += 1
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError("a listing is no deeper")
        self._text.clear()
        if tag == _RESPONSE:
            self._known = {}
        elif tag == _FOLDER:
            self._known[tag] = ""

    def data(self, text: str) -> None:
        self.heard += 1
        self._text.append(text)

    def end(self, tag: str) -> None:
        self.heard += 1
        self._depth -= 1
        if tag == _RESPONSE:
            self.found.append(_remote(self._known))
        elif tag in _READ and self._text:  # empty where there is no such property
            self._known[tag] = "".join(self._text)
        self._text.clear()


def _remote(known: dict[str, str]) -> Remote:
    is_folder = _FOLDER in known
    size = 0 if is_folder else int(known[_SIZE])
    if size < 0:
        raise ValueError("no file has less than nothing")
    modified = known.get(_MODIFIED)
    return Remote(
        name=unquote(known[_HREF]).rstrip("/").rpartition("/")[2],
        is_folder=is_folder,
        size=size,
        etag=known.get(_ETAG, ""),
        modified=parsedate_to_datetime(modified).timestamp() if modified else 0.0,
    )
