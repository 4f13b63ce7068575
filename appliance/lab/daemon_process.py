"""The daemon as a process: found, started, stopped, asked, whoever started it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import requests

from appliance.contract.trouble import LabTrouble
from appliance.lab import processes
from appliance.lab.place import Place
from appliance.lab.requirements import not_root
from appliance.lab.shell import CLAIM

UP_SECONDS = 60
STOP_SECONDS = 3
ANSWER_SECONDS = 5
LOG_LINES = 12


@dataclass(frozen=True)
class Daemon:
    """A process and when it began, so that a reused pid is not taken for it."""

    pid: int
    started: int  # clock ticks since the host's boot, proc(5) stat field 22


def log_file(place: Place) -> Path:
    return place.folder / "log" / "daemon.log"


def start_time(pid: int) -> int:
    """Raises OSError when there is no such process."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[19])


def find(place: Place) -> Daemon | None:
    """The daemon of this lab, if it runs. Raises LabTrouble for somebody who may not know."""
    try:
        said = json.loads((place.folder / "daemon.json").read_text())
        daemon = Daemon(int(said["pid"]), int(said["started"]))
        alive = start_time(daemon.pid) == daemon.started and bool(processes.command_line(daemon.pid))
    except PermissionError:
        raise not_root() or LabTrouble(f"{place.folder} cannot be read") from None
    except (OSError, ValueError, KeyError):
        return None
    return daemon if alive else None


def start(place: Place) -> None:
    log = log_file(place)
    environment = {
        **os.environ,
        "APPLIANCE_LAB_DIR": str(place.root),
        "APPLIANCE_LAB_INSTANCE": str(place.instance),
        CLAIM: str(place.folder),  # found by it even when somebody removed the folder
    }
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "appliance.lab.daemon"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            env=environment,
            start_new_session=True,  # it outlives this command and its terminal
        )
    until = time.monotonic() + UP_SECONDS
    while not answers(place):
        died = process.poll() is not None
        if died or time.monotonic() > until:
            if not died:
                process.kill()
                process.wait()
            raise LabTrouble(
                "The lab's daemon ended" if died else f"The lab's daemon did not answer in {UP_SECONDS} s",
                why=_tail(log),
                fix=f"see {log}; `appliance lab down` and `up` begin anew",
            )
        time.sleep(0.05)


def stop(daemon: Daemon) -> None:
    """SIGTERM, then SIGKILL; gone when this returns. Machines are not its children and go on."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(daemon.pid, signal.SIGTERM)
    until = time.monotonic() + STOP_SECONDS
    while processes.command_line(daemon.pid):
        if time.monotonic() > until:
            processes.kill([daemon.pid])
            return
        time.sleep(0.01)


def end_claimed(place: Place) -> None:
    """Commands that a killed daemon or `up` waited for, such as the copy of a disk, and a lost daemon."""
    processes.kill(processes.with_environment(f"{CLAIM}={place.folder}"))


def answers(place: Place) -> bool:
    try:
        return get(place, "/locations").status_code == 200
    except requests.RequestException:
        return False


def get(place: Place, path: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {place.token_file.read_text().strip()}"}
    session = requests.Session()
    session.trust_env = False  # no proxy between this host and itself
    return session.get(f"{place.api_endpoint}{path}", headers=headers, timeout=ANSWER_SECONDS)


def _tail(log: Path) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
    except OSError:
        return "it wrote no log"
