"""The gateway and the edge as systemd runs them: restart, reload, and wait until they really answer."""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from appliance.contract.trouble import NodeTrouble
from appliance.node.system import EDGE, FIREWALL, GATEWAY, GATEWAY_READY, run

DRAIN_SECONDS = 345  # TimeoutStopSec of the units, and a little
READY_SECONDS = 120
EDGE_SECONDS = 15
POLL_SECONDS = 0.3


class Systemd:
    """`activate.Services` on a real node."""

    def gateway_up(self) -> bool:
        return state(GATEWAY) == "active"

    def edge_up(self) -> bool:
        return state(EDGE) == "active"

    def restart_gateway(self) -> None:
        _systemctl("restart", GATEWAY, DRAIN_SECONDS + 30)

    def restart_edge(self) -> None:
        _systemctl("restart", EDGE, DRAIN_SECONDS + 30)

    def reload_edge(self) -> None:
        _systemctl("reload", EDGE, 30)

    def reload_firewall(self) -> None:
        _systemctl("reload-or-restart", FIREWALL, 30)

    def wait_gateway(self) -> None:
        _wait(GATEWAY, gateway_ready, READY_SECONDS)

    def wait_edge(self) -> None:
        _wait(EDGE, edge_answers, EDGE_SECONDS)

    def stop(self) -> None:
        run(["systemctl", "stop", GATEWAY, EDGE], seconds=DRAIN_SECONDS + 30)


def state(unit: str) -> str:
    """systemd's ActiveState."""
    return run(["systemctl", "show", "--value", "-p", "ActiveState", unit], seconds=10).out.strip()


def journal(unit: str) -> str:
    """The end of what it said since its last start."""
    shown = run(["systemctl", "show", "--value", "-p", "InvocationID", unit], seconds=10).out.strip()
    since = [f"_SYSTEMD_INVOCATION_ID={shown}"] if shown else [f"--unit={unit}"]
    return run(["journalctl", "--no-pager", "--output=cat", "--lines=20", *since], seconds=20).out


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
    outcome = run(["systemctl", verb, unit], seconds=seconds)
    if outcome.code != 0:
        raise NodeTrouble(f"{unit} does not {verb}.", why=outcome.tail() + "\n" + journal(unit))


def _wait(unit: str, answers: Callable[[], bool], seconds: float) -> None:
    """Raises as soon as the unit has given up, and after `seconds` in any case."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answers():
            return
        now = state(unit)
        if now in ("failed", "inactive"):
            raise NodeTrouble(f"{unit} has ended ({now}).", why=journal(unit))
        time.sleep(POLL_SECONDS)
    raise NodeTrouble(f"{unit} did not answer within {seconds:g} s.", why=journal(unit))
