"""Networks, firewalls, placement groups, SSH keys and primary IPs at the cloud."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from typing import Any

from appliance.contract.trouble import CloudTrouble
from appliance.desk.cloud import read
from appliance.desk.cloud.errors import ApiRefusal, name_taken
from appliance.desk.cloud.servers import Calls
from appliance.desk.cloud.wire import Raw
from appliance.desk.model import FirewallRule, Held, Label, Location, Role

PART_SECONDS = 60.0


class PartCalls(Calls):
    def locations(self) -> tuple[Location, ...]:
        rows = self._wire.list("read the locations", "/locations")
        return tuple(read.location(r) for r in rows)

    def ensure_network(self, name: str, ip_range: IPv4Network, subnet: IPv4Network, location: str) -> Held:
        """With one subnet, in the network zone of `location`."""
        body = {"ip_range": str(ip_range), "subnets": [self._subnet(subnet, location)]}
        network = self._ensure("network", name, Role.NETWORK, body)
        if str(subnet) not in [found for found, _ in _subnets(network)]:
            doing = f"add {subnet} to network {name}"
            path = f"/networks/{network.id}/actions/add_subnet"
            answer = self._wire.act(doing, path, self._subnet(subnet, location))
            self._wire.wait(doing, [answer["action"]], PART_SECONDS)
        return network

    def ensure_placement_group(self, name: str) -> Held:
        return self._ensure("placement_group", name, Role.PLACEMENT_GROUP, {"type": "spread"})

    def ensure_primary_ip(self, name: str, location: str) -> Held:
        """An IPv4 that outlives its server."""
        body = {"type": "ipv4", "location": location, "auto_delete": False}
        return self._ensure("primary_ip", name, Role.PRIMARY_IP, body)

    def unassign_primary_ip(self, ip_id: int) -> None:
        """From its server, which must be off."""
        self._move_ip(ip_id, None, "unassign", {})

    def assign_primary_ip(self, ip_id: int, server_id: int) -> None:
        """To a server that is off and has none of that kind."""
        body = {"assignee_id": server_id, "assignee_type": "server"}
        self._move_ip(ip_id, server_id, "assign", body)

    def _move_ip(self, ip_id: int, to: int | None, verb: str, body: Mapping[str, Any]) -> None:
        doing, path = f"{verb} the primary IP", f"/primary_ips/{ip_id}"

        def there() -> bool:
            return bool(self._wire.get(doing, path)["primary_ip"]["assignee_id"] == to)

        if there():
            return
        try:
            answer = self._wire.act(doing, f"{path}/actions/{verb}", body)
        except ApiRefusal:
            if there():  # the answer to an earlier try got lost
                return
            raise
        self._wire.wait(doing, [answer["action"]], PART_SECONDS)

    def ensure_firewall(self, name: str, rules: Sequence[FirewallRule]) -> Held:
        """Its inbound rules are brought to `rules`."""
        wanted = {"rules": [_rule(r) for r in rules]}
        firewall = self._ensure("firewall", name, Role.FIREWALL, wanted)
        if firewall.facts["rules"] != read.firewall_rules(wanted):
            doing = f"set the rules of firewall {name}"
            answer = self._wire.act(doing, f"/firewalls/{firewall.id}/actions/set_rules", wanted)
            self._wire.wait(doing, answer["actions"], PART_SECONDS)
        return firewall

    def apply_firewall(self, firewall_id: int, server_id: int) -> None:
        doing = "put the server behind its firewall"
        body = {"apply_to": [{"type": "server", "server": {"id": server_id}}]}
        path = f"/firewalls/{firewall_id}/actions/apply_to_resources"
        try:
            answer = self._wire.act(doing, path, body)
        except ApiRefusal as error:
            if error.api_code == "firewall_already_applied":
                return
            raise
        self._wire.wait(doing, answer["actions"], PART_SECONDS)

    def ensure_ssh_key(self, name: str, public_key: str, role: str) -> int:
        """Its id. The same key under another name is used as it is and does not become ours."""
        present = self.find_ssh_key(public_key)
        if present is not None:
            return present.id
        # Ours of that name with another key: a new key in appliance.yaml, or one of a bake that died.
        old = self._find("ssh_key", name, role)
        if old is not None:
            self.delete(old)
        try:
            return self._ensure("ssh_key", name, role, {"public_key": public_key}).id
        except ApiRefusal as error:
            present = self.find_ssh_key(public_key) if error.api_code == "uniqueness_error" else None
            if present is None:
                raise
            return present.id

    def find_ssh_key(self, public_key: str) -> Held | None:
        """The key under whatever name, ours or not."""
        rows = self._wire.list("look for the SSH key", "/ssh_keys", fingerprint=fingerprint(public_key))
        return read.held("ssh_key", rows[0]) if rows else None

    def delete_ssh_key(self, key_id: int) -> None:
        self._wire.delete("delete the SSH key", f"/ssh_keys/{key_id}")

    def delete(self, held: Held) -> None:
        """Delete a network, firewall, placement group, SSH key or primary IP."""
        doing = f"delete the {held.kind.replace('_', ' ')} {held.name}"
        self._wire.delete(doing, f"/{read.COLLECTIONS[held.kind]}/{held.id}")

    def take_name(self, name: str, labels: Mapping[str, str]) -> Held | None:
        """Make an empty placement group of that name and labels; None where another has the name."""
        wanted = self._own(labels)

        def find() -> Held | None:
            held = self.name_taken_by(name)
            return held if held is not None and held.labels == wanted else None

        body = {"name": name, "type": "spread", "labels": wanted}
        try:
            return self._wire.once("take the lock", "/placement_groups", body, find=find, made=_group)
        except ApiRefusal as error:
            if error.api_code == "uniqueness_error":
                return None
            raise

    def name_taken_by(self, name: str) -> Held | None:
        """The placement group of that name, ours or not."""
        rows = self._wire.list("look at the lock", "/placement_groups", name=name)
        return read.held("placement_group", rows[0]) if rows else None

    def _held(self, kind: str) -> list[Held]:
        rows = self._wire.list(
            f"list the {kind.replace('_', ' ')}s",
            f"/{read.COLLECTIONS[kind]}",
            label_selector=self._select(),
        )
        return [read.held(kind, r) for r in rows]

    def _find(self, kind: str, name: str, role: str) -> Held | None:
        """Ours of that name. NameTaken where it is not ours."""
        rows = self._wire.list(f"look for {kind} {name}", f"/{read.COLLECTIONS[kind]}", name=name)
        if not rows:
            return None
        if not self._is_ours(rows[0], role):
            raise name_taken(kind.replace("_", " "), name)
        return read.held(kind, rows[0])

    def _ensure(self, kind: str, name: str, role: str, body: Mapping[str, Any]) -> Held:
        actions: list[Raw] = []

        def made(answer: Raw) -> Held:
            actions.extend(a for a in [answer.get("action"), *(answer.get("actions") or [])] if a)
            return read.held(kind, answer[kind])

        doing = f"create {kind.replace('_', ' ')} {name}"
        labels = self._own({Label.ROLE: role})
        held = self._wire.once(
            doing,
            f"/{read.COLLECTIONS[kind]}",
            {"name": name, "labels": labels, **body},
            find=lambda: self._find(kind, name, role),
            made=made,
        )
        self._wire.wait(doing, actions, PART_SECONDS)
        return held

    def _subnet(self, subnet: IPv4Network, location: str) -> dict[str, str]:
        known = self.locations()
        zones = [place.network_zone for place in known if place.name == location]
        if not zones:
            raise CloudTrouble(
                f"The cloud has no location {location}",
                fix=f"set location in appliance.yaml to one of {', '.join(p.name for p in known)}",
            )
        return {"type": "cloud", "ip_range": str(subnet), "network_zone": zones[0]}


def fingerprint(public_key: str) -> str:
    """As the API has it: MD5 of the key, in pairs with colons."""
    try:
        blob = base64.b64decode(public_key.split()[1], validate=True)
    except (IndexError, ValueError) as error:
        raise CloudTrouble(
            "The SSH public key is none",
            why="it should read like: ssh-ed25519 AAAA… comment",
            fix="correct access.ssh_public_key in appliance.yaml",
        ) from error
    digest = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    return ":".join(digest[i : i + 2] for i in range(0, 32, 2))


def _group(answer: Raw) -> Held:
    return read.held("placement_group", answer["placement_group"])


def _subnets(network: Held) -> tuple[tuple[str, str], ...]:
    subnets = network.facts["subnets"]
    assert isinstance(subnets, tuple)
    return subnets


def _rule(rule: FirewallRule) -> dict[str, Any]:
    body: dict[str, Any] = {
        "direction": "in",
        "protocol": rule.protocol,
        "source_ips": list(rule.sources),
        "destination_ips": [],
    }
    return body if rule.port is None else {**body, "port": rule.port}
