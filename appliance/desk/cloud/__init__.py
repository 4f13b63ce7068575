"""The Hetzner API as the desk uses it. Nothing outside this folder imports hcloud.

Every call has a time-out and bounded retries, every create is idempotent, and every error is a
CloudTrouble that says what, why and what to do next. The parts:
wire (requests), errors (codes -> words), read (JSON -> nouns), servers, images, parts (the calls by
kind of object).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from appliance.desk.cloud import read
from appliance.desk.cloud.images import ImageCalls
from appliance.desk.cloud.parts import PartCalls
from appliance.desk.cloud.servers import ServerCalls
from appliance.desk.cloud.wire import Wire
from appliance.desk.model import Observed


class Cloud(ServerCalls, ImageCalls, PartCalls):
    """The objects of appliance `name` at the cloud; everything made here carries its label."""

    def __init__(
        self,
        endpoint: str,
        token: str,
        name: str,
        *,
        timeout: float = 30.0,
        patience: float = 90.0,
        pause: Callable[[float], None] = time.sleep,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`endpoint` includes /v1. `timeout`: seconds a request; `patience`: seconds of retries a call.

        `tell` hears of waits that a person would notice.
        """
        wire = Wire(endpoint, token, timeout=timeout, patience=patience, pause=pause, tell=tell)
        super().__init__(wire, name)

    @property
    def calls(self) -> int:
        """API requests made so far, retries included."""
        return self._wire.calls

    def pricing(self) -> dict[str, Any]:
        """The `pricing` object of GET /pricing."""
        return dict(self._wire.get("read the prices", "/pricing")["pricing"])

    def observe(self, ssh_public_key: str | None = None) -> Observed:
        """All that carries our label; with `ssh_public_key` also that key, if another name has it.

        Snapshots of every status are in it; the lock is too.
        """
        held = [part for kind in read.COLLECTIONS for part in self._held(kind)]
        if ssh_public_key is not None:
            ours = {part.facts.get("public_key") for part in held}
            if " ".join(ssh_public_key.split()[:2]) not in ours:
                foreign = self.find_ssh_key(ssh_public_key)
                held += [foreign] if foreign is not None else []
        return Observed(
            servers=self.servers({}),
            held=tuple(held),
            snapshots=tuple(read.image(r) for r in self._list_snapshots({})),
        )
