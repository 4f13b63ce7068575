"""What `appliance-node report --json` prints: the node's own account of itself, read by the desk over SSH."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from appliance.contract.health import HealthPage


class Certificate(BaseModel):
    model_config = ConfigDict(frozen=True)

    issuer: str
    names: list[str]  # DNS names and addresses it is good for
    not_after: datetime
    fingerprint: str  # sha256 hex of the DER
    pem: str  # the certificate itself: the desk checks who signed it


class NodeReport(BaseModel):
    model_config = ConfigDict(frozen=True)

    node: str
    snapshot_inputs: str | None  # /etc/appliance/inputs, written by the bake
    bundle: str | None  # digest in force
    openclaw: str | None  # version
    gateway: str  # systemd's ActiveState, or "ready" when /readyz says so
    router: str  # "absent" until the router is part of the image
    health: HealthPage | None
    certificate: Certificate | None
    disk_used_percent: float
    memory_used_percent: float
    uptime_seconds: float
    last_backup: datetime | None
