"""The route for pods of jobs: orders go out; progress, remarks and one result come in, no more.

A pod shows a token that follows from the job, its attempt and a key of the service: nothing is
stored, and it holds over a restart, but only as long as this attempt runs.
"""

import hmac
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import (
    BadRequest,
    Conflict,
    LengthRequired,
    MethodNotAllowed,
    RequestEntityTooLarge,
    ServiceUnavailable,
    Unauthorized,
)
from werkzeug.wrappers import Request, Response

from landcover.errors import LandcoverError
from wps_processes.identity import token_of
from wps_processes.jobs.ledger import RUNNING, Job, Ledger
from wps_processes.jobs.membership import GroupsNow, HubUnavailable, with_groups_of_now
from wps_processes.runners.messages import LONGEST_LINE, PART, is_last, message_in

PATH = "runs/"
"""Below the service's prefix."""

_SHORTEST_KEY = 32
_TRIES = 3
_NOT_YOURS = "this token is for no attempt at a job that runs"


class RunTokens:
    """Makes and knows the tokens of attempts at jobs."""

    def __init__(self, key: bytes) -> None:
        """Use a key that all replicas of the service share, and keep.

        Raises:
            ValueError: it is too short to be one.
        """
        if len(key) < _SHORTEST_KEY:
            raise ValueError(
                f"the key of jobs' tokens has {len(key)} bytes, needs {_SHORTEST_KEY}"
            )
        self._key = key

    def of(self, job: Job, part: int | None = None) -> str:
        """Return the token of this attempt at a job, or at one part of it."""
        whose = f"run {job.id} {job.attempt}" + ("" if part is None else f" part {part}")
        return hmac.new(self._key, whose.encode(), "sha256").hexdigest()

    def admits(self, token: str, job: Job, part: int | None = None) -> bool:
        """Return whether a token is that of this attempt, or of this part of it."""
        return hmac.compare_digest(self.of(job, part).encode(), token.encode(errors="replace"))


@dataclass(frozen=True)
class Runs:
    """The view.

    Attributes:
        ledger: where it is written down.
        tokens: who may come in.
        orders: returns what a job's pod is to do, as JSON; of a part, if its number is given.
        told: hears of a job that has just said how it ended.
        groups_now: asked once more when a pod begins, which may be days after its Job was made.
    """

    ledger: Ledger
    tokens: RunTokens
    orders: Callable[[Job, int | None], bytes]
    told: Callable[[Job], None]
    groups_now: GroupsNow | None = None

    def __call__(self, request: Request, job_id: str) -> Response:
        """Answer the pod of a job.

        Raises:
            HTTPException: 401 for a token of something else, 409 when the job is over, 400 for
                what is no word of a job, 503 if it is to be said again later.
        """
        if request.method == "HEAD":  # to be asked for orders may end the job
            raise MethodNotAllowed(["GET", "POST"])
        with _unavailable():
            part = _part(request)
            job = self._admitted(request, job_id, part)
            if request.method != "POST":
                return self._ordered(job, part)
            word = _word(request)
            # a part that ends well has sealed its files; more it may not say of the job
            if part is None or "error" in word:
                self._hear(job, word)
        return Response(status=204)

    def admitted(self, request: Request, job_id: str) -> Job:
        """Return the job whose pod it is that speaks.

        Raises:
            HTTPException: 401 for a token of something else, 409 when the job is over, 503 if it
                is to be said again later.
        """
        with _unavailable():
            return self._admitted(request, job_id, _part(request))

    def _admitted(self, request: Request, job_id: str, part: int | None = None) -> Job:
        job, token = self.ledger.get(job_id), token_of(request)
        if job is None or token is None or not self.tokens.admits(token, job, part):
            raise Unauthorized(_NOT_YOURS)
        if job.state != RUNNING:
            raise Conflict(f"the job is {job.state}")
        return job

    def _ordered(self, job: Job, part: int | None) -> Response:
        try:
            content = self.orders(with_groups_of_now(job, self.ledger, self.groups_now), part)
        except HubUnavailable as error:
            raise ServiceUnavailable("the hub does not answer, ask again later") from error
        except LandcoverError as error:  # what it needs has gone meanwhile
            self._hear(job, {"error": str(error), "remarks": None})
            raise Conflict(str(error)) from error
        return Response(
            content, mimetype="application/json", headers={"Cache-Control": "no-store"}
        )

    def _hear(self, job: Job, word: Mapping[str, Any]) -> None:
        """Write down what a job says; what is over stays as it is."""
        for _ in range(_TRIES):  # another service may just be taking it over
            if self._is_written(job, word):
                break
            known = self.ledger.get(job.id)
            if known is None or known.state != RUNNING or known.attempt != job.attempt:
                raise Conflict("the job is over")
            job = known
        else:
            raise ServiceUnavailable("the job changes hands, say it again later")
        if is_last(word):
            self.told(job)

    def _is_written(self, job: Job, word: Mapping[str, Any]) -> bool:
        if "progress" in word:
            return self.ledger.progress(job, word["progress"], word["message"])
        if "outputs" in word:
            return self.ledger.succeed(job, word["outputs"], word["remarks"])
        if "error" in word:
            return self.ledger.fail(job, word["error"], word["remarks"])
        return self.ledger.remark(job, word["remarks"])


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise ServiceUnavailable("the ledger does not answer, say it again later") from error


def _part(request: Request) -> int | None:
    """Return the number of the part whose pod asks, None if it is that of the job."""
    said = request.args.get(PART)
    if said is None:
        return None
    if not (said.isascii() and said.isdecimal() and len(said) < 4):
        raise BadRequest("a part is a number")
    return int(said)


def _word(request: Request) -> Mapping[str, Any]:
    if request.content_length is None:
        raise LengthRequired("the body's length is needed (Content-Length)")
    if request.content_length > LONGEST_LINE:
        raise RequestEntityTooLarge(f"at most {LONGEST_LINE} bytes are read")
    word = message_in(request.get_data())
    if word is None:
        raise BadRequest(
            "a job says progress and message, remarks, outputs, or error, and nothing else"
        )
    return word
