"""What goes into a snapshot, as one short digest. Same digest, same snapshot: no need to bake. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from appliance.desk.archive import Entry

LENGTH = 40  # hex digits; a label's value may have 63 characters


def digest(entries: Mapping[str, Entry], base_image: str, architecture: str) -> str:
    """Over every path, mode and byte sent to the bake server, and the image it is made from."""
    total = hashlib.sha256()
    for part in ("appliance bake 1", base_image, architecture):
        _add(total, part.encode())
    for path in sorted(entries):
        entry = entries[path]
        _add(total, path.encode())
        _add(total, f"{entry.mode:o}".encode())
        _add(total, entry.content)
    return total.hexdigest()[:LENGTH]


def _add(total: hashlib._Hash, part: bytes) -> None:
    """With its length before it, so that no two lists of parts look alike."""
    total.update(len(part).to_bytes(8, "big"))
    total.update(part)
