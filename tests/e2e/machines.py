"""Servers that a test orders for itself, and restore.sh on them, with no more of the desk than a key."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from appliance.desk import hostkeys
from appliance.desk.remote import Result, Shell
from tests.e2e.conftest import Node

SCRIPT = Path(__file__).parents[2] / "restore" / "restore.sh"
SECONDS = 600
LOG = "/root/said"
# Ends the whole group at once, as a lost session or the machine's own end would, `after` seconds into a step.
_KILLED_AT = """
. /root/given
setsid sh /root/restore.sh < /dev/null > {log} 2>&1 &
while ! grep -q '^--> {step}$' {log}; do kill -0 $! 2> /dev/null || exit 3; sleep .02; done
sleep {after}
kill -s KILL -- -$!
"""
# The conversations as they stand in the databases, row by row, and whose they are.
_ROWS = """
import json, sqlite3
place = "/var/lib/openclaw"
def rows(path, words):
    base = sqlite3.connect(f"file:{place}/{path}?mode=ro", uri=True, timeout=10)
    assert base.execute("pragma integrity_check").fetchone() == ("ok",)
    return [[cell.hex() if isinstance(cell, bytes) else cell for cell in row] for row in base.execute(words)]
agent = "agents/main/agent/openclaw-agent.sqlite"
print(json.dumps({
    "events": rows(agent, "select * from transcript_events"),
    "sessions": rows(agent, "select session_key, current_session_id from session_nodes"),
    "identity": rows("state/openclaw.sqlite", "select device_id, public_key_pem from device_identities"),
}))
"""
Rows = dict[str, set[tuple[Any, ...]]]


@dataclass(frozen=True)
class Machine:
    shell: Shell
    address: str

    def restores(self, *words: str) -> Result:
        return self.shell.run(
            ["sh", "-c", '. /root/given && exec sh /root/restore.sh "$@" 2>&1', "sh", *words], timeout=SECONDS
        )

    def is_killed_at(self, step: str, after: float) -> str:
        """What it had said by then."""
        script = _KILLED_AT.format(log=LOG, step=step, after=after)
        self.shell.check(["sh", "-c", f"rm -f {LOG}; touch {LOG}"])
        self.shell.check(["sh", "-s"], input=script.encode(), timeout=SECONDS)
        return self.shell.check(["cat", LOG])


@contextmanager
def machine(node: Node, name: str, image: str | int) -> Iterator[Machine]:
    """One that boots from `image`, with restore.sh and what it asks for, until the end of the block."""
    cloud = node.desk.cloud()
    key = node.desk.folder / str(node.config()["access"]["ssh_public_key"]).removesuffix(".pub")
    first = hostkeys.make()
    wanted = {
        "name": name,
        "server_type": node.config()["server_type"],
        "location": node.config()["location"],
        "image": image,
        "user_data": hostkeys.user_data(first),
        "ssh_keys": [one["id"] for one in cloud.all("ssh_keys")],
    }
    cloud.create("servers", wanted)
    (server,) = cloud.all("servers", name=name)
    try:
        address = server["public_net"]["ipv4"]["ip"]
        with Shell(address, key, [first.public]) as shell:
            shell.wait(60, 30)
            _hand_over(node, shell)
            yield Machine(shell, address)
    finally:
        headers = {"Authorization": f"Bearer {cloud.token}"}
        requests.delete(
            f"{cloud.endpoint}/servers/{server['id']}", headers=headers, timeout=30
        ).raise_for_status()


def _hand_over(node: Node, shell: Shell) -> None:
    store = node.config()["backup"]["repository"]
    secrets = node.desk.folder / "secrets"
    given = {
        "RESTIC_REPOSITORY": f"sftp://{store['user']}@{store['host']}:{store['port']}/{store['path']}",
        "RESTIC_PASSWORD": (secrets / "backup-passphrase").read_text().strip(),
        "STORE_HOST_KEY": store["host_key"],
        "SSH_KEY": "/root/key",
        "OLD_NODE_IS_OFF": "yes",
    }
    lines = "".join(f"export {name}='{value}'\n" for name, value in given.items())
    _put(shell, "given", lines.encode())
    _put(shell, "key", (secrets / "backup-operator").read_bytes())
    _put(shell, "restore.sh", SCRIPT.read_bytes())


def _put(shell: Shell, name: str, content: bytes) -> None:
    shell.check(["install", "-m", "600", "/dev/stdin", f"/root/{name}"], input=content)


def rows(shell: Shell) -> Rows:
    told: dict[str, Sequence[Sequence[Any]]] = json.loads(shell.check(["python3", "-"], input=_ROWS.encode()))
    return {kind: {tuple(row) for row in found} for kind, found in told.items()}
