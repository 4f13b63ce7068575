"""The lab's machines: systemd-nspawn containers that boot a disk of their own and outlive the lab's daemon.

Each machine has a folder (see disks.py) with `boot`, the script that runs it. A pty held by util-linux's
`script` is its console, its log `console.log`. `pid` names the process of `boot`: a machine is on while
that process is, whoever started it. A reboot from inside ends nspawn with 133 and `boot` goes round.

What a machine is not: it shares the host's kernel; it sees the host's memory. Its cores are an affinity.
Where systemd is the host's init, nspawn gets a scope with the memory limit of the server type; elsewhere
(and on hosts whose controllers sit in cgroup v1) no memory or task limit bites, not even those of units
inside. The clock is the host's.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import stat
import time
from pathlib import Path
from typing import Protocol

from appliance.lab import base, cgroups, processes
from appliance.lab.disks import Disks
from appliance.lab.hardware import BalancerSpec, HardwareTrouble, MachineSpec, TargetHealth
from appliance.lab.place import Place
from appliance.lab.shell import CLAIM, run
from appliance.lab.wires import Network, Wires

START_SECONDS = 20
REBOOTS = 133  # nspawn's exit status when the machine asked for a reboot and --keep-unit is given
# What a killed nspawn leaves: folders, and with systemd 257 a mount, named after the machine.
LEFT_BEHIND = tuple(Path("/run/systemd/nspawn") / kind for kind in ("propagate", "unix-export"))
POWER_OFF, REBOOT = signal.SIGRTMIN + 4, signal.SIGRTMIN + 5  # systemd(1), SIGNALS


class BalancerWorks(Protocol):
    """Load balancers in the namespaces that wires.py makes for them; see balancer.py."""

    def apply(self, spec: BalancerSpec, namespace: str | None) -> None: ...
    def delete(self, balancer_id: int, /) -> None: ...
    def health(self, balancer_id: int, /) -> dict[tuple[str, int], TargetHealth]: ...


class NspawnHardware:
    """`Hardware` by systemd-nspawn. One per lab; any number of threads may call it for different machines."""

    def __init__(self, place: Place, wires: Wires, balancers: BalancerWorks) -> None:
        self.place = place
        self.wires = wires
        self.disks = Disks(place)
        self._balancers = balancers

    # -- power

    def create(self, spec: MachineSpec) -> None:
        self.disks.create(spec.id, spec.layers)
        self.wires.wire_server(spec)

    def start(self, spec: MachineSpec) -> None:
        if self.running(spec.id):
            return
        self.create(spec)
        folder = self.disks.folder(spec.id)
        root = self.disks.mount(spec.id)
        _write_resolvers(root)
        self.wires.boot_server(spec)
        self._clear(spec.id)
        self._write_boot(spec)
        (folder / "pid").unlink(missing_ok=True)
        console = ["script", "--quiet", "--flush", "--append"]
        # Away from this process in every sense: a killed daemon must not take its machines along.
        run(
            ["setsid", "--fork", "sh", "-c", _detached([*console, "--command", str(folder / "boot")], folder)]
        )
        until = time.monotonic() + START_SECONDS
        while not self._leader(spec.id):
            gone = (folder / "pid").exists() and not self.running(spec.id)
            if gone or time.monotonic() > until:
                self.power_off(spec.id)
                raise HardwareTrouble(f"{spec.name} did not boot: {_tail(folder / 'console.log')}")
            time.sleep(0.01)

    def power_off(self, machine_id: int) -> None:
        boot = self._boot_process(machine_id)
        if boot is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(boot, signal.SIGSTOP)  # so that it begins nothing more while we look
        if not processes.kill([boot, *processes.descendants(boot)]):
            raise HardwareTrouble(f"machine {machine_id} does not go off")

    def shutdown(self, machine_id: int) -> None:
        self._signal(machine_id, POWER_OFF)

    def reboot(self, machine_id: int) -> None:
        self._signal(machine_id, REBOOT)

    def reset(self, spec: MachineSpec) -> None:
        self.power_off(spec.id)
        self.start(spec)

    def running(self, machine_id: int) -> bool:
        return self._boot_process(machine_id) is not None

    def delete(self, machine_id: int) -> None:
        self.power_off(machine_id)
        cgroups.remove(self.place.prefix, f"s{machine_id}")
        self._clear(machine_id)
        self.wires.delete_server(machine_id)
        self.disks.delete(machine_id)

    def rewire(self, spec: MachineSpec) -> None:
        self.wires.wire_server(spec)
        if self.disks.exists(spec.id):
            self._write_boot(spec)

    def set_password(self, machine_id: int, password: str) -> None:
        leader = self._leader(machine_id)
        if leader is None:
            raise HardwareTrouble(f"machine {machine_id} is off: its password cannot be set")
        enter = ["nsenter", "--target", str(leader), "--mount", "--uts", "--ipc", "--net", "--pid"]
        run([*enter, "--", "chpasswd"], f"root:{password}\n")

    # -- disks

    def snapshot(self, machine_id: int, layer: str) -> int:
        return self.disks.snapshot(machine_id, layer, running=self.running(machine_id))

    def delete_layer(self, layer: str) -> None:
        self.disks.delete_layer(layer)

    # -- networks and balancers

    def create_network(self, network_id: int, ip_range: str, routes: tuple[tuple[str, str], ...]) -> None:
        self.wires.create_network(Network(network_id, ip_range, routes))

    def delete_network(self, network_id: int) -> None:
        self.wires.delete_network(network_id)

    def apply_balancer(self, spec: BalancerSpec) -> None:
        self._balancers.apply(spec, self.wires.wire_balancer(spec))

    def delete_balancer(self, balancer_id: int) -> None:
        self._balancers.delete(balancer_id)
        self.wires.delete_balancer(balancer_id)

    def balancer_health(self, balancer_id: int) -> dict[tuple[str, int], TargetHealth]:
        return self._balancers.health(balancer_id)

    # -- the lab as a whole

    def up(self) -> None:
        """Wires of the lab; machines that outlived a daemon go on."""
        self.wires.up()
        self.disks.empty_trash()

    def wipe(self) -> None:
        """Nothing is left: machines, wires, mounts, disks. Also after half an `up` or half a `wipe`."""
        for folder in self.disks.machines.glob("[0-9]*"):
            self.power_off(int(folder.name))
            self._clear(int(folder.name))
        cgroups.remove(self.place.prefix)
        self.wires.down()
        self.disks.wipe()

    # -- how

    def _clear(self, machine_id: int) -> None:
        for kind in LEFT_BEHIND:
            left = kind / self.wires.server_namespace(machine_id)
            if left.is_mount():
                run(["umount", "--lazy", str(left)])
            shutil.rmtree(left, ignore_errors=True)

    def _boot_process(self, machine_id: int) -> int | None:
        folder = self.disks.folder(machine_id)
        try:
            pid = int((folder / "pid").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return pid if str(folder / "boot") in processes.command_line(pid) else None

    def _leader(self, machine_id: int) -> int | None:
        """The machine's own pid 1, once it is its init."""
        boot = self._boot_process(machine_id)
        for pid in processes.descendants(boot) if boot else []:
            status = processes.PROC / str(pid) / "status"
            with contextlib.suppress(OSError):
                lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
                if lines["Name"].strip() == "systemd" and lines["NSpid"].split()[1:] == ["1"]:
                    return pid
        return None

    def _signal(self, machine_id: int, number: int) -> None:
        leader = self._leader(machine_id)
        if leader is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(leader, number)

    def _write_boot(self, spec: MachineSpec) -> None:
        folder = self.disks.folder(spec.id)
        nspawn = shlex.join(self._nspawn(spec))
        again = self.wires.reset_script(spec)
        pid, new = shlex.quote(str(folder / "pid")), folder / "boot.new"
        new.write_text(
            f"#!/bin/sh\necho $$ > {pid}.new && mv {pid}.new {pid}\n"
            f"{cgroups.enter_script(self.place.prefix, f's{spec.id}')}"
            f"{nspawn}\n[ $? = {REBOOTS} ] || exit 0\n{again}exec {shlex.quote(str(folder / 'boot'))}\n"
        )
        new.chmod(stat.S_IRWXU)
        new.rename(folder / "boot")  # the one that runs reads the old file on; the next round takes the new

    def _nspawn(self, spec: MachineSpec) -> list[str]:
        name = self.wires.server_namespace(spec.id)
        host_cores = sorted(os.sched_getaffinity(0))
        cores = {host_cores[(spec.id * spec.cores + n) % len(host_cores)] for n in range(spec.cores)}
        options = [
            f"--directory={self.disks.root(spec.id)}",
            f"--machine={name}",
            f"--hostname={spec.name}",
            f"--network-namespace-path=/run/netns/{name}",
            f"--cpu-affinity={','.join(map(str, sorted(cores)))}",
            "--capability=CAP_NET_ADMIN",
            "--console=interactive",
            "--register=no",
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
        ]
        if cgroups.systemd_is_init():
            options.append(f"--property=MemoryMax={int(spec.memory_gb * 1024)}M")
        else:
            options.append("--keep-unit")
        if self.disks.disk(spec.id).from_base:
            cache = self.place.cache / "packages"
            cache.mkdir(parents=True, exist_ok=True)
            options.append(f"--bind={cache}:{base.LENT}")
        # A server may set its network's sysctls; all others are the host's and read-only.
        return [
            "env",
            "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network",
            "systemd-nspawn",
            "--quiet",
            "--boot",
            *options,
        ]


def _detached(argv: list[str], folder: Path) -> str:
    log = shlex.quote(str(folder / "console.log"))
    return f"unset {CLAIM}; exec {shlex.join(argv)} {log} </dev/null >/dev/null 2>&1"


def _write_resolvers(root: Path) -> None:
    """The host's name servers, as DHCP gives them; a loopback one is of no use inside."""
    target = root / "etc/resolv.conf"
    if target.is_symlink():
        return
    for source in (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")):
        with contextlib.suppress(OSError):
            lines = [line for line in source.read_text().splitlines() if line.startswith("nameserver")]
            outside = [line for line in lines if not line.split()[1].startswith(("127.", "::1"))]
            if outside:
                target.write_text("\n".join(outside) + "\n")
                return


def _tail(log: Path) -> str:
    try:
        return log.read_text(errors="replace").strip()[-600:]
    except FileNotFoundError:
        return "nothing on its console"
