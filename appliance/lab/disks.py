"""Disks of the lab's machines: overlay mounts of read-only layers and a folder of the machine's own.

    layers/<name>             a layer; layers/<name>.json tells the layers below it
    machines/<id>/disk.json   the layers a machine stands on, and whether it was made from a base image
    machines/<id>/upper       what it wrote since;  work, root: the overlay's own, the mount

A snapshot of a machine that is off renames its `upper`, at once; of a running one it copies it (as a disk
image of a running server: what is not written yet is not in it). What is deleted goes to trash/ at once and
from there in its own time. Nothing here is synced: a machine's disk survives its power-off and the lab's
daemon, not a crash of the host (then `lab down`, `lab up`). The size of a disk is not enforced.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from appliance.lab.base import layer_path
from appliance.lab.hardware import HardwareTrouble
from appliance.lab.place import Place
from appliance.lab.shell import attempt, run
from appliance.lab.trees import mounts_below, remove, unmount

log = logging.getLogger(__name__)

NSPAWN_LOCKS = Path("/run/systemd/nspawn/locks")  # one a mounted root; nspawn leaves it behind


@dataclass(frozen=True)
class Disk:
    layers: tuple[str, ...]  # lowest first
    from_base: bool


class Disks:
    def __init__(self, place: Place) -> None:
        self.place = place
        self.machines = place.folder / "machines"
        self.layers = place.folder / "layers"
        self._sweeping = threading.Lock()
        self._emptier = ThreadPoolExecutor(1, "trash")

    def folder(self, machine_id: int) -> Path:
        return self.machines / str(machine_id)

    def root(self, machine_id: int) -> Path:
        return self.folder(machine_id) / "root"

    def create(self, machine_id: int, layers: Sequence[str]) -> None:
        """Raises HardwareTrouble when a layer is missing. A disk that is there stays as it is."""
        if self.exists(machine_id):
            return
        folder = self.folder(machine_id)
        stack = self._stack(layers)
        for name in ("upper", "work", "root"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        _write(folder / "disk.json", Disk(tuple(stack), from_base=not self._below(layers[-1])))

    def exists(self, machine_id: int) -> bool:
        return (self.folder(machine_id) / "disk.json").exists()

    def disk(self, machine_id: int) -> Disk:
        try:
            known = json.loads((self.folder(machine_id) / "disk.json").read_text())
        except FileNotFoundError:
            raise HardwareTrouble(f"machine {machine_id} has no disk") from None
        return Disk(tuple(known["layers"]), bool(known["from_base"]))

    def mount(self, machine_id: int) -> Path:
        self.unmount(machine_id)
        folder = self.folder(machine_id)
        layers = reversed(self.disk(machine_id).layers)
        lower = ":".join(str(layer_path(self.place, name)) for name in layers)
        options = f"lowerdir={lower},upperdir={folder / 'upper'},workdir={folder / 'work'}"
        options += ",redirect_dir=on,volatile"
        run(["mount", "-t", "overlay", "overlay", "-o", options, str(self.root(machine_id))])
        return self.root(machine_id)

    def unmount(self, machine_id: int) -> None:
        root = self.root(machine_id)
        if os.path.ismount(root):
            _unmount_root(root)
        work = self.folder(machine_id) / "work"
        # Also removes the mark by which the kernel refuses a volatile overlay that was mounted before.
        shutil.rmtree(work, ignore_errors=True)
        if self.folder(machine_id).exists():
            work.mkdir(exist_ok=True)

    def snapshot(self, machine_id: int, layer: str, *, running: bool) -> int:
        """Bytes of the image: all its layers. Repeated after a crash it carries on where it was."""
        folder, kept = self.folder(machine_id), self.layers / layer
        disk = self.disk(machine_id)
        self.layers.mkdir(parents=True, exist_ok=True)
        if not kept.exists():
            below = tuple(name for name in disk.layers if name != layer)
            _write(self.layers / f"{layer}.json", Disk(below, from_base=False))
            if running:
                new = self.layers / f"{layer}.new"
                self._throw_away(new)
                _copy(folder / "upper", new)
                new.rename(kept)
                return self._size((*below, layer))
            self.unmount(machine_id)
            # First the promise, then the deed: a crash between them is mended by the next call.
            _write(folder / "disk.json", Disk((*below, layer), disk.from_base))
            (folder / "upper").rename(kept)
        (folder / "upper").mkdir(exist_ok=True)
        return self._size((*self._below(layer), layer))

    def delete(self, machine_id: int) -> None:
        self.unmount(machine_id)
        self._throw_away(self.folder(machine_id))
        self.sweep()

    def delete_layer(self, layer: str) -> None:
        """At once, or when the last disk that stands on it goes."""
        if (self.layers / layer).exists():
            (self.layers / f"{layer}.deleted").touch()
        self.sweep()

    def sweep(self) -> None:
        with self._sweeping:
            marked = {p.name.removesuffix(".deleted") for p in self.layers.glob("*.deleted")}
            while free := marked - self._used():
                for layer in free:
                    self._throw_away(self.layers / layer)
                    (self.layers / f"{layer}.json").unlink(missing_ok=True)
                    (self.layers / f"{layer}.deleted").unlink(missing_ok=True)
                marked -= free

    def _throw_away(self, tree: Path) -> None:
        """Out of the way at once, so that nobody waits for many files to go."""
        self.place.trash.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            tree.rename(self.place.trash / f"{tree.name}-{secrets.token_hex(4)}")
        self.empty_trash()

    def empty_trash(self) -> None:
        """In a thread. What a killed daemon did not come to, the next one or `wipe` does."""
        self._emptier.submit(self._empty_trash)

    def _empty_trash(self) -> None:
        for tree in self.place.trash.iterdir() if self.place.trash.is_dir() else ():
            try:
                remove(tree)
            except HardwareTrouble as e:
                log.warning("%s", e)

    def _used(self) -> set[str]:
        used: set[str] = set()
        for path in [*self.machines.glob("*/disk.json"), *self.layers.glob("*.json")]:
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                used |= set(json.loads(path.read_text())["layers"])
        return used

    def _size(self, layers: Iterable[str]) -> int:
        paths = [str(layer_path(self.place, layer)) for layer in layers]
        total = run(["du", "--summarize", "--total", "--block-size=1", *paths], seconds=300)
        return int(total.splitlines()[-1].split()[0])

    def wipe(self) -> None:
        """Every mount below the lab's folder, then the disks and layers."""
        for mount in mounts_below(self.place.folder):
            _unmount_root(mount)
        for folder in (self.machines, self.layers, self.place.trash):
            remove(folder)

    def _below(self, layer: str) -> list[str]:
        """Empty for layers of a base image."""
        file = self.layers / f"{layer}.json"
        return list(json.loads(file.read_text())["layers"]) if file.exists() else []

    def _stack(self, layers: Sequence[str]) -> list[str]:
        """What a machine of `layers` stands on, lowest first.

        A snapshot's layer knows what is below it; others named with it may be earlier copies of the same
        disk, in which files are that it deleted since.
        """
        below = self._below(layers[-1])
        stack = [*below, layers[-1]] if below else list(layers)
        for layer in stack:
            layer_path(self.place, layer)
        return stack


def _unmount_root(root: Path) -> None:
    told = root.stat()
    (NSPAWN_LOCKS / f"inode-{told.st_dev}:{told.st_ino}").unlink(missing_ok=True)
    unmount(root)


def _write(path: Path, disk: Disk) -> None:
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(asdict(disk)))
    new.rename(path)


def _copy(source: Path, target: Path) -> None:
    """A file that vanishes during the copy is no reason to fail: so it is on a running disk."""
    done = attempt(["cp", "--archive", "--reflink=auto", str(source), str(target)], seconds=600)
    bad = [line for line in done.stderr.splitlines() if "No such file or directory" not in line]
    if done.returncode and bad:
        raise HardwareTrouble(f"the disk could not be copied: {bad[-1]}")
