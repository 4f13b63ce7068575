"""`appliance status`"""

from __future__ import annotations

from datetime import UTC, datetime

import click

from appliance.cli import wiring
from appliance.cli.delivery import material
from appliance.cli.globals import Globals
from appliance.cli.output import duration, finish, plain, table
from appliance.contract.health import Check
from appliance.contract.node_report import Breaker
from appliance.contract.trouble import ExitCode, Trouble
from appliance.desk import bundle
from appliance.desk.status import NodeStatus, Status, status

TOLD = ("gateway", "router", "canary", "backup", "disk", "memory")  # checks that have a row of their own


@click.command("status")
@click.pass_obj
def command(said: Globals) -> int:
    """Tell how the node, its gateway, providers and certificate are. Exit code 6 when not all is well."""
    progress = wiring.progress(said)
    settings = wiring.settings(said)
    cloud = wiring.cloud(settings, progress)
    try:
        wanted = bundle.wanted(settings, material(settings)).digest
    except Trouble as trouble:
        progress.warn(f"this desk cannot tell whether the bundle is the right one: {trouble.what}")
        wanted = None
    with progress.step("Ask the cloud and the node"):
        seen = status(settings.name, cloud, lambda server: wiring.shell(settings, server), wanted)
    finish(said.json, data(seen, cloud.calls), text(seen, datetime.now(UTC)))
    return ExitCode.OK if seen.well else ExitCode.UNVERIFIED


def data(seen: Status, calls: int) -> dict[str, object]:
    nodes = []
    for node in seen.nodes:
        facts = plain(node)
        assert isinstance(facts, dict)
        nodes.append(facts | {"well": node.well, "bundle_differs": node.bundle_differs})
    return {
        "ok": seen.well,
        "appliance": seen.appliance,
        "nodes": nodes,
        "newest_snapshot": seen.newest_snapshot,
        "api_calls": calls,
    }


def text(seen: Status, now: datetime) -> str:
    if not seen.nodes:
        if seen.newest_snapshot is None:
            return f"{seen.appliance} has no node, and no verified snapshot. Next: `appliance build`."
        ready = f"snapshot {seen.newest_snapshot} is ready"
        again = "if there was one, `appliance restore` brings it back from its backup"
        return f"{seen.appliance} has no node; {ready}. Next: `appliance deploy`; {again}."
    return "\n\n".join(_node(node, seen.newest_snapshot, now) for node in seen.nodes)


def _node(node: NodeStatus, newest: int | None, now: datetime) -> str:
    head = f"{node.name}: {_headline(node)}"
    rows = [
        ("server", f"{node.server}, {node.server_type} in {node.location}, {node.address or 'no address'}"),
        ("snapshot", _snapshot(node, newest)),
        ("bundle", _bundle(node)),
        ("gateway", f"{node.gateway}, OpenClaw {node.openclaw or 'unknown'}"),
        ("router", _router(node)),
        ("canary", _canary(node, now)),
        ("last drill", _last_drill(node, now)),
        ("certificate", _certificate(node)),
        ("disk", _percent(node.disk_used_percent)),
        ("memory", _percent(node.memory_used_percent)),
        ("up for", duration(node.uptime_seconds) if node.uptime_seconds is not None else "unknown"),
        ("last backup", _last_backup(node, now)),
        *((check.name, f"{'ok' if check.ok else 'NOT OK'}: {check.detail}") for check in _further(node)),
    ]
    if node.trouble:
        rows.append(("trouble", node.trouble.replace("\n", "\n    ")))
    return f"{head}\n{table(rows)}"


def _further(node: NodeStatus) -> list[Check]:
    """The checks that say more than the rows above them."""
    return [
        check for check in node.checks if check.name not in TOLD or (not check.ok and check.name != "backup")
    ]


