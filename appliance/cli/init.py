"""`appliance init`"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from appliance.cli import wiring
from appliance.cli.globals import Globals
from appliance.cli.output import finish, table
from appliance.desk.config import values
from appliance.desk.config.initial import ANYONE, HETZNER_VENDORS, SSH_PLACEHOLDER, Start
from appliance.desk.init import SSH_KEY, Begun, begin
from appliance.desk.settings import Target


def _checked(parse: Callable[[str], object]) -> Callable[..., object]:
    """A click callback: what the file would refuse is refused before the file is written."""

    def check(_context: click.Context, _parameter: click.Parameter, given: object) -> object:
        try:
            for text in given if isinstance(given, tuple) else (given,):
                if isinstance(text, str):
                    parse(text)
        except values.Wrong as wrong:
            raise click.BadParameter("; ".join(part for part in (wrong.what, wrong.right) if part)) from None
        return given

    return check


@click.command("init")
@click.option("--target", type=click.Choice([t.value for t in Target]), default="hetzner", show_default=True)
@click.option(
    "--name",
    callback=_checked(values.name),
    help="The appliance's name.  [default: demo in the lab, else main]",
)
@click.option("--location", default="fsn1", show_default=True, callback=_checked(values.word))
@click.option("--server-type", default="cx23", show_default=True, callback=_checked(values.word))
@click.option(
    "--ssh-public-key", type=click.Path(path_type=Path), help="Yours; without it a pair is made in secrets/."
)
@click.option(
    "--ssh-from",
    multiple=True,
    metavar="CIDR",
    callback=_checked(values.source),
    help="Who may reach SSH; may be repeated.",
)
@click.option("--force", is_flag=True, help="Overwrite the file. Secrets that are there are kept.")
@click.pass_obj
def command(
    said: Globals,
    target: str,
    name: str | None,
    location: str,
    server_type: str,
    ssh_public_key: Path | None,
    ssh_from: tuple[str, ...],
    force: bool,
) -> None:
    """Write a commented appliance.yaml, its JSON Schema, and the secrets that can be made."""
    start = first(
        Target(target), name, location, server_type, str(ssh_public_key) if ssh_public_key else None, ssh_from
    )
    begun = write(said.config, start, force=force)
    finish(said.json, begun, text(begun, start))


def write(config: Path, start: Start, *, force: bool = False) -> Begun:
    """The file and all beside it; the store, where there is one, takes the keys."""
    store = start.store
    authorize = partial(wiring.authorize_at_lab, store) if store else None
    return begin(config, start, datetime.now(UTC), force=force, authorize=authorize)


def first(
    target: Target,
    name: str | None = None,
    location: str = "fsn1",
    server_type: str = "cx23",
    ssh_public_key: str | None = None,
    ssh_from: tuple[str, ...] = (),
) -> Start:
    """The first file's contents for `target`."""
    lab = wiring.lab_start() if target is Target.LAB else None
    return Start(
        name=name or ("demo" if lab else "main"),
        target=target,
        location=location,
        server_type=server_type,
        bake_server_type="cax11" if server_type.startswith("cax") else "cx23",
        ssh_public_key=ssh_public_key or f"{SSH_KEY}.pub",
        ssh_sources=ssh_from or (lab.sources if lab else SSH_PLACEHOLDER),
        api_sources=lab.sources if lab else ANYONE,
        vendors=lab.vendors if lab else HETZNER_VENDORS,
        store=lab.store if lab else None,
    )


def text(begun: Begun, start: Start) -> str:
    rows = [(str(file.path), file.what + (" (was there, kept)" if file.kept else "")) for file in begun.files]
    lines = ["Written:", table(rows), ""]
    if start.ssh_sources == SSH_PLACEHOLDER:
        lines.append(f"Only you know who may reach SSH: set access.ssh in {begun.config}.")
    if start.target is Target.HETZNER:
        names = " and ".join(vendor.key.removeprefix("env:") for vendor in start.vendors)
        lines.append(f"Export HCLOUD_TOKEN, and {names} or whatever your providers' keys are called.")
    if start.store is None:
        lines.append(f"There are no backups yet: `backup` in {begun.config} says how to have them.")
    lines.append(f"Next: edit {begun.config}, then `appliance check`.")
    return "\n".join(lines)
