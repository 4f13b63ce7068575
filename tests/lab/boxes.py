"""A Storage Box of the lab without the rest of it, and the clients that people have: ssh, sftp, restic."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from aiohttp import web

from appliance.lab import base
from appliance.lab.place import Place
from appliance.lab.storagebox import ROUTE, Box, Door, routes
from appliance.lab.trees import remove
from tests.lab.real import place_for_tests
from tests.lab.serving import serving

INSTANCE = int(os.environ.get("APPLIANCE_TEST_BOX_INSTANCE", "27"))
HOST = "127.0.0.1"
SECONDS = 60  # for any command


def key_pair(path: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    return path.with_suffix(".pub").read_text().strip()


@dataclass(frozen=True)
class Store:
    """The box, its console at `url`, and a client's folder with keys and what it knows of hosts."""

    box: Box
    url: str
    port: int
    home: Path

    def console(self, method: str, path: str = "", body: Any = None) -> dict[str, Any]:
        answer = requests.request(method, f"{self.url}{ROUTE}{path}", json=body, timeout=20)
        assert answer.ok, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def know_host(self) -> None:
        known = f"[{HOST}]:{self.port} {self.console('GET')['host_key']}\n"
        (self.home / "known_hosts").write_text(known)

    def options(self, key: str = "main") -> list[str]:
        chosen = {
            "Port": self.port,
            "IdentityFile": self.home / key,
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
            "UserKnownHostsFile": self.home / "known_hosts",
            "StrictHostKeyChecking": "yes",
            "ConnectTimeout": 3,
            "LogLevel": "ERROR",
        }
        return ["-F", "none", *(word for k, v in chosen.items() for word in ("-o", f"{k}={v}"))]

    def ssh(self, *command: str, user: str = "", key: str = "main") -> subprocess.CompletedProcess[str]:
        return _run(["ssh", *self.options(key), f"{user or self.box.user}@{HOST}", *command])

    def sftp(self, batch: str, user: str = "", key: str = "main") -> subprocess.CompletedProcess[str]:
        who = f"{user or self.box.user}@{HOST}"
        return _run(["sftp", *self.options(key), "-b", "-", who], batch, cwd=self.home)

    def restic(
        self, *words: str, key: str = "main", seconds: int = SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """By sftp; with the key `append` by the command that it is bound to. Ended (124) after `seconds`."""
        ssh = " ".join(["ssh", *self.options(key), f"{self.box.user}@{HOST}"])
        kind = "rclone.program" if key == "append" else "sftp.command"
        place = "rclone:repository" if key == "append" else f"sftp:{self.box.user}@{HOST}:repository"
        command = ssh if key == "append" else f"{ssh} -s sftp"
        environment = {
            "RESTIC_REPOSITORY": place,
            "RESTIC_PASSWORD_FILE": str(self.home / "passphrase"),
            "RESTIC_CACHE_DIR": str(self.home / "cache"),
        }
        return _run(
            ["timeout", str(seconds), "restic", "-o", f"{kind}={command}", *words], environment=environment
        )


def _run(
    argv: list[str], given: str = "", cwd: Path | None = None, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        input=given,
        capture_output=True,
        text=True,
        errors="replace",  # what rclone says is binary
        timeout=SECONDS + 5,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        check=False,
    )


@contextmanager
def box_of(place: Place, home: Path) -> Iterator[Store]:
    box = Box(place, base.ensure(place))
    box.down()
    try:
        box.up()
        with socket.socket() as free:
            free.bind((HOST, 0))
            port = free.getsockname()[1]
        (home / "passphrase").write_text(secrets.token_urlsafe(16))
        main = key_pair(home / "main")
        append = key_pair(home / "append")
        only = 'restrict,command="rclone serve restic --stdio --append-only repository"'
        box.authorize(box.user, "", [main, f"{only} {append}"])
        app = web.Application()
        door = Door(HOST, box.session, place.folder / "box.log", port)
        app.add_routes(routes(box, door))

        async def open_door(_: web.Application) -> None:
            await door.open()

        async def close_door(_: web.Application) -> None:
            await door.close()

        app.on_startup.append(open_door)
        app.on_shutdown.append(close_door)
        with serving(app) as url:
            store = Store(box, url, port, home)
            store.know_host()
            yield store
    finally:
        box.down()
        remove(place.folder)


def place_for_box() -> Place:
    return place_for_tests(INSTANCE)
