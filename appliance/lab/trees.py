"""Folders of the lab that go with all that is in them, and the mounts below them.

Files go many at a time: where the host's file system tells the disk of each that goes (mount option
`discard`), a deletion is a round trip to the disk, and 40,000 files took 27 s one by one, 1 s by these
threads.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from appliance.lab.hardware import HardwareTrouble
from appliance.lab.shell import attempt, run

AT_ONCE = 32


def mounts_below(folder: Path) -> list[Path]:
    """Deepest and latest first."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    plain = [Path(p.encode().decode("unicode_escape")) for p in points]
    return [p for p in reversed(plain) if p.is_relative_to(folder)]


def unmount(point: Path) -> None:
    if attempt(["umount", str(point)]).returncode:
        run(["umount", "--lazy", str(point)])


def remove(tree: Path) -> None:
    """Raises HardwareTrouble when something of it is left; one that is not there is removed already.

    Another may be removing it at the same time. Nothing is deleted through a mount.
    """
    if mounted := mounts_below(tree):
        raise HardwareTrouble(f"{tree} is not removed: {mounted[0]} is mounted")
    folders = [folder for folder, _, _ in os.walk(tree)]
    with ThreadPoolExecutor(AT_ONCE, "remove") as threads:
        list(threads.map(_remove_files, folders))
    for folder in reversed(folders):  # what is below comes after what is above it
        _gone(os.rmdir, folder)
    if tree.is_symlink() or tree.is_file():
        _gone(os.unlink, str(tree))


def _remove_files(folder: str) -> None:
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                _gone(os.unlink, entry.path)


def _gone(delete: Callable[[str], None], path: str) -> None:
    try:
        delete(path)
    except FileNotFoundError:
        return
    except OSError as e:
        raise HardwareTrouble(f"{path} could not be removed: {e.strerror}") from e
