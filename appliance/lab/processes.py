"""What runs on the host, read from /proc: nothing is remembered, so nothing is lost with a daemon."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from pathlib import Path

PROC = Path("/proc")


def command_line(pid: int) -> str:
    """Words parted by spaces; empty for a process that is gone or a zombie."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def parents() -> dict[int, int]:
    """pid -> its parent's, of every process there is."""
    found = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                # After the name, which may hold spaces and brackets: state, then the parent's pid.
                found[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def children(pid: int) -> list[int]:
    return sorted(child for child, parent in parents().items() if parent == pid)


def descendants(pid: int) -> list[int]:
    """Parents first."""
    by_parent: dict[int, list[int]] = {}
    for child, parent in parents().items():
        by_parent.setdefault(parent, []).append(child)
    found, todo = [], [pid]
    while todo:
        below = by_parent.get(todo.pop(0), [])
        found += below
        todo += below
    return found


def with_environment(entry: str) -> list[int]:
    """Those that were started with this NAME=value."""
    found = []
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if entry.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
    return found


def kill(pids: list[int], seconds: float = 10) -> bool:
    """SIGKILL in this order and wait until they are gone; False when one is not, after `seconds`."""
    handles = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            handles.append(os.pidfd_open(pid))
            signal.pidfd_send_signal(handles[-1], signal.SIGKILL)
    until = time.monotonic() + seconds
    gone = True
    for handle in handles:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        gone = bool(poll.poll(max(0.0, until - time.monotonic()) * 1000)) and gone
        os.close(handle)
    return gone
