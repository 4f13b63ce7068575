"""The nouns of the desk: what is at the cloud, what should be, and the changes between. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Label:
    """The label keys by which everything at the cloud is found again. There is no state file at the desk."""

    APPLIANCE = "appliance"  # the name in appliance.yaml
    ROLE = "appliance-role"  # node | bake | scratch | network | firewall | ... | lock
    NODE = "appliance-node"  # the node's number within the layout
    HOST_KEY = "appliance-host-key"  # the node's lasting SSH host key, see hostkeys.py
    FIRST_HOST_KEY = "appliance-first-host-key"  # the one it booted with, until first contact
    INPUTS = "appliance-inputs"  # on a snapshot: digest of all that went into it
    VERIFIED = "appliance-verified"  # on a snapshot: "yes", set only after the acceptance checks


@dataclass(frozen=True)
class Image:
    """A snapshot or a base image."""

    id: int
    name: str | None
    description: str
    status: str
    architecture: str
    disk_size: float  # GB
    image_size: float | None  # GB, what is billed
    labels: Mapping[str, str]
    created: datetime


@dataclass(frozen=True)
class Server:
    id: int
    name: str
    status: str
    server_type: str
    location: str
    image_id: int | None
    public_ip: str | None
    private_ip: str | None
    placement_group_id: int | None
    primary_ip_id: int | None
    firewall_ids: tuple[int, ...]
    labels: Mapping[str, str]
    created: datetime


@dataclass(frozen=True)
class Held:
    """Any other object at the cloud that carries our label."""

    kind: str  # network | firewall | placement_group | ssh_key | primary_ip
    id: int
    name: str
    labels: Mapping[str, str]
    facts: Mapping[str, object] = field(default_factory=dict)


class Verb(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    PUSH = "push"


@dataclass(frozen=True)
class Change:
    """One step from what is to what should be."""

    verb: Verb
    kind: str
    name: str
    why: str = ""
    monthly: float = 0.0  # net, in the currency of /pricing
    hourly: float = 0.0


@dataclass(frozen=True)
class Plan:
    changes: tuple[Change, ...]
    currency: str = "EUR"

    @property
    def empty(self) -> bool:
        return not self.changes
