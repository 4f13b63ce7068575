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
    BACKUP = "appliance-backup"  # on a server that a restore makes the node: restic's id of what it gets
    FENCED = "appliance-fenced"  # on the old node: a restore switched it off, and on again if that fails
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
    backed_up: bool = False  # by the cloud itself, daily


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


class Role(StrEnum):
    """Values of Label.ROLE."""

    NODE = "node"
    RESTORE = "restore"  # to become the node
    OLD = "old"  # was the node; kept off
    BAKE = "bake"
    SCRATCH = "scratch"
    SNAPSHOT = "snapshot"
    NETWORK = "network"
    FIREWALL = "firewall"
    PLACEMENT_GROUP = "placement-group"
    SSH_KEY = "ssh-key"
    PRIMARY_IP = "primary-ip"
    LOCK = "lock"


@dataclass(frozen=True)
class ServerWanted:
    """A server to be. Ids are the cloud's; `labels` come on top of ours and hold a role."""

    name: str
    server_type: str
    location: str
    image_id: int
    user_data: str = field(repr=False)  # at most 32 KiB, readable by all on the server: no lasting secrets
    labels: Mapping[str, str]
    ssh_key_ids: tuple[int, ...] = ()
    firewall_ids: tuple[int, ...] = ()
    network_ids: tuple[int, ...] = ()
    placement_group_id: int | None = None
    primary_ip_id: int | None = None


@dataclass(frozen=True)
class FirewallRule:
    """An inbound rule. `port` is None for icmp; `sources` are CIDRs."""

    protocol: str  # tcp | udp | icmp
    port: str | None
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Observed:
    """All that carries the appliance's label; `held` also has the operator's SSH key where it is not ours."""

    servers: tuple[Server, ...] = ()
    held: tuple[Held, ...] = ()
    snapshots: tuple[Image, ...] = ()


@dataclass(frozen=True)
class TypeLocation:
    """A server type in one location."""

    name: str
    available: bool  # False: sold out for now
    deprecated: bool


@dataclass(frozen=True)
class ServerType:
    name: str
    cores: int
    memory: float  # GB
    disk: int  # GB
    architecture: str  # x86 | arm
    locations: tuple[TypeLocation, ...]


@dataclass(frozen=True)
class Location:
    name: str
    city: str
    country: str
    network_zone: str
