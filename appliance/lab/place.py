"""Where a lab lives: its folder, number, addresses and ports. Several labs can stand side by side."""

from __future__ import annotations

import os
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from appliance.contract.trouble import LabTrouble

# The lab's public range, RFC 2544 (benchmarking): never routed on the Internet.
PUBLIC = IPv4Network("198.18.0.0/15")
INSTANCES = 32


@dataclass(frozen=True)
class Place:
    """Lab number `instance` below `root`. Base images and package caches are shared between labs."""

    root: Path
    instance: int = 0

    @staticmethod
    def from_environment() -> Place:
        """APPLIANCE_LAB_DIR and APPLIANCE_LAB_INSTANCE, or their defaults. Raises LabTrouble."""
        number = os.environ.get("APPLIANCE_LAB_INSTANCE", "0")
        if not number.isdecimal() or int(number) >= INSTANCES:
            raise LabTrouble(f"APPLIANCE_LAB_INSTANCE must be 0 to {INSTANCES - 1}, not {number}")
        folder = Path(os.environ.get("APPLIANCE_LAB_DIR", "/var/lib/appliance-lab"))
        return Place(folder.absolute(), int(number))

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def folder(self) -> Path:
        return self.root / f"lab{self.instance}"

    @property
    def trash(self) -> Path:
        """What is moved here the daemon deletes in its own time."""
        return self.folder / "trash"

    @property
    def prefix(self) -> str:
        """Begins the name of every namespace and interface of this lab (interfaces hold 15 characters)."""
        return f"alab{self.instance}"

    @property
    def public(self) -> IPv4Network:
        """This lab's /20 of the public range: .0.1 is the host's side, servers come from .1.0 on."""
        return list(PUBLIC.subnets(new_prefix=20))[self.instance]

    @property
    def host_ip(self) -> IPv4Address:
        """The host as the lab's machines see it: vendors and the package mirror answer here."""
        return self.public.network_address + 1

    @property
    def api_port(self) -> int:
        return 8480 + self.instance

    @property
    def api_endpoint(self) -> str:
        return f"http://127.0.0.1:{self.api_port}/v1"

    @property
    def token_file(self) -> Path:
        return self.folder / "token"

    @property
    def storage_box(self) -> str:
        return f"sftp://{self.storage_box_user}@{self.host_ip}:{self.storage_box_port}"

    @property
    def storage_box_user(self) -> str:
        return f"u{100000 + self.instance}"

    # On host_ip
    metadata_port: int = 8169
    mirror_port: int = 8142
    storage_box_port: int = 23  # Hetzner's, for all but plain SFTP
    vendor_ports: tuple[tuple[str, int], ...] = (("alpha", 9101), ("beta", 9102))
