"""The Hetzner API as the desk uses it. Only cloud*.py import hcloud.

Every call has a time-out and bounded retries, every create is idempotent, and every error is a
CloudTrouble that says what, why and what to do next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Network
from typing import Any

from appliance.desk.model import (
    FirewallRule,
    Held,
    Image,
    Location,
    Observed,
    Server,
    ServerType,
    ServerWanted,
)


class Cloud:
    """The objects of appliance `name` at the cloud; everything made here carries its label."""

    def __init__(
        self,
        endpoint: str,
        token: str,
        name: str,
        *,
        timeout: float = 30.0,
        patience: float = 90.0,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`endpoint` includes /v1. `timeout` seconds a request; `patience` seconds of retries a call."""
        raise NotImplementedError

    @property
    def calls(self) -> int:
        """API requests made so far, retries included."""
        raise NotImplementedError

    def observe(self, ssh_public_key: str | None = None) -> Observed:
        """All that carries our label; with `ssh_public_key` also that key under whatever name it is there."""
        raise NotImplementedError

    # Facts
    def server_types(self) -> tuple[ServerType, ...]:
        raise NotImplementedError

    def locations(self) -> tuple[Location, ...]:
        raise NotImplementedError

    def pricing(self) -> dict[str, Any]:
        """The `pricing` object of GET /pricing."""
        raise NotImplementedError

    def base_image(self, name: str, architecture: str) -> Image:
        """The system image, e.g. debian-13 for x86."""
        raise NotImplementedError

    # Servers
    def create_server(self, want: ServerWanted) -> Server:
        """Return once it runs. One of that name with our label and role is finished, not made anew:
        look at the labels of what is returned, they may differ from those wanted."""
        raise NotImplementedError

    def server(self, name: str) -> Server | None:
        """The server of that name if it is ours."""
        raise NotImplementedError

    def servers(self, labels: Mapping[str, str]) -> tuple[Server, ...]:
        """Our servers with these labels."""
        raise NotImplementedError

    def label_server(self, server_id: int, labels: Mapping[str, str]) -> Server:
        """Replace the whole label set (ours is added)."""
        raise NotImplementedError

    def shut_down(self, server_id: int, seconds: float) -> None:
        """Ask it to go off; after `seconds`, pull the plug. Returns once it is off."""
        raise NotImplementedError

    def power_off(self, server_id: int) -> None:
        raise NotImplementedError

    def delete_server(self, server_id: int) -> None:
        """Returns once it is gone; one that is gone already is fine, as with every delete here."""
        raise NotImplementedError

    # Images
    def snapshots(self, labels: Mapping[str, str]) -> tuple[Image, ...]:
        """Our available snapshots with these labels, newest first."""
        raise NotImplementedError

    def create_snapshot(self, server_id: int, description: str, labels: Mapping[str, str]) -> Image:
        """Returns once it is available; a half-made one of the same description is waited for."""
        raise NotImplementedError

    def label_image(self, image_id: int, labels: Mapping[str, str]) -> Image:
        """Replace the whole label set (ours is added)."""
        raise NotImplementedError

    def delete_image(self, image_id: int) -> None:
        raise NotImplementedError

    # The rest
    def ensure_ssh_key(self, name: str, public_key: str, role: str) -> int:
        """Its id. The same key under another name is used as it is and does not become ours."""
        raise NotImplementedError

    def delete_ssh_key(self, key_id: int) -> None:
        raise NotImplementedError

    def ensure_network(self, name: str, ip_range: IPv4Network, subnet: IPv4Network, location: str) -> Held:
        raise NotImplementedError

    def ensure_placement_group(self, name: str) -> Held:
        raise NotImplementedError

    def ensure_firewall(self, name: str, rules: Sequence[FirewallRule]) -> Held:
        """Its rules are brought to `rules`."""
        raise NotImplementedError

    def ensure_primary_ip(self, name: str, location: str) -> Held:
        """An IPv4 that outlives its server."""
        raise NotImplementedError

    def delete(self, held: Held) -> None:
        """Delete a network, firewall, placement group, SSH key or primary IP."""
        raise NotImplementedError

    def take_name(self, name: str, labels: Mapping[str, str]) -> Held | None:
        """Make an empty placement group of that name; None where the name is taken. For lock.py."""
        raise NotImplementedError

    def name_taken_by(self, name: str) -> Held | None:
        """The placement group of that name, ours or not. For lock.py."""
        raise NotImplementedError
