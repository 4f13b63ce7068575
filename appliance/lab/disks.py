"""Disks of the lab's machines: overlay mounts of read-only layers and a folder of the machine's own.

    layers/<name>             a layer; layers/<name>.json tells the layers below it
    machines/<id>/disk.json   the layers a machine stands on
    machines/<id>/upper       what it wrote since;  work, root: the overlay's own, the mount

A snapshot of a machine that is off renames its `upper`, at once; of a running one it copies it (as a disk
image of a running server: what is not written yet is not in it). Nothing here is synced: a machine's disk
survives its power-off and the lab's daemon, not a crash of the host (then `lab down`, `lab up`).
The size of a disk is not enforced.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from appliance.lab.base import layer_path
from appliance.lab.hardware import HardwareTrouble
from appliance.lab.place import Place
from appliance.lab.shell import attempt, run


class Disks:
    def __init__(self, place: Place) -> None:
        self.place = place
        self.machines = place.folder / "machines"
        self.layers = place.folder / "layers"

    def folder(self, machine_id: int) -> Path:
        return self.machines / str(machine_id)

    def root(self, machine_id: int) -> Path:
        return self.folder(machine_id) / "root"

    def create(self, machine_id: int, layers: Iterable[str]) -> None:
        """Raises HardwareTrouble when a layer is missing. A disk that is there stays as it is."""
        folder = self.folder(machine_id)
        if (folder / "disk.json").exists():
            return
        stack = self._stack(layers)
        for name in ("upper", "work", "root"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        _write(folder / "disk.json", stack)

    def exists(self, machine_id: int) -> bool:
        return (self.folder(machine_id) / "disk.json").exists()

    def layers_of(self, machine_id: int) -> list[str]:
        try:
            return [str(name) for name in json.loads((self.folder(machine_id) / "disk.json").read_text())]
        except FileNotFoundError:
            raise HardwareTrouble(f"machine {machine_id} has no disk") from None

    def mount(self, machine_id: int) -> Path:
        self.unmount(machine_id)
        folder = self.folder(machine_id)
        lower = ":".join(str(layer_path(self.place, name)) for name in reversed(self.layers_of(machine_id)))
        options = f"lowerdir={lower},upperdir={folder / 'upper'},workdir={folder / 'work'}"
        options += ",redirect_dir=on,volatile"
        run(["mount", "-t", "overlay", "overlay", "-o", options, str(self.root(machine_id))])
        return self.root(machine_id)

    def unmount(self, machine_id: int) -> None:
        _unmount(self.root(machine_id))
        work = self.folder(machine_id) / "work"
        # Also removes the mark by which the kernel refuses a volatile overlay that was mounted before.
        shutil.rmtree(work, ignore_errors=True)
        if self.folder(machine_id).exists():
            work.mkdir(exist_ok=True)

    def snapshot(self, machine_id: int, layer: str, *, running: bool) -> int:
        """Bytes of the new layer. Repeated after a crash it carries on where it was."""
        folder, kept = self.folder(machine_id), self.layers / layer
        stack = self.layers_of(machine_id)
        self.layers.mkdir(parents=True, exist_ok=True)
        if not kept.exists():
            _write(self.layers / f"{layer}.json", [name for name in stack if name != layer])
            if running:
                new = self.layers / f"{layer}.new"
                shutil.rmtree(new, ignore_errors=True)
                attempt(["sync", "--file-system", str(self.root(machine_id))])
                # A file that vanishes during the copy is no reason to fail: so it is on a running disk.
                attempt(["cp", "--archive", "--reflink=auto", str(folder / "upper"), str(new)], seconds=600)
                new.rename(kept)
                return _size(kept)
            self.unmount(machine_id)
            # First the promise, then the deed: a crash between them is mended by the next call.
            _write(folder / "disk.json", [*stack, layer] if layer not in stack else stack)
            (folder / "upper").rename(kept)
        (folder / "upper").mkdir(exist_ok=True)
        return _size(kept)

    def delete(self, machine_id: int) -> None:
        self.unmount(machine_id)
        shutil.rmtree(self.folder(machine_id), ignore_errors=True)
        self.sweep()

    def delete_layer(self, layer: str) -> None:
        """At once, or when the last disk that stands on it goes."""
        if (self.layers / layer).exists():
            (self.layers / f"{layer}.deleted").touch()
        self.sweep()

    def sweep(self) -> None:
        marked = {p.name.removesuffix(".deleted") for p in self.layers.glob("*.deleted")}
        while free := marked - self._used(marked):
            for layer in free:
                shutil.rmtree(self.layers / layer, ignore_errors=True)
                (self.layers / f"{layer}.json").unlink(missing_ok=True)
                (self.layers / f"{layer}.deleted").unlink(missing_ok=True)
            marked -= free

    def _used(self, marked: set[str]) -> set[str]:
        used: set[str] = set()
        for path in [*self.machines.glob("*/disk.json"), *self.layers.glob("*.json")]:
            used |= set(json.loads(path.read_text()))
        return used

    def wipe(self) -> None:
        """Every mount below the lab's folder, then the disks and layers."""
        for mount in mounts_below(self.place.folder):
            _unmount(mount)
        for folder in (self.machines, self.layers):
            shutil.rmtree(folder, ignore_errors=True)

    def _stack(self, layers: Iterable[str]) -> list[str]:
        """`layers` with all that each of them stands on, lowest first."""
        stack: list[str] = []
        for name in layers:
            below = self.layers / f"{name}.json"
            under = [str(n) for n in json.loads(below.read_text())] if below.exists() else []
            for layer in (*under, name):
                layer_path(self.place, layer)
                if layer not in stack:
                    stack.append(layer)
        return stack


def mounts_below(folder: Path) -> list[Path]:
    """Deepest and latest first."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    plain = [Path(p.encode().decode("unicode_escape")) for p in points]
    return [p for p in reversed(plain) if p.is_relative_to(folder)]


def _unmount(point: Path) -> None:
    if os.path.ismount(point) and attempt(["umount", str(point)]).returncode:
        run(["umount", "--lazy", str(point)])


def _write(path: Path, names: Iterable[str]) -> None:
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(list(names)))
    new.rename(path)


def _size(folder: Path) -> int:
    return int(run(["du", "--summarize", "--block-size=1", str(folder)], seconds=300).split()[0])
