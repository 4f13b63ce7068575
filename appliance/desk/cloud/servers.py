"""Servers at the cloud: found before made, waited for, finished where half made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from appliance.contract.trouble import CloudTrouble
from appliance.desk.cloud import read
from appliance.desk.cloud.errors import ApiRefusal, name_taken, sold_out
from appliance.desk.cloud.wire import Raw, Wire
from appliance.desk.model import Label, Server, ServerType, ServerWanted

SERVER_SECONDS = 5 * 60.0
SNAPSHOT_SECONDS = 20 * 60.0
# States that lead to another without our doing.
PASSING = frozenset({"initializing", "starting", "stopping", "rebuilding", "migrating"})

OnProgress = Callable[[float], None]  # 0..1


class Calls:
    """What the groups of calls share: the wire, and what is ours."""

    def __init__(self, wire: Wire, name: str) -> None:
        self._wire = wire
        self.name = name

    def _select(self, labels: Mapping[str, str] | None = None) -> str:
        return ",".join(f"{key}=={value}" for key, value in self._own(labels or {}).items())

    def _own(self, labels: Mapping[str, str]) -> dict[str, str]:
        return {Label.APPLIANCE: self.name, **labels}

    def _is_ours(self, raw: Raw, role: str | None = None) -> bool:
        labels = raw["labels"]
        return labels.get(Label.APPLIANCE) == self.name and role in (None, labels.get(Label.ROLE))

    def server_types(self) -> tuple[ServerType, ...]:
        rows = self._wire.list("read the server types", "/server_types")
        return tuple(read.server_type(r) for r in rows)


class ServerCalls(Calls):
    def create_server(self, want: ServerWanted, on_progress: OnProgress | None = None) -> Server:
        """Return once it runs.

        A server of that name with our label and role is finished, not made anew: look at what is
        returned, its labels and type may differ from those wanted.
        """
        doing = f"create server {want.name}"
        role = want.labels[Label.ROLE]
        created = False

        def made(answer: Raw) -> tuple[Raw, list[Raw]]:
            nonlocal created
            created = True
            return answer["server"], [answer["action"], *answer["next_actions"]]

        try:
            raw, actions = self._wire.once(
                doing, "/servers", self._body(want), find=lambda: self._usable(want.name, role), made=made
            )
            try:
                return self._running(doing, raw, actions, on_progress)
            except ApiRefusal:
                if created:  # it never came to life, and would be billed
                    self.delete_server(raw["id"])
                raise
        except ApiRefusal as error:
            if error.api_code == "resource_unavailable":
                types = self.server_types()
                raise sold_out(want.server_type, want.location, error.why, types) from error
            raise

    def server(self, name: str) -> Server | None:
        """The server of that name, if it is ours."""
        raw = self._by_name(name)
        return read.server(raw) if raw is not None and self._is_ours(raw) else None

    def servers(self, labels: Mapping[str, str]) -> tuple[Server, ...]:
        """Ours with these labels."""
        rows = self._wire.list("list the servers", "/servers", label_selector=self._select(labels))
        return tuple(read.server(r) for r in rows)

    def settled(self, server: Server) -> Server | None:
        """The server once nothing runs on it any more; None where it goes, or never came to life."""
        actions = self._actions(server.id)
        if server.status == "deleting" or _stillborn(actions):
            return None
        doing = f"finish what runs on server {server.name}"
        self._wire.wait(doing, [a for a in actions if a["status"] == "running"], SERVER_SECONDS)
        return read.server(self._get(server.id))

    def label_server(self, server_id: int, labels: Mapping[str, str]) -> Server:
        """Replace the whole label set; the appliance's own label is added."""
        body = {"labels": self._own(labels)}
        return read.server(self._wire.put("label the server", f"/servers/{server_id}", body)["server"])

    def shut_down(self, server_id: int, seconds: float) -> None:
        """Ask it to go off; after `seconds`, pull the plug. Return once it is off."""
        if self._get(server_id)["status"] == "off":
            return
        try:
            self._act(server_id, "shutdown")
            self._until_off(server_id, seconds)
        except CloudTrouble:
            self.power_off(server_id)

    def power_off(self, server_id: int) -> None:
        self._act(server_id, "poweroff")
        self._until_off(server_id, SERVER_SECONDS)

    def power_on(self, server_id: int) -> Server:
        """Return once it runs."""
        return self._running("power on the server", self._get(server_id), [], None)

    def enable_backups(self, server_id: int) -> None:
        """The cloud's own, daily; on for one that has them already is fine."""
        self._act(server_id, "enable_backup")

    def delete_server(self, server_id: int) -> None:
        """Return once it is gone; one that is gone already is fine, as with every delete here."""
        doing, path = "delete the server", f"/servers/{server_id}"
        try:
            answer = self._wire.delete(doing, path)
        except ApiRefusal as error:
            if error.api_code != "locked":
                raise
            # Of all actions only a snapshot outlasts the usual patience: a bake was killed in it.
            self._wire.until(doing, lambda: self._idle(server_id), SNAPSHOT_SECONDS)
            answer = self._wire.delete(doing, path)
        if "action" in answer:
            self._wire.wait(doing, [answer["action"]], SERVER_SECONDS)

    def _act(self, server_id: int, verb: str) -> None:
        doing = f"{verb} the server"
        answer = self._wire.act(doing, f"/servers/{server_id}/actions/{verb}")
        self._wire.wait(doing, [answer["action"]], SERVER_SECONDS)

    def _idle(self, server_id: int) -> bool | None:
        running = [a for a in self._actions(server_id) if a["status"] == "running"]
        return None if running else True

    def _until_off(self, server_id: int, seconds: float) -> None:
        def off() -> bool | None:
            return True if self._get(server_id)["status"] == "off" else None

        self._wire.until("see the server go off", off, seconds)

    def _get(self, server_id: int) -> Raw:
        raw: Raw = self._wire.get("read the server", f"/servers/{server_id}")["server"]
        return raw

    def _by_name(self, name: str) -> Raw | None:
        rows = self._wire.list(f"look for server {name}", "/servers", name=name)
        return rows[0] if rows else None

    def _usable(self, name: str, role: str) -> tuple[Raw, list[Raw]] | None:
        """Our server of that name and its running actions. One that goes, or never came to life, is none."""
        raw = self._by_name(name)
        if raw is None:
            return None
        if not self._is_ours(raw, role):
            raise name_taken("server", name)
        if raw["status"] == "deleting":
            gone = lambda: True if self._by_name(name) is None else None  # noqa: E731
            self._wire.until(f"see the old server {name} go", gone, SERVER_SECONDS)
            return None
        actions = self._actions(raw["id"])
        if _stillborn(actions):
            self.delete_server(raw["id"])
            return None
        return raw, [a for a in actions if a["status"] == "running"]

    def _actions(self, server_id: int) -> list[Raw]:
        return self._wire.list("read the server's actions", f"/servers/{server_id}/actions")

    def _running(self, doing: str, raw: Raw, actions: list[Raw], on_progress: OnProgress | None) -> Server:
        if actions:
            self._wire.wait(doing, actions, SERVER_SECONDS, on_progress)
        elif raw["status"] == "running":
            return read.server(raw)

        def look() -> Server | None:
            now = self._get(raw["id"])
            if now["status"] == "running":
                return read.server(now)
            if now["status"] == "off":
                self._act(raw["id"], "poweron")
            elif now["status"] not in PASSING:
                raise CloudTrouble(
                    f"Server {raw['name']} is {now['status']}",
                    why="it should be running",
                    fix="look at it in the console; appliance destroy removes it",
                )
            return None

        return self._wire.until(doing, look, SERVER_SECONDS)

    def _body(self, want: ServerWanted) -> dict[str, Any]:
        body: dict[str, Any] = {
            "name": want.name,
            "server_type": want.server_type,
            "location": want.location,
            "image": want.image_id,
            "user_data": want.user_data,
            "labels": self._own(want.labels),
            "ssh_keys": list(want.ssh_key_ids),
            "networks": list(want.network_ids),
            "firewalls": [{"firewall": number} for number in want.firewall_ids],
            "start_after_create": True,
        }
        if want.placement_group_id is not None:
            body["placement_group"] = want.placement_group_id
        if want.primary_ip_id is not None:
            body["public_net"] = {"enable_ipv4": True, "ipv4": want.primary_ip_id, "enable_ipv6": True}
        return body


def _stillborn(actions: list[Raw]) -> bool:
    return any(a["command"] == "create_server" and a["status"] == "error" for a in actions)
