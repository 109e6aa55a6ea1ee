"""What an administrator chose for the service: every environment variable that it reads.

The hub sets most of them for a service that it starts, the chart for one in a cluster.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import ConfigDict, Field

from landcover.storage.remote import MOST_MIB
from wps_processes.environment import (
    PREFIX,
    FromEnvironment,
    SettingsError,
    Whole,
    misspelled,
    shown,
)
from wps_processes.jobs.databases import LedgerRefused, is_shared
from wps_processes.jobs.ledger import LEASE_SECONDS, Limits
from wps_processes.runners.kubernetes.settings import ClusterSettings
from wps_processes.runners.messages import TOKEN_VARIABLE, URL_VARIABLE

_DAY = 86_400
_MANY = 10**9
_ADDRESS = r"^https?://[^\s/]+\S*$"
OTHERS = {
    *(
        f"{PREFIX}{name}"
        for name in (
            # the hub's
            "PORT", "SETTINGS", "INSTANCE", "CRYPT_KEY", "WPS_TOKEN",
            # of the programs that the hub starts: the culler, users' servers
            "IDLE_SECONDS", "LOOK_SECONDS", "PROXY_URL", "COURSE", "WPS_URL",
            # of the tests
            "ENGINE", "REQUIRE_BROWSER", "REQUIRE_TORCH", "TEST_IMAGES", "TEST_KUBERNETES",
            "TEST_NEXTCLOUD", "TEST_VALUES",
        )
    ),
    URL_VARIABLE,
    TOKEN_VARIABLE,
}  # fmt: skip
"""Variables of other programs of the geoportal, which are no slips of the pen here."""


class Settings(FromEnvironment):
    """All of them; each field is the variable GEOPORTAL_FIELD, unless it says otherwise.

    Attributes:
        cluster: how jobs run in the cluster; None if they are processes of this machine.
    """

    model_config = ConfigDict(alias_generator=lambda name: f"{PREFIX}{name.upper()}")
    nested: ClassVar = ("cluster",)

    service_url: str = Field(
        alias="JUPYTERHUB_SERVICE_URL",
        pattern=r"^http://(\[[0-9A-Fa-f:]+\]|[^\s/:]+):\d{1,5}(/\S*)?$",
        description="where the service listens; set by the hub",
        json_schema_extra={"needs": "an address with a port, such as http://127.0.0.1:8001"},
    )
    service_prefix: str = Field(
        alias="JUPYTERHUB_SERVICE_PREFIX",
        pattern=r"^/(\S*/)?$",
        description="path below which it answers; set by the hub",
        json_schema_extra={"needs": "a path such as /services/wps/"},
    )
    state: Path = Field(
        description="folder of the ledger and of keys",
        json_schema_extra={"needs": "the path of a folder that is there"},
    )
    storage: Path | None = Field(
        default=None,
        description="root of the storage tree",
        json_schema_extra={
            "needs": "the path of a folder", "default": "`storage` in `GEOPORTAL_STATE`",
        },
    )  # fmt: skip
    public_url: str = Field(
        default="",
        pattern=_ADDRESS,
        description="address of the geoportal for people",
        json_schema_extra={
            "needs": "an address such as https://maps.example.org",
            "default": "that of each request",
        },
    )
    sync_seconds: float = Field(
        default=60, gt=0, le=_DAY, description="seconds that a synchronous call waits"
    )
    jobs_at_once: Whole = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        le=10_000,
        description="jobs that run at a time, of this service",
        json_schema_extra={"default": "number of processors"},
    )
    jobs_per_user: Whole = Field(
        default=Limits.per_user,
        ge=1,
        le=_MANY,
        description="jobs of one user that wait or run at a time",
    )
    jobs_in_total: Whole = Field(
        default=Limits.in_total,
        ge=1,
        le=_MANY,
        description="jobs of all users that wait or run at a time",
    )
    jobs_kept_days: float = Field(
        default=30, gt=0, le=36_500, description="days after which finished jobs are forgotten"
    )
    home_quota: Whole = Field(
        default=0,
        ge=0,
        le=2**63 - 1,
        description="bytes that a user's files may take; then no more jobs; 0 is no limit",
    )
    jobs_run_in: Literal["processes", "kubernetes"] = Field(
        default="processes", description="where jobs compute"
    )
    job_longest_seconds: Whole = Field(
        default=_DAY,
        ge=1,
        le=2**31 - 1,
        description="seconds after which a job is ended; sooner if its operation says that it "
        "takes no longer",
    )
    job_key_file: Path | None = Field(
        default=None,
        description="file of the key from which tokens of jobs follow, 32 bytes or more; "
        "needed if services share a ledger",
        json_schema_extra={
            "needs": "the path of a file", "default": "`job-token.key` in `GEOPORTAL_STATE`",
        },
    )  # fmt: skip
    ledger: str = Field(
        default="",
        description="the ledger of jobs; its URL may hold a password",
        json_schema_extra={
            "needs": "the URL of a database", "default": "`jobs.sqlite` in `GEOPORTAL_STATE`",
        },
    )  # fmt: skip
    ledger_file: Path | None = Field(
        default=None,
        description="file that holds that URL, in its place",
        json_schema_extra={"needs": "the path of a file", "default": "none"},
    )
    lease_seconds: float = Field(
        default=LEASE_SECONDS,
        gt=0,
        le=_DAY,
        description="seconds without a sign of a service after which others take its jobs over",
    )
    nextcloud_token_url: str = Field(
        default="",
        pattern=_ADDRESS,
        description="the hub's token service for Nextcloud; set by the hub",
        json_schema_extra={"needs": "an address", "default": "there is no Nextcloud"},
    )
    nextcloud_silence_seconds: float = Field(
        default=60, gt=0, le=_DAY,
        description="seconds after which a Nextcloud is left that says next to nothing",
    )  # fmt: skip
    fetched_mib: Whole = Field(
        default=MOST_MIB, ge=1, le=2**40,
        description="MiB that are fetched from Nextcloud for one input at most",
    )  # fmt: skip
    share_links: Literal["on", "off"] = Field(
        default="on", description="whether users may share by a link"
    )
    cluster: ClusterSettings | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read them.

        Raises:
            SettingsError: one is missing or invalid, or two contradict each other.
        """
        settings = super().from_environment(environ)
        if not settings.state.is_dir():
            raise SettingsError(
                f"GEOPORTAL_STATE is {shown(settings.state)}, needs a folder that is there"
            )
        shares = settings._shares_ledger()
        if settings.jobs_run_in != "kubernetes":
            return settings
        if shares and settings.job_key_file is None:
            raise SettingsError(
                "GEOPORTAL_JOB_KEY_FILE is not set, needs the path of a file with one key for all "
                "services that share the ledger"
            )
        cluster = ClusterSettings.from_environment(environ)
        return settings.model_copy(update={"cluster": cluster})

    @property
    def storage_root(self) -> Path:
        """Root of the storage tree."""
        return self.storage or self.state / "storage"

    @property
    def ledger_place(self) -> Path | str:
        """Where the ledger lies: a file of SQLite, or the URL of a database.

        Raises:
            SettingsError: two places are named, or the file that holds the URL cannot be read.
        """
        if self.ledger and self.ledger_file:
            raise SettingsError(
                "GEOPORTAL_LEDGER and GEOPORTAL_LEDGER_FILE are both set, needs one of them"
            )
        if self.ledger_file:
            return text_in(self.ledger_file, "GEOPORTAL_LEDGER_FILE")
        return self.ledger or self.state / "jobs.sqlite"

    def _shares_ledger(self) -> bool:
        place = self.ledger_place
        try:
            return is_shared(place)
        except LedgerRefused as error:
            variable = "GEOPORTAL_LEDGER_FILE" if self.ledger_file else "GEOPORTAL_LEDGER"
            raise SettingsError(f"{variable}: {error}") from None  # the URL may hold a password


def misspelled_settings(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable that looks like a misspelled setting."""
    read = [*Settings.variables(), *ClusterSettings.variables()]
    return misspelled(environ, read, OTHERS)


def text_in(file: Path, variable: str) -> str:
    """Return the text in a file that a variable names.

    Raises:
        SettingsError: it cannot be read, or is empty.
    """
    try:
        text = file.read_text().strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError(f"{variable} is {shown(file)}, needs a readable file: {why}") from None
    if not text:
        raise SettingsError(f"{variable} is {shown(file)}, needs a file that is not empty")
    return text
