"""A real lab without its daemon: hardware, wires and the metadata service in the test's own process."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from appliance.lab import base
from appliance.lab.api.core import Lab
from appliance.lab.balancer import Balancers
from appliance.lab.hardware import MachineSpec, PrivateWire, PublicWire, Rule
from appliance.lab.machines import NspawnHardware
from appliance.lab.metadata import metadata_app
from appliance.lab.place import Place
from appliance.lab.records import PrimaryIp, Server
from appliance.lab.shell import attempt
from appliance.lab.state import Store
from appliance.lab.wires import Wires
from tests.lab.serving import serving, until

INSTANCE = int(os.environ.get("APPLIANCE_TEST_INSTANCE", "29"))
NETWORK, RANGE, GATEWAY = 7, "10.77.0.0/16", "10.77.0.1"


def place_for_tests(instance: int) -> Place:
    return replace(Place.from_environment(), instance=instance)


@dataclass
class RealLab:
    place: Place
    hardware: NspawnHardware
    memory: Lab
    key: Path
    layers: tuple[str, ...]
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def spec(
        self,
        layers: Sequence[str] | None = None,
        *,
        user_data: str = "",
        private: Sequence[PrivateWire] = (),
        firewall: tuple[Rule, ...] | None = None,
    ) -> MachineSpec:
        """A new machine, known to the metadata service."""
        id_ = next(self._ids)
        ipv4 = str(self.place.public.network_address + 256 + id_)
        public_key = self.key.with_suffix(".pub").read_text().strip()
        spec = MachineSpec(
            id=id_,
            name=f"machine-{id_}",
            layers=tuple(layers or self.layers),
            cores=2,
            memory_gb=4,
            disk_gb=40,
            public=PublicWire(ipv4, None, f"96:00:00:00:00:{id_:02x}"),
            private=tuple(private),
            user_data=user_data,
            ssh_keys=(public_key,),
            firewall=firewall,
        )
        self.memory.state.servers[id_] = Server(
            id=id_,
            name=spec.name,
            server_type="cx23",
            location="fsn1",
            image=None,
            layers=list(spec.layers),
            mac=spec.public.mac,
            user_data=user_data,
            ssh_keys=[public_key],
            disk_size=40,
        )
        address = PrimaryIp(id=1000 + id_, type="ipv4", ip=ipv4, location="fsn1", assignee_id=id_)
        self.memory.state.primary_ips[address.id] = address
        return spec

    def boot(self, spec: MachineSpec) -> MachineSpec:
        self.hardware.start(spec)
        self.reached(spec)
        return spec

    def reached(self, spec: MachineSpec) -> None:
        until(lambda: self.tries(spec, "true").returncode == 0, 30)

    def tries(self, spec: MachineSpec, command: str, address: str = "") -> subprocess.CompletedProcess[str]:
        options = ["-F", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=2", "-o", "LogLevel=ERROR"]
        # Who these machines are is not what these tests are about.
        options += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        who = f"root@{address or spec.public.ipv4}"
        return attempt(["ssh", *options, "-i", str(self.key), who, command], seconds=60)

    def says(self, spec: MachineSpec, command: str) -> str:
        done = self.tries(spec, command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def off(self, spec: MachineSpec) -> None:
        until(lambda: not self.hardware.running(spec.id), 30)


@contextmanager
def real_lab(place: Place) -> Iterator[RealLab]:
    hardware = NspawnHardware(place, Wires(place), Balancers(place))
    hardware.wipe()
    try:
        hardware.up()
        layers = base.ensure(place)
        memory = Lab(Store(None), hardware, place.public, {})
        with (
            tempfile.TemporaryDirectory() as folder,
            serving(metadata_app(memory), str(place.host_ip), place.metadata_port),
        ):
            key = Path(folder) / "key"
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
            yield RealLab(place, hardware, memory, key, layers)
    finally:
        hardware.wipe()
        shutil.rmtree(place.folder, ignore_errors=True)


def private(number: int, *, network: int = NETWORK, aliases: tuple[str, ...] = ()) -> PrivateWire:
    return PrivateWire(network, f"10.77.1.{number}", aliases, f"86:00:00:00:07:{number:02x}", GATEWAY, RANGE)


def configure_private(wire: PrivateWire) -> str:
    """What an image's own service does with a private NIC."""
    return (
        f"nic=$(ip -o link | awk -F'[ :@]+' '/{wire.mac}/ {{print $2}}'); ip link set $nic up; "
        f"ip addr replace {wire.ip}/32 dev $nic; ip route replace {wire.gateway} dev $nic; "
        f"ip route replace {wire.ip_range} via {wire.gateway} dev $nic src {wire.ip}"
    )
