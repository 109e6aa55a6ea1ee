"""Work in parts: each is computed by whoever is there, and one joins them.

A function divides its work into parts, says how one is computed, and joins them: `computed_parts`.
Who computes is said around it, as with progress: by default this process, one part after another;
`carried_by` names an executor, such as processes of this job, threads, or a cluster of Dask. A
part is written to a sealed file, so that computing it twice, or by somebody else, changes nothing.

A part that fails is computed again, twice at most: a machine may be lost. What is wrong with the
input is not tried again.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from landcover.errors import InputError, LandcoverError, Stopped
from landcover.executors.sealed import (
    open_sealed,
    remarks_of_sealed,
    remove_sealed,
    write_sealed,
)
from landcover.progress import Pace, collecting_notes, remark

ATTEMPTS = 3
_SECONDS_BETWEEN_REPORTS = 1.0
"""So long nobody may have to wait until an operation notices that it is to stop."""


class PartFailed(LandcoverError):
    """A part of the work could not be computed, however often it was tried."""


class ShareSealed(Exception):
    """The share of the parts that this process was to compute is sealed; others join them."""


@dataclass(frozen=True)
class Share:
    """Every `of`-th part, for a process that computes these and joins nothing.

    Attributes:
        index: from 0.
        of: number of shares.
    """

    index: int
    of: int


@dataclass(frozen=True)
class Parts:
    """Work that was divided into parts.

    Attributes:
        compute: computes part `number` of `work` and writes it to a file; a function of a module,
            so that others find it by its name.
        work: what it needs to know; small, for it goes to whoever computes.
        count: number of parts.
        folder: where their files lie, for all who compute and who joins them.
        name: of the files, letters and hyphens.
        seal: all that decides what is computed, JSON.
    """

    compute: Callable[[Any, int, BinaryIO], None]
    work: Any
    count: int
    folder: Path
    name: str
    seal: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """The digest under which each part is sealed, before its number."""
        decides = {"seal": self.seal, "count": self.count}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    def of(self, work: Any) -> "Parts":
        """Return them with what whoever computes needs to know."""
        return replace(self, work=work)

    def file(self, number: int) -> Path:
        """Return where a part lies."""
        return part_file(self.folder, self.name, number)


@dataclass(frozen=True)
class _Order:
    """What whoever computes a part is told: the parts without what only the joining needs."""

    compute: Callable[[Any, int, BinaryIO], None]
    work: Any
    file: Path
    seal: str
    number: int


_carrier: ContextVar[Executor | Share | None] = ContextVar("carrier", default=None)


@contextmanager
def carried_by(carrier: Any) -> Iterator[None]:
    """Let an executor compute the parts of everything in the `with` block.

    Args:
        carrier: any `concurrent.futures.Executor`; a `distributed.Client` of Dask; a `Share`, of
            which this process computes the parts itself; None for this process alone.

    Raises:
        TypeError: it is none of these.
    """
    token = _carrier.set(_as_carrier(carrier))
    try:
        yield
    finally:
        _carrier.reset(token)


def _as_carrier(carrier: Any) -> Executor | Share | None:
    if carrier is None or isinstance(carrier, Executor | Share):
        return carrier
    if hasattr(carrier, "get_executor"):
        # else equal calls have one result, also the second try at a part
        return carrier.get_executor(pure=False)  # type: ignore[no-any-return]
    raise TypeError(
        f"executor is a {type(carrier).__name__}, needed is a concurrent.futures.Executor or a "
        "distributed.Client"
    )


def is_carried() -> bool:
    """Return whether somebody was named to compute parts here."""
    return _carrier.get() is not None


def is_begun(folder: Path, name: str) -> bool:
    """Return whether a part of this name lies in a folder, of whatever work."""
    return folder.is_dir() and any(folder.glob(f".{name}-*.part"))


def part_file(folder: Path, name: str, number: int) -> Path:
    """Return where a part lies."""
    return folder / f".{name}-{number}.part"


@contextmanager
def computed_parts(parts: Parts) -> Iterator[Iterator[BinaryIO]]:
    """Compute the parts that are not sealed yet, and yield the files of all, to be joined.

    They are removed when the block succeeds or is refused, and stay when it is interrupted.

    Yields:
        The parts in their order, each opened when it is asked for.

    Raises:
        InputError: a part says that the input is invalid.
        PartFailed: a part could not be computed, in three attempts.
        ShareSealed: only a share was to be computed here.
    """
    try:
        _compute(parts)
        yield _opened(parts)
    except InputError:
        remove_sealed(parts.folder, parts.name)
        raise
    remove_sealed(parts.folder, parts.name)


def _opened(parts: Parts) -> Iterator[BinaryIO]:
    for number in range(parts.count):
        with open_sealed(parts.file(number)) as file:
            yield file


def _compute(parts: Parts) -> None:
    """Compute what is missing, and repeat the remarks of all parts in their order."""
    carrier, digest = _carrier.get(), parts.digest
    orders = [
        _Order(parts.compute, parts.work, parts.file(number), f"{digest}-{number}", number)
        for number in range(parts.count)
    ]
    if isinstance(carrier, Share):
        _compute_here(parts, orders[carrier.index :: carrier.of])
        raise ShareSealed
    if carrier is None:
        _compute_here(parts, orders)
    else:
        with carried_by(None):
            _Carried(parts, orders, carrier).run()
    for order in orders:
        for sentence in remarks_of_sealed(order.file, order.seal) or ():
            remark(sentence)


def _compute_here(parts: Parts, orders: Sequence[_Order]) -> None:
    pace = Pace(parts.name, len(orders), len(orders))
    for order in orders:
        pace.report()
        if remarks_of_sealed(order.file, order.seal) is None:
            _compute_part(order)
        pace.advance(1)
    pace.report()


def _compute_part(order: _Order) -> None:
    """Compute one part and seal it; in any process."""

    def write(file: BinaryIO) -> list[str]:
        with collecting_notes(lambda sentence: None) as notes, carried_by(None):
            order.compute(order.work, order.number, file)
        return notes.remarks

    write_sealed(order.file, order.seal, write)


class _Carried:
    """Parts that an executor computes."""

    def __init__(self, parts: Parts, orders: Sequence[_Order], executor: Executor) -> None:
        self._parts, self._orders, self._executor = parts, orders, executor
        self._under_way: dict[Future[None], _Order] = {}
        self._attempts = [0] * parts.count

    def run(self) -> None:
        missing = [o for o in self._orders if remarks_of_sealed(o.file, o.seal) is None]
        pace = Pace(self._parts.name, len(self._orders), len(missing))
        pace.report()
        try:
            for order in missing:
                self._submit(order)
            while self._under_way:
                waiting = [*self._under_way]
                ended, _ = wait(waiting, _SECONDS_BETWEEN_REPORTS, FIRST_COMPLETED)
                pace.advance(sum(map(self._is_sealed, ended)))
                pace.report()
        finally:
            for future in self._under_way:
                future.cancel()

    def _submit(self, order: _Order) -> None:
        self._attempts[order.number] += 1
        try:
            self._under_way[self._executor.submit(_compute_part, order)] = order
        except (BrokenExecutor, RuntimeError) as error:  # it is broken, or was shut down
            raise self._failed(order, error) from error

    def _is_sealed(self, future: Future[None]) -> bool:
        """Return whether a part that has ended is computed; else it is tried again."""
        order = self._under_way.pop(future)
        try:
            future.result()
        except (InputError, Stopped):
            raise
        except Exception as error:  # what a lost worker raises, each kind of executor decides
            if self._attempts[order.number] >= ATTEMPTS:
                raise self._failed(order, error) from error
        else:
            if remarks_of_sealed(order.file, order.seal) is not None:
                return True
            if self._attempts[order.number] >= ATTEMPTS:
                raise self._failed(order, "it is not in the folder of the operation, which all "
                                          "workers need to see under the same name")  # fmt: skip
        self._submit(order)
        return False

    def _failed(self, order: _Order, why: object) -> PartFailed:
        reason = why if isinstance(why, str) else f"{type(why).__name__} {why}".strip()
        tried = {1: "once", 2: "twice", 3: "three times"}[self._attempts[order.number]]
        return PartFailed(
            f"{self._parts.name}, part {order.number + 1} of {self._parts.count} failed, tried "
            f"{tried}: {reason}"
        )
