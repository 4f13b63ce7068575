"""From nothing, or anything in between, to a node that answers. Each step can be done again after a kill."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from appliance.contract.node_report import NodeReport
from appliance.contract.trouble import NodeTrouble
from appliance.desk import hostkeys
from appliance.desk.ask import Answer
from appliance.desk.cloud import Cloud
from appliance.desk.first_contact import ANSWER_SECONDS, Connect, address_of, meet, silent
from appliance.desk.model import Change, Label, Observed, Plan, Role, Server, Verb
from appliance.desk.node_account import await_gateway, read_report
from appliance.desk.plan import PARTS, Wanted, find, make_plan, newer_snapshot, newest_verified
from appliance.desk.pricing import read_pricing
from appliance.desk.progress import Progress, Step
from appliance.desk.remote import Shell
from appliance.desk.settings import Workload
from appliance.desk.surroundings import ensure_part, node_server

Lock = Callable[[], AbstractContextManager[None]]


class Delivery(Protocol):
    """What goes on the node, and the proof that it works."""

    def due(self, report: NodeReport, server: Server) -> str:
        """Why the node needs a push; empty where it has all."""

    def deliver(self, shell: Shell, server: Server) -> object: ...

    def prove(self, server: Server, workload: Workload) -> Answer: ...


@dataclass(frozen=True)
class DeployResult:
    plan: Plan
    applied: bool  # False: only planned, or there was nothing to do
    node: str
    address: str | None
    answers: tuple[Answer, ...]  # one a workload, through the node's 443
    calls: int  # API requests


@dataclass(frozen=True)
class Deployer:
    """The adapters of one deploy."""

    wanted: Wanted
    cloud: Cloud
    connect: Connect
    delivery: Delivery
    progress: Progress
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def plan(self) -> DeployResult:
        """What a deploy would do. Changes nothing and takes no lock."""
        observed, lost = self._without_lost(self._observe())
        node = find(self.wanted, observed).node
        plan = self._plan(observed, lost)
        name = node.name if node is not None else self.wanted.node_name
        address = node.public_ip if node is not None else None
        return DeployResult(plan, False, name, address, (), self.cloud.calls)

    def deploy(self, lock: Lock) -> DeployResult:
        """Plan, apply, and prove it by one answer a workload."""
        with lock():
            observed, lost = self._without_lost(self._observe())
            plan = self._plan(observed, lost)
            if any(change.kind == "server" and change.verb is Verb.CREATE for change in plan.changes):
                newest_verified(observed, self.wanted.settings.name)  # or refuse, before anything is made
            if plan.empty:
                self.progress.note("Nothing to change: cloud and node are as appliance.yaml says")
            server = self._apply(plan, observed, lost)
            with self._shell(server) as shell:
                shell.wait(ANSWER_SECONDS)
                await_gateway(shell, self.progress)
            answers = tuple(self._prove(server, w) for w in self.wanted.settings.workloads)
        return DeployResult(plan, not plan.empty, server.name, server.public_ip, answers, self.cloud.calls)

    def _observe(self) -> Observed:
        with self.progress.step("Look at what is there"):
            observed = self.cloud.observe(self.wanted.public_key)
            node = find(self.wanted, observed).node
            if node is None or (node.status == "running" and node.private_ip is not None):
                return observed
            # A desk that was killed may have left it half made.
            settled = self.cloud.settled(node)
            others = tuple(s for s in observed.servers if s.id != node.id)
            return replace(observed, servers=others if settled is None else (*others, settled))

    def _without_lost(self, observed: Observed) -> tuple[Observed, Server | None]:
        """Without a node that had its time to boot and never answered, so holds nothing; and that node."""
        node = find(self.wanted, observed).node
        if node is None or not silent(node, self.connect, self.now(), self.progress):
            return observed, None
        return replace(observed, servers=tuple(s for s in observed.servers if s.id != node.id)), node

    def _plan(self, observed: Observed, lost: Server | None) -> Plan:
        node = find(self.wanted, observed).node
        newer = newer_snapshot(node, observed)
        if node is not None and newer is not None:
            self.progress.note(
                f"{node.name} stays on snapshot {node.image_id}; {newer.id} is newer and verified. "
                "To move to it: `appliance destroy --keep-snapshots`, then `appliance deploy`"
            )
        due = "" if node is None else self._push_due(node)
        return make_plan(self.wanted, observed, read_pricing(self.cloud.pricing()), due, lost)

    def _push_due(self, node: Server) -> str:
        if Label.HOST_KEY not in node.labels:
            return "config and secrets"  # never met: nothing can be on it
        if node.status != "running":
            return "the node is not up to say what it has"
        with self.progress.step("Ask the node what it has") as step:
            try:
                with self._shell(node) as shell:
                    shell.wait(ANSWER_SECONDS)
                    return self.delivery.due(read_report(shell), node)
            except NodeTrouble as trouble:
                step.skip(trouble.what)
                return "the node could not say what it has"

    def _apply(self, plan: Plan, observed: Observed, lost: Server | None) -> Server:
        found = find(self.wanted, observed)
        ids = {kind: part.id for kind, part in found.parts.items()}
        node = found.node
        for change in plan.changes:
            with self.progress.step(title(change)) as step:
                if change.kind in PARTS:
                    ids[change.kind] = ensure_part(self.cloud, self.wanted, change.kind)
                elif change.verb is Verb.DELETE:
                    assert lost is not None
                    self.cloud.delete_server(lost.id)
                elif change.kind == "server":
                    node = self._start(node, observed, ids, step)
                else:
                    assert node is not None  # these come after the server in every plan
                    node = self._finish(change, node, ids)
        assert node is not None
        return node

    def _start(self, node: Server | None, observed: Observed, ids: Mapping[str, int], step: Step) -> Server:
        if node is not None:
            return self.cloud.power_on(node.id)
        image = newest_verified(observed, self.wanted.settings.name)
        want = node_server(self.wanted, self.wanted.node_name, Role.NODE, image, ids)
        return self.cloud.create_server(want, lambda fraction: step.update("the cloud starts it", fraction))

    def _finish(self, change: Change, node: Server, ids: Mapping[str, int]) -> Server:
        if change.kind == "firewall_of_server":
            self.cloud.apply_firewall(ids["firewall"], node.id)
            return node
        if change.kind == "backups_of_server":
            self.cloud.enable_backups(node.id)
            return node
        node = meet(node, self.cloud, self.connect, self.progress)
        if change.kind == "bundle":
            with self._shell(node) as shell:
                shell.wait(ANSWER_SECONDS)
                self.delivery.deliver(shell, node)
        return node

    def _shell(self, node: Server) -> Shell:
        return self.connect(address_of(node), hostkeys.accepted(node.labels))

    def _prove(self, node: Server, workload: Workload) -> Answer:
        with self.progress.step(f"Ask workload {workload.name} through port 443") as step:
            answer = self.delivery.prove(node, workload)
            step.update(f"answered in {answer.seconds:.1f} s")
            return answer


def title(change: Change) -> str:
    """One line for a step and for the list that --plan prints."""
    words = {
        "firewall_of_server": "firewall of server",
        "backups_of_server": "backups of server",
        "host_key": "SSH host key of",
    }
    kind = words.get(change.kind, change.kind.replace("_", " "))
    return f"{change.verb.capitalize()} {kind} {change.name}"
