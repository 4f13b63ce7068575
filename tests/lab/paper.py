"""Hardware on paper: keeps track like real machines do, and refuses what they would refuse."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from appliance.lab.hardware import BalancerSpec, HardwareTrouble, MachineSpec, TargetHealth


@dataclass
class PaperMachine:
    spec: MachineSpec
    on: bool = False
    boots: int = 0
    password: str | None = None


@dataclass
class PaperHardware:
    """Call from any thread. `broken` makes calls fail by name, `gates` hold them up."""

    machines: dict[int, PaperMachine] = field(default_factory=dict)
    layers: set[str] = field(default_factory=lambda: {"debian-13"})
    networks: dict[int, str] = field(default_factory=dict)
    balancers: dict[int, BalancerSpec] = field(default_factory=dict)
    health: dict[int, dict[tuple[str, int], TargetHealth]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)  # method -> why
    gates: dict[str, threading.Event] = field(default_factory=dict)  # method -> passes once set
    shutdown_works: bool = True  # False: the machine does not listen to its power button

    def create(self, spec: MachineSpec) -> None:
        self._enter("create")
        missing = set(spec.layers) - self.layers
        if missing:
            raise HardwareTrouble(f"no such layers: {missing}")
        self._need_networks(spec)
        self.machines.setdefault(spec.id, PaperMachine(spec))

    def start(self, spec: MachineSpec) -> None:
        self._enter("start")
        machine = self._machine(spec.id)
        machine.spec = spec
        if not machine.on:
            machine.on, machine.boots = True, machine.boots + 1

    def power_off(self, machine_id: int) -> None:
        self._enter("power_off")
        self._machine(machine_id).on = False

    def shutdown(self, machine_id: int) -> None:
        self._enter("shutdown")
        machine = self._machine(machine_id)
        machine.on = machine.on and not self.shutdown_works

    def reset(self, spec: MachineSpec) -> None:
        self.power_off(spec.id)
        self.start(spec)

    def reboot(self, machine_id: int) -> None:
        self._enter("reboot")
        machine = self._machine(machine_id)
        if not machine.on:
            raise HardwareTrouble("the machine is off")
        machine.boots += 1

    def running(self, machine_id: int) -> bool:
        return machine_id in self.machines and self.machines[machine_id].on

    def delete(self, machine_id: int) -> None:
        self._enter("delete")
        self.machines.pop(machine_id, None)

    def rewire(self, spec: MachineSpec) -> None:
        self._enter("rewire")
        self._need_networks(spec)
        self._machine(spec.id).spec = spec

    def set_password(self, machine_id: int, password: str) -> None:
        self._enter("set_password")
        machine = self._machine(machine_id)
        if not machine.on:
            raise HardwareTrouble("the machine is off")
        machine.password = password

    def snapshot(self, machine_id: int, layer: str) -> int:
        self._enter("snapshot")
        self._machine(machine_id)
        self.layers.add(layer)
        return 1_500_000_000

    def delete_layer(self, layer: str) -> None:
        self._enter("delete_layer")
        self.layers.discard(layer)

    def create_network(self, network_id: int, ip_range: str, routes: tuple[tuple[str, str], ...]) -> None:
        self._enter("create_network")
        self.networks[network_id] = ip_range

    def delete_network(self, network_id: int) -> None:
        self._enter("delete_network")
        for machine in self.machines.values():
            if any(wire.network_id == network_id for wire in machine.spec.private):
                raise HardwareTrouble(f"machine {machine.spec.id} is still wired to network {network_id}")
        self.networks.pop(network_id, None)

    def apply_balancer(self, spec: BalancerSpec) -> None:
        self._enter("apply_balancer")
        self.balancers[spec.id] = spec

    def delete_balancer(self, balancer_id: int) -> None:
        self._enter("delete_balancer")
        self.balancers.pop(balancer_id, None)

    def balancer_health(self, balancer_id: int) -> dict[tuple[str, int], TargetHealth]:
        return dict(self.health.get(balancer_id, {}))

    def _enter(self, method: str) -> None:
        if gate := self.gates.get(method):
            gate.wait(30)
        if why := self.broken.get(method):
            raise HardwareTrouble(why)

    def _machine(self, machine_id: int) -> PaperMachine:
        try:
            return self.machines[machine_id]
        except KeyError:
            raise HardwareTrouble(f"there is no machine {machine_id}") from None

    def _need_networks(self, spec: MachineSpec) -> None:
        for wire in spec.private:
            if wire.network_id not in self.networks:
                raise HardwareTrouble(f"there is no network {wire.network_id}")
