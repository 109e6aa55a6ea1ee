"""What an administrator needs to know at a glance: what is wrong, and what to do about it.

Each finding is looked for anew, for itself: what does not answer is a finding and hides no other.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from sqlalchemy.exc import SQLAlchemyError

from landcover.counts import sized
from landcover.disk import room_on
from wps_processes.jobs.ledger import Ledger, rfc3339
from wps_processes.jobs.membership import HubUnavailable, hub_version
from wps_processes.runners import sandbox

BACKED_UP = "backed-up"
"""The file in the state folder that the last command of a back-up touches."""

State = Literal["good", "weak", "wrong"]
_SLOW_SECONDS = 0.5
_SCARCE = 0.1
"""Below this share of free room, or this many bytes, a disk is soon full; `_FULL` is too late."""
_SCARCE_BYTES, _FULL_BYTES = 5 << 30, 64 << 20
_DAYS_WITHOUT_BACK_UP = 8
_LONG_WAIT = timedelta(hours=1)


@dataclass(frozen=True)
class Finding:
    """One line of the page.

    Attributes:
        about: of what.
        state: whether an administrator must do something: now (wrong), soon (weak), or not.
        says: what was found.
        remedy: what to do; "" if nothing.
    """

    about: str
    state: State
    says: str
    remedy: str = ""


@dataclass
class Health:
    """Looks at what the service stands on.

    Attributes:
        ledger: of jobs.
        state: the folder of the ledger and of keys, where a back-up leaves its mark.
        storage: root of the storage tree.
        confines: whether jobs are processes of this machine, which `sandbox` confines.
        ask_hub: returns the hub's version.
    """

    ledger: Ledger
    state: Path
    storage: Path
    confines: bool = True
    ask_hub: Callable[[], str] = hub_version
    _began: datetime = field(default_factory=lambda: datetime.now(UTC), init=False)

    def findings(self) -> list[Finding]:
        """Check everything, for at most some seconds."""
        return [
            self._hub(),
            self._service(),
            self._ledger(),
            *(self._disk(about, folder) for about, folder in self._folders()),
            self._queue(),
            self._back_up(),
            self._sandbox(),
        ]

    def _hub(self) -> Finding:
        try:
            return Finding("Hub", "good", f"JupyterHub {self.ask_hub()} answers.")
        except HubUnavailable as error:
            return Finding(
                "Hub", "wrong", f"It does not answer: {error}.",
                "Nobody signs in until it does: start it again, and read its log.",
            )  # fmt: skip

    def _service(self) -> Finding:
        release = version("landcover-geoportal")
        since = f"{self._began:%-d %B %Y, %H:%M} UTC"
        return Finding("Processing", "good", f"Release {release} answers, since {since}.")

    def _ledger(self) -> Finding:
        began = time.monotonic()
        try:
            services = self.ledger.services()
        except SQLAlchemyError as error:
            return Finding(
                "Ledger", "wrong", f"It does not answer: {type(error).__name__}.",
                "No job starts or ends until it does: the service's log names the reason.",
            )  # fmt: skip
        took = time.monotonic() - began
        kind = f"PostgreSQL, shared by {services}" if self.ledger.shared else "SQLite"
        says = f"{kind} answers in {took * 1e3:.0f} ms."
        if took < _SLOW_SECONDS:
            return Finding("Ledger", "good", says)
        return Finding(
            "Ledger", "weak", says, "Its disk or network is slow: see what else uses it."
        )

    def _folders(self) -> list[tuple[str, Path]]:
        """Return what is on a disk of its own."""
        if _device(self.state) == _device(self.storage):
            return [("Disk", self.storage)]
        return [("Disk of the storage", self.storage), ("Disk of the state", self.state)]

    def _disk(self, about: str, folder: Path) -> Finding:
        try:
            free, total = room_on(folder), shutil.disk_usage(folder).total
        except OSError as error:
            return Finding(
                about, "wrong", f"{folder} cannot be read: {error.strerror}.",
                "Mount it again; jobs fail until then.",
            )  # fmt: skip
        says = f"{sized(free)} of {sized(total)} are free."
        if free < _FULL_BYTES:
            return Finding(
                about, "wrong", says,
                "Jobs fail, and files cannot be saved: delete what is not needed, or enlarge it.",
            )  # fmt: skip
        if free < _SCARCE_BYTES and free < _SCARCE * total:
            return Finding(about, "weak", says, "It is full soon: free some room, or enlarge it.")
        return Finding(about, "good", says)

    def _queue(self) -> Finding:
        try:
            queue = self.ledger.queue(since=rfc3339(datetime.now(UTC) - timedelta(days=1)))
            is_paused = self.ledger.is_paused
        except SQLAlchemyError:
            return Finding("Queue", "wrong", "It is not known.", "See the ledger.")
        says = (
            f"{queue.running} running, {queue.waiting} waiting; in a day {queue.failed} failed of "
            f"{queue.recent}."
        )
        if is_paused:
            return Finding(
                "Queue", "weak", f"Paused. {says}", "Resume it on the page Administration."
            )
        oldest = queue.oldest and datetime.now(UTC) - datetime.fromisoformat(queue.oldest)
        if oldest and oldest > _LONG_WAIT and not queue.running:
            return Finding(
                "Queue", "wrong", f"{says} None runs, and one waits for {_days_or_hours(oldest)}.",
                "The service's log says why none starts; start the service again.",
            )  # fmt: skip
        return Finding("Queue", "good", says)

    def _back_up(self) -> Finding:
        remedy = "Back up as helm/README.md says; its last command tells this page."
        try:
            at = datetime.fromtimestamp((self.state / BACKED_UP).stat().st_mtime, UTC)
        except OSError:
            return Finding("Back-up", "wrong", "None was ever told.", remedy)
        age = datetime.now(UTC) - at
        says = f"The last one was {_days_or_hours(age)} ago, {at:%-d %B %Y, %H:%M} UTC."
        if age > timedelta(days=_DAYS_WITHOUT_BACK_UP):
            return Finding("Back-up", "weak", says, remedy)
        return Finding("Back-up", "good", says)

    def _sandbox(self) -> Finding:
        if not self.confines:
            return Finding(
                "Sandbox", "good", "Jobs are pods: their nodes and network policies confine them."
            )
        holes = tuple(sandbox.confinement_here().holes())
        if not holes:
            return Finding("Sandbox", "good", "The kernel confines jobs in all that we ask of it.")
        return Finding(
            "Sandbox", "weak", f"This kernel has {'; '.join(holes)}.",
            "Linux 6.12 or newer with Landlock, seccomp and namespaces confines jobs in all.",
        )  # fmt: skip


def summary(findings: list[Finding]) -> str:
    """Return in one sentence how all is."""
    wrong = [each.about for each in findings if each.state == "wrong"]
    weak = [each.about for each in findings if each.state == "weak"]
    if wrong:
        return f"To be mended now: {', '.join(wrong)}."
    return f"To be looked at: {', '.join(weak)}." if weak else "All is well."


def _device(folder: Path) -> int | None:
    try:
        return folder.stat().st_dev
    except OSError:
        return None


def _days_or_hours(age: timedelta) -> str:
    hours = max(0, int(age.total_seconds() // 3600))
    count, unit = (hours // 24, "day") if hours >= 48 else (hours, "hour")
    return f"{count} {unit}{'' if count == 1 else 's'}"
