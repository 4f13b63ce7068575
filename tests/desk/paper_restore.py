"""Nodes on paper that can be restored: each machine has its host key, its state and what was fetched."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import yaml

from appliance.contract.backup import Manifest
from appliance.contract.trouble import NodeTrouble
from appliance.desk import hostkeys
from appliance.desk.ask import Answer
from appliance.desk.model import Server
from appliance.desk.remote import OnLine, Result, Shell, Unreachable
from appliance.desk.settings import Workload
from tests.desk.paper_node import PaperDelivery, PaperNode, PaperShell

BACKUP = "ab12cd34"
AT = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
STEPS = ("The old node is off", "Software", "State", "Secrets and certificate", "Start", "Ask every workload")


def manifest(**changes: object) -> Manifest:
    facts = {
        "name": "office",
        "node": "office-1",
        "at": AT,
        "openclaw": "2026.9.6",
        "node_js": "v24.19.0",
        "snapshot_inputs": "abc",
        "bundle": "d" * 64,
        "workloads": ("code", "batch"),
        "secrets": True,
        "files": 12,
        "bytes": 34_567,
        "sums": "0" * 64,
    }
    return Manifest.model_validate(facts | changes)


@dataclass
class PaperBackups(PaperNode):
    """`lives` are the machines that have the node's identity: never two of them may be on."""

    keys_of: dict[int, str] = field(default_factory=dict)  # machine -> lasting public key
    adopters: set[int] = field(default_factory=set)
    lives: set[int] = field(default_factory=set)
    fetched: dict[int, set[str]] = field(default_factory=dict)
    done: dict[int, set[str]] = field(default_factory=dict)
    newest: str = BACKUP
    contents: Manifest = field(default_factory=manifest)
    fails_at: str | None = None  # a step of restore.sh
    idle: set[int] = field(default_factory=set)  # drilled: its timers do nothing
    handed: list[str] = field(default_factory=list)  # what restore.sh got on stdin
    typed: list[str] = field(default_factory=list)  # all argument lists

    def connect(self, address: str, host_keys: Sequence[str]) -> Shell:
        return RestoreShell(self, address, host_keys)

    def keys(self, address: str) -> set[str]:
        here = self.machine(address)
        first = yaml.safe_load(self.hardware.machines[here].spec.user_data)["ssh_keys"]["ed25519_public"]
        return {self.keys_of[here]} if here in self.adopters else {first}

    def on(self) -> list[int]:
        """Those with the identity that are on."""
        machines = self.hardware.machines
        return sorted(i for i in self.lives if i in machines and machines[i].on)

    def ran(self, address: str, argv: Sequence[str], script: str, on_line: OnLine | None) -> Result:
        here = self.machine(address)
        self.typed.append(" ".join(argv))
        match list(argv):
            case ["sh", "-s"]:
                self.handed.append(script)
                return self.restore(here, script, on_line)
            case ["test", "-e", path]:
                return Result(0 if path.split("/")[-2] in self.done.get(here, set()) else 1, "", "")
            case ["touch", path] if path.endswith("/done"):
                self.done.setdefault(here, set()).add(path.split("/")[-2])
                return Result(0, "", "")
            case ["cat", path]:
                assert path.split("/")[4] in self.fetched[here]
                return Result(0, self.contents.text(), "")
            case ["touch", "/run/appliance-drill"]:
                self.idle.add(here)
                return Result(0, "", "")
            case ["appliance-node", "host-key", "make"]:
                return Result(0, self.keys_of.setdefault(here, hostkeys.make().public) + "\n", "")
            case ["appliance-node", "host-key", "adopt"]:
                self.adopters.add(here)
                return Result(0, "", "")
            case ["mkdir" | "install" | "systemctl", *_]:
                return Result(0, "", "")
            case ["appliance-node", "activate", _]:
                self.lives.add(here)
        return Result(0, self.do(address, argv), "")

    def restore(self, here: int, script: str, on_line: OnLine | None) -> Result:
        """As restore.sh does it, and says it."""
        words = re.search(r"restore\.sh (.*) < /dev/null", script)
        assert words is not None
        chosen = re.search(r"--backup (\S+)", words[1])
        backup = chosen[1] if chosen else self.newest
        said = ""

        def say(line: str) -> None:
            nonlocal said
            said += line + "\n"
            if on_line is not None:
                on_line(line)

        fetch_only = "--fetch-only" in words[1]
        for step in ("Fetch it", "Verify it", *(() if fetch_only else STEPS)):
            say(f"--> {step}")
            if step == "Fetch it":
                say(f"    {backup} of 2026-11-22 03:00:00")
            if step == self.fails_at:
                say("    | in other words")
                said += f'\nFAILED at "{step}": It does not work.\n  next: do something else\n'
                return Result(1, said, "")
            if step == "Fetch it":
                self.fetched.setdefault(here, set()).add(backup)
            if step == "Secrets and certificate" and not self.contents.secrets:
                said += f'\nFAILED at "{step}": The secrets were left out of this backup.\n  next: push\n'
                return Result(1, said, "")
            if step == "Start":
                self.lives.add(here)
                self.done.setdefault(here, set()).add(backup)
            say("    done in 1 s")
        return Result(0, said, "")


class RestoreShell(PaperShell):
    node: PaperBackups

    def wait(self, seconds: float, grace: float = 0.0) -> None:
        """Long enough for the cloud to see that a machine went off."""
        machines, until = self.node.hardware.machines.values(), time.monotonic() + 1
        while not any(m.on and m.spec.public.ipv4 == self.host for m in machines):
            if time.monotonic() > until:
                raise Unreachable(f"{self.host} does not answer")
            time.sleep(0.05)
        super().wait(seconds, grace)

    def run(
        self,
        argv: Sequence[str],
        input: bytes | None = None,  # noqa: A002 - as subprocess names it
        timeout: float = 60.0,
        on_line: OnLine | None = None,
    ) -> Result:
        self.node.on_command()
        result = self.node.ran(self.host, argv, (input or b"").decode(), on_line)
        self.node.on_command()
        return result


@dataclass
class RestoreDelivery(PaperDelivery):
    certified: list[str] = field(default_factory=list)  # addresses
    mute: bool = False

    def certify(self, shell: Shell, server: Server) -> None:
        self.certified.append(server.public_ip or "")

    def prove(self, server: Server, workload: Workload) -> Answer:
        if self.mute:
            raise NodeTrouble("no answer")
        return super().prove(server, workload)
