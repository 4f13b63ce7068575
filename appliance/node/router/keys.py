"""The providers' keys: one JSON file {credential name: key}, as systemd hands it over. Never shown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from appliance.contract.trouble import NodeTrouble


class Keys:
    """Says of a key only a digest, which tells a new key from the old one."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def get(self, credential: str) -> str | None:
        return self._values.get(credential)

    def digest(self, credential: str) -> str:
        """Eight hex digits: too few to guess a key by."""
        return hashlib.sha256(self._values.get(credential, "").encode()).hexdigest()[:8]

    def __repr__(self) -> str:
        return f"Keys of {', '.join(sorted(self._values))}"


def read_keys(path: Path) -> Keys:
    """Raises NodeTrouble: unreadable, or not names and keys. The file's content is never quoted."""
    try:
        values = json.loads(path.read_text())
    except OSError as error:
        raise NodeTrouble(f"the router cannot read {path}", why=error.strerror or "") from None
    except ValueError:
        values = None
    if not isinstance(values, dict) or not all(isinstance(v, str) and v.strip() for v in values.values()):
        raise NodeTrouble(f"{path} is not a JSON object of credential names and keys")
    if not all(v.strip().isascii() and v.strip().isprintable() for v in values.values()):
        raise NodeTrouble(f"a key in {path} has characters that no HTTP header can carry")
    return Keys({name: value.strip() for name, value in values.items()})
