"""`appliance check`"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime

import click

from appliance.cli import wiring
from appliance.cli.globals import Globals
from appliance.cli.output import finish, table
from appliance.cli.progress import Marks
from appliance.contract.trouble import Trouble
from appliance.desk.check import Checked, check
from appliance.desk.findings import Finding, Level
from appliance.desk.pricing import Bill


@click.command("check")
@click.pass_obj
def command(said: Globals) -> int:
    """Report every mistake in appliance.yaml, then what the cloud says. Changes nothing."""
    progress = wiring.progress(said)
    with progress.step(f"Read {said.config}"):
        settings = wiring.settings(said, progress)
    try:
        cloud: wiring.CloudOrTrouble = wiring.cloud(settings, progress)
    except Trouble as trouble:
        cloud = trouble
    checked = check(settings, cloud, os.environ, wiring.at_store, progress, datetime.now(UTC))
    finish(said.json, data(checked), text(checked))
    return checked.exit_code


def data(checked: Checked) -> dict[str, object]:
    bill = checked.bill
    cost = bill and {
        "currency": bill.currency,
        "monthly": round(bill.monthly, 4),
        "hourly": round(bill.hourly, 4),
        "items": bill.items,
    }
    return {
        "ok": checked.ok,
        "findings": checked.findings,
        "cost": cost,
        "canaries": checked.canaries,
        "api_calls": checked.api_calls,
    }


def text(checked: Checked) -> str:
    lines = [_line(finding) for finding in checked.findings]
    if checked.bill:
        lines += ["", bill_text(checked.bill)]
    wrong = sum(finding.level is Level.WRONG for finding in checked.findings)
    lines += ["", f"{wrong} to correct." if wrong else "All is well. Next: `appliance build`."]
    return "\n".join(lines)


def _line(finding: Finding) -> str:
    marks = Marks.of(sys.stdout)
    mark = {Level.OK: marks.done, Level.WARNING: marks.warning, Level.WRONG: marks.failed}[finding.level]
    return f"{mark} {finding.subject}: " + "; ".join(part for part in (finding.what, finding.right) if part)


def bill_text(bill: Bill) -> str:
    rows = [(item.what, f"{item.monthly:8.2f}", f"{item.hourly:8.4f}") for item in bill.items]
    rows.append(("together", f"{bill.monthly:8.2f}", f"{bill.hourly:8.4f}"))
    return table([(f"{bill.currency}, net", "   month", "    hour"), *rows])
