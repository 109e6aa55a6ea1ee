"""What the jobs service refuses, said for whoever speaks with the client to translate.

    JobsError
    ├── InvalidInput        an input of a call is invalid; it knows which one
    │   └── MissingInput    an input is needed and was not given
    ├── NoSuchOperation     no operation of this identifier is published
    ├── NoSuchJob           the caller has no such job
    ├── NoSuchOutput        a job has written no such file, or the file is gone
    ├── OutputTooLarge      a file is larger than what may be read at once
    ├── JobOver             a job is over already, and cannot be dismissed
    ├── JobFailed           a job ended without outputs; the sentence is the job's
    ├── TookTooLong         a synchronous call did not end in time, and was dismissed
    ├── QuotaReached        the caller's files take all the room they may
    ├── UploadRefused       the name, the size or a part of an upload is invalid
    ├── NoSuchUpload        the caller has no such upload, or no more
    ├── UploadConflict      a name is taken, or a part is none that follows
    │   └── AlreadyThere    by a file of the same size
    ├── UploadBusy          another request adds to an upload
    ├── NotPermitted        the caller may not do this
    └── TryLater            not now; it knows after how many seconds to ask again
        ├── Busy            a limit on jobs or calls is reached
        └── Unavailable     the ledger or the hub does not answer

None of them knows a protocol. WPS translates them in `wps_processes.wps.exceptions`, the pages and
the JSON of jobs in `wps_processes.http.errors`, and nobody else.
"""

from landcover.errors import LandcoverError

RETRY_SECONDS = 30
"""After so many seconds a client may ask again, if nothing better is known."""


class JobsError(LandcoverError):
    """The family; the sentence says what was found and what is needed."""


class InvalidInput(JobsError):
    """An input of a call is invalid.

    Attributes:
        input: its name.
    """

    def __init__(self, sentence: str, name: str) -> None:
        """Store the sentence, and which input it is about."""
        super().__init__(sentence)
        self.input = name


class MissingInput(InvalidInput):
    """An input is needed and was not given."""


class NoSuchOperation(JobsError):
    """No operation of this identifier is published."""


class NoSuchJob(JobsError):
    """The caller has no such job; another user's job is as if it were not there."""


class NoSuchOutput(JobsError):
    """A job has written no such file, or the file is gone, or it is a folder."""


class OutputTooLarge(JobsError):
    """A file is larger than what may be read at once."""


class JobOver(JobsError):
    """A job is over already, and cannot be dismissed."""


class JobFailed(JobsError):
    """A job ended without outputs; the sentence is the job's own."""


class TookTooLong(JobsError):
    """A synchronous call did not end in time, and was dismissed."""


class QuotaReached(JobsError):
    """The caller's files take all the room they may."""


class UploadRefused(JobsError):
    """The name, the size or a part of an upload is invalid."""


class NoSuchUpload(JobsError):
    """The caller has no such upload, or no more; another user's is as if it were not there."""


class UploadConflict(JobsError):
    """The name of an upload is taken, or a part is none that follows on what has arrived."""


class AlreadyThere(UploadConflict):
    """A file of this name and size is there.

    Attributes:
        name: its storage name.
    """

    def __init__(self, sentence: str, name: str) -> None:
        """Store the sentence, and which file is there."""
        super().__init__(sentence)
        self.name = name


class UploadBusy(JobsError):
    """Another request adds to an upload."""


class NotPermitted(JobsError):
    """The caller may not do this."""


class TryLater(JobsError):
    """A call that is not taken now; nothing is lost by trying again.

    Attributes:
        retry_seconds: after so many seconds it may be tried again.
    """

    retry_seconds = RETRY_SECONDS


class Busy(TryLater):
    """A limit is reached; the sentence says whose limit, and how high it is."""


class Unavailable(TryLater):
    """The ledger of jobs or the hub does not answer."""
