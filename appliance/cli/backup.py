"""`appliance backup`"""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import click

from appliance.cli import wiring
from appliance.cli.ask import confirm
from appliance.cli.globals import Globals
from appliance.cli.kit_text import text as kit_text
from appliance.cli.output import duration, finish, table
from appliance.contract.backup import LastBackup
from appliance.contract.trouble import ConfigTrouble, Trouble
from appliance.desk import assets, prune
from appliance.desk.backup import kept, make, verify
from appliance.desk.backup_policy import policy
from appliance.desk.kit import Desk, authorized_keys, sheet
from appliance.desk.model import Observed
from appliance.desk.progress import Progress
from appliance.desk.secrets import read_secret, secret_refs
from appliance.desk.settings import Backup, Settings

SHEET = "recovery-sheet.txt"


@click.group("backup")
def command() -> None:
    """Backups of the node: make one now, list, read back, prune; and the sheet for the night you need one."""


@command.command()
@click.option("--new-repository", is_flag=True, help="Begin anew where the one of the last backup is gone.")
@click.pass_obj
def now(said: Globals, new_repository: bool) -> None:
    """Make a backup now, on the node. Exit code 4 when it fails."""
    progress = wiring.progress(said)
    settings, _ = _ordered(said)
    with wiring.shell(settings, wiring.the_node(settings, wiring.cloud(settings, progress))) as shell:
        last = make(shell, progress, new_repository=new_repository)
    finish(said.json, last, made_text(last))


@command.command("list")
@click.pass_obj
def list_(said: Globals) -> None:
    """The backups in the store, oldest first."""
    progress = wiring.progress(said)
    settings, _ = _ordered(said)
    with wiring.shell(settings, wiring.the_node(settings, wiring.cloud(settings, progress))) as shell:
        found = kept(shell, progress)
    rows = [
        (one.id[:8], f"{one.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC", size(one.bytes), f"+ {size(one.added)}")
        for one in found
    ]
    listed = f"{table(rows)}\n{len(rows)} backups; what the last column says is what each added to the store."
    finish(said.json, {"backups": found}, listed if rows else "The store has no backup yet.")


@command.command("verify")
@click.pass_obj
def verify_(said: Globals) -> None:
    """Read a share of the store back and check all of its structure. Exit code 6 when it does not hold."""
    progress = wiring.progress(said)
    settings, ordered = _ordered(said)
    with wiring.shell(settings, wiring.the_node(settings, wiring.cloud(settings, progress))) as shell:
        last = verify(shell, progress)
    text = f"The store holds: its structure, and {ordered.verify_percent} % of its data read back."
    finish(said.json, last, f"{text} The rest, for sure: `appliance restore --drill`.")


@command.command("prune")
@click.option("--plan", "only_plan", is_flag=True, help="Tell what would go; remove nothing.")
@click.pass_obj
def prune_(said: Globals, only_plan: bool) -> None:
    """Remove what `retention` does not keep, with your key, from this machine (which needs restic).

    A node that can only add cannot do it, and must not. Exit code 6 where a backup is dated in the future:
    nothing is pruned then, since somebody on the node may be at work.
    """
    progress = wiring.progress(said)
    settings, ordered = _ordered(said)
    with prune.Restic(_opened(settings, ordered)) as restic:
        found = prune.look(restic, datetime.now(UTC), progress)
        count = f"{len(found.remove)} of {len(found.remove) + len(found.keep)} backups"
        removed = bool(found.remove) and not only_plan
        if removed:
            oldest = min(one.time for one in found.remove)
            confirm(said, f"This removes {count} for good, the oldest of {oldest:%Y-%m-%d}. Go on?")
            prune.prune(restic, progress)
    told = f"{count} {'are gone' if removed else 'would go'}." if found.remove else "All are kept."
    finish(said.json, {"removed": removed, "remove": found.remove, "keep": found.keep}, told)


@command.command()
@click.option("--keys", is_flag=True, help="Only the lines for the store's authorized_keys.")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Write the sheet and restore.sh there.",
)
@click.pass_obj
def kit(said: Globals, keys: bool, folder: Path | None) -> None:
    """The recovery sheet, to be kept off this machine: addresses, fingerprints, steps, and no secret."""
    progress = wiring.progress(said)
    settings, ordered = _ordered(said)
    if keys:
        lines = authorized_keys(ordered, _public_keys(settings, ordered))
        finish(said.json, {"authorized_keys": lines}, "\n".join(lines))
        return
    script = assets.restore_script()
    desk = Desk(socket.gethostname(), secret_refs(settings), script)
    made = sheet(settings, ordered, desk, _seen(settings, progress), datetime.now(UTC))
    text = kit_text(made)
    if folder is not None:
        _write(folder, text, script)
        finish(said.json, made, f"{folder / SHEET} and {folder / 'restore.sh'}: now take them elsewhere.")
    else:
        finish(said.json, made, text)


def made_text(last: LastBackup) -> str:
    size_of = f"{size(last.bytes)}, of which {size(last.added)} were new to the store"
    took = f" ({duration(last.seconds)})" if last.seconds is not None else ""
    at = f" of {last.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if last.at else ""
    return f"Backup {(last.id or '')[:8]}{at}: {size_of}{took}."


def size(count: int | None) -> str:
    if count is None:
        return "?"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} bytes"


def _ordered(said: Globals) -> tuple[Settings, Backup]:
    settings = wiring.settings(said)
    if settings.backup is None:
        raise ConfigTrouble(
            f"{settings.path.name} orders no backups",
            why="it has no `backup`, so when the node is lost, all that it knew is",
            fix="add it, as the comments of a first appliance.yaml say, then `appliance push`",
        )
    return settings, settings.backup


def _opened(settings: Settings, ordered: Backup) -> prune.Opened:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    environ = {name: os.environ[name] for name in names if os.environ.get(name)}
    return prune.Opened(
        policy(settings.name, ordered),
        read_secret(ordered.passphrase, settings.path.parent),
        ordered.operator_key,
        environ if len(environ) == len(names) else {},
    )


def _public_keys(settings: Settings, ordered: Backup) -> dict[str, str]:
    """From the files beside the private ones, as far as there are."""
    node = ordered.ssh_key
    paths = {
        "node": settings.path.parent / node.location if node and node.source == "file" else None,
        "operator": ordered.operator_key,
    }
    found = {}
    for whose, path in paths.items():
        if path is None:
            continue
        public = path.with_name(f"{path.name}.pub")
        try:
            found[whose] = public.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigTrouble(
                f"the public key {public} cannot be read",
                why=str(error),
                fix=f"`ssh-keygen -y -f {path} > {public}` makes it of the private one",
            ) from error
    return found


def _seen(settings: Settings, progress: Progress) -> Observed:
    """A sheet without the cloud's word is better than none."""
    try:
        with progress.step("Ask the cloud for node and snapshots"):
            return wiring.cloud(settings, progress).observe()
    except Trouble as trouble:
        progress.warn(f"the sheet lacks node and snapshots: {trouble.what}")
        return Observed()


def _write(folder: Path, text: str, script: bytes) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SHEET).write_text(text + "\n", encoding="utf-8")
        (folder / "restore.sh").write_bytes(script)
    except OSError as error:
        raise ConfigTrouble(f"{folder} cannot be written", why=error.strerror or str(error)) from error
