"""`appliance canary`"""

from __future__ import annotations

import click

from appliance.cli import wiring
from appliance.cli.globals import Globals
from appliance.cli.output import duration, finish, plain, table
from appliance.contract.drill import Canaries, Canary
from appliance.contract.trouble import ExitCode
from appliance.desk.canary import canary


@click.command("canary")
@click.pass_obj
def command(said: Globals) -> int:
    """Ask each provider directly, from the node and with its key. Exit code 6 when one does not answer.

    So a fallback's dead key is found before it is needed. It costs a short question per provider and model;
    the node does the same by itself, see `canary` in appliance.yaml.
    """
    progress = wiring.progress(said)
    settings = wiring.settings(said)
    cloud = wiring.cloud(settings, progress)
    node = wiring.the_node(settings, cloud)
    with wiring.shell(settings, node) as shell, progress.step("Ask each provider with its own key"):
        heard = canary(shell)
    facts = plain(heard)
    assert isinstance(facts, dict)
    finish(said.json, facts | {"ok": heard.ok}, text(heard))
    return ExitCode.OK if heard.ok else ExitCode.UNVERIFIED


def text(heard: Canaries) -> str:
    rows = [_row(one) for one in sorted(heard.canaries, key=lambda one: one.ok)]
    failing = sorted({one.provider for one in heard.canaries if not one.ok})
    if not failing:
        return f"{table(rows)}\nAll providers answer with the keys that the node has."
    return (
        f"{table(rows)}\n{', '.join(failing)}: asked last until it answers again. "
        "Next: runbooks/provider-down.md, rotate-keys.md or quota-spent.md, by what it says above."
    )


def _row(one: Canary) -> tuple[str, ...]:
    verdict = "ok" if one.ok else "NOT OK"
    return verdict, f"{one.provider}/{one.model}", duration(one.seconds), one.detail, ", ".join(one.workloads)
