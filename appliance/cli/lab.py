"""`appliance lab`: Hetzner in a box."""

from __future__ import annotations

import shlex

import click

from appliance.cli import wiring
from appliance.cli.ask import confirm
from appliance.cli.globals import Globals
from appliance.cli.output import finish, table
from appliance.lab import lifecycle
from appliance.lab.place import Place


@click.group("lab")
def command() -> None:
    """Hetzner in a box, on this machine. Needs Linux and root.

    APPLIANCE_LAB_DIR and APPLIANCE_LAB_INSTANCE choose another folder than /var/lib/appliance-lab, and
    another lab beside the first.
    """


@command.command()
@click.pass_obj
def up(said: Globals) -> None:
    """Bring the lab up, or repair it after a crash."""
    place = Place.from_environment()
    with wiring.progress(said).step("Bring the lab up") as step:
        if not lifecycle.up(place, step.update):
            step.skip("it is up")
    finish(said.json, lifecycle.status(place), f"The lab is up: {place.api_endpoint}")


@command.command()
@click.option("--purge", is_flag=True, help="Also the caches: base image and packages.")
@click.pass_obj
def down(said: Globals, purge: bool) -> None:
    """Remove the lab: every machine, wire, rule and file of it. Asks where it has machines."""
    place = Place.from_environment()
    if machines := lifecycle.status(place).machines:
        names = ", ".join(machine.name for machine in machines)
        confirm(said, f"This deletes what the lab in {place.folder} has: {names}. Go on?")
    with wiring.progress(said).step("Take the lab down") as step:
        found = lifecycle.down(place, purge=purge, say=step.update)
        if not found:
            step.skip("there was none")
    finish(said.json, {"found": found, "purged": purge}, "")


@command.command()
@click.pass_obj
def status(said: Globals) -> int:
    """Tell whether the lab is up, and which machines it has. Exit code 7: it is not."""
    found = lifecycle.status(Place.from_environment())
    finish(said.json, found, _text(found))
    return 0 if found.up else 7


@command.command()
@click.pass_obj
def env(said: Globals) -> None:
    """Print what points any client of the API at the lab: `eval "$(appliance lab env)"`."""
    variables = lifecycle.environment(Place.from_environment())
    finish(said.json, variables, "\n".join(f"export {k}={shlex.quote(v)}" for k, v in variables.items()))


def _text(found: lifecycle.Status) -> str:
    if not found.up:
        return f"The lab is down{': ' + found.problem if found.problem else '.'}"
    rows = [(m.name, m.status, m.server_type, m.public_ip or "") for m in found.machines]
    facts = [("API", found.endpoint), ("log", str(found.log))]
    facts += [(f"vendor {v.name}", v.base_url) for v in found.vendors]
    facts.append(("storage box", found.storage_box))
    machines = f"Machines:\n{table(rows)}" if rows else "No machines."
    return f"The lab is up (pid {found.pid}).\n{table(facts)}\n{machines}"
