"""`appliance-node backup run|verify|list`: JSON lines on stdout for the desk, the last with the outcome."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from appliance.contract.backup import LastBackup
from appliance.contract.trouble import NodeTrouble
from appliance.node.backup import due, memory
from appliance.node.backup.follow import Job, follow, job
from appliance.node.system import Paths

Print = Callable[[str], None]
NEW = "new-repository"
UNITS = {"run": "appliance-backup", "verify": "appliance-backup-verify"}
RUN_KEYS = Path("/run/appliance-backup-keys")  # RuntimeDirectory of the units
VERIFY_KEYS = Path("/run/appliance-backup-verify")


def main(what: str, print_: Print, *, in_unit: bool, new: bool, paths: Paths = Paths()) -> int:  # noqa: B008
    """The exit code."""
    try:
        if what == "list":
            from appliance.node.backup import run

            kept = [one.model_dump(mode="json") for one in run.kept(paths.lock.parent, paths=paths)]
            outcome: dict[str, Any] = {"ok": True, "backups": kept}
        elif in_unit:
            outcome = _work(what, job(UNITS[what], paths), print_, paths)
        else:
            memory.ordered(paths)  # without a policy systemd would start nothing, and say nothing
            outcome = follow(job(UNITS[what], paths), NEW if new else "", print_)
    except NodeTrouble as trouble:
        outcome = {"ok": False, "error": trouble.what, "why": trouble.why, "fix": trouble.fix}
        if what != "list":
            outcome["last"] = _dumped(memory.last(paths))
        if in_unit:
            print_(json.dumps(outcome))
            raise  # its words go to the journal
    print_(json.dumps(outcome))
    return 0 if outcome["ok"] else int(NodeTrouble.code)


def _work(what: str, of: Job, print_: Print, paths: Paths) -> dict[str, Any]:
    wanted = of.taken()
    if wanted is None and not _due(what, paths):
        return {"ok": True, "skipped": True}
    # Here: most looks find nothing due.
    from appliance.node.backup import run

    signal.signal(signal.SIGTERM, _end)

    def say(event: str, detail: str) -> None:
        print_(json.dumps({"event": event, "detail": detail}))

    if what == "run":
        known = run.run(say, RUN_KEYS, new=wanted == NEW, paths=paths)
    else:
        known = run.verify(say, VERIFY_KEYS, paths=paths)
    return {"ok": True, "last": _dumped(known)}


def _due(what: str, paths: Paths) -> bool:
    last, now = memory.last(paths), datetime.now(UTC)
    if what == "verify":
        return due.verify_due(last, now)
    return due.run_due(last, now, memory.ordered(paths).every_hours, memory.given(paths))


def _dumped(last: LastBackup | None) -> dict[str, Any] | None:
    return last.model_dump(mode="json") if last else None


def _end(_: int, __: FrameType | None) -> NoReturn:
    """systemd's word at the end of its patience, or of the machine: so what fails is remembered."""
    raise NodeTrouble("The job was told to end, or took too long.", fix="Try again.")
