"""A restore onto a server that is thrown away: so that the way back is known before it is needed.

The node is not touched. The drill's gateway wakes with the node's identity, but alone: the image's own rules
let it speak to nobody but its router, and restore.sh sees to that first. So no channel answers twice, and the
drill makes no backups.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

from appliance.contract.restore_report import RestoreReport
from appliance.contract.trouble import NodeTrouble, Trouble, UnverifiedTrouble
from appliance.desk import hostkeys
from appliance.desk.cloud import Cloud
from appliance.desk.first_contact import BOOT_SECONDS, GRACE_SECONDS, Connect, address_of
from appliance.desk.model import Image, Label, Observed, Role, Server, ServerWanted
from appliance.desk.node_account import read_report
from appliance.desk.plan import Wanted, find
from appliance.desk.remote import Shell
from appliance.desk.restore_plan import better_image, first_guess, refuse_older, scene
from appliance.desk.restore_script import Fetched, Orders, fetch, put_in_place
from appliance.desk.stopwatch import Stopwatch
from appliance.desk.surroundings import ensure_part

Lock = Callable[[], AbstractContextManager[None]]
# Units that would act for the node; activated, they do nothing while this file is there.
ACTING = ("appliance-backup", "appliance-backup-verify", "appliance-canary")
DRILL = "/run/appliance-drill"


@dataclass
class _Run:
    """What is known so far."""

    server: Server | None = None
    image: Image | None = None
    fetched: Fetched | None = None
    error: str | None = None
    recovered: datetime | None = None


@dataclass(frozen=True)
class RestoreDrill:
    """The adapters of one drill."""

    wanted: Wanted
    cloud: Cloud
    connect: Connect
    orders: Orders
    progress: Stopwatch
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def drill(self, lock: Lock, backup: str = "latest") -> RestoreReport:
        """A failed restore is a red report. Trouble is raised for what keeps it from beginning."""
        with lock():
            with self.progress.step("Look at what is there"):
                observed = self.cloud.observe(self.wanted.public_key)
            image = first_guess(scene(self.wanted, observed), self.wanted.settings.name)
            self._clear_away()
            began, run = self.now(), _Run(image=image)
            try:
                self._restore(run, observed, backup)
                run.recovered = self.now()
            except Trouble as trouble:
                run.error = " ".join(part for part in (trouble.what, trouble.why, trouble.fix) if part)
            finally:
                self._clear_away()
        return self._report(run, began)

    @property
    def _name(self) -> str:
        return f"{self.wanted.settings.name}-drill"

    def _clear_away(self) -> None:
        left = self.cloud.server(self._name)
        if left is not None:
            with self.progress.step(f"Delete server {left.name}"):
                self.cloud.delete_server(left.id)

    def _restore(self, run: _Run, observed: Observed, backup: str) -> None:
        for _ in range(2):
            assert run.image is not None  # found before it began
            run.server, first = self._server(run.image, observed)
            with self.connect(address_of(run.server), [first]) as shell:
                with self.progress.step("Wait for its SSH"):
                    shell.wait(BOOT_SECONDS, GRACE_SECONDS)
                self._keep_it_idle(shell)
                run.fetched = fetch(shell, self.orders, backup, self.progress)
                better = better_image(observed, run.image, run.fetched.manifest)
                if better is None:
                    refuse_older(run.fetched.manifest, read_report(shell).openclaw)
                    if not put_in_place(shell, self.orders, run.fetched, self.progress):
                        raise UnverifiedTrouble(
                            "The secrets are not in this backup, so nothing was started",
                            why="backup.secrets is false: all but the secrets was fetched and verified",
                        )
                    return
            self._clear_away()
            run.image = better
        raise NodeTrouble("The drill's server could not be made from the right snapshot")

    def _server(self, image: Image, observed: Observed) -> tuple[Server, str]:
        """Not in the node's network, and without its address."""
        settings, first = self.wanted.settings, hostkeys.make()
        firewall = find(self.wanted, observed).id_of("firewall")
        with self.progress.step(f"Create server {self._name}, for the drill") as step:
            server = self.cloud.create_server(
                ServerWanted(
                    name=self._name,
                    server_type=settings.server_type,
                    location=settings.location,
                    image_id=image.id,
                    user_data=hostkeys.user_data(first),
                    labels={Label.ROLE: Role.SCRATCH},
                    ssh_key_ids=(ensure_part(self.cloud, self.wanted, "ssh_key"),),
                    firewall_ids=(firewall,) if firewall is not None else (),
                ),
                lambda part: step.update("the cloud starts it", part),
            )
            step.update(f"from snapshot {image.id}, at {server.public_ip}")
        return server, first.public

    def _keep_it_idle(self, shell: Shell) -> None:
        unless = f"[Unit]\nConditionPathExists=!{DRILL}\n".encode()
        shell.check(["touch", DRILL])
        for unit in ACTING:
            path = f"/run/systemd/system/{unit}.service.d/drill.conf"
            shell.check(["install", "-D", "-m", "644", "/dev/stdin", path], input=unless)
        shell.check(["systemctl", "daemon-reload"])

    def _report(self, run: _Run, began: datetime) -> RestoreReport:
        manifest = run.fetched.manifest if run.fetched else None
        return RestoreReport(
            drill=True,
            appliance=self.wanted.settings.name,
            at=began,
            ok=run.error is None,
            error=run.error,
            server=run.server.name if run.server else None,
            snapshot=run.image.id if run.image else None,
            backup=run.fetched.id if run.fetched else None,
            manifest=manifest,
            recovery_seconds=(run.recovered - began).total_seconds() if run.recovered else None,
            lost_seconds=(began - manifest.at).total_seconds() if manifest else None,
            steps=self.progress.told,
        )
