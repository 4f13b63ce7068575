"""Backups: what the desk orders, what the node keeps and reports, what restore.sh finds.

A backup is one snapshot in a restic repository, of two folders of the node: STAGING, on its disk, and
SECRETS_STAGING, in its memory, which holds nothing but the secrets in clear. The same paths in every backup,
on every node: so restic tells what changed, and restore.sh knows where all of it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

FORMAT = 1
NO_END = "it came to no end"
RUN_LONGEST = timedelta(hours=1)  # TimeoutStartSec of appliance-backup.service

STAGING = "/var/lib/appliance/backup"
SECRETS_STAGING = "/run/appliance-backup"
# Below STAGING
MANIFEST = "manifest.json"  # Manifest, a key a line: restore.sh reads it with sed
SUMS = "SHA256SUMS"  # of every file below, as sha256sum writes and checks it
STATE = "state"  # OpenClaw's folder, its databases as its own `backup create` makes them
BUNDLE = "bundle"  # the bundle in force: manifest.json, files/...
TLS = "tls"  # the certificate of the appliance's own CA, where there is one
RECIPE = "recipe"  # what the node was baked from: on a bare Debian restore.sh bakes it again
# Below SECRETS_STAGING
SECRETS = "secrets.json"  # {name: value}: the bundle's
OWN_TLS_KEY = "own-tls-key.pem"  # of the certificate in TLS

LAST_BACKUP = "/var/lib/appliance/backup.json"  # LastBackup
POLICY = "backup.json"  # Policy, a file of the bundle

# Names of a bundle's secrets, not secrets.
PASSPHRASE = "backup-passphrase"  # noqa: S105
SSH_KEY = "backup-ssh-key"  # the node's, for kind sftp
S3_ID = "backup-s3-id"
S3_SECRET = "backup-s3-secret"  # noqa: S105


class Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


# Words of a command line at the store: no blank, no quote, no leading dash, and nowhere "..".
Path = Annotated[str, Field(pattern=r"^(\w|\.\w)[\w@-]*([./]\w[\w@-]*|/\.\w[\w@-]*)*$")]
Name = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]


class Sftp(Shape):
    """A Storage Box, or any other SSH server.

    `append_only`: the node's key is bound, in the store's authorized_keys, to `append_command`. It can add to
    the repository, and neither change nor delete what is there.
    """

    kind: Literal["sftp"] = "sftp"
    host: Name
    port: int = Field(default=23, ge=1, le=65535)
    user: Name
    path: Path  # relative to the account's home
    host_key: str = Field(pattern=r"^\w[\w@.-]* [\w+/=]+$")  # type and base64, as in known_hosts
    append_only: bool = True

    @property
    def address(self) -> str:
        """Restic's, for a key that may do everything."""
        return f"sftp://{self.user}@{self.host}:{self.port}/{self.path}"

    @property
    def known_host(self) -> str:
        """The line of known_hosts, as ssh looks for it: a port is named where it is not ssh's own."""
        name = self.host if self.port == 22 else f"[{self.host}]:{self.port}"
        return f"{name} {self.host_key}\n"

    @property
    def append_command(self) -> str:
        return f"rclone serve restic --stdio --append-only {self.path}"

    def authorized_key(self, public_key: str) -> str:
        """The line of authorized_keys for the node's key."""
        if not self.append_only:
            return public_key
        return f'restrict,command="{self.append_command}" {public_key}'

    def ssh(self, key: str, known_hosts: str) -> list[str]:
        """The way there. `key` and `known_hosts` are paths without blanks."""
        options = {
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "yes",
            "ConnectTimeout": 20,
            "ServerAliveInterval": 15,
            "ServerAliveCountMax": 4,
            "UserKnownHostsFile": known_hosts,
        }
        told = [f"-o{name}={value}" for name, value in options.items()]
        return ["ssh", "-F", "none", *told, "-i", key, "-p", str(self.port), f"{self.user}@{self.host}"]

    def restic(self, key: str, known_hosts: str, *, append: bool) -> list[str]:
        """Restic's words for where and how."""
        ssh = " ".join(self.ssh(key, known_hosts))
        if append:  # restic speaks to what runs at the other end as if it were its own rclone
            return ["-o", f"rclone.program={ssh}", "--repo", f"rclone:{self.path}"]
        return ["-o", f"sftp.command={ssh} -s sftp", "--repo", self.address]


class S3(Shape):
    """Any S3-compatible store."""

    kind: Literal["s3"] = "s3"
    endpoint: str = Field(pattern=r"^https?://[^\s?#@/]+$")
    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    prefix: Path
    region: str = ""
    append_only: bool = False  # the store's own: object lock, or a policy without DeleteObject outside locks/

    @property
    def address(self) -> str:
        return f"s3:{self.endpoint}/{self.bucket}/{self.prefix}"

    def restic(self) -> list[str]:
        region = ["-o", f"s3.region={self.region}"] if self.region else []
        return [*region, "--repo", self.address]


