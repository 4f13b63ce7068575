"""The recovery sheet as a page of text, to be printed and kept where the desk and the node are not."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.cli.output import table
from appliance.desk.kit import Sheet


def text(sheet: Sheet) -> str:
    return "\n".join(
        [
            f"RECOVERY SHEET of {sheet.appliance}, printed {sheet.printed:%Y-%m-%d %H:%M} UTC",
            "It holds no secret. Keep it off this machine and off the node, with a copy of what it names.",
            *_section("The node", _node(sheet)),
            *_section("The backups", _backups(sheet)),
            *_section("Keep a copy of", [(kept.what, kept.where, kept.why) for kept in sheet.needed]),
            "",
            "With a working desk: `appliance restore`. Without one:",
            *_steps(sheet),
        ]
    )


def _section(title: str, rows: list[tuple[str, ...]]) -> Iterator[str]:
    yield from ("", title, table(rows))


def _node(sheet: Sheet) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for node in sheet.nodes:
        rows.append((node.name, f"{node.server_type} in {node.location}, {node.address or 'no address'}"))
        if node.host_key:
            rows.append(("SSH host key", f"{node.host_key} (of this server; a new one has its own)"))
    if not sheet.nodes:
        rows.append(("none", "the cloud told of none when this was printed"))
    if sheet.names:
        rows.append(("names", ", ".join(sheet.names)))
    rows.append(("workloads", ", ".join(sheet.workloads)))
    rows += [("snapshot", snapshot) for snapshot in sheet.snapshots[:3]]
    return rows


def _backups(sheet: Sheet) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("address", sheet.repository)]
    if sheet.store_host_key and sheet.store_fingerprint:
        rows += [("host key", sheet.store_host_key), ("fingerprint", sheet.store_fingerprint)]
    adds = "only adds" if sheet.append_only else "adds and deletes"
    rows.append(("how often", f"every {sheet.every_hours} h; the node {adds}"))
    inside = "the secrets too" if sheet.secrets_inside else "NOT the secrets"
    rows.append(("holds", f"OpenClaw's state, the bundle, the certificate, the node's recipe; {inside}"))
    rows.append(("restore.sh", f"sha256 {sheet.script.sha256}, {sheet.script.bytes} bytes"))
    return rows


def _steps(sheet: Sheet) -> Iterator[str]:
    for number, step in enumerate((*_STEPS, *([] if sheet.secrets_inside else [_PUSH]), _END), 1):
        lines = step.format(way_in=_way_in(sheet)).splitlines()
        yield "\n     ".join((f"  {number}. {lines[0]}", *lines[1:]))


_STEPS = (
    "Switch the old node off in the Hetzner console, and leave it off: two with one identity do harm.",
    """\
Make a server there: the old location, 4 GB of memory or more, your SSH key; of the snapshot named above,
or, where there is none, of Debian 13.""",
    "See that restore.sh is the one named above (sha256sum restore.sh), then: scp restore.sh root@ADDRESS:",
    """\
ssh -t root@ADDRESS sh restore.sh
It asks for the address of the backups, the passphrase,
{way_in}.
It verifies everything before it touches anything, and can be run again.""",
    """\
Move the primary IP from the old server to the new one (console, Primary IPs; both off), or change the
DNS name.""",
)
_PUSH = "`appliance push` from a desk that has the secrets: before that nothing answers."
_END = "Ask it something, as a client does. Delete the old server when you are content, not before."


def _way_in(sheet: Sheet) -> str:
    match sheet.kind:
        case "sftp":
            return "the store's password (or SSH_KEY=your key to it), and shows the fingerprint to compare"
        case "s3":
            return "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    return "and the folder must be mounted there"
