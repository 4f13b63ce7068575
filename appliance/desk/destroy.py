"""Delete all that carries the appliance's label, and nothing else. Run again, it converges."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from appliance.desk.model import Held, Label, Observed, Role
from appliance.desk.progress import Progress

# After the servers that use them: an address is only free once its server is gone, a firewall too.
ORDER = ("primary_ip", "placement_group", "firewall", "network", "ssh_key")


class Undertaker(Protocol):
    """What destroy needs of the cloud."""

    @property
    def calls(self) -> int: ...

    def observe(self) -> Observed: ...

    def delete_server(self, server_id: int) -> None: ...

    def delete(self, held: Held) -> None: ...

    def delete_image(self, image_id: int) -> None: ...


@dataclass(frozen=True)
class DestroyResult:
    deleted: tuple[str, ...]  # as in "server office-1"
    calls: int


def belongings(observed: Observed, appliance: str, keep_snapshots: bool = False) -> Observed:
    """What a destroy deletes: all with the label but the lock, in order."""
    held = [
        part
        for part in observed.held
        if part.labels.get(Label.APPLIANCE) == appliance and part.labels.get(Label.ROLE) != Role.LOCK
    ]
    held.sort(key=lambda part: ORDER.index(part.kind))
    return Observed(observed.servers, tuple(held), () if keep_snapshots else observed.snapshots)


def in_words(what: Observed) -> tuple[str, ...]:
    """For the question before, and the account after."""
    return (
        *(f"server {server.name}" for server in what.servers),
        *(f"{part.kind.replace('_', ' ')} {part.name}" for part in what.held),
        *(f"snapshot {image.id} ({image.description})" for image in what.snapshots),
    )


def destroy(
    appliance: str,
    cloud: Undertaker,
    lock: Callable[[], AbstractContextManager[None]],
    progress: Progress,
    keep_snapshots: bool = False,
) -> DestroyResult:
    with lock():
        what = belongings(cloud.observe(), appliance, keep_snapshots)
        for server in what.servers:
            with progress.step(f"Delete server {server.name}"):
                cloud.delete_server(server.id)
        for part in what.held:
            with progress.step(f"Delete {part.kind.replace('_', ' ')} {part.name}"):
                cloud.delete(part)
        for image in what.snapshots:
            with progress.step(f"Delete snapshot {image.id}"):
                cloud.delete_image(image.id)
    return DestroyResult(in_words(what), cloud.calls)
