"""image/ -> a verified snapshot: provision a server, seal it, snapshot it, boot the snapshot, check that."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TextIO

from appliance.contract.trouble import ConfigTrouble, ExitCode, NodeTrouble, Trouble, UnverifiedTrouble
from appliance.desk import archive, hostkeys, inputs, private
from appliance.desk.archive import Entry
from appliance.desk.cloud import Cloud
from appliance.desk.model import Image, Label, Observed, Role, Server, ServerWanted
from appliance.desk.progress import Progress
from appliance.desk.remote import Shell
from appliance.desk.settings import Settings

Connect = Callable[[str, Path, Sequence[str]], Shell]

BENCH = "/root/bake"  # on the bake server: all of `entries`, and `inputs`
CHECKS = "/root/checks"  # on the scratch server: image/checks, and `inputs`
SCRIPT_SECONDS = 15 * 60
CHECK_SECONDS = 5 * 60
BOOT_SECONDS = 240
SETTLE_SECONDS = 60  # what a booting machine has to get its host key and our SSH key
SHUTDOWN_SECONDS = 60
SNAPSHOTS_KEPT = 2
TAIL_LINES = 20
KEY = "id_ed25519"  # in the bake's private folder


@dataclass(frozen=True)
class BakeResult:
    snapshot: Image
    inputs: str
    reused: bool
    seconds: float
    log: Path | None  # None where nothing was baked


@dataclass(frozen=True)
class Bakery:
    """The adapters and facts of one bake."""

    settings: Settings
    cloud: Cloud
    connect: Connect
    progress: Progress
    entries: Mapping[str, Entry]  # as assets.bake_files() gives them
    log: Path


def bake(bakery: Bakery, *, force: bool, keep: bool, now: datetime) -> BakeResult:
    """Return a verified snapshot of the present inputs, an existing one unless `force`.

    The caller holds the appliance's lock. A failed bake leaves nothing at the cloud unless `keep`.
    """
    start = time.monotonic()
    architecture = _architecture(bakery)
    digest = inputs.digest(bakery.entries, bakery.settings.image.base, architecture)
    if not force:
        found = _same_inputs(bakery, digest)
        if found is not None:
            return BakeResult(found, digest, True, time.monotonic() - start, None)
    with bakery.progress.step("Clear away what an earlier bake left") as step:
        left = _clear_away(bakery)
        step.update(", ".join(left)) if left else step.skip("nothing was left")
    with _log_file(bakery.log) as log, _key_folder(bakery, keep) as folder:
        try:
            snapshot = _Oven(bakery, digest, folder, log).bake_and_verify(architecture, now)
        except BaseException:
            _after_failure(bakery, keep)
            raise
    with bakery.progress.step("Clean up"):
        _clear_away(bakery)
        _prune(bakery, snapshot)
    return BakeResult(snapshot, digest, False, time.monotonic() - start, bakery.log)


class _Oven:
    """One bake from the base image to the verified label."""

    def __init__(self, bakery: Bakery, digest: str, folder: Path, log: TextIO) -> None:
        self.settings, self.cloud, self.progress = bakery.settings, bakery.cloud, bakery.progress
        self.bakery = bakery
        self.digest = digest
        self.log = log
        self.key_file = folder / KEY
        key = hostkeys.make()
        with open(self.key_file, "w", opener=_owner_only) as file:
            file.write(key.private)
        self.public_key = key.public

    def bake_and_verify(self, architecture: str, now: datetime) -> Image:
        base = self.cloud.base_image(self.settings.image.base, architecture)
        server = self._provision(base)
        snapshot = self._keep_disk(server, now)
        self._verify(snapshot)
        with self.progress.step("Label the snapshot verified"):
            return self.cloud.label_image(
                snapshot.id,
                {Label.ROLE: Role.SNAPSHOT, Label.INPUTS: self.digest, Label.VERIFIED: "yes"},
            )

    def _provision(self, base: Image) -> Server:
        server, shell = self._boot(Role.BAKE, base)
        with shell:
            with self.progress.step("Send image/ and the node's code"):
                entries = {**self.bakery.entries, "inputs": Entry(f"{self.digest}\n".encode())}
                shell.send_tree(archive.pack(entries), BENCH)
            for path in scripts_in(entries, "image/scripts/"):
                self._run(shell, f"Provision: {script_title(path)}", BENCH, path, SCRIPT_SECONDS, NodeTrouble)
        return server

    def _keep_disk(self, server: Server, now: datetime) -> Image:
        with self.progress.step("Power off"):
            self.cloud.shut_down(server.id, SHUTDOWN_SECONDS)
        with self.progress.step("Snapshot") as step:
            snapshot = self.cloud.create_snapshot(
                server.id,
                f"appliance {self.settings.name} {now:%Y-%m-%dT%H:%M:%SZ} {self.digest[:12]}",
                {Label.ROLE: Role.SNAPSHOT, Label.INPUTS: self.digest},
                lambda fraction: step.update("the cloud copies the disk", fraction),
            )
            step.update(f"{snapshot.id}, {snapshot.image_size or 0:.2f} GB")
        with self.progress.step("Delete the bake server"):
            self.cloud.delete_server(server.id)
        return snapshot

    def _verify(self, snapshot: Image) -> None:
        _, shell = self._boot(Role.SCRATCH, snapshot)
        with shell:
            checks = {
                path.removeprefix("image/checks/"): entry
                for path, entry in self.bakery.entries.items()
                if path.startswith("image/checks/")
            }
            checks["inputs"] = Entry(f"{self.digest}\n".encode())
            shell.send_tree(archive.pack(checks), CHECKS)
            for path in scripts_in(checks, ""):
                title = f"Check: {script_title(path)}"
                self._run(shell, title, CHECKS, path, CHECK_SECONDS, UnverifiedTrouble)

    def _boot(self, role: Role, image: Image) -> tuple[Server, Shell]:
        first_key = hostkeys.make()
        with self.progress.step(f"Create the {role} server") as step:
            key_id = self.cloud.ensure_ssh_key(
                f"{self.settings.name}-{Role.BAKE}", self.public_key, Role.BAKE
            )
            server = self.cloud.create_server(
                ServerWanted(
                    name=f"{self.settings.name}-{role}",
                    server_type=self.settings.image.bake_server_type,
                    location=self.settings.location,
                    image_id=image.id,
                    user_data=hostkeys.user_data(first_key),
                    labels={Label.ROLE: role},
                    ssh_key_ids=(key_id,),
                ),
                lambda fraction: step.update("the cloud starts it", fraction),
            )
            if server.public_ip is None:
                raise Trouble(f"The {role} server got no public IPv4 address.", fix="Run the command again.")
            step.update(f"{server.server_type} {server.public_ip}")
        with self.progress.step(f"Wait for the {role} server's SSH"):
            shell = self.bakery.connect(server.public_ip, self.key_file, [first_key.public])
            try:
                shell.wait(BOOT_SECONDS, grace=SETTLE_SECONDS)
            except BaseException:
                shell.close()
                raise
        return server, shell

    def _run(
        self, shell: Shell, title: str, folder: str, path: str, seconds: float, kind: type[Trouble]
    ) -> None:
        """Run one script as a step; its last line is the step's detail."""
        with self.progress.step(title) as step:
            self.log.write(f"\n== {title} ({path})\n")
            tail: list[str] = []
            start = time.monotonic()

            def on_line(line: str) -> None:
                self.log.write(f"{time.monotonic() - start:6.1f} {line}\n")
                if line.strip():
                    tail.append(line)
                    del tail[:-TAIL_LINES]
                    step.update(line.strip()[:100])

            # One stream: by two, the error that ended it may come before the lines that led to it.
            merged = ["bash", "-c", 'exec bash "$0" 2>&1', path]
            argv = ["env", "-C", folder, f"BAKE={folder}", *merged]
            try:
                result = shell.run(argv, timeout=seconds, on_line=on_line)
            except NodeTrouble as trouble:
                raise self._failed(kind, title, path, trouble.what, [*tail, trouble.why]) from trouble
            finally:
                self.log.flush()
            if result.code != 0:
                raise self._failed(kind, title, path, f"It ended with {result.code}.", tail)

    def _failed(self, kind: type[Trouble], title: str, path: str, what: str, tail: list[str]) -> Trouble:
        said = "\n".join(f"    {line}" for line in tail if line)
        return kind(
            f"The bake failed at `{title}` ({_in_checkout(path)}). {what}",
            why=f"the end of its output was\n{said}" if said else "it said nothing",
            fix=f"All of it is in {self.bakery.log}. Once the cause is gone, run `appliance build` again; "
            "with --keep it leaves a failed bake's server for a look.",
        )


