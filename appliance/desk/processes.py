"""Who is at work: a process named such that a dead one is known to be dead, on this machine only."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

HOLDER, PID, STARTED, BOOT, MACHINE = (
    f"appliance-lock-{word}" for word in ("holder", "pid", "started", "boot", "machine")
)
# proc_ns.h, PROC_PID_INIT_INO: the PID namespace of a machine itself, of no container.
NO_CONTAINER = ".4026531836"


@dataclass(frozen=True)
class Process:
    """A process such that no other one, here or elsewhere, is taken for it."""

    holder: str  # host name
    pid: int
    started: str  # see _started
    boot: str  # the machine's boot and its PID namespace: containers share the former
    machine: str = ""  # stays over reboots; empty where there is no such thing

    @staticmethod
    def this() -> Process:
        return Process(socket.gethostname(), os.getpid(), _started(os.getpid()) or "", _boot(), _machine())

    @staticmethod
    def of(labels: Mapping[str, str]) -> Process:
        pid = labels.get(PID, "")
        return Process(
            labels.get(HOLDER, "an unknown host"),
            int(pid) if pid.isdecimal() else 0,
            labels.get(STARTED, ""),
            labels.get(BOOT, ""),
            labels.get(MACHINE, ""),
        )

    def labels(self) -> dict[str, str]:
        return {
            HOLDER: label_value(self.holder),
            PID: str(self.pid),
            STARTED: self.started,
            BOOT: label_value(self.boot),
            MACHINE: self.machine,
        }


def known_dead(other: Process, this: Process, started: Callable[[int], str | None] | None = None) -> bool:
    """Whether `other` ran in this boot, and no more, or before this machine was booted.

    `started` is None where no such pid runs.
    """
    if not other.pid:
        return False
    if label_value(other.boot) == label_value(this.boot):
        return (started or _started)(other.pid) != other.started
    return _booted_since(other, this)


def _booted_since(other: Process, this: Process) -> bool:
    """Not of containers: those of one image may have one machine-id on many machines."""
    return (
        bool(this.machine)
        and other.machine == this.machine
        and label_value(other.holder) == label_value(this.holder)
        and other.boot.endswith(NO_CONTAINER)
        and this.boot.endswith(NO_CONTAINER)
    )


def label_value(text: str) -> str:
    """`text` with what a label value may not hold replaced (docs.hetzner.cloud, "Labels")."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text)[:63].strip("-_.")


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


def _machine() -> str:
    """machine-id(5): confidential, so only a hash with a use of its own leaves the machine."""
    try:
        known = Path("/etc/machine-id").read_text().strip()
    except OSError:
        return ""
    return hashlib.sha256(f"appliance lock {known}".encode()).hexdigest()[:16] if known else ""
