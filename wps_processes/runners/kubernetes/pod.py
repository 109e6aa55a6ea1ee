"""`python -m wps_processes.runners.kubernetes.pod`: the program of the pod of an attempt at a job.

It is the container's first process, and computes there itself: if memory does not suffice, the
container's end says so. A small process beside it, made before there is anything large to share,
asks the service for the job's orders and tells it how far the job is; the token is its own.
The computing one is confined as on one machine (`wps_processes.runners.sandbox`).

The service may be gone for a while: of what is to be told, only the newest progress and remarks
are kept, and the result, which repeats the remarks, until it has arrived or a night is over. Told
that the job is over, both end.
"""

import json
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

import requests

from wps_processes.runners.messages import (
    INDEX_VARIABLE,
    LONGEST_LINE,
    NO_ANSWER,
    PART,
    TOKEN_VARIABLE,
    URL_VARIABLE,
    is_last,
)
from wps_processes.runners.parent import die_with_parent

SILENCE_SECONDS = 12 * 3_600.0
"""So long the service is asked for orders, or told the result, if it does not answer: a night."""

_SECONDS_BETWEEN_REPORTS = 1.0
_TIMEOUT = (5.0, 30.0)  # seconds to connect, and for an answer
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
_OVER = (401, 404, 409, 410)
_NOT_UNDERSTOOD = (400, 411, 413, 415, 422)
_MISCONFIGURED = 2
_TERMINATED = 128 + signal.SIGTERM


class NotWanted(Exception):
    """The service wants to hear no more of this job."""


class Unavailable(Exception):
    """The service has not answered for too long."""


class Route:
    """The service's route for this job."""

    def __init__(self, url: str, token: str) -> None:
        """Report there, with the token of this attempt."""
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False  # it is in the cluster, behind no proxy
        self._session.headers["Authorization"] = f"Bearer {token}"

    def orders(self) -> bytes:
        """Return the orders, one line of JSON.

        Raises:
            NotWanted: this attempt is no longer wanted.
            Unavailable: the service does not answer.
        """
        return _persistently(lambda: self._ask("GET"), SILENCE_SECONDS)

    def tell(self, word: bytes) -> None:
        """Report progress; one that is lost is made up by the next.

        Raises:
            NotWanted: the job was dismissed, say.
        """
        self._ask("POST", word)

    def tell_result(self, word: bytes) -> None:
        """Report how the job ended.

        Raises:
            Unavailable: the service does not answer.
        """
        with suppress(NotWanted):  # it knows: its answer was lost, or the job dismissed
            _persistently(lambda: self._ask("POST", word), SILENCE_SECONDS)

    def _ask(self, method: str, word: bytes | None = None) -> bytes | None:
        """Return what the service answers, None if it does not now.

        Raises:
            NotWanted: it wants to hear no more.
        """
        try:
            answer = self._session.request(
                method, self._url, data=word, timeout=_TIMEOUT, allow_redirects=False,
                headers={"Content-Type": "application/json"},
            )  # fmt: skip
        except requests.RequestException as error:
            print(f"the service does not answer: {error}", file=sys.stderr, flush=True)
            return None
        if answer.status_code in _OVER:
            raise NotWanted(answer.text)
        if answer.status_code in _NOT_UNDERSTOOD and method == "POST":
            # what computes was turned into something else, and nothing it says will do
            return self._ask("POST", _NOTHING) if word != _NOTHING else b""
        return answer.content if answer.ok else None


