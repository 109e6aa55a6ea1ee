"""One request to Nextcloud: its token, its time limits, and what a refusal means."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from nextcloud import NextCloud
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError

from landcover.errors import (
    LandcoverError,
    Maintenance,
    NameRefused,
    NextcloudError,
    NotAllowed,
    NotSignedIn,
    QuotaFull,
    Throttled,
    Unavailable,
)
from landcover.storage.nextcloud.access import SIGN_IN_AGAIN, AskAccess

PIECE = 1 << 20
"""So many bytes are in memory at a time."""

_LARGEST_ANSWER = 8 << 20
"""So many bytes an answer may have that is no file: a listing of 10,000 long names."""


@dataclass(frozen=True)
class Timeouts:
    """How long to wait, in seconds.

    Attributes:
        connect: for a connection.
        silence: until the next byte; and for a file that creeps.
        answer: until the whole of an answer is there that is no file.
        throttled: in all, where the server asks for a pause.
        rate: bytes per second; what brings less over a time of silence creeps.
        pause: what waits.
    """

    connect: float = 5.0
    silence: float = 60.0
    answer: float = 120.0
    throttled: float = 60.0
    rate: float = 8 << 10
    pause: Callable[[float], None] = time.sleep

    @staticmethod
    def from_environment() -> "Timeouts":
        """Return the timeouts that an administrator may set."""
        silence = os.environ.get("GEOPORTAL_NEXTCLOUD_SILENCE_SECONDS") or Timeouts.silence
        return Timeouts(silence=float(silence))


class Refusal(Exception):
    """The server answered, and not with a success.

    Attributes:
        status: of the answer.
        pause: the seconds after which it wants to be asked again; 0 if it does not say.
    """

    def __init__(self, answer: requests.Response) -> None:
        """Read it off an answer."""
        super().__init__(f"{answer.request.method}: {answer.status_code}")
        self.status = answer.status_code
        self.pause = _pause_asked_for(answer)


class Connection:
    """The requests of one user.

    Attributes:
        url: address of Nextcloud.
        uid: the user's name there.
        client: nextcloud-api-wrapper, which takes quoted paths, and sends by `session`.
        session: sends with token and limits, and raises `Refusal`.
    """

    def __init__(self, access: AskAccess, timeouts: Timeouts) -> None:
        """Speak for the user whom `access` names."""
        known = access()
        self.url, self.uid = known.url, known.uid
        self.session = Session(access, timeouts)
        origin = urlsplit(known.url)
        # a path in the address would change it for all clients of this process
        self.client: Any = NextCloud(
            f"{origin.scheme}://{origin.netloc}", user=quote(known.uid, safe="")
        )
        self.client.session.url = known.url
        self.client.session.session = self.session

    def address(self, *path: str) -> str:
        """Return the address below Nextcloud's, with every component quoted."""
        return "/".join((self.url, *(quote(part, safe="") for part in path)))

    def close(self) -> None:
        """Close the connections."""
        self.session.close()


class _Token(AuthBase):
    """Puts the token of the moment into a request."""

    def __init__(self, access: AskAccess) -> None:
        self._access = access

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._access().token}"
        return request

    def has_changed_since(self, answer: requests.Response) -> bool:
        """Return whether a request went out with a token that was replaced meanwhile."""
        used = answer.request.headers.get("Authorization")
        return used != f"Bearer {self._access().token}"


