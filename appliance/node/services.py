"""Router, gateway and edge as systemd runs them: restart, reload, and wait until they really answer."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from appliance.contract.trouble import NodeTrouble
from appliance.node import router_account, router_files
from appliance.node.system import EDGE, FIREWALL, GATEWAY, GATEWAY_READY, ROUTER, Paths, run

DRAIN_SECONDS = 345  # TimeoutStopSec of the units, and a little
READY_SECONDS = 120
ROUTER_SECONDS = 20
EDGE_SECONDS = 15
RELOAD_SECONDS = 30
EDGE_MASTER = "/run/haproxy/master.sock"
EDGE_WORKER = "/run/haproxy/admin.sock"
EDGE_TARGET = "set server gateway/openclaw addr 127.0.0.1"
GATEWAY_PORT = 18789
NOBODY = 1  # a port without a listener
POLL_SECONDS = 0.3


class Systemd:
    """`activate.Services` on a real node."""

    def router_up(self) -> bool:
        return state(ROUTER) == "active"

    def gateway_up(self) -> bool:
        return state(GATEWAY) == "active"

    def edge_up(self) -> bool:
        return state(EDGE) == "active"

    def give_router(self) -> None:
        # Here: aiohttp takes long to import, and the report needs none.
        from appliance.node.router_admin import RouterAdmin

        router_files.put()
        asyncio.run(RouterAdmin().reload())

    def restart_router(self) -> None:
        """It ends when the answers in flight are out; new requests wait at the edge until it is back."""
        with _held_at_edge():
            _systemctl("restart", ROUTER, DRAIN_SECONDS + 30)
            self.wait_router()

    def give_gateway(self, *, config: bool, secrets: bool) -> None:
        from appliance.node import gateway_live  # as above

        gateway_live.apply(Paths(), config=config, secrets=secrets)

    def restart_gateway(self) -> None:
        """New requests wait at the edge: an ending gateway would refuse them, an absent one has none."""
        with _held_at_edge():
            _systemctl("restart", GATEWAY, DRAIN_SECONDS + 30)

    def restart_edge(self) -> None:
        _systemctl("restart", EDGE, DRAIN_SECONDS + 30)

    def reload_edge(self) -> None:
        """By the master's socket: it answers once the new worker runs, or says why there is none."""
        said = _ask_edge(EDGE_MASTER, "reload")
        if "Success=1" not in said:
            raise NodeTrouble(f"{EDGE} does not reload.", why=said.strip() or "its master did not answer")

    def reload_firewall(self) -> None:
        _systemctl("reload-or-restart", FIREWALL, 30)

    def wait_router(self) -> None:
        _wait(ROUTER, lambda: router_account.account() is not None, ROUTER_SECONDS)

    def wait_gateway(self) -> None:
        _wait(GATEWAY, gateway_ready, READY_SECONDS)

    def wait_edge(self) -> None:
        _wait(EDGE, edge_answers, EDGE_SECONDS)

    def stop(self) -> None:
        run(["systemctl", "stop", EDGE, GATEWAY, ROUTER], seconds=DRAIN_SECONDS + 30)


@contextmanager
def _held_at_edge() -> Iterator[None]:
    """The edge tries a port that nobody listens on, once a second (haproxy.cfg). No edge, nothing to hold."""
    with suppress(NodeTrouble):
        _ask_edge(EDGE_WORKER, f"{EDGE_TARGET} port {NOBODY}")
    try:
        yield
    finally:
        with suppress(NodeTrouble):
            _ask_edge(EDGE_WORKER, f"{EDGE_TARGET} port {GATEWAY_PORT}")


def _ask_edge(where: str, command: str) -> str:
    """One command to HAProxy's master or worker (management.txt, sections 9.3 and 9.4)."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(RELOAD_SECONDS)
            connection.connect(where)
            connection.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: connection.recv(4096), b"")).decode(errors="replace")
    except OSError as error:
        raise NodeTrouble(f"{EDGE} does not {command}.", why=str(error)) from error


def state(unit: str) -> str:
    """systemd's ActiveState."""
    return run(["systemctl", "show", "--value", "-p", "ActiveState", unit], seconds=10).out.strip()


def restarts(unit: str) -> int:
    """How often systemd itself has started it anew since the last `systemctl restart`."""
    said = run(["systemctl", "show", "--value", "-p", "NRestarts", unit], seconds=10).out.strip()
    return int(said) if said.isdigit() else 0


def result(unit: str) -> str:
    """systemd's word for how it ended: success, exit-code, timeout, signal, oom-kill…"""
    return run(["systemctl", "show", "--value", "-p", "Result", unit], seconds=10).out.strip()


def journal(unit: str, since: float) -> str:
    """The end of what it said, and systemd of it, after `since` (seconds of the epoch)."""
    bounds = [f"--unit={unit}", f"--since=@{since:.0f}", "--lines=20"]
    return run(["journalctl", "--no-pager", "--output=cat", *bounds], seconds=20).out


def gateway_ready() -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(GATEWAY_READY, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, http.client.HTTPException):
        return False


def edge_answers() -> bool:
    """Any HTTP answer over TLS on 443. The certificate is for others; this only asks our own edge."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", 443, timeout=5, context=context)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status in (200, 503)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _systemctl(verb: str, unit: str, seconds: float) -> None:
    begin = time.time()
    outcome = run(["systemctl", verb, unit], seconds=seconds)
    if outcome.code != 0:
        raise NodeTrouble(f"{unit} does not {verb}.", why=outcome.tail() + "\n" + journal(unit, begin))


def _wait(unit: str, answers: Callable[[], bool], seconds: float) -> None:
    """Raises as soon as the unit has ended, started anew or not, and after `seconds` in any case."""
    begin = time.time() - 1
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answers():
            return
        now = state(unit)
        if now in ("failed", "inactive"):
            raise NodeTrouble(f"{unit} has ended ({now}).", why=journal(unit, begin))
        if restarts(unit):
            raise NodeTrouble(f"{unit} ended by itself before it was ready.", why=journal(unit, begin))
        time.sleep(POLL_SECONDS)
    raise NodeTrouble(f"{unit} did not answer within {seconds:g} s.", why=journal(unit, begin))