def _flaws(node: NodeStatus) -> list[str]:
    if node.trouble:
        return [node.trouble.partition("\n")[0]]
    parts = {"gateway": node.gateway, "router": node.router}
    flaws = [f"its {part} is {state}" for part, state in parts.items() if state != "ready"]
    flaws += [f"{check.name}: {check.detail}" for check in node.checks if check.vital and not check.ok]
    if node.bundle_differs:
        flaws.append("it has not this desk's config and secrets: `appliance push`")
    return flaws


def _headline(node: NodeStatus) -> str:
    if not node.well:
        return f"not well: {'; '.join(_flaws(node))}"
    amiss = [check.name for check in node.checks if not check.ok]
    if node.last_drill and not node.last_drill.ok:
        amiss.append("last drill")
    return f"well, but for {', '.join(amiss)}" if amiss else "well"


def _snapshot(node: NodeStatus, newest: int | None) -> str:
    name = str(node.snapshot or "unknown")
    return f"{name} (a newer verified one is there: {newest})" if newest and newest != node.snapshot else name


def _bundle(node: NodeStatus) -> str:
    if node.trouble:
        return "unknown"
    held = node.bundle[:12] if node.bundle else "none"
    if node.bundle_wanted is None:
        return held
    return (
        f"{held}, but this desk has {node.bundle_wanted[:12]}: push"
        if node.bundle_differs
        else f"{held}, as here"
    )


def _router(node: NodeStatus) -> str:
    last = [_asked_last(breaker) for breaker in node.breakers if breaker.state == "open"]
    return f"{node.router}; asked last: {', '.join(last)}" if last else node.router


def _asked_last(breaker: Breaker) -> str:
    cause = (breaker.cause or "it failed").replace("-", " ")
    return f"{breaker.provider}/{breaker.model} for {duration(breaker.seconds_left)} ({cause})"


def _canary(node: NodeStatus, now: datetime) -> str:
    if node.trouble:
        return "unknown"
    if node.canaries is None:
        return "none yet: the node asks its providers within minutes, `appliance canary` at once"
    ago = _ago(node.canaries.at, now)
    refused = [canary for canary in node.canaries.canaries if not canary.ok]
    if not refused:
        return f"{ago}, all {len(node.canaries.canaries)} answered"
    told = "; ".join(f"{c.provider}/{c.model} ({', '.join(c.workloads)}) {c.detail}" for c in refused)
    return f"{ago}, NOT OK: {told}. Once it is mended: `appliance canary`"


def _last_drill(node: NodeStatus, now: datetime) -> str:
    if node.trouble:
        return "unknown"
    drill = node.last_drill
    if drill is None:
        return "none: `appliance drill providers`"
    ago = _ago(drill.at, now)
    if drill.ok:
        return f"{ago}, green, {drill.rows} rows"
    reds = f"{drill.red} of {drill.rows} rows" if drill.red else "not by its rows"
    return f"{ago}, RED, {reds}: `appliance drill providers` shows why"


def _last_backup(node: NodeStatus, now: datetime) -> str:
    if node.trouble:
        return "unknown"
    if node.backup_every_hours is None:
        return "none, and none is ordered: `backup` in appliance.yaml, then `appliance push`"
    last = node.last_backup
    if last is None or (last.at is None and last.error is None):
        return "none yet: the node makes one within minutes, `appliance backup now` at once"
    complaint = last.complaint(now, node.backup_every_hours)
    if complaint or last.at is None:
        return f"NOT OK: {complaint or 'none yet'}. Once it is mended: `appliance backup now`"
    size = f"{_size(last.bytes)}, {_size(last.added)} of it new"
    verified = f"verified {_ago(last.verified_at, now)}" if last.verified_at else "not verified yet"
    return f"{_ago(last.at, now)}, {size}; {verified}"


def _size(count: int | None) -> str:
    if count is None:
        return "size unknown"
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def _ago(at: datetime, now: datetime) -> str:
    return f"{duration(max(0.0, (now - at).total_seconds()))} ago"


def _certificate(node: NodeStatus) -> str:
    if node.certificate_ends is None:
        return "unknown"
    return f"until {node.certificate_ends:%Y-%m-%d}, for {', '.join(node.certificate_names)}"


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0f} % used"
