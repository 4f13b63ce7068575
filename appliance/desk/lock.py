"""One desk at a time: an empty placement group with a unique name is the lock (free, and taken atomically).

Its labels say who holds it. A lock left by a process of this very machine that is dead is taken over;
any other is only broken on the operator's word.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import psutil

from appliance.contract.trouble import CloudTrouble, LockedTrouble
from appliance.desk.model import Held, Label, Role
from appliance.desk.progress import Progress

HOLDER, PID, STARTED, BOOT, SINCE, TICKET = (
    f"appliance-lock-{word}" for word in ("holder", "pid", "started", "boot", "since", "ticket")
)
SINCE_FORMAT = "%Y%m%dT%H%M%SZ"
TRIES = 3  # the lock may be let go, or be taken by a third desk, between two looks


class LockKeeper(Protocol):
    """What the lock needs of the cloud."""

    def take_name(self, name: str, labels: Mapping[str, str]) -> Held | None: ...

    def name_taken_by(self, name: str) -> Held | None: ...

    def delete(self, held: Held) -> None: ...


@dataclass(frozen=True)
class Process:
    """A process such that no other one, here or elsewhere, is taken for it."""

    holder: str  # host name
    pid: int
    started: str  # see _started
    boot: str  # the machine's boot and its PID namespace: containers share the former

    @staticmethod
    def this() -> Process:
        return Process(socket.gethostname(), os.getpid(), _started(os.getpid()) or "", _boot())

    @staticmethod
    def of(labels: Mapping[str, str]) -> Process:
        pid = labels.get(PID, "")
        return Process(
            labels.get(HOLDER, "an unknown host"),
            int(pid) if pid.isdecimal() else 0,
            labels.get(STARTED, ""),
            labels.get(BOOT, ""),
        )

    def labels(self) -> dict[str, str]:
        return {
            HOLDER: label_value(self.holder),
            PID: str(self.pid),
            STARTED: self.started,
            BOOT: label_value(self.boot),
        }


def known_dead(other: Process, this: Process, started: Callable[[int], str | None] | None = None) -> bool:
    """Only a process of this boot can be known to be dead. `started` is None where no such pid runs."""
    return (
        bool(other.pid)
        and other.boot == label_value(this.boot)
        and (started or _started)(other.pid) != other.started
    )


def label_value(text: str) -> str:
    """`text` with what a label value may not hold replaced (docs.hetzner.cloud, "Labels")."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text)[:63].strip("-_.")


@contextmanager
def hold(cloud: LockKeeper, name: str, progress: Progress, break_lock: bool = False) -> Iterator[None]:
    """Hold the lock of appliance `name`. LockedTrouble says who has it and since when."""
    lock = _take(cloud, name, progress, break_lock)
    try:
        yield
    finally:
        try:
            cloud.delete(lock)
        except CloudTrouble as error:
            progress.warn(
                f"The lock {lock.name} could not be let go ({error.why or error.what}); the next "
                "command on this machine takes it over, elsewhere it needs --break-lock"
            )


def _take(cloud: LockKeeper, appliance: str, progress: Progress, break_lock: bool) -> Held:
    name = f"appliance-{appliance}-lock"
    this = Process.this()
    labels = {
        Label.ROLE: Role.LOCK.value,
        **this.labels(),
        SINCE: datetime.now(UTC).strftime(SINCE_FORMAT),
        # Tells our own request, whose answer got lost, from anyone else's.
        TICKET: secrets.token_hex(8),
    }
    other: Held | None = None
    for _ in range(TRIES):
        mine = cloud.take_name(name, labels)
        if mine is not None:
            return mine
        other = cloud.name_taken_by(name)
        if other is None:
            continue
        if other.labels.get(Label.APPLIANCE) != appliance or other.labels.get(Label.ROLE) != Role.LOCK:
            raise CloudTrouble(
                f"There is a placement group named {name} that is no lock of this appliance",
                fix="rename or delete it, or choose another name in appliance.yaml",
            )
        if break_lock:
            progress.warn(f"Breaking the lock of {_who(other)}")
        elif known_dead(Process.of(other.labels), this):
            progress.note(f"Taking over the lock of {_who(other)}: that process is dead")
        else:
            raise _locked(appliance, other)
        cloud.delete(other)  # by its id: never a lock that was taken after we looked
    if other is None:
        raise CloudTrouble(f"The lock {name} could not be taken", fix="run the command again")
    raise _locked(appliance, other)


def _locked(appliance: str, lock: Held) -> LockedTrouble:
    return LockedTrouble(
        f"Another desk is at work on {appliance}",
        why=f"the lock is held by {_who(lock)}",
        fix="wait until it has finished; if you know it to be dead, run this again with --break-lock",
    )


def _who(lock: Held) -> str:
    since = lock.labels.get(SINCE, "")
    try:
        moment = datetime.strptime(since, SINCE_FORMAT).replace(tzinfo=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except ValueError:
        moment = "an unknown time"
    process = Process.of(lock.labels)
    return f"{process.holder}, process {process.pid or '?'}, since {moment}"


def _started(pid: int) -> str | None:
    """When the process began, in a unit of this system's; None where it does not run."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _started_by_clock(pid)
    # proc_pid_stat(5), behind the command's name in brackets: state is field 3, starttime field 22 (in
    # ticks since the boot, so that setting the clock does not change it).
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _started_by_clock(pid: int) -> str | None:
    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return None


def _boot() -> str:
    boot_id = Path("/proc/sys/kernel/random/boot_id")
    if not boot_id.exists():  # macOS
        return f"{socket.gethostname()}-{psutil.boot_time():.0f}"
    namespace = re.sub(r"\D", "", str(Path("/proc/self/ns/pid").readlink()))
    return f"{boot_id.read_text().strip()}.{namespace}"
