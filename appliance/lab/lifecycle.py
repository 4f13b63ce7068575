"""The lab as a whole: up, down, status. All of them may be run again, whatever was killed half-way."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests

from appliance.contract.trouble import LabTrouble
from appliance.lab import base, daemon_process, host_firewall
from appliance.lab.balancer import Balancers
from appliance.lab.hardware import HardwareTrouble
from appliance.lab.machines import NspawnHardware
from appliance.lab.place import Place
from appliance.lab.requirements import missing, not_linux, not_root
from appliance.lab.shell import claim, locked
from appliance.lab.state import FILE
from appliance.lab.trees import remove
from appliance.lab.wires import Wires

Say = Callable[[str], None]


@dataclass(frozen=True)
class Machine:
    name: str
    status: str
    server_type: str
    public_ip: str | None


@dataclass(frozen=True)
class Vendor:
    name: str
    base_url: str  # as machines see it


@dataclass(frozen=True)
class Status:
    up: bool
    problem: str | None  # why it is not, though something of it is there
    endpoint: str
    folder: Path
    log: Path
    pid: int | None
    machines: tuple[Machine, ...]
    vendors: tuple[Vendor, ...]
    storage_box: str


def assemble(place: Place) -> tuple[NspawnHardware, Balancers]:
    balancers = Balancers(place)
    return NspawnHardware(place, Wires(place), balancers), balancers


def up(place: Place, say: Say = lambda _: None) -> bool:
    """Bring the lab up, or repair it. False when it was up already. Raises LabTrouble."""
    refuse_if_unable(place)
    with locked(place.root / f"lab{place.instance}.lock"):
        daemon = daemon_process.find(place)
        if daemon and daemon_process.answers(place):
            _refuse_if_cut_off(place)
            return False
        if daemon:
            say("the daemon does not answer: starting it anew")
            daemon_process.stop(daemon)
        daemon_process.end_claimed(place)
        if place.folder.exists() and not (place.folder / FILE).exists():
            say("removing half a lab")
            _wipe(place)
        claim(place.folder)
        for folder in (place.folder, place.folder / "log", place.cache):
            folder.mkdir(parents=True, exist_ok=True)
        place.folder.chmod(0o700)
        _make_token(place)
        try:
            base.ensure(place, say)
        except HardwareTrouble as e:
            raise LabTrouble(
                "The base image could not be made",
                why=str(e),
                fix="see that this host reaches a Debian mirror (apt-get update), then run it again",
            ) from e
        say("starting the daemon")
        daemon_process.start(place)
        _refuse_if_cut_off(place)
    return True


def _refuse_if_cut_off(place: Place) -> None:
    """The lab is up then, and of little use: nothing that machines fetch would arrive."""
    with contextlib.suppress(HardwareTrouble):  # it cannot be asked: no reason to refuse
        if trouble := host_firewall.trouble(place):
            raise trouble


def down(place: Place, *, purge: bool = False, say: Say = lambda _: None) -> bool:
    """Leave nothing: processes, namespaces, mounts, rules, files. False when there was nothing.

    `purge` also removes the caches that labs share. Raises LabTrouble.
    """
    if lacks := not_linux() or not_root():
        raise lacks
    lock = place.root / f"lab{place.instance}.lock"
    with locked(lock):
        found = place.folder.exists()
        if daemon := daemon_process.find(place):
            say("stopping the daemon")
            daemon_process.stop(daemon)
        daemon_process.end_claimed(place)
        say("removing machines and wires")
        # First of all, so that what is left when this is killed is not taken for a lab.
        (place.folder / FILE).unlink(missing_ok=True)
        _wipe(place)
        if purge:
            _purge(place)
        lock.unlink(missing_ok=True)
    if not any(place.root.iterdir()):
        place.root.rmdir()
    return found


def _wipe(place: Place) -> None:
    hardware, balancers = assemble(place)
    try:
        balancers.wipe()
        hardware.wipe()
        remove(place.folder)
    except HardwareTrouble as e:
        raise _not_removed(e) from e


def _not_removed(why: HardwareTrouble) -> LabTrouble:
    return LabTrouble(
        "Something of the lab could not be removed", why=str(why), fix="run `appliance lab down` again"
    )


def _purge(place: Place) -> None:
    others = sorted(p.name for p in place.root.glob("lab*") if p.is_dir())
    if others:
        raise LabTrouble(
            "The caches were kept",
            why=f"other labs stand on them: {', '.join(others)}",
            fix="bring those down first",
        )
    try:
        remove(place.cache)
    except HardwareTrouble as e:
        raise _not_removed(e) from e


def status(place: Place) -> Status:
    """Raises LabTrouble where this user cannot tell."""
    _refuse_unless_readable(place)
    daemon = daemon_process.find(place)
    problem: str | None = None
    machines: tuple[Machine, ...] = ()
    if daemon is None and place.folder.exists():
        problem = "the daemon is not running; `appliance lab up` repairs, `appliance lab down` cleans up"
    elif daemon is not None:
        try:
            machines = tuple(_machines(place))
        except (requests.RequestException, OSError) as e:
            problem = f"the daemon does not answer ({type(e).__name__}); `appliance lab up` repairs"
    vendors = tuple(Vendor(n, f"http://{place.host_ip}:{port}/v1") for n, port in place.vendor_ports)
    return Status(
        up=daemon is not None and problem is None,
        problem=problem,
        endpoint=place.api_endpoint,
        folder=place.folder,
        log=daemon_process.log_file(place),
        pid=daemon.pid if daemon else None,
        machines=machines,
        vendors=vendors,
        storage_box=place.storage_box,
    )


def environment(place: Place) -> dict[str, str]:
    """What points clients of the API at this lab. Raises LabTrouble when it is not up, or not this user's."""
    _refuse_unless_readable(place)
    if daemon_process.find(place) is None:
        raise LabTrouble("The lab is not up", fix="appliance lab up")
    token = place.token_file.read_text().strip()
    return {
        "HCLOUD_ENDPOINT": place.api_endpoint,
        "HETZNER_ENDPOINT": place.api_endpoint,  # Storage Boxes: answered 501 here, not by the real API
        "HCLOUD_TOKEN": token,
    }


def refuse_if_unable(place: Place) -> None:
    """Everything that is missing in one message. Raises LabTrouble."""
    if lacks := missing(place):
        raise lacks


def _refuse_unless_readable(place: Place) -> None:
    try:
        next(place.folder.iterdir(), None)
    except FileNotFoundError:
        return  # there is none: that anybody may know
    except PermissionError:
        raise LabTrouble(
            "Only root can tell how the lab is", why=f"{place.folder} is root's", fix="run it with sudo"
        ) from None


def _machines(place: Place) -> list[Machine]:
    found = []
    for server in daemon_process.get(place, "/servers?per_page=50").json()["servers"]:
        ipv4: dict[str, str] | None = server["public_net"]["ipv4"]
        kind = server["server_type"]["name"]
        found.append(Machine(server["name"], server["status"], kind, ipv4["ip"] if ipv4 else None))
    return found


def _make_token(place: Place) -> None:
    if place.token_file.exists():
        return
    new = place.token_file.with_suffix(".new")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as f:
        f.write(secrets.token_hex(32) + "\n")  # 64 characters, as at Hetzner
    new.rename(place.token_file)
