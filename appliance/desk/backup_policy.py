"""What the node is told of its backups: `backup` of appliance.yaml as a Policy. Pure."""

from __future__ import annotations

from appliance.contract.backup import Policy
from appliance.desk.settings import Backup


def policy(name: str, backup: Backup) -> Policy:
    """`name`: the appliance's."""
    return Policy(
        name=name,
        repository=backup.repository,
        retention=backup.retention,
        every_hours=backup.every_hours,
        verify_percent=backup.verify_percent,
        secrets=backup.secrets,
        webhook=backup.webhook,
    )


def backup_json(name: str, backup: Backup) -> bytes:
    """With every value in it: what a node does is not for its own defaults to say."""
    return policy(name, backup).model_dump_json(indent=1).encode() + b"\n"