class Session(requests.Session):
    """What nextcloud-api-wrapper sends by, and we."""

    def __init__(self, access: AskAccess, timeouts: Timeouts) -> None:
        """Send for the user whom `access` names."""
        super().__init__()
        self._token, self._timeouts = _Token(access), timeouts
        # on every request: the wrapper keeps headers by method, whatever the interface
        self.headers["OCS-APIRequest"] = "true"
        self.headers["Accept-Encoding"] = "identity"

    def request(self, method: Any, url: Any, **options: Any) -> requests.Response:  # type: ignore[override]
        """Send a request, again with a new token, and again after a pause asked for.

        Raises:
            Refusal: the server answered with anything but a success.
            Unavailable: there is no answer, or it broke off.
        """
        waited, renewed = 0.0, False
        while True:
            answer = self._sent(method.upper(), url, options)
            if answer.status_code < 300:
                return answer
            refusal = Refusal(answer)
            answer.close()
            if refusal.status == 401 and not renewed and self._token.has_changed_since(answer):
                renewed = True
            elif refusal.status == 429 and 0 < refusal.pause <= self._timeouts.throttled - waited:
                waited += refusal.pause
                self._timeouts.pause(refusal.pause)
            else:
                raise refusal
            if hasattr(options.get("data"), "seek"):
                options["data"].seek(0)

    def arriving(self, answer: requests.Response) -> Iterator[bytes]:
        """Yield what an answer brings as it comes, at most `PIECE` bytes at a time.

        Raises:
            Unavailable: it creeps.
        """
        waited, came = 0.0, 0
        while True:
            asked = time.monotonic()
            piece: bytes = answer.raw.read1(PIECE, decode_content=False)
            if not piece:
                return
            # what is done with a piece takes its time too, and is not the server's
            waited, came = waited + time.monotonic() - asked, came + len(piece)
            if waited > self._timeouts.silence:
                if came < self._timeouts.rate * waited:
                    raise Unavailable("Nextcloud sends next to nothing, try again later")
                waited, came = 0.0, 0
            yield piece

    def small(self, answer: requests.Response) -> Iterator[bytes]:
        """Yield what an answer brings that is no file, and has to be there soon.

        Raises:
            NextcloudError: it is too long.
            Unavailable: it takes too long.
        """
        deadline, size = time.monotonic() + self._timeouts.answer, 0
        for piece in self.arriving(answer):
            size += len(piece)
            if size > _LARGEST_ANSWER:
                raise NextcloudError(
                    f"Nextcloud's answer is longer than {_LARGEST_ANSWER >> 20} MiB, "
                    "a folder needs fewer files or shorter names"
                )
            if time.monotonic() > deadline:
                raise Unavailable("Nextcloud takes too long to answer, try again later")
            yield piece

    def _sent(self, method: str, url: str, options: dict[str, Any]) -> requests.Response:
        whole = not options.get("stream")
        fixed = {
            "stream": True,
            "allow_redirects": False,  # another server must not get the token
            "auth": self._token,
            "timeout": (self._timeouts.connect, self._timeouts.silence),
        }
        with reading():
            answer = super().request(method, url, **(options | fixed))
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                answer.close()
                raise NextcloudError("Nextcloud compresses its answer, it was asked not to")
            if whole:
                with closing(answer.raw):
                    content = b"".join(self.small(answer))
                answer.raw = BytesIO(content)
        return answer


@contextmanager
def reading() -> Iterator[None]:
    """Turn what may happen while a server is spoken to into a sentence."""
    try:
        yield
    except requests.exceptions.SSLError as error:
        raise NextcloudError("Nextcloud's certificate is not trusted here") from error
    except (requests.RequestException, HTTPError) as error:
        raise Unavailable("Nextcloud does not answer or broke off, try again later") from error


@contextmanager
def errors_about(what: str) -> Iterator[None]:
    """Turn a refusal into a sentence.

    Args:
        what: was asked for, as the user named it.
    """
    try:
        yield
    except Refusal as refusal:
        raise _error(refusal, what) from refusal
    except (
        ArithmeticError, AttributeError, LookupError, NameError, RecursionError, SyntaxError,
        TypeError, ValueError,
    ) as error:  # fmt: skip
        # so the wrapper, JSON and dates end when they take apart what is no answer
        raise NextcloudError(f"Nextcloud's answer about {what} makes no sense") from error


def _error(refusal: Refusal, what: str) -> LandcoverError:
    if 300 <= refusal.status < 400:
        return NextcloudError("Nextcloud is elsewhere, an administrator must correct its address")
    if refusal.status == 429:
        when = f"in {refusal.pause:.0f} seconds" if refusal.pause else "later"
        return Throttled(f"Nextcloud takes no more requests from here now, try again {when}")
    known: dict[int, tuple[type[LandcoverError], str]] = {
        401: (NotSignedIn, SIGN_IN_AGAIN),
        403: (NotAllowed, f"Nextcloud does not allow you to do this with {what}"),
        404: (NameRefused, f"there is no {what}"),
        409: (NameRefused, f"there is no folder for {what}"),
        423: (NextcloudError, f"{what} is locked in Nextcloud, try again later"),
        503: (Maintenance, "Nextcloud is under maintenance, try again later"),
        507: (QuotaFull, f"your Nextcloud has no room left for {what}, make some and try again"),
    }
    failed = (NextcloudError, f"Nextcloud failed with status {refusal.status}, try again later")
    kind, sentence = known.get(refusal.status, failed)
    return kind(sentence)


def _pause_asked_for(answer: requests.Response) -> float:
    said = answer.headers.get("Retry-After", "")
    return float(said) if said.isascii() and said.isdecimal() and len(said) < 10 else 0.0
