"""Tar streams that are the same for the same content: no clock, no user, a fixed order. Pure."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Entry:
    content: bytes
    mode: int = 0o644


def pack(entries: Mapping[str, Entry]) -> bytes:
    """A tar of regular files, in the order given.

    Raises ValueError for a path that is absolute, climbs, or is not spelled the plain way.
    """
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, entry in entries.items():
            info = tarfile.TarInfo(checked(path))
            info.size = len(entry.content)
            info.mode = entry.mode
            tar.addfile(info, io.BytesIO(entry.content))
    return stream.getvalue()


def checked(path: str) -> str:
    """`path` itself when it is a plain relative path, else ValueError."""
    pure = PurePosixPath(path)
    if (
        not path
        or pure.is_absolute()
        or ".." in pure.parts
        or str(pure) != path
        or "\0" in path
        or path == "."
    ):
        raise ValueError(f"not a plain relative path: {path!r}")
    return path
