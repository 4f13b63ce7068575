"""A whole lab with its daemon, for tests that end it in bad ways."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from appliance.lab import daemon_process
from appliance.lab.place import Place
from tests.lab.rest import Rest
from tests.lab.serving import until


@dataclass(frozen=True)
class DaemonApi:
    endpoint: str
    token: str


def rest(place: Place) -> Rest:
    return Rest(DaemonApi(place.api_endpoint, place.token_file.read_text().strip()))


def kill_daemon(place: Place) -> int:
    daemon = daemon_process.find(place)
    assert daemon
    os.kill(daemon.pid, signal.SIGKILL)
    until(lambda: daemon_process.find(place) is None)
    return daemon.pid
