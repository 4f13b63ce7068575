"""`backup` in appliance.yaml, as pydantic reads it. Pure.

A repository's keys stand side by side, whatever its kind; which belong to it is for backup_checks.py, whose
words fit an operator better than those of a union of shapes.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from appliance.contract.backup import Policy, Retention, Sftp
from appliance.desk.config import backup_values as values
from appliance.desk.config.pieces import FilePath, Secret, Section, schema, text

_KEPT = Retention()
_POLICY = Policy.model_fields
_PORT = Sftp.model_fields["port"].default

Host = Annotated[str, text(values.host), schema(examples=["u123456.your-storagebox.de"])]
User = Annotated[str, text(values.user), schema(examples=["u123456"])]
# A folder of the node begins with /, a path at a store does not; what it must be, the kind says.
StorePath = Annotated[
    str, text(lambda said: values.folder(said) if said.startswith("/") else values.path(said))
]
HostKey = Annotated[str, text(values.host_key), schema(examples=["ssh-ed25519 AAAA..."])]
Endpoint = Annotated[str, text(values.endpoint), schema(format="uri")]
Bucket = Annotated[str, text(values.bucket)]
Region = Annotated[str, text(values.region)]
Webhook = Annotated[str, text(values.webhook), schema(format="uri")]
Count = Annotated[int, Field(ge=0, le=10_000)]


class RepositorySection(Section):
    kind: Literal["sftp", "s3", "folder"] = Field(
        description="sftp: a Storage Box. s3: any S3-compatible store. folder: one mounted on the node."
    )
    host: Host | None = Field(None, description="sftp: the box, like u123456.your-storagebox.de.")
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        None, description=f"sftp: {_PORT} if left out."
    )
    user: User | None = Field(None, description="sftp: the account, like u123456.")
    host_key: HostKey | None = Field(None, description=f"sftp: the box's. {values.SCAN}.")
    endpoint: Endpoint | None = Field(None, description="s3: like https://fsn1.your-objectstorage.com.")
    bucket: Bucket | None = Field(None, description="s3: its name.")
    prefix: StorePath | None = Field(None, description="s3: where in the bucket, like gateway.")
    region: Region | None = Field(None, description="s3: where the store wants one.")
    path: StorePath | None = Field(
        None, description="sftp: in the account's home, like gateway. folder: from the root of the node."
    )
    append_only: bool | None = Field(
        None, description="true: the node can add backups and not delete them. sftp: true if left out."
    )


class RetentionSection(Section):
    """How many backups are kept."""

    hourly: Count = Field(_KEPT.hourly, description="The last of each of so many hours.")
    daily: Count = Field(_KEPT.daily, description="Of so many days.")
    weekly: Count = Field(_KEPT.weekly, description="Of so many weeks.")
    monthly: Count = Field(_KEPT.monthly, description="Of so many months.")
    within_days: Annotated[int, Field(ge=1, le=3650)] = Field(
        _KEPT.within_days, description="All of so many days, whatever else is there."
    )


class BackupSection(Section):
    repository: RepositorySection = Field(description="Where backups go: kind, and the keys of that kind.")
    passphrase: Secret = Field(description="Of the repository: env:NAME or file:PATH. Keep a copy elsewhere.")
    ssh_key: Secret | None = Field(None, description="sftp: the node's own key, file:PATH.")
    operator_key: FilePath | None = Field(
        None, description="sftp: the desk's key, for `backup prune`. Never on the node."
    )
    s3_id: Secret | None = Field(None, description="s3: the access key's id, env:NAME or file:PATH.")
    s3_secret: Secret | None = Field(None, description="s3: the access key's secret, env:NAME or file:PATH.")
    every_hours: Annotated[int, Field(ge=1, le=24)] = Field(
        _POLICY["every_hours"].default, description="How often: what is lost at most."
    )
    retention: RetentionSection = RetentionSection()
    verify_percent: Annotated[int, Field(ge=1, le=100)] = Field(
        _POLICY["verify_percent"].default, description="How much of the data is read back every week."
    )
    secrets: bool = Field(
        True, description="Keys and token too, encrypted like all of it. false: a restore ends with a push."
    )
    webhook: Webhook | None = Field(None, description="Gets a POST when a backup fails.")
