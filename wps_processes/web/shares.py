"""Share or store the results of jobs from their pages, in the background: an upload takes long."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from landcover.errors import InputError, LandcoverError
from landcover.progress import progress_to
from landcover.storage import Audience, Storage
from landcover.storage.nextcloud import AskAccess
from landcover.storage.sharing import links_are_offered, share_from, store_from
from wps_processes.jobs.ledger import Job

LOGGER = logging.getLogger(__name__)
OF_A_USER, OF_ALL = 2, 8
"""So many run at a time."""

_JOBS_REMEMBERED = 1_000
_SECONDS_TO_SEE_THE_END = 2.0
OUR_FAULT = "this failed by our fault, an administrator finds more in the service's log"


@dataclass
class Sharing:
    """One of them, as a page shows it.

    Attributes:
        user: whose it is.
        name: storage name of what is shared or stored.
        audience: with whom; None if it is only stored at its owner's Nextcloud.
        sentence: how far it is, or what became of it.
        ended: set when it is over.
        failed: whether nothing was shared or stored.
    """

    user: str
    name: str
    audience: Audience | None
    sentence: str = ""
    ended: threading.Event = field(default_factory=threading.Event)
    failed: bool = False


class Sharings:
    """Those that run, and those that ended since the service began."""

    def __init__(self, root: Path, access: Callable[[str], AskAccess] | None = None) -> None:
        """Share from the storage tree below `root`.

        Args:
            root: of the storage tree.
            access: gives, for a hub user's name, what asks for the user's access to Nextcloud;
                None if the tree is all there is.
        """
        self._root, self._access = root, access
        self._lock = threading.Lock()
        self._of_job: OrderedDict[str, list[Sharing]] = OrderedDict()

    @property
    def by_nextcloud(self) -> bool:
        """Whether users and links can be shared with."""
        return self._access is not None

    @property
    def by_link(self) -> bool:
        """Whether users may share by a link."""
        return self.by_nextcloud and links_are_offered()

    def of(self, job_id: str) -> list[Sharing]:
        """Return a job's sharings, oldest first."""
        with self._lock:
            return list(self._of_job.get(job_id, ()))

    def start(
        self, job: Job, groups: tuple[str, ...], name: str, audience: Audience | None
    ) -> Sharing:
        """Share or store a result; on return it has ended, or goes on.

        Args:
            job: a successful job.
            groups: of which its owner is a member now.
            name: one of the job's outputs.
            audience: with whom; None to store it at its owner's Nextcloud.

        Raises:
            InputError: too many are on their way.
        """
        sharing = Sharing(job.user, name, audience)
        with self._lock:
            running = [
                s for of_job in self._of_job.values() for s in of_job if not s.ended.is_set()
            ]
            if sum(s.user == job.user for s in running) >= OF_A_USER or len(running) >= OF_ALL:
                raise InputError("other files are on their way, wait until they are there")
            self._of_job.setdefault(job.id, []).append(sharing)
            self._of_job.move_to_end(job.id)
            if len(self._of_job) > _JOBS_REMEMBERED:
                self._of_job.popitem(last=False)
        storage = Storage(self._root, job.folder, groups)
        threading.Thread(
            target=self._share, args=(sharing, storage), name="sharing", daemon=True
        ).start()
        sharing.ended.wait(_SECONDS_TO_SEE_THE_END)
        return sharing

    def _share(self, sharing: Sharing, storage: Storage) -> None:
        def hear(fraction: float, sentence: str) -> None:
            sharing.sentence = sentence

        name, audience = sharing.name, sharing.audience
        who = {"user": sharing.user, "file": name}
        try:
            access = None if self._access is None else self._access(sharing.user)
            with progress_to(hear):
                if audience is None:
                    path = store_from(storage, name, access)
                    sharing.sentence = f"your Nextcloud has {name} as {path}"
                else:
                    sharing.sentence = str(share_from(storage, name, audience, access))
            whom = audience and (audience.user or audience.group or "a link")
            LOGGER.info("shared" if audience else "stored", extra=who | {"with": whom})
        except LandcoverError as error:
            sharing.sentence, sharing.failed = str(error), True
        except Exception:
            LOGGER.exception("sharing failed", extra=who)
            sharing.sentence, sharing.failed = OUR_FAULT, True
        finally:
            sharing.ended.set()
