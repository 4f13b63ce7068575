"""Private folders for what must not stay at the desk: a run's SSH key and pinned host keys.

A desk that is killed cannot clear up; the next one on the same machine does it for the dead.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

from appliance.desk.processes import Process, known_dead

# Short on purpose: a socket's path may have 104 bytes on macOS, and ssh adds 17 of its own.
ROOT = Path("/tmp")  # noqa: S108 - mkdtemp makes a 0700 folder of an unguessable name in it
PREFIX = "apl-"
OWNER = "owner"  # in each folder: the process that made it, as JSON


def make(root: Path = ROOT) -> Path:
    """A new folder that only its owner may enter, after those of dead processes have been removed."""
    this = Process.this()
    clear_dead(this, root)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
    (folder / OWNER).write_text(json.dumps(asdict(this)))
    return folder


def clear_dead(this: Process, root: Path = ROOT) -> None:
    """Remove what processes have left that are known to be dead. Folders of other users stay."""
    for folder in root.glob(f"{PREFIX}*"):
        try:
            owner = Process(**json.loads((folder / OWNER).read_text()))
        except (OSError, ValueError, TypeError):
            continue  # another user's, or just being made
        if known_dead(owner, this):
            shutil.rmtree(folder, ignore_errors=True)
