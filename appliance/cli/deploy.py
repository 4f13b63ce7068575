"""`appliance deploy`"""

from __future__ import annotations

import click

from appliance.cli import wiring
from appliance.cli.globals import Globals
from appliance.cli.output import duration, finish, table
from appliance.desk.deploy import DeployResult, title
from appliance.desk.lock import hold
from appliance.desk.model import Change, Plan


@click.command("deploy")
@click.option("--plan", "only_plan", is_flag=True, help="Show the changes and their cost; do nothing.")
@click.option("--break-lock", is_flag=True, help="Take over the lock of a desk that you know to be dead.")
@click.pass_obj
def command(said: Globals, only_plan: bool, break_lock: bool) -> None:
    """Bring the cloud and the node to what appliance.yaml says, and prove it by a real answer."""
    progress = wiring.progress(said)
    settings = wiring.settings(said)
    deployer = wiring.deployer(settings, progress)
    if only_plan:
        planned = deployer.plan()
        finish(said.json, data(planned), plan_text(planned.plan))
        return
    result = deployer.deploy(lambda: hold(deployer.cloud, settings.name, progress, break_lock))
    finish(said.json, data(result), text(result))


def data(result: DeployResult) -> dict[str, object]:
    plan = result.plan
    return {
        "applied": result.applied,
        "node": result.node,
        "address": result.address,
        "changes": plan.changes,
        "currency": plan.currency,
        "monthly": round(sum(change.monthly for change in plan.changes), 4),
        "hourly": round(sum(change.hourly for change in plan.changes), 4),
        "answers": result.answers,
        "api_calls": result.calls,
    }


def plan_text(plan: Plan) -> str:
    if plan.empty:
        return "Nothing to change."
    rows = [(title(change), _why(change, plan)) for change in plan.changes]
    monthly, hourly = sum(c.monthly for c in plan.changes), sum(c.hourly for c in plan.changes)
    if not monthly:
        return "\n".join([table(rows), "At no further cost."])
    total = f"Together {monthly:.2f} {plan.currency} a month ({hourly:.4f} an hour), net."
    return "\n".join([table(rows), total])


def _why(change: Change, plan: Plan) -> str:
    cost = f" ({change.monthly:.2f} {plan.currency} a month)" if change.monthly else ""
    return change.why + cost


def _count(changes: int) -> str:
    return "1 change" if changes == 1 else f"{changes} changes"


def text(result: DeployResult) -> str:
    did = "as it was, nothing changed" if not result.applied else _count(len(result.plan.changes))
    rows = [
        (answer.workload, duration(answer.seconds), " ".join(answer.text.split())[:80])
        for answer in result.answers
    ]
    return "\n".join(
        [
            f"{result.node} answers at https://{result.address} ({did}).",
            table(rows),
            "Next: `appliance status`.",
        ]
    )