def _same_inputs(bakery: Bakery, digest: str) -> Image | None:
    with bakery.progress.step("Look for a verified snapshot of the same inputs") as step:
        found = bakery.cloud.snapshots({Label.INPUTS: digest, Label.VERIFIED: "yes"})
        if not found:
            step.update("none")
            return None
        step.update(f"{found[0].id}, made {found[0].created:%Y-%m-%d %H:%M} UTC")
        return found[0]


def _clear_away(bakery: Bakery) -> list[str]:
    """Delete bake and scratch servers, unverified snapshots and bake keys of this appliance; name them."""
    cloud, seen = bakery.cloud, bakery.cloud.observe()
    left = []
    for server in seen.servers:
        if server.labels.get(Label.ROLE) in (Role.BAKE, Role.SCRATCH):
            cloud.delete_server(server.id)
            left.append(f"server {server.name}")
    for image in seen.snapshots:
        if image.labels.get(Label.VERIFIED) != "yes":
            cloud.delete_image(image.id)
            left.append(f"snapshot {image.id}")
    for held in seen.held:
        if held.kind == "ssh_key" and held.labels.get(Label.ROLE) == Role.BAKE:
            cloud.delete_ssh_key(held.id)
            left.append(f"SSH key {held.name}")
    _kept_key(bakery).unlink(missing_ok=True)
    return left


