"""`appliance ask`"""

from __future__ import annotations

import click

from appliance.cli import wiring
from appliance.cli.delivery import NodeDelivery, material
from appliance.cli.globals import Globals
from appliance.cli.output import duration, finish, table
from appliance.contract.trouble import ConfigTrouble, ExitCode, Trouble
from appliance.desk.ask import DEFAULT_PROMPT, Answer, ask
from appliance.desk.settings import Settings

SHOWN = 70  # characters of an answer


@click.command("ask")
@click.option("--workload", "-w", "chosen", multiple=True, metavar="NAME", help="Only this one; repeatable.")
@click.argument("prompt", default=DEFAULT_PROMPT)
@click.pass_obj
def command(said: Globals, chosen: tuple[str, ...], prompt: str) -> int:
    """Ask each workload a question as a client does, through port 443. Exit code 6 when one fails."""
    progress = wiring.progress(said)
    settings = wiring.settings(said)
    names = chosen or tuple(workload.name for workload in settings.workloads)
    _refuse_unknown(settings, names)
    cloud = wiring.cloud(settings, progress)
    door = NodeDelivery(settings, material(settings), progress).door(wiring.the_node(settings, cloud))
    answers: list[Answer] = []
    failed: dict[str, Trouble] = {}
    for name in names:
        try:
            with progress.step(f"Ask {name}"):
                answers.append(ask(door, name, prompt))
        except Trouble as trouble:
            failed[name] = trouble
    why = {name: {"what": t.what, "why": t.why, "next": t.fix} for name, t in failed.items()}
    finish(said.json, {"ok": not failed, "answers": answers, "failed": why}, text(answers, failed))
    return ExitCode.UNVERIFIED if failed else ExitCode.OK


def text(answers: list[Answer], failed: dict[str, Trouble]) -> str:
    heard = table([(a.workload, duration(a.seconds), " ".join(a.text.split())[:SHOWN]) for a in answers])
    return "\n".join(part for part in (heard, *(str(trouble) for trouble in failed.values())) if part)


def _refuse_unknown(settings: Settings, names: tuple[str, ...]) -> None:
    known = [workload.name for workload in settings.workloads]
    if unknown := [name for name in names if name not in known]:
        raise ConfigTrouble(f"no workload {', '.join(unknown)}", fix=f"there are {', '.join(known)}")
