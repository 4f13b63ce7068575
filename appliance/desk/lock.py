"""One desk at a time: an empty placement group with a unique name is the lock (free, and taken atomically).

Its labels say who holds it. A lock left by a process of this very machine that is dead is taken over;
any other is only broken on the operator's word.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

from appliance.contract.trouble import CloudTrouble, LockedTrouble
from appliance.desk.model import Held, Label, Role
from appliance.desk.processes import Process, known_dead
from appliance.desk.progress import Progress

SINCE, TICKET = "appliance-lock-since", "appliance-lock-ticket"  # and those of a Process
SINCE_FORMAT = "%Y%m%dT%H%M%SZ"
TRIES = 3  # the lock may be let go, or be taken by a third desk, between two looks


class LockKeeper(Protocol):
    """What the lock needs of the cloud."""

    def take_name(self, name: str, labels: Mapping[str, str]) -> Held | None: ...

    def name_taken_by(self, name: str) -> Held | None: ...

    def delete(self, held: Held) -> None: ...


@contextmanager
def hold(cloud: LockKeeper, name: str, progress: Progress, break_lock: bool = False) -> Iterator[None]:
    """Hold the lock of appliance `name`. LockedTrouble says who has it and since when."""
    lock = _take(cloud, name, progress, break_lock)
    try:
        yield
    finally:
        try:
            cloud.delete(lock)
        except CloudTrouble as error:
            progress.warn(
                f"The lock {lock.name} could not be let go ({error.why or error.what}); the next "
                "command on this machine takes it over, elsewhere it needs --break-lock"
            )


def _take(cloud: LockKeeper, appliance: str, progress: Progress, break_lock: bool) -> Held:
    name = f"appliance-{appliance}-lock"
    this = Process.this()
    labels = {
        Label.ROLE: Role.LOCK.value,
        **this.labels(),
        SINCE: datetime.now(UTC).strftime(SINCE_FORMAT),
        # Tells our own request, whose answer got lost, from anyone else's.
        TICKET: secrets.token_hex(8),
    }
    other: Held | None = None
    for _ in range(TRIES):
        mine = cloud.take_name(name, labels)
        if mine is not None:
            return mine
        other = cloud.name_taken_by(name)
        if other is None:
            continue
        if other.labels.get(Label.APPLIANCE) != appliance or other.labels.get(Label.ROLE) != Role.LOCK:
            raise CloudTrouble(
                f"There is a placement group named {name} that is no lock of this appliance",
                fix="rename or delete it, or choose another name in appliance.yaml",
            )
        if break_lock:
            progress.warn(f"Breaking the lock of {_who(other)}")
        elif known_dead(Process.of(other.labels), this):
            progress.note(f"Taking over the lock of {_who(other)}: that process is dead")
        else:
            raise _locked(appliance, other)
        cloud.delete(other)  # by its id: never a lock that was taken after we looked
    if other is None:
        raise CloudTrouble(f"The lock {name} could not be taken", fix="run the command again")
    raise _locked(appliance, other)


def _locked(appliance: str, lock: Held) -> LockedTrouble:
    return LockedTrouble(
        f"Another desk is at work on {appliance}",
        why=f"the lock is held by {_who(lock)}",
        fix="wait until it has finished; if you know it to be dead, run this again with --break-lock",
    )


def _who(lock: Held) -> str:
    since = lock.labels.get(SINCE, "")
    try:
        moment = datetime.strptime(since, SINCE_FORMAT).replace(tzinfo=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except ValueError:
        moment = "an unknown time"
    process = Process.of(lock.labels)
    return f"{process.holder}, process {process.pid or '?'}, since {moment}"