class Folder(Shape):
    """A folder of the node: another file system mounted there. On the node's own disk it saves nothing."""

    kind: Literal["folder"] = "folder"
    path: str = Field(pattern=r"^/[\w./@-]+$")
    append_only: Literal[False] = False

    @property
    def address(self) -> str:
        return self.path

    def restic(self) -> list[str]:
        return ["--repo", self.path]


Repository = Annotated[Sftp | S3 | Folder, Field(discriminator="kind")]


class Retention(Shape):
    """How many are kept. Zero: none for that reason."""

    hourly: int = Field(default=48, ge=0)
    daily: int = Field(default=14, ge=0)
    weekly: int = Field(default=8, ge=0)
    monthly: int = Field(default=12, ge=0)
    within_days: int = Field(default=3, ge=1)  # all of these, whatever a broken-in node added beside them

    def words(self) -> list[str]:
        """Of `restic forget`."""
        counted = {"hourly": self.hourly, "daily": self.daily, "weekly": self.weekly, "monthly": self.monthly}
        words = [f"--keep-{name}={count}" for name, count in counted.items() if count]
        return [*words, f"--keep-within={self.within_days}d"]


class Policy(Shape):
    """What the node does by itself; a file of the bundle."""

    format: int = FORMAT
    name: str  # of the appliance: the backups' host at restic, the same for every node after the other
    repository: Repository
    retention: Retention = Retention()
    every_hours: int = Field(default=1, ge=1, le=24)
    verify_percent: int = Field(default=10, ge=1, le=100)  # of the data, read back every week
    secrets: bool = True  # whether the bundle's secrets are in it
    webhook: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")  # told of failures

    @property
    def prunes(self) -> bool:
        """Whether the node does; where it can only append, the operator does."""
        return not self.repository.append_only


class Manifest(Shape):
    """What is in one backup."""

    format: int = FORMAT
    name: str  # of the appliance
    node: str
    at: datetime
    openclaw: str  # version
    node_js: str  # version
    snapshot_inputs: str  # digest of what the node's snapshot was baked from
    bundle: str  # digest
    workloads: tuple[str, ...]
    secrets: bool
    files: int
    bytes: int
    sums: str  # sha256 hex of SUMS, which has those of all files

    @field_validator("at")
    @classmethod
    def _whole(cls, at: datetime) -> datetime:
        if at.tzinfo is None:
            raise ValueError("a time without a zone")
        return at.replace(microsecond=0)

    def text(self) -> str:
        """A key a line."""
        return self.model_dump_json(indent=1) + "\n"


def sums(digests: Mapping[str, str]) -> str:
    """SUMS from path (below STAGING) -> sha256 hex."""
    return "".join(f"{digest}  {path}\n" for path, digest in sorted(digests.items()))


class Kept(BaseModel):
    """A backup in the store, as `appliance-node backup list` tells it."""

    model_config = ConfigDict(frozen=True)

    id: str
    at: datetime
    name: str  # of the appliance
    bytes: int | None = None  # of the files; None: an old restic made it
    added: int | None = None  # bytes in the store


class LastBackup(Shape):
    """The node's memory of its backups. `at`, `id` and sizes are of the last good one."""

    tried_at: datetime
    error: str | None = None  # of the last try; None too while one is at work, or when it died
    repository: str | None = None  # the address that the last good one went to
    at: datetime | None = None
    id: str | None = None
    seconds: float | None = None
    bytes: int | None = None  # of the files
    added: int | None = None  # bytes in the store
    verified_at: datetime | None = None
    verify_tried_at: datetime | None = None
    verify_error: str | None = None

    def complaint(self, now: datetime, every_hours: int) -> str | None:
        """What is wrong, in a line; None when all is well. A run may come late by half its interval."""
        died = self.without_end and now - self.tried_at > RUN_LONGEST
        error = NO_END if died else self.error
        if self.at is None:  # the first has as long as any
            return f"there is no backup: {error}" if error else None
        age = now - self.at
        if error:
            return f"the last try failed, the last backup is {_age(age)} old: {error}"
        if age > timedelta(hours=every_hours) * 1.5 + timedelta(minutes=15):
            return f"the last backup is {_age(age)} old: none was tried since"
        if self.verify_error:
            return f"the last backup did not verify: {self.verify_error}"
        return None

    @property
    def without_end(self) -> bool:
        """Of a try that left `tried_at` when it began, and neither `at` nor `error`: at work, or dead."""
        return self.error is None and (self.at is None or self.at < self.tried_at)


def _age(age: timedelta) -> str:
    minutes = max(0, int(age.total_seconds() // 60))
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{minutes // 60} hours" if minutes < 48 * 60 else f"{minutes // 1440} days"
