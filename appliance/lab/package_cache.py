"""The bound of the package caches that labs share: what was not used for the longest time goes first."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


def trim(folder: Path, most: int) -> None:
    """Bring all files below `folder` to at most `most` bytes.

    apt, npm and pip fetch again what they miss. A file counts as used when it was read (as far as the mount
    option relatime tells) or came; its date is its publisher's, so that does not count.
    """
    found = []
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            with contextlib.suppress(FileNotFoundError):
                told = path.lstat()
                found.append((max(told.st_atime, told.st_ctime), told.st_size, path))
    excess = sum(size for _, size, _ in found) - most
    for _, size, path in sorted(found):
        if excess <= 0:
            return
        path.unlink(missing_ok=True)
        log.info("no longer kept: %s", path)
        excess -= size