class Outbox:
    """What is to be told: of progress and remarks only the newest, and the last word."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._changed = threading.Condition()
        self._newest: dict[str, bytes] = {}
        self._last: bytes | None = None
        self._is_said = False

    def hear(self, conversation: TextIO) -> None:
        """Listen to the process that computes, until it has said its last word or ended."""
        for line in iter(lambda: conversation.readline(LONGEST_LINE), ""):
            kind = _kind_of(line)
            with self._changed:
                if kind is None:
                    self._last = line.encode()
                else:
                    self._newest[kind] = line.encode()
                self._changed.notify_all()
            if kind is None:
                break
        with self._changed:
            self._is_said = True
            self._changed.notify_all()

    def next_in_between(self) -> bytes | None:
        """Wait for the next progress or remarks, and return them; None after the last word."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest or self._is_said)
            if self._is_said:
                return None
            return self._newest.pop(next(iter(self._newest)))  # what has waited longest

    def last(self, seconds: float | None = None) -> bytes | None:
        """Wait for the last word; None if there was none, or not so soon."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_said, seconds)
            return self._last


def main() -> int:
    """Compute the job and return the exit status: 0 if the service knows how it ended.

    2 is for a pod that was told neither whom to ask nor by which token.
    """
    missing = [name for name in (URL_VARIABLE, TOKEN_VARIABLE) if not os.environ.get(name)]
    if missing:
        print(f"{missing[0]} is not set, needs what the service gives the pod of a job",
              file=sys.stderr)  # fmt: skip
        return _MISCONFIGURED
    url, token = _whom(os.environ[URL_VARIABLE], os.environ.pop(TOKEN_VARIABLE))
    os.umask(0o007)  # what a job writes is its owner's, and of the storage's group
    signal.signal(signal.SIGTERM, _end)  # the first process of a container is not ended by it
    ours, theirs = socket.socketpair()
    computing, reporter = os.getpid(), os.fork()
    if not reporter:
        ours.close()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os._exit(_report(theirs, Route(url, token), computing))
    theirs.close()
    del token
    status = _compute(ours)
    _, reported = os.waitpid(reporter, 0)
    return status or os.waitstatus_to_exitcode(reported)


def _whom(url: str, tokens: str) -> tuple[str, str]:
    """Return where this pod reports and by which token: that of a part is one of several."""
    number = os.environ.get(INDEX_VARIABLE)
    if number is None:
        return url, tokens
    return f"{url}?{PART}={int(number)}", tokens.split(",")[int(number)]


def _compute(conversation: socket.socket) -> int:
    """Hear the orders, compute, and say how it ended."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a thread made before `confine` is not confined
    # not before the fork: they fill hundreds of MiB
    from wps_processes.jobs.folder import open_log
    from wps_processes.runners import worker
    from wps_processes.runners.job_log import kept_by_a_process

    with conversation, conversation.makefile("rw", encoding="utf-8", newline="\n") as stream:
        orders = stream.readline()
        if not orders:
            return 1  # the reporter has said why
        request = json.loads(orders)
        log = open_log(worker.storage_in(request), request["id"])
        sink, keeper = kept_by_a_process(log)
        for printed in (1, 2):
            os.dup2(sink, printed)
        for descriptor in (sink, log):
            os.close(descriptor)
        worker.prepare()
        status = worker.execute(request, worker.Reporter(stream))
    _close_log(keeper)
    return status


def _close_log(keeper: int) -> None:
    """Flush what was printed before the container ends."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for printed in (1, 2):
        os.dup2(nothing, printed)
    os.waitpid(keeper, 0)


def _report(conversation: socket.socket, route: Route, computing: int) -> int:
    """Speak with the service for the process that computes; return the exit status."""
    if not die_with_parent(computing):
        return 1
    with conversation, conversation.makefile("rw", encoding="utf-8", newline="\n") as stream:
        try:
            stream.write(route.orders().decode())
            stream.flush()
            words = Outbox()
            threading.Thread(target=words.hear, args=(stream,), daemon=True).start()
            while (word := words.next_in_between()) is not None:
                route.tell(word)
                words.last(_SECONDS_BETWEEN_REPORTS)
            last = words.last()
            if last is None:
                return 1  # it crashed, and so does the container
            route.tell_result(last)
        except (NotWanted, Unavailable) as end:
            print(f"nobody waits for this job any more: {end}", file=sys.stderr, flush=True)
            os.kill(computing, signal.SIGTERM)
            return 1
    return 0


def _persistently(ask: Callable[[], bytes | None], seconds: float) -> bytes:
    """Retry until there is an answer, with exponential back-off.

    Raises:
        Unavailable: there was none for so many seconds.
    """
    deadline, pause = time.monotonic() + seconds, _FIRST_PAUSE
    while (answer := ask()) is None:
        if time.monotonic() > deadline:
            raise Unavailable(f"the service has not answered for {seconds:g} s")
        time.sleep(pause * random.uniform(0.5, 1.0))  # jobs of one restart do not ask together
        pause = min(pause * 2, _LONGEST_PAUSE)
    return answer


def _kind_of(line: str) -> str | None:
    """Return whether a line is progress or remarks, None if it is a last word."""
    try:
        word = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(word, dict):
        return None
    if "progress" in word:
        return "progress"
    return "remarks" if "remarks" in word and not is_last(word) else None


def _end(number: int, frame: object) -> None:
    os._exit(_TERMINATED)


_NOTHING = json.dumps({"error": NO_ANSWER}).encode()


if __name__ == "__main__":
    sys.exit(main())
