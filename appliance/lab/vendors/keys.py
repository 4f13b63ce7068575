"""The vendors' keys: random per lab, one file a vendor."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def vendor_key(folder: Path, name: str) -> str:
    """The key of vendor `name`, kept in folder/vendors/<name>.key (0600); made at the first call.

    `folder` is place.folder. ValueError: a name that is no file name.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"not a vendor's name: {name!r}")
    path = folder / "vendors" / f"{name}.key"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{name}.{secrets.token_hex(4)}")
    if not path.exists():
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"lab-{name}-{secrets.token_urlsafe(24)}\n")
        try:
            os.link(fresh, path)  # whole or not at all, and the first of two makers wins
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text().strip()
