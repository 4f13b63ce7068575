"""The one place where the lab runs the host's commands."""

from __future__ import annotations

import fcntl
import os
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from appliance.lab.hardware import HardwareTrouble

TAIL = 600  # characters of a failed command's output that an error shows
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "HOME": "/root",
}
# In the environment of a command that somebody waits for: the folder of the lab that it works on. A killed
# daemon's commands are known by it; machines and balancers, which are to outlive the daemon, are without.
CLAIM = "APPLIANCE_LAB_CLAIM"


def claim(folder: Path) -> None:
    """From now on the commands of this process are known as those of the lab in `folder`."""
    ENVIRONMENT[CLAIM] = str(folder)


def attempt(argv: Sequence[str], stdin: str = "", seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Run `argv`; a time-out or a missing command raises HardwareTrouble, a failure does not."""
    try:
        return subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=seconds, env=ENVIRONMENT, check=False
        )
    except subprocess.TimeoutExpired:
        raise HardwareTrouble(f"{shlex.join(argv)} did not end within {seconds:g} s") from None
    except FileNotFoundError:
        raise HardwareTrouble(f"the command {argv[0]} is missing on this host") from None


def run(argv: Sequence[str], stdin: str = "", seconds: float = 60) -> str:
    """Standard output of `argv`. Raises HardwareTrouble with the tail of what it said when it fails."""
    done = attempt(argv, stdin, seconds)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-TAIL:]
        raise HardwareTrouble(f"{shlex.join(argv)} failed ({done.returncode}): {said}")
    return done.stdout


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file against other processes of this host; the kernel frees it when the holder dies.

    Its holder may unlink it.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is(path, file.fileno()):
                yield
                return


def _is(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
