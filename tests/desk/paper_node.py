"""A node on paper: it keeps host keys and a bundle, and answers only to a desk that pins its key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import yaml

from appliance.contract.node_report import NodeReport
from appliance.desk import hostkeys
from appliance.desk.ask import Answer
from appliance.desk.model import Server
from appliance.desk.remote import HostKeyMismatch, OnLine, Result, Shell, Unreachable
from appliance.desk.settings import Workload
from tests.lab.paper import PaperHardware

WANTED = "d" * 64  # the digest that the desk would have


@dataclass
class PaperNode:
    """`on_command` is called before and after each command, and may raise."""

    hardware: PaperHardware
    on_command: Callable[[], None] = lambda: None
    lasting: dict[str, str] = field(default_factory=dict)  # address -> public key
    adopted: set[str] = field(default_factory=set)
    bundles: dict[str, str] = field(default_factory=dict)
    unreachable: bool = False
    dead: set[int] = field(default_factory=set)  # servers whose SSH never answers
    starting: list[str] = field(default_factory=list)  # what the gateway says it is before it is ready

    def connect(self, address: str, host_keys: Sequence[str]) -> Shell:
        return PaperShell(self, address, host_keys)

    def keys(self, address: str) -> set[str]:
        """The host keys that sshd there shows."""
        machine = self.hardware.machines[self.machine(address)]
        first = yaml.safe_load(machine.spec.user_data)["ssh_keys"]["ed25519_public"]
        return {self.lasting[address]} if address in self.adopted else {first}

    def machine(self, address: str) -> int:
        """The id of the one that is on at this address."""
        machines = self.hardware.machines.values()
        return next(m.spec.id for m in machines if m.spec.public.ipv4 == address and m.on)

    def do(self, address: str, argv: Sequence[str]) -> str:
        match list(argv):
            case ["appliance-node", "host-key", "make"]:
                return self.lasting.setdefault(address, hostkeys.make().public) + "\n"
            case ["appliance-node", "host-key", "adopt"]:
                self.adopted.add(address)
                return ""
            case ["appliance-node", "report"]:
                return self.report(address).model_dump_json()
            case ["appliance-node", "activate", digest]:
                self.bundles[address] = digest
                return ""
        raise AssertionError(f"the node has no {argv}")

    def report(self, address: str) -> NodeReport:
        return NodeReport(
            node="office-1",
            snapshot_inputs="abc",
            bundle=self.bundles.get(address),
            openclaw="2026.9.6",
            gateway=self.starting.pop(0) if self.starting else "ready",
            router="ready",
            health=None,
            certificate=None,
            disk_used_percent=1,
            memory_used_percent=1,
            uptime_seconds=1,
            last_backup=None,
        )


class PaperShell(Shell):
    def __init__(self, node: PaperNode, address: str, host_keys: Sequence[str]) -> None:
        self.node = node
        self.host = address
        self.host_keys = set(host_keys)

    def close(self) -> None:
        pass

    def wait(self, seconds: float, grace: float = 0.0) -> None:
        if self.node.machine(self.host) in self.node.dead:
            raise Unreachable(f"{self.host} does not answer")
        if self.node.unreachable or not self.node.keys(self.host) & self.host_keys:
            raise HostKeyMismatch(f"{self.host} does not hold the pinned key")

    def run(
        self,
        argv: Sequence[str],
        input: bytes | None = None,  # noqa: A002 - as subprocess names it
        timeout: float = 60.0,
        on_line: OnLine | None = None,
    ) -> Result:
        self.node.on_command()
        out = self.node.do(self.host, argv)
        self.node.on_command()
        return Result(0, out, "")


@dataclass
class PaperDelivery:
    wanted: str = WANTED
    proved: list[str] = field(default_factory=list)

    def due(self, report: NodeReport, server: Server) -> str:
        return "" if report.bundle == self.wanted else "config or secrets have changed"

    def deliver(self, shell: Shell, server: Server) -> None:
        shell.check(["appliance-node", "activate", self.wanted])

    def prove(self, server: Server, workload: Workload) -> Answer:
        self.proved.append(workload.name)
        return Answer(workload.name, "openclaw", "ready", 0.1)