def _prune(bakery: Bakery, newest: Image) -> None:
    seen = bakery.cloud.observe()
    for image in superfluous(seen, newest.id):
        bakery.cloud.delete_image(image.id)
        bakery.progress.note(f"Deleted the older snapshot {image.id} of {image.created:%Y-%m-%d}.")


def superfluous(seen: Observed, newest: int) -> list[Image]:
    """Verified snapshots to delete: all but the last few, and never one that a server was made from."""
    verified = [image for image in seen.snapshots if image.labels.get(Label.VERIFIED) == "yes"]
    ranked = sorted(verified, key=lambda image: (image.id == newest, image.created), reverse=True)
    in_use = {server.image_id for server in seen.servers}
    return [image for image in ranked[SNAPSHOTS_KEPT:] if image.id not in in_use]


def _after_failure(bakery: Bakery, keep: bool) -> None:
    """Leave nothing that is billed. What cannot be deleted now is told; the next bake tries again."""
    if keep:
        _tell_what_is_kept(bakery)
        return
    try:
        with bakery.progress.step("Delete what the failed bake made") as step:
            left = _clear_away(bakery)
            step.update(", ".join(left)) if left else step.skip("nothing was left")
    except Trouble as trouble:
        bakery.progress.warn(
            f"Not all could be deleted, and may be billed: {trouble.what} "
            "The next `appliance build` or `appliance destroy` deletes it."
        )


def _tell_what_is_kept(bakery: Bakery) -> None:
    label = f"{Label.APPLIANCE}={bakery.settings.name}"
    bakery.progress.warn(
        f"Kept at the cloud, and billed: what carries the label {label} and is not verified. "
        "The next `appliance build` deletes it, and so does `appliance destroy`."
    )
    try:
        servers = bakery.cloud.observe().servers
    except Trouble:
        return  # the failure itself is what the operator must hear of
    for server in servers:
        if server.labels.get(Label.ROLE) in (Role.BAKE, Role.SCRATCH) and server.public_ip:
            way = f"ssh -o IdentitiesOnly=yes -i {_kept_key(bakery)} root@{server.public_ip}"
            bakery.progress.note(f"To look at {server.name}: {way}")


def _architecture(bakery: Bakery) -> str:
    wanted = bakery.settings.image.bake_server_type
    known = {kind.name: kind for kind in bakery.cloud.server_types()}
    if wanted not in known:
        raise ConfigTrouble(
            f"The cloud has no server type {wanted}.",
            why=f"image.bake_server_type in {bakery.settings.path}",
            fix=f"Choose one of {', '.join(sorted(known))}.",
        )
    return known[wanted].architecture


@contextmanager
def _key_folder(bakery: Bakery, keep: bool) -> Iterator[Path]:
    """A private folder for the bake's own SSH key. With `keep`, the key stays after a failure."""
    folder = private.make()
    try:
        yield folder
    except BaseException:
        if keep and (folder / KEY).exists():
            (folder / KEY).replace(_kept_key(bakery))
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _kept_key(bakery: Bakery) -> Path:
    """Beside the log, until the next bake clears away what it opens."""
    return bakery.log.with_name(f"kept-{bakery.settings.name}.key")


@contextmanager
def _log_file(path: Path) -> Iterator[TextIO]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "w", opener=_owner_only, encoding="utf-8")  # noqa: SIM115 - closed below
    except OSError as error:
        raise Trouble(
            f"The log of the bake cannot be written: {path}",
            why=error.strerror or str(error),
            fix="Set XDG_STATE_HOME to a folder that you may write, and run it again.",
            code=ExitCode.USAGE,
        ) from error
    with file:
        yield file


def _in_checkout(path: str) -> str:
    return path if path.startswith("image/") else f"image/checks/{path}"


def scripts_in(entries: Mapping[str, Entry], folder: str) -> list[str]:
    """The shell scripts right in `folder`, in the order of their numbers."""
    return sorted(
        path
        for path in entries
        if path.startswith(folder) and path.endswith(".sh") and "/" not in path.removeprefix(folder)
    )


def script_title(path: str) -> str:
    """image/scripts/20-node-and-openclaw.sh -> node and openclaw"""
    stem = path.rsplit("/", 1)[-1].removesuffix(".sh")
    return stem.lstrip("0123456789-").replace("-", " ") or stem


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
