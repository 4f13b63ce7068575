"""How the node is: by its own account, beside what this desk would have on it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

from appliance.contract.backup import LastBackup
from appliance.contract.drill import Canaries, Summary
from appliance.contract.health import Check
from appliance.contract.node_report import Breaker, NodeReport
from appliance.contract.trouble import Trouble
from appliance.desk.cloud import Cloud
from appliance.desk.model import Image, Label, Role, Server
from appliance.desk.node_account import read_report
from appliance.desk.remote import Shell


@dataclass(frozen=True)
class NodeStatus:
    """`trouble` says why the node's own account is missing; what comes from it is then None or empty."""

    name: str
    address: str | None
    server: str  # as the cloud says: running, off, …
    server_type: str
    location: str
    snapshot: int | None
    snapshot_inputs: str | None
    bundle: str | None
    bundle_wanted: str | None  # None: this desk cannot tell, e.g. without the secrets
    openclaw: str | None
    gateway: str
    router: str
    breakers: tuple[Breaker, ...]  # of the router: who is asked last for a while, and who not
    canaries: Canaries | None  # None: the providers were never asked, or it is not known
    last_drill: Summary | None
    checks: tuple[Check, ...]
    certificate_issuer: str | None
    certificate_names: tuple[str, ...]
    certificate_ends: datetime | None
    disk_used_percent: float | None
    memory_used_percent: float | None
    uptime_seconds: float | None
    last_backup: LastBackup | None
    backup_every_hours: int | None  # None: no backups are ordered
    trouble: str | None

    @property
    def bundle_differs(self) -> bool:
        """Of a node that could not be asked nothing is known."""
        return self.trouble is None and self.bundle_wanted not in (None, self.bundle)

    @property
    def well(self) -> bool:
        healthy = all(check.ok for check in self.checks if check.vital)
        ready = self.gateway == self.router == "ready"
        return self.trouble is None and ready and healthy and not self.bundle_differs


@dataclass(frozen=True)
class Status:
    appliance: str
    nodes: tuple[NodeStatus, ...]
    newest_snapshot: int | None  # the newest verified one; a node made from another is out of date

    @property
    def well(self) -> bool:
        return bool(self.nodes) and all(node.well for node in self.nodes)


def status(
    name: str,
    cloud: Cloud,
    connect: Callable[[Server], AbstractContextManager[Shell]],
    wanted: str | None,
) -> Status:
    """Look at every node of appliance `name`. A node that cannot be reached is told, not raised."""
    seen = cloud.observe()
    nodes = sorted(
        (server for server in seen.servers if server.labels.get(Label.ROLE) == Role.NODE),
        key=lambda server: server.name,
    )
    return Status(
        name,
        tuple(_look(server, connect, wanted) for server in nodes),
        newest_verified(seen.snapshots),
    )


def newest_verified(snapshots: tuple[Image, ...]) -> int | None:
    verified = [image for image in snapshots if image.labels.get(Label.VERIFIED) == "yes"]
    return max(verified, key=lambda image: image.created).id if verified else None


def _look(
    server: Server, connect: Callable[[Server], AbstractContextManager[Shell]], wanted: str | None
) -> NodeStatus:
    if server.status != "running":
        return describe(server, None, wanted, f"the server is {server.status}")
    try:
        with connect(server) as shell:
            return describe(server, read_report(shell), wanted, None)
    except Trouble as trouble:
        return describe(server, None, wanted, str(trouble))


def describe(
    server: Server, report: NodeReport | None, wanted: str | None, trouble: str | None
) -> NodeStatus:
    """The cloud's and the node's accounts in one. Pure."""
    health = report.health if report else None
    certificate = report.certificate if report else None
    return NodeStatus(
        name=server.name,
        address=server.public_ip,
        server=server.status,
        server_type=server.server_type,
        location=server.location,
        snapshot=server.image_id,
        snapshot_inputs=report.snapshot_inputs if report else None,
        bundle=report.bundle if report else None,
        bundle_wanted=wanted,
        openclaw=report.openclaw if report else None,
        gateway=report.gateway if report else "unknown",
        router=report.router if report else "unknown",
        breakers=tuple(report.breakers) if report else (),
        canaries=report.canaries if report else None,
        last_drill=report.last_drill if report else None,
        checks=tuple(health.checks) if health else (),
        certificate_issuer=certificate.issuer if certificate else None,
        certificate_names=tuple(certificate.names) if certificate else (),
        certificate_ends=certificate.not_after if certificate else None,
        disk_used_percent=report.disk_used_percent if report else None,
        memory_used_percent=report.memory_used_percent if report else None,
        uptime_seconds=report.uptime_seconds if report else None,
        last_backup=report.last_backup if report else None,
        backup_every_hours=report.backup_every_hours if report else None,
        trouble=trouble,
    )
