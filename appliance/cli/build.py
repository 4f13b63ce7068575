"""`appliance build`"""

from __future__ import annotations

from datetime import UTC, datetime

import click

from appliance.cli import wiring
from appliance.cli.globals import Globals
from appliance.cli.output import duration, finish, state_folder
from appliance.desk.assets import bake_files
from appliance.desk.bake import BakeResult, Bakery, bake
from appliance.desk.cloud import Cloud
from appliance.desk.lock import hold
from appliance.desk.progress import Progress
from appliance.desk.settings import Settings


@click.command("build")
@click.option("--force", is_flag=True, help="Bake anew even where a verified snapshot of the same inputs is.")
@click.option("--keep", is_flag=True, help="Leave a failed bake's servers for a look. They are billed.")
@click.option("--break-lock", is_flag=True, help="Take over the lock of a desk that you know to be dead.")
@click.pass_obj
def command(said: Globals, force: bool, keep: bool, break_lock: bool) -> None:
    """Bake a snapshot, verify it on a scratch server, and only then label it verified."""
    progress = wiring.progress(said)
    settings = wiring.settings(said)
    cloud = wiring.cloud(settings, progress)
    result = perform(settings, cloud, progress, force=force, keep=keep, break_lock=break_lock)
    finish(said.json, wiring.with_calls(result, cloud), text(result))


def perform(
    settings: Settings,
    cloud: Cloud,
    progress: Progress,
    *,
    force: bool = False,
    keep: bool = False,
    break_lock: bool = False,
) -> BakeResult:
    now = datetime.now(UTC)
    log = state_folder() / f"build-{settings.name}-{now:%Y%m%dT%H%M%S}.log"
    bakery = Bakery(settings, cloud, wiring.connect, progress, bake_files(), log)
    with hold(cloud, settings.name, progress, break_lock):
        return bake(bakery, force=force, keep=keep, now=now)


def text(result: BakeResult) -> str:
    did = "is there already, verified" if result.reused else "was baked and verified"
    size = f"{result.snapshot.image_size:.2f} GB, " if result.snapshot.image_size else ""
    lines = [f"Snapshot {result.snapshot.id} {did} ({size}{duration(result.seconds)})."]
    if result.log:
        lines.append(f"Its log: {result.log}")
    return "\n".join([*lines, "Next: `appliance deploy`."])
