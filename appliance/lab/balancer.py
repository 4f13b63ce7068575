"""Load balancers as HAProxy processes, each in its network namespace. What they are told: balancer_config.py.

Nothing about a running process is remembered: it is found by the configuration file that its command line
names, so a killed daemon's balancers are found again.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from appliance.lab.balancer_config import certificate_file, configuration, generation, read_stats, served
from appliance.lab.hardware import BalancerSpec, HardwareTrouble, TargetHealth
from appliance.lab.place import Place
from appliance.lab.processes import PROC, kill, parents
from appliance.lab.shell import CLAIM, ENVIRONMENT, attempt

READY = 20  # seconds for a start or a reload
GONE = 2  # seconds without a process: it ended (a start has a moment of none)
NAMESPACES = Path("/run/netns")


class Balancers:
    def __init__(self, place: Place) -> None:
        self._folder = place.folder / "balancers"
        self._logs = place.folder / "log"
        self._lock = threading.Lock()

    def apply(self, spec: BalancerSpec, namespace: str | None) -> None:
        """Start the balancer in `namespace` (None: the host's own) or change it, cutting no connection.

        Raises HardwareTrouble; then what ran before goes on.
        """
        with self._lock:
            if not served(spec):
                self._stop(spec.id)
                return
            folder = self._folder / str(spec.id)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            text = configuration(spec, folder)
            for service in spec.services:
                for pem in service.certificates:
                    _write(folder / certificate_file(pem), pem)
            _check(folder, text)
            master = self._master(spec.id)
            if master and not _inside(master, namespace):
                self._stop(spec.id, keep=True)
                master = None
            if master and self._generation(spec.id) == generation(text):
                return
            _write(folder / "haproxy.cfg", text)
            if master:
                self._reload(spec.id, master)
            else:
                self._start(spec.id, namespace)
            self._await(spec.id, generation(text))
            self._tidy(spec)

    def delete(self, balancer_id: int) -> None:
        with self._lock:
            self._stop(balancer_id)

    def health(self, balancer_id: int) -> dict[tuple[str, int], TargetHealth]:
        """What the checks last saw; empty while the balancer has nothing to listen for."""
        return read_stats(self._ask(balancer_id, "show stat"))

    def wipe(self) -> None:
        """End all balancers of this lab, those without a folder too."""
        with self._lock:
            _end(_processes(f"{self._folder}/"))
            shutil.rmtree(self._folder, ignore_errors=True)

    def _file(self, balancer_id: int) -> str:
        return str(self._folder / str(balancer_id) / "haproxy.cfg")

    def _log(self, balancer_id: int) -> Path:
        return self._logs / f"balancer-{balancer_id}.log"

    def _master(self, balancer_id: int) -> int | None:
        """The process that is no child of another one of the same balancer."""
        mine, above = _processes(self._file(balancer_id)), parents()
        return next((pid for pid in mine if above.get(pid) not in mine), None)

    def _start(self, balancer_id: int, namespace: str | None) -> None:
        folder = self._folder / str(balancer_id)
        (folder / "state").unlink(missing_ok=True)  # an old process's
        self._logs.mkdir(parents=True, exist_ok=True)
        enter = ["nsenter", f"--net={NAMESPACES / namespace}"] if namespace else []
        # --fork: init becomes its parent, so that it neither dies with the daemon nor becomes its zombie
        argv = [*enter, "setsid", "--fork", "haproxy", "-W", "-f", self._file(balancer_id)]
        with self._log(balancer_id).open("ab") as log:
            subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={name: value for name, value in ENVIRONMENT.items() if name != CLAIM},
                cwd="/",
                timeout=READY,
                check=False,
            )

    def _reload(self, balancer_id: int, master: int) -> None:
        """Tell the master to read its file again. Old workers serve their connections to the end."""
        # Without its state a target that is down would get traffic until its next check.
        state = self._ask(balancer_id, "show servers state")
        _write(self._folder / str(balancer_id) / "state", state)
        try:
            os.kill(master, signal.SIGUSR2)
        except ProcessLookupError:
            raise HardwareTrouble(f"HAProxy of load balancer {balancer_id} ended meanwhile") from None

    def _await(self, balancer_id: int, wanted: str) -> None:
        seen = begun = time.monotonic()
        while (now := time.monotonic()) < begun + READY and now < seen + GONE:
            if self._generation(balancer_id) == wanted:
                return
            if _processes(self._file(balancer_id)):
                seen = now
            time.sleep(0.02)
        log = self._log(balancer_id)
        tail = log.read_text(errors="replace")[-600:] if log.exists() else ""
        raise HardwareTrouble(f"HAProxy did not take up load balancer {balancer_id}: {tail}")

    def _tidy(self, spec: BalancerSpec) -> None:
        """Certificates that nothing names any more."""
        named = {certificate_file(pem) for service in spec.services for pem in service.certificates}
        for file in (self._folder / str(spec.id)).glob("*.pem"):
            if file.name not in named:
                file.unlink(missing_ok=True)

    def _stop(self, balancer_id: int, *, keep: bool = False) -> None:
        _end(_processes(self._file(balancer_id)))
        if not keep:
            shutil.rmtree(self._folder / str(balancer_id), ignore_errors=True)

    def _generation(self, balancer_id: int) -> str:
        said = self._ask(balancer_id, "show info").splitlines()
        return next((line.partition(": ")[2] for line in said if line.startswith("description:")), "")

    def _ask(self, balancer_id: int, command: str) -> str:
        """An answer from HAProxy's socket; empty where nobody listens."""
        answer = b""
        try:
            with socket.socket(socket.AF_UNIX) as channel:
                channel.settimeout(5)
                channel.connect(str(self._folder / str(balancer_id) / "stats.sock"))
                channel.sendall(f"{command}\n".encode())
                while data := channel.recv(65536):
                    answer += data
        except OSError:
            return ""
        return answer.decode(errors="replace")


def _write(path: Path, text: str) -> None:
    """All or nothing, for root only: certificates carry their keys."""
    part = path.with_name(f".{path.name}.new")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    part.replace(path)


def _check(folder: Path, text: str) -> None:
    trial = folder / "trial.cfg"
    _write(trial, text)
    checked = attempt(["haproxy", "-c", "-f", str(trial)], seconds=READY)
    trial.unlink(missing_ok=True)
    if checked.returncode:
        said = (checked.stderr or checked.stdout)[-600:]
        raise HardwareTrouble(f"HAProxy does not take the load balancer's configuration: {said}")


def _processes(configuration_file: str) -> set[int]:
    """HAProxy processes whose command line names a file that begins so."""
    found = set()
    for folder in PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        program = words[0].rpartition(b"/")[2]
        if program == b"haproxy" and any(w.startswith(os.fsencode(configuration_file)) for w in words[1:]):
            found.add(int(folder.name))
    return found


def _inside(pid: int, namespace: str | None) -> bool:
    """Whether the process sits in the namespace of that name as it is now."""
    there = NAMESPACES / namespace if namespace else PROC / "self" / "ns" / "net"
    try:
        own, wanted = (PROC / str(pid) / "ns" / "net").stat(), there.stat()
    except FileNotFoundError:
        return False
    return (own.st_dev, own.st_ino) == (wanted.st_dev, wanted.st_ino)


def _end(pids: set[int]) -> None:
    """The master first, which would start its workers anew."""
    above = parents()
    kill(sorted(pids, key=lambda pid: above.get(pid) in pids))
