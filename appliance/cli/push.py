"""`appliance push`"""

from __future__ import annotations

import click

from appliance.cli import wiring
from appliance.cli.delivery import NodeDelivery, material
from appliance.cli.globals import Globals
from appliance.cli.output import duration, finish
from appliance.desk.lock import hold
from appliance.desk.push import PushResult


@click.command("push")
@click.option("--break-lock", is_flag=True, help="Take over the lock of a desk that you know to be dead.")
@click.pass_obj
def command(said: Globals, break_lock: bool) -> None:
    """Bring new config, secrets and certificate to the node; it rolls back if it does not come up."""
    progress = wiring.progress(said)
    settings = wiring.settings(said)
    delivery = NodeDelivery(settings, material(settings), progress)
    cloud = wiring.cloud(settings, progress)
    with hold(cloud, settings.name, progress, break_lock):
        server = wiring.the_node(settings, cloud)
        with wiring.shell(settings, server) as shell:
            result = delivery.deliver(shell, server)
    finish(said.json, wiring.with_calls(result, cloud) | {"changed": result.changed}, text(result))


def text(result: PushResult) -> str:
    if not result.changed:
        return f"{result.node} has all of it already: bundle {result.bundle[:12]}."
    said = [f"bundle {result.bundle[:12]} is in force" if result.bundle_changed else "the bundle is the same"]
    if result.certificate_renewed:
        said.append(f"a new certificate ({result.certificate_renewed})")
    return f"{result.node}: {', '.join(said)} ({duration(result.seconds)})."
