"""`appliance ssh`"""

from __future__ import annotations

import shlex

import click

from appliance.cli import wiring
from appliance.cli.globals import Globals
from appliance.cli.output import finish
from appliance.contract.trouble import NodeTrouble

SECONDS = 600.0


@click.command("ssh", context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
@click.pass_obj
def command(said: Globals, words: tuple[str, ...]) -> None:
    """Run one command on the node as root, by its pinned host key, for at most ten minutes.

    For a look around and for the runbooks: what makes a node what it is comes by deploy and push. Exit code 4
    when the command fails.
    """
    settings = wiring.settings(said)
    node = wiring.the_node(settings, wiring.cloud(settings, wiring.progress(said)))
    with wiring.shell(settings, node) as shell:
        result = shell.run(list(words), timeout=SECONDS)
    if result.code != 0:
        raise NodeTrouble(
            f"`{shlex.join(words)}` ended with {result.code} on {node.name}", why=result.tail(20)
        )
    finish(said.json, {"out": result.out, "err": result.err}, (result.out + result.err).rstrip("\n"))
