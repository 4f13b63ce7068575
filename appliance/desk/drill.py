"""Providers are broken on purpose, on the node; the desk asks for it, watches, and keeps the evidence."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from appliance.contract.drill import Level, Report, Row
from appliance.contract.trouble import ExitCode, NodeTrouble, Trouble
from appliance.desk.node_account import NODE, read_report
from appliance.desk.progress import Progress, Step
from appliance.desk.remote import Result, Shell
from appliance.desk.reports import words

SILENCE_SECONDS = 240  # a row of the slowest kind, with its healing, is a minute or two


@dataclass(frozen=True)
class Asked:
    """What is drilled; empty or None: all."""

    workloads: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    level: Level | None = None

    def argv(self) -> list[str]:
        words = [NODE, "drill"]
        for workload in self.workloads:
            words += ["--workload", workload]
        for fault in self.faults:
            words += ["--fault", fault]
        return words + (["--level", self.level.value] if self.level else [])


@dataclass(frozen=True)
class Fault:
    """One that the node can make."""

    name: str
    about: str


@dataclass
class Heard:
    """What the node has said so far, line by line."""

    planned: int | None = None
    rows: int = 0
    report: Report | None = None
    faults: list[Fault] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    def take(self, line: str, step: Step, progress: Progress) -> None:
        """Raises ValidationError where the line is not of this version's shape."""
        event = _object(line)
        match event.pop("event", None):
            case "plan":
                self.planned = int(event["rows"])
                step.update(f"{self.planned} rows to go", 0.0)
            case "row":
                self.rows += 1
                self._show(Row.model_validate(event), step, progress)
            case "report":
                self.report = Report.model_validate(event)
            case "fault":
                self.faults.append(Fault(str(event["name"]), str(event.get("about", ""))))
            case None:
                self.other.append(line)
            case kind:
                step.update(words.legible(f"{kind}: {event.get('detail', '')}").rstrip(": "))

    def _show(self, row: Row, step: Step, progress: Progress) -> None:
        of = f"{self.rows} of {self.planned}" if self.planned else f"{self.rows}"
        fraction = min(1.0, self.rows / self.planned) if self.planned else None
        told = f"{words.where(row)}, {words.legible(row.fault)}: {words.outcome(words.first(row))}"
        step.update(f"{of}: {told}", fraction)
        if not row.ok:
            progress.warn(f"wrong: {told} ({words.legible('; '.join(row.wrong))})")


def drill(shell: Shell, asked: Asked, progress: Progress) -> Report:
    """Run the drill on the node at `shell` and return its evidence, green or red.

    It takes no lock: it changes nothing at the cloud and nothing that users' traffic meets, and a push that
    mends something must not wait for it. A push in its midst is told instead.
    Raises NodeTrouble, or a Trouble in the node's words where it refuses.
    """
    with progress.step("Drill: break the providers for the node's own questions") as step:
        heard = _listen(shell, asked.argv(), step, progress)
    if heard.report is None:
        raise NodeTrouble(
            f"{shell.host} ended the drill without a report.",
            why="\n".join(heard.other[-8:]),
            fix="Its lanes end by themselves within minutes. Drill again; on the node: journalctl -u "
            "appliance-router",
        )
    now = read_report(shell).bundle
    if now != heard.report.bundle:
        progress.warn("a push came in the midst of this drill: its rows may be of either bundle; drill again")
    return heard.report


def faults(shell: Shell, progress: Progress) -> tuple[Fault, ...]:
    """What the node can break."""
    with progress.step("Ask the node which faults it can make") as step:
        return tuple(_listen(shell, [NODE, "drill", "--list"], step, progress).faults)


def _listen(shell: Shell, argv: list[str], step: Step, progress: Progress) -> Heard:
    heard = Heard()
    try:
        result = shell.follow(argv, lambda line: heard.take(line, step, progress), SILENCE_SECONDS)
    except (ValidationError, KeyError) as error:
        raise NodeTrouble(
            f"What {shell.host} says of its drill cannot be read.",
            why=words.legible(str(error)),
            fix="The node was baked by another version of this command: `appliance build`, then deploy anew.",
        ) from error
    if result.code != 0 and heard.report is None:
        raise _refused(shell, result)
    return heard


def _refused(shell: Shell, result: Result) -> Trouble:
    if "invalid choice: 'drill'" in result.err:
        return NodeTrouble(
            f"{shell.host} knows no drills.",
            why="its snapshot is older than this command",
            fix="`appliance build`, then deploy anew.",
        )
    known = result.code in (ExitCode.USAGE, ExitCode.LOCKED, ExitCode.UNVERIFIED)
    return Trouble(
        f"{shell.host} did not drill.",
        why=result.tail(),
        code=ExitCode(result.code) if known else ExitCode.NODE,
    )


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
