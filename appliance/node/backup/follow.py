"""A job of backups is always its unit's: systemd runs it once at a time, sandboxed.

This starts it, or joins the one at work, and passes on what it says: the unit's stdout goes to `said`, anew
at each start. `wanted` tells the job that a person asked, not the timer.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.contract.trouble import NodeTrouble
from appliance.node import services
from appliance.node.system import Paths

POLL_SECONDS = 0.2
TRIES = 3  # one that is joined may be the timer's, which finds nothing due


@dataclass(frozen=True)
class Job:
    unit: str
    said: Path
    wanted: Path

    def want(self, words: str) -> None:
        self.wanted.write_text(words)

    def taken(self) -> str | None:
        """What a person wanted, once; None: nobody did."""
        try:
            words = self.wanted.read_text()
            self.wanted.unlink()
        except FileNotFoundError:
            return None
        return words


def job(name: str, paths: Paths) -> Job:
    here = paths.lock.parent
    return Job(f"{name}.service", here / f"{name}.jsonl", here / f"{name}.wanted")


def follow(of: Job, words: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Its last line; those before go to `say`. Raises NodeTrouble when it ended without one."""
    begin = time.time()
    for _ in range(TRIES):
        of.want(words)
        try:
            outcome = _followed(of, say)
        finally:
            of.wanted.unlink(missing_ok=True)
        if outcome is None:
            raise NodeTrouble(
                f"{of.unit} was ended before its end ({services.result(of.unit)}).",
                why=services.journal(of.unit, begin),
                fix="Try again.",
            )
        if not outcome.get("skipped"):
            return outcome
    raise NodeTrouble(f"{of.unit} found nothing due.", fix="Try again.")


def _followed(of: Job, say: Callable[[str], None]) -> dict[str, Any] | None:
    if services.state(of.unit) not in ("activating", "deactivating"):
        of.said.unlink(missing_ok=True)
    outcome = None
    with subprocess.Popen(
        ["systemctl", "start", of.unit], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as started:
        for line in _lines(of.said, started):
            told = json.loads(line)
            if "ok" in told:
                outcome = told
            else:
                say(line)
    return outcome


def _lines(said: Path, while_: subprocess.Popen[bytes]) -> Iterator[str]:
    """Whole lines of a growing file, to the end of that process. It may come late."""
    offset, ended = 0, False
    while not ended:
        ended = while_.poll() is not None
        content = said.read_bytes() if said.exists() else b""
        whole = content.rfind(b"\n") + 1
        yield from content[offset:whole].decode().splitlines()
        offset = max(offset, whole)
        if not ended:
            time.sleep(POLL_SECONDS)
