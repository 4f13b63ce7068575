"""`appliance destroy`"""

from __future__ import annotations

from contextlib import AbstractContextManager

import click

from appliance.cli import wiring
from appliance.cli.ask import confirm, must_be_askable
from appliance.cli.globals import Globals
from appliance.cli.output import finish
from appliance.desk.destroy import belongings, destroy, in_words
from appliance.desk.lock import hold


@click.command("destroy")
@click.option("--break-lock", is_flag=True, help="Take over the lock of a desk that you know to be dead.")
@click.option(
    "--keep-snapshots", is_flag=True, help="Keep what `appliance build` made, for a deploy to come."
)
@click.pass_obj
def command(said: Globals, break_lock: bool, keep_snapshots: bool) -> None:
    """Delete everything at the cloud that this appliance labelled, and nothing else."""
    progress = wiring.progress(said)
    settings = wiring.settings(said)
    must_be_askable(said, f"delete everything of appliance {settings.name}")
    cloud = wiring.cloud(settings, progress)
    if not said.yes:
        with progress.step("Look at what is there"):
            what = in_words(belongings(cloud.observe(), settings.name, keep_snapshots))
        if what:
            listed = "".join(f"\n  {thing}" for thing in what)
            confirm(said, f"Delete for ever, of appliance {settings.name}:{listed}\nDelete")

    def lock() -> AbstractContextManager[None]:
        return hold(cloud, settings.name, progress, break_lock)

    result = destroy(settings.name, cloud, lock, progress, keep_snapshots)
    data = {"deleted": result.deleted, "api_calls": result.calls}
    finish(
        said.json, data, f"Deleted: {', '.join(result.deleted)}." if result.deleted else "Nothing was there."
    )
