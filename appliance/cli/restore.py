"""`appliance restore`"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import click

from appliance.cli import wiring
from appliance.cli.ask import confirm, must_be_askable
from appliance.cli.delivery import NodeDelivery, material
from appliance.cli.globals import Globals
from appliance.cli.output import duration, finish, plain, table
from appliance.contract.restore_report import RestoreReport
from appliance.contract.trouble import ConfigTrouble, ExitCode
from appliance.desk import assets
from appliance.desk.backup_policy import policy
from appliance.desk.bundle import Material
from appliance.desk.cloud import Cloud
from appliance.desk.lock import hold
from appliance.desk.plan import Wanted
from appliance.desk.progress import Progress
from appliance.desk.reports.restore_page import page, span
from appliance.desk.reports.words import legible
from appliance.desk.restore import Restorer, RestoreResult
from appliance.desk.restore_drill import RestoreDrill
from appliance.desk.restore_script import Orders, orders
from appliance.desk.settings import Settings
from appliance.desk.stopwatch import Stopwatch

Lock = Callable[[], AbstractContextManager[None]]


@click.command("restore")
@click.option(
    "--backup", default="latest", metavar="ID", show_default=True, help="See `appliance backup list`."
)
@click.option("--to", metavar="NAME", help="Name of the new server.")
@click.option(
    "--drill", "only_drill", is_flag=True, help="Onto a server that is thrown away; times each step."
)
@click.option(
    "--report",
    "to_file",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    metavar="FILE",
    help="The evidence as a page (FILE.html) or as data (FILE.json).",
)
@click.option("--keep-old", is_flag=True, help="With --yes: keep the old node, off, all the same.")
@click.option(
    "--delete-old", is_flag=True, help="Only delete the nodes that earlier restores have kept, off."
)
@click.option("--break-lock", is_flag=True, help="Take over the lock of a desk that you know to be dead.")
@click.pass_obj
def command(
    said: Globals,
    backup: str,
    to: str | None,
    only_drill: bool,
    to_file: Path | None,
    keep_old: bool,
    delete_old: bool,
    break_lock: bool,
) -> int:
    """Bring the node back from its backup, on a new server.

    The backup is fetched and verified before anything of the old node is touched. Then the old node is
    switched off, the new one gets state, secrets and address, and answers. Until the address has moved, a
    failure leaves the old node as it was; run the same command again after any failure. With --yes the old
    node is deleted at the end; else you are asked, or it is kept off.
    """
    if only_drill and (to or delete_old):
        raise ConfigTrouble("--drill goes with neither --to nor --delete-old")
    if to_file is not None and not to_file.parent.is_dir():
        raise ConfigTrouble(
            f"there is no folder {to_file.parent} for the report", fix="make it, or name another"
        )
    progress = Stopwatch(wiring.progress(said))
    settings = wiring.settings(said)
    cloud = wiring.cloud(settings, progress)

    def lock() -> AbstractContextManager[None]:
        return hold(cloud, settings.name, progress, break_lock)

    made_of = material(settings)
    ordered = _orders(settings, made_of, only_drill)
    if only_drill:
        return _drill(said, settings, cloud, ordered, progress, lock, backup, to_file)
    wanted = Wanted(settings, wiring.public_key(settings))
    delivery = NodeDelivery(settings, made_of, progress)
    restorer = Restorer(wanted, cloud, wiring.connect_as(settings), delivery, ordered, progress)
    if delete_old:
        return _delete_old(said, restorer, lock)
    _ask_first(said, restorer)
    result = restorer.restore(lock, backup, to, delete_old=said.yes and not keep_old)
    _write(result.report, to_file, progress)
    kept = result.kept if keep_old else _ask_to_delete(said, restorer, lock, result)
    finish(said.json, data(result, kept), "\n".join(text(result, kept)))
    return ExitCode.NODE if result.silent else ExitCode.OK


def _orders(settings: Settings, made_of: Material, drill: bool) -> Orders:
    if settings.backup is None:
        raise ConfigTrouble(
            f"{settings.path.name} names no repository of backups",
            fix="write its `backup` block; without a desk that has it: restore/README.md",
        )
    ordered = policy(settings.name, settings.backup)
    return orders(assets.restore_script(), ordered, made_of.secrets, drill)


def _drill(
    said: Globals,
    settings: Settings,
    cloud: Cloud,
    ordered: Orders,
    progress: Stopwatch,
    lock: Lock,
    backup: str,
    to_file: Path | None,
) -> int:
    wanted = Wanted(settings, wiring.public_key(settings))
    drill = RestoreDrill(wanted, cloud, wiring.connect_as(settings), ordered, progress)
    report = drill.drill(lock, backup)
    _write(report, to_file, progress)
    facts = plain(report)
    assert isinstance(facts, dict)
    finish(said.json, {"ok": report.ok, **facts}, "\n".join(drill_text(report)))
    return ExitCode.OK if report.ok else ExitCode.UNVERIFIED


def _delete_old(said: Globals, restorer: Restorer, lock: Lock) -> int:
    must_be_askable(said, "delete the old nodes")
    old = [server.name for server in restorer.look().old]
    if old:
        confirm(said, f"Delete for ever: {', '.join(old)}")
    deleted = restorer.delete_old(lock) if old else ()
    finish(
        said.json, {"deleted": deleted}, f"Deleted: {', '.join(deleted)}." if deleted else "None was kept."
    )
    return ExitCode.OK


def _ask_first(said: Globals, restorer: Restorer) -> None:
    """Only where it takes the place of a node that runs."""
    if said.yes:
        return
    now = restorer.look()
    if now.loses and now.node is not None:
        confirm(
            said,
            f"{now.node.name} runs. It is switched off, and what was said since the backup is lost.\nGo on",
        )


def _ask_to_delete(said: Globals, restorer: Restorer, lock: Lock, result: RestoreResult) -> tuple[str, ...]:
    """What is kept after the question, which is only asked where somebody can answer it."""
    if not result.kept or result.silent or said.json or said.yes or not sys.stdin.isatty():
        return result.kept
    if not click.confirm(f"Delete {', '.join(result.kept)}, which is off, for ever", default=False, err=True):
        return result.kept
    restorer.delete_old(lock)
    return ()


def _write(report: RestoreReport, to: Path | None, progress: Progress) -> None:
    """A page that cannot be written must not cost the result."""
    if to is None:
        return
    as_data = to.suffix == ".json"
    said = report.model_dump_json(indent=1) + "\n" if as_data else page(report, assets.report_templates())
    try:
        to.write_text(said, encoding="utf-8")
    except OSError as error:
        progress.warn(f"the report could not be written to {to}: {error.strerror or error}")


def data(result: RestoreResult, kept: tuple[str, ...]) -> dict[str, object]:
    facts = plain(result.report)
    assert isinstance(facts, dict)
    return {
        **facts,
        "node": result.report.server,
        "address": result.address,
        "answers": result.answers,
        "kept": kept,
        "api_calls": result.calls,
    }


def text(result: RestoreResult, kept: tuple[str, ...]) -> Iterator[str]:
    report = result.report
    yield from _times(report)
    yield table(
        [(answer.workload, duration(answer.seconds), legible(answer.text)[:80]) for answer in result.answers]
    )
    yield from (f"  NO ANSWER of {legible(who)}" for who in result.silent)
    yield f"{report.server} is the node, at https://{result.address}."
    if kept:
        yield f"Kept, off and billed: {', '.join(kept)}. `appliance restore --delete-old` deletes it."
    yield "Next: `appliance status`."


def drill_text(report: RestoreReport) -> Iterator[str]:
    yield from _times(report)
    if report.ok:
        yield "GREEN: the backup was restored, every workload answered; the server is gone again."
    else:
        yield f"RED: {legible(report.error or '')}"


def _times(report: RestoreReport) -> Iterator[str]:
    yield table(
        [
            (
                f"{'  ' * step.depth}{legible(step.name)}",
                "-" if step.seconds is None else duration(step.seconds),
            )
            for step in report.steps
        ]
    )
    if report.manifest is not None:
        at = f"{report.manifest.at:%Y-%m-%d %H:%M:%S} UTC"
        yield f"Backup {report.backup} of {legible(report.manifest.node)}, {at}."
    if report.recovery_seconds is not None and report.lost_seconds is not None:
        point = span(report.lost_seconds)
        yield f"Recovery time {span(report.recovery_seconds)}; recovery point {point} before."
