"""Backups at the node's hands: make one now, list what is kept, read some of it back.

The node does it, by a unit of systemd's that goes on when this desk goes away; the desk starts it and
listens.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from appliance.contract.backup import Kept, LastBackup
from appliance.contract.trouble import ExitCode, NodeTrouble, Trouble
from appliance.desk.node_account import NODE
from appliance.desk.progress import Progress, Step
from appliance.desk.remote import Result, Shell

RUN_SECONDS = 3600 + 120  # the unit's own bound, and its end
LIST_SECONDS = 300
OLD_NODE = "The node was baked by another version of this command: `appliance build`, then deploy anew."


@dataclass
class _Heard:
    """What the node has said so far, line by line."""

    step: Step
    last: dict[str, Any] | None = None  # the line with the outcome

    def take(self, line: str) -> None:
        said = _object(line)
        if "event" in said:
            detail = str(said.get("detail", ""))
            self.step.update(f"{said['event']}: {detail}" if detail else str(said["event"]))
        elif "ok" in said:
            self.last = said


def make(shell: Shell, progress: Progress, *, new_repository: bool = False) -> LastBackup:
    """One backup now, or the end of the one under way. Raises NodeTrouble in the node's words."""
    words = ["backup", "run", *(["--new-repository"] if new_repository else [])]
    with progress.step("Back up: archive, collect, store") as step:
        last = _last(shell, _ask(shell, words, RUN_SECONDS, step, ExitCode.NODE))
        step.update(f"{(last.id or '')[:8]}, {last.seconds:.0f} s" if last.seconds is not None else "")
    return last


def verify(shell: Shell, progress: Progress) -> LastBackup:
    """Read a share of the store back on the node. Raises Trouble (UNVERIFIED) where that fails."""
    with progress.step("Read back a share of the store") as step:
        return _last(shell, _ask(shell, ["backup", "verify"], RUN_SECONDS, step, ExitCode.UNVERIFIED))


def kept(shell: Shell, progress: Progress) -> tuple[Kept, ...]:
    """The backups in the store, oldest first. Raises NodeTrouble."""
    with progress.step("Ask the store what it keeps") as step:
        told = _ask(shell, ["backup", "list"], LIST_SECONDS, step, ExitCode.NODE)
        try:
            return tuple(Kept.model_validate(one) for one in told["backups"])
        except (ValidationError, KeyError, TypeError) as error:
            raise _unreadable(shell, error) from error


def _ask(shell: Shell, words: Sequence[str], seconds: float, step: Step, code: ExitCode) -> dict[str, Any]:
    """The line with a good outcome; a Trouble of `code` for a bad one."""
    heard = _Heard(step)
    result = shell.run([NODE, *words], timeout=seconds, on_line=heard.take)
    told = heard.last
    if told is None:
        raise _no_outcome(shell, result)
    if told["ok"] is not True:
        raise Trouble(
            str(told.get("error") or "The node made no backup."),
            why=str(told.get("why") or ""),
            fix=str(
                told.get("fix")
                or "`appliance status` tells more; on the node: journalctl -u appliance-backup"
            ),
            code=code,
        )
    return told


def _no_outcome(shell: Shell, result: Result) -> NodeTrouble:
    if "invalid choice: 'backup'" in result.err:
        why = "its snapshot is older than this command"
        return NodeTrouble(f"{shell.host} knows no backups.", why=why, fix=OLD_NODE)
    return NodeTrouble(
        f"{shell.host} did not say how the backup went.",
        why=result.tail(8),
        fix="It may still be at work: `appliance status`; on the node: journalctl -u appliance-backup",
    )


def _last(shell: Shell, told: dict[str, Any]) -> LastBackup:
    try:
        return LastBackup.model_validate(told.get("last"))
    except ValidationError as error:
        raise _unreadable(shell, error) from error


def _unreadable(shell: Shell, error: Exception) -> NodeTrouble:
    return NodeTrouble(f"What {shell.host} says of its backups cannot be read.", why=str(error), fix=OLD_NODE)


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
