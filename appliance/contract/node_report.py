"""What `appliance-node report --json` prints: the node's own account of itself, read by the desk over SSH."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from appliance.contract.backup import LastBackup
from appliance.contract.drill import Canaries, Summary
from appliance.contract.health import HealthPage


class Certificate(BaseModel):
    model_config = ConfigDict(frozen=True)

    issuer: str
    names: list[str]  # DNS names and addresses it is good for
    not_after: datetime
    fingerprint: str  # sha256 hex of the DER
    pem: str  # the certificate itself: the desk checks who signed it


class Breaker(BaseModel):
    """Of the router: a provider that is asked last for a while."""

    model_config = ConfigDict(frozen=True)

    provider: str
    model: str
    state: str  # closed | open | half-open
    cause: str | None
    seconds_left: float


class NodeReport(BaseModel):
    model_config = ConfigDict(frozen=True)

    node: str
    snapshot_inputs: str | None  # /etc/appliance/inputs, written by the bake
    bundle: str | None  # digest in force
    openclaw: str | None  # version
    gateway: str  # systemd's ActiveState, or "ready" when /readyz says so
    router: str  # systemd's ActiveState, or "ready" when it answers
    breakers: list[Breaker] = []
    canaries: Canaries | None = None
    last_drill: Summary | None = None
    health: HealthPage | None
    certificate: Certificate | None
    disk_used_percent: float
    memory_used_percent: float
    uptime_seconds: float
    last_backup: LastBackup | None = None
    backup_every_hours: int | None = None  # None: no backups are ordered
