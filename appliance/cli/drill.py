"""`appliance drill`"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from appliance.cli import wiring
from appliance.cli.drill_text import text
from appliance.cli.globals import Globals
from appliance.cli.output import finish, plain, table
from appliance.contract.drill import Level, Report
from appliance.contract.trouble import ConfigTrouble, ExitCode, Trouble
from appliance.desk import assets
from appliance.desk.drill import Asked, Fault, drill, faults
from appliance.desk.progress import Progress
from appliance.desk.reports.page import page
from appliance.desk.settings import Settings


@click.group("drill")
def command() -> None:
    """Break things on purpose, on the live node, and see that it holds. Users' traffic is not touched."""


@command.command()
@click.option("--workload", "-w", "workloads", multiple=True, help="Only this one; may be repeated.")
@click.option("--fault", "-f", "names", multiple=True, help="Only this one; may be repeated.")
@click.option("--level", type=click.Choice([level.value for level in Level]), help="Only asked there.")
@click.option(
    "--report",
    "to",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    metavar="FILE.html",
    help="Also as a page, with a picture of each fault.",
)
@click.option("--list", "only_list", is_flag=True, help="List the faults; break nothing.")
@click.pass_obj
def providers(
    said: Globals,
    workloads: tuple[str, ...],
    names: tuple[str, ...],
    level: str | None,
    to: Path | None,
    only_list: bool,
) -> int:
    """Providers that fail in every way, for questions of the drill's own. Exit code 6 if one goes wrong.

    The provider's real keys and models answer what is left to answer: each row costs two or three short
    questions. It takes no lock.
    """
    progress = wiring.progress(said)
    settings = wiring.settings(said)
    if to is not None and not to.parent.is_dir():
        raise ConfigTrouble(f"there is no folder {to.parent} for the report", fix="make it, or name another")
    asked = Asked(_known(workloads, settings), names, Level(level) if level else None)
    server = wiring.the_node(settings, wiring.cloud(settings, progress))
    with wiring.shell(settings, server) as shell:
        if only_list:
            found = faults(shell, progress)
            finish(said.json, {"faults": found}, listing(found))
            return ExitCode.OK
        try:
            report = drill(shell, asked, progress)
        except KeyboardInterrupt:
            raise _interrupted() from None
    if to is not None:
        _write(report, to, progress)
    finish(said.json, data(report), "\n".join((*text(report), *_see(to))))
    return ExitCode.OK if report.ok else ExitCode.UNVERIFIED


def data(report: Report) -> dict[str, object]:
    facts = plain(report)
    assert isinstance(facts, dict)
    return {"ok": report.ok, **facts}


def listing(found: tuple[Fault, ...]) -> str:
    return table([(fault.name, fault.about) for fault in found])


def _known(workloads: tuple[str, ...], settings: Settings) -> tuple[str, ...]:
    known = [workload.name for workload in settings.workloads]
    for name in workloads:
        if name not in known:
            raise ConfigTrouble(
                f'there is no workload "{name}"', why=f"{settings.path.name} has {', '.join(known)}"
            )
    return workloads


def _write(report: Report, to: Path, progress: Progress) -> None:
    """A page that cannot be written must not cost the drill's result."""
    try:
        to.write_text(page(report, assets.report_templates()), encoding="utf-8")
    except OSError as error:
        progress.warn(f"the report could not be written to {to}: {error.strerror or error}")


def _see(to: Path | None) -> Iterator[str]:
    if to is not None and to.exists():
        yield f"The page: {to}"


def _interrupted() -> Trouble:
    return Trouble(
        "interrupted: the drill is ended",
        why="the node ends it when this desk lets go; users never met it, nothing of it stays",
        fix="run it again when you like, or a part: --workload, --fault, --level",
        code=ExitCode.INTERRUPTED,
    )
