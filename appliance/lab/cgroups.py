"""A control group of its own for each machine, on hosts whose init is not systemd.

Where systemd is the host's init, nspawn asks it for a scope. Elsewhere nspawn would put every machine into
one and the same group, and their inits would wait for one another's services to end.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def systemd_is_init() -> bool:
    """sd_booted(3)."""
    return Path("/run/systemd/system").exists()


def _hierarchies() -> list[Path]:
    """Those that an init manages: cgroup v2 alone, or v1's named one with v2 beside it."""
    return [h for h in (ROOT, ROOT / "systemd", ROOT / "unified") if (h / "cgroup.procs").exists()]


def enter_script(prefix: str, machine: str) -> str:
    """Shell that moves itself into the machine's group."""
    if systemd_is_init():
        return ""
    groups = [shlex.quote(str(h / prefix / machine)) for h in _hierarchies()]
    return "".join(f"mkdir -p {g} && echo $$ > {g}/cgroup.procs\n" for g in groups)


def remove(prefix: str, machine: str = "") -> None:
    """The empty groups of a machine that is off, or of the whole lab."""
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / prefix / machine, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
