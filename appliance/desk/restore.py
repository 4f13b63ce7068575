"""The node comes back from its backup, on a new server beside the old one.

The backup is fetched and verified before the old node is touched. Until its address has moved, a failure
leaves it as it was. Each step can be done again after a kill: labels and addresses say how far it came.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from appliance.contract.restore_report import RestoreReport
from appliance.contract.trouble import NodeTrouble, Trouble
from appliance.desk import hostkeys
from appliance.desk.ask import Answer
from appliance.desk.cloud import Cloud
from appliance.desk.first_contact import ANSWER_SECONDS, BOOT_SECONDS, Connect, address_of, meet, silent
from appliance.desk.model import Image, Label, Role, Server
from appliance.desk.node_account import await_gateway, read_report
from appliance.desk.plan import PARTS, Wanted
from appliance.desk.remote import Shell, Unreachable
from appliance.desk.restore_plan import (
    Scene,
    better_image,
    first_guess,
    image_of,
    name_of_new,
    refuse,
    refuse_older,
    scene,
    spare_name,
)
from appliance.desk.restore_script import Fetched, Orders, fetch, is_done, mark_done, put_in_place
from appliance.desk.settings import Workload
from appliance.desk.stopwatch import Stopwatch
from appliance.desk.surroundings import ensure_part, node_server

Lock = Callable[[], AbstractContextManager[None]]
SHUTDOWN_SECONDS = 90.0  # answers in flight may end; then the plug is pulled


class Delivery(Protocol):
    """What a restored node may still need of its desk, and the proof that it works."""

    def certify(self, shell: Shell, server: Server) -> object:
        """A certificate for the addresses that it has now, where the one restored is not good for them."""

    def deliver(self, shell: Shell, server: Server) -> object:
        """Config and secrets, where the backup was made without."""

    def prove(self, server: Server, workload: Workload) -> Answer: ...


@dataclass(frozen=True)
class RestoreResult:
    report: RestoreReport
    address: str | None
    answers: tuple[Answer, ...]
    silent: tuple[str, ...]  # workloads that did not answer, and why
    kept: tuple[str, ...]  # servers that were the node, off and billed
    calls: int


@dataclass(frozen=True)
class Restorer:
    """The adapters of one restore."""

    wanted: Wanted
    cloud: Cloud
    connect: Connect
    delivery: Delivery
    orders: Orders
    progress: Stopwatch
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def look(self) -> Scene:
        with self.progress.step("Look at what is there"):
            return self._scene()

    def restore(
        self, lock: Lock, backup: str = "latest", to: str | None = None, delete_old: bool = False
    ) -> RestoreResult:
        """`backup`: an id of restic's, or latest. `to`: the new server's name. Raises Trouble."""
        began = self.now()
        with lock():
            now = self._without_lost(self.look())
            refuse(self.wanted, now)
            name = name_of_new(self.wanted, now, to)
            try:
                if now.new is not None and now.new.public_ip is None:  # broken off between two addresses
                    self._fence(now.node)
                    self._take_address(now.new)
                    now = self._scene()
                new, fetched = self._fetched(now, name, backup)
                new = self.cloud.label_server(new.id, {**new.labels, Label.BACKUP: fetched.id})
                self._fence(now.node)
                self._put_in_place(new, fetched, now.no_way_back)
                new = self._take_address(new)
            except BaseException:
                self._go_back()
                raise
            answers, mute = self._prove(new)
            ended = self.now()
            kept = self._make_it_the_node(new, delete_old and not mute)
        report = RestoreReport(
            drill=False,
            appliance=self.wanted.settings.name,
            at=began,
            ok=not mute,
            error="; ".join(mute) or None,
            server=new.name,
            snapshot=new.image_id,
            backup=fetched.id,
            manifest=fetched.manifest,
            recovery_seconds=(ended - began).total_seconds(),
            lost_seconds=(began - fetched.manifest.at).total_seconds(),
            steps=self.progress.told,
        )
        return RestoreResult(report, new.public_ip, answers, mute, kept, self.cloud.calls)

    def delete_old(self, lock: Lock) -> tuple[str, ...]:
        """Delete what earlier restores kept; its names."""
        with lock():
            old = self._scene().old
            for server in old:
                with self.progress.step(f"Delete the old node {server.name}"):
                    self.cloud.delete_server(server.id)
        return tuple(server.name for server in old)

    def _scene(self) -> Scene:
        return scene(self.wanted, self.cloud.observe(self.wanted.public_key))

    def _without_lost(self, now: Scene) -> Scene:
        """Without a new server that never answered, so holds nothing."""
        if now.new is None or not silent(now.new, self.connect, self.now(), self.progress):
            return now
        self.cloud.delete_server(now.new.id)
        return self._scene()

    def _fetched(self, now: Scene, name: str, backup: str) -> tuple[Server, Fetched]:
        """A server that has the backup, verified, and is made from the right snapshot."""
        appliance, snapshots = self.wanted.settings.name, now.observed.snapshots
        new = self._server(now, name, first_guess(now, appliance))
        for _ in range(2):
            wanted = backup
            if backup == "latest" and not now.loses:  # where the old node is off, it has chosen before
                wanted = new.labels.get(Label.BACKUP, backup)
            new = self._awake(new)
            with self._shell(new) as shell:
                shell.wait(ANSWER_SECONDS)
                fetched = fetch(shell, self.orders, wanted, self.progress)
                better = better_image(now.observed, image_of(new, snapshots), fetched.manifest)
                if better is None:
                    refuse_older(fetched.manifest, read_report(shell).openclaw)
                    return new, fetched
            with self.progress.step(f"Make it anew from snapshot {better.id}, which the backup names"):
                self.cloud.delete_server(new.id)
            new = self._server(replace(now, new=None), name, better)
        raise NodeTrouble(
            f"{new.name} is not made from the snapshot that it should be", fix="run the same command again"
        )

    def _server(self, now: Scene, name: str, image: Image) -> Server:
        with self.progress.step("See to what the node stands in"):
            ids = {kind: ensure_part(self.cloud, self.wanted, kind) for kind in PARTS}
            if now.holder is not None and not now.moved:
                location = self.wanted.settings.location
                ids["primary_ip"] = self.cloud.ensure_primary_ip(spare_name(name), location).id
        with self.progress.step(f"Create server {name}") as step:
            want = node_server(self.wanted, name, Role.RESTORE, image, ids)
            new = self.cloud.create_server(
                want, lambda fraction: step.update("the cloud starts it", fraction)
            )
            step.update(f"from snapshot {new.image_id}, at {new.public_ip}")
        return meet(new, self.cloud, self.connect, self.progress)

    def _awake(self, new: Server) -> Server:
        """A killed desk may have been about to switch it off: then it is gone in the midst of a word."""
        with self._shell(new) as shell:
            try:
                shell.wait(ANSWER_SECONDS)
            except Unreachable as trouble:
                if type(trouble) is not Unreachable:
                    raise
                new = self.cloud.power_on(new.id)
                shell.wait(BOOT_SECONDS)
        return new

    def _fence(self, node: Server | None) -> None:
        """Two nodes with one identity do harm."""
        with self.progress.step("Switch the old node off") as step:
            if node is None:
                step.skip("there is none")
            elif node.status == "off":
                step.skip(f"{node.name} is off")
            else:
                self.cloud.label_server(node.id, {**node.labels, Label.FENCED: "yes"})
                self.cloud.shut_down(node.id, SHUTDOWN_SECONDS)

    def _put_in_place(self, new: Server, fetched: Fetched, no_way_back: bool) -> None:
        with self._shell(new) as shell:
            shell.wait(ANSWER_SECONDS)
            if is_done(shell, fetched):
                self.progress.note(f"Backup {fetched.id} is in place on {new.name} already")
                return
            try:
                if not put_in_place(shell, self.orders, fetched, self.progress):
                    self.delivery.deliver(shell, new)
                    mark_done(shell, fetched)
            except NodeTrouble as trouble:
                # It is up, only a workload does not answer: better than nothing, where there is nothing.
                if not (no_way_back and is_done(shell, fetched)):
                    raise
                self.progress.warn(f"{trouble.what} {trouble.why}")

    def _take_address(self, new: Server) -> Server:
        now = self._scene()
        if now.moved:
            return self.cloud.power_on(new.id)
        with self.progress.step("Move the address to the new server") as step:
            address = ensure_part(self.cloud, self.wanted, "primary_ip")
            step.update("an address moves between servers that are off")
            self.cloud.shut_down(new.id, SHUTDOWN_SECONDS)
            if now.new is not None and now.new.primary_ip_id is not None:
                self.cloud.unassign_primary_ip(now.new.primary_ip_id)
            if now.holder is not None:
                self.cloud.unassign_primary_ip(address)
            self.cloud.assign_primary_ip(address, new.id)
            step.update("starting it again")
            return self.cloud.power_on(new.id)

    def _go_back(self) -> None:
        """Leave the old node as it was, if that can be."""
        try:
            now = self._scene()
            if now.may_return:
                self._return_to(now)
            elif now.new is not None:
                self.progress.note(f"{now.new.name} stays, and is billed: the same command goes on with it")
        except Trouble as trouble:
            self.progress.warn(f"The old node may be off still: {trouble.what}. `appliance restore` goes on")

    def _return_to(self, now: Scene) -> None:
        assert now.node is not None
        with self.progress.step("Leave the old node as it was"):
            if now.new is not None:  # first: it has the same identity
                self.cloud.delete_server(now.new.id)
            if now.spare is not None:
                self.cloud.delete(now.spare)
            self.cloud.power_on(now.node.id)
            self.cloud.label_server(now.node.id, _without(now.node, Label.FENCED))

    def _prove(self, new: Server) -> tuple[tuple[Answer, ...], tuple[str, ...]]:
        """Answers through the appliance's address, and those that failed, in words."""
        with self._shell(new) as shell:
            with self.progress.step(f"Wait for SSH on {new.public_ip}"):
                shell.wait(BOOT_SECONDS)
            self.delivery.certify(shell, new)
            await_gateway(shell, self.progress)
        answers, mute = [], []
        for workload in self.wanted.settings.workloads:
            with self.progress.step(f"Ask workload {workload.name} through port 443") as step:
                try:
                    answers.append(self.delivery.prove(new, workload))
                    step.update(f"answered in {answers[-1].seconds:.1f} s")
                except Trouble as trouble:
                    mute.append(f"{workload.name}: {trouble.what} {trouble.why}".strip())
                    step.update(trouble.what)
                    self.progress.warn(mute[-1])
        return tuple(answers), tuple(mute)

    def _make_it_the_node(self, new: Server, delete_old: bool) -> tuple[str, ...]:
        """The new one's label comes last: until then the same command goes on here."""
        now = self._scene()
        kept = [server.name for server in now.old]
        if now.spare is not None:
            self.cloud.delete(now.spare)
        if now.node is not None and delete_old:
            with self.progress.step(f"Delete the old node {now.node.name}"):
                self.cloud.delete_server(now.node.id)
        elif now.node is not None:
            self.cloud.label_server(now.node.id, {**_without(now.node, Label.FENCED), Label.ROLE: Role.OLD})
            kept.append(now.node.name)
        with self.progress.step(f"{new.name} is the node"):
            self.cloud.label_server(new.id, {**_without(new, Label.BACKUP), Label.ROLE: Role.NODE})
        return tuple(kept)

    def _shell(self, server: Server) -> Shell:
        return self.connect(address_of(server), hostkeys.accepted(server.labels))


def _without(server: Server, *keys: str) -> dict[str, str]:
    return {key: value for key, value in server.labels.items() if key not in keys}
