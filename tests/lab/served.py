"""The lab's API in a thread of the test's own process, on paper hardware and a port that was free."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import requests

from appliance.lab.api import recovery
from appliance.lab.api.app import make_app, make_lab
from appliance.lab.api.core import Lab
from appliance.lab.api.limits import Bucket
from appliance.lab.state import Store
from tests.lab.paper import PaperHardware
from tests.lab.serving import serving

PUBLIC = IPv4Network("198.18.0.0/20")


@dataclass(frozen=True)
class LabApi:
    """`endpoint` and `token` are what a client needs; `hardware` and `lab` are for looking behind the API."""

    endpoint: str  # ends in /v1
    token: str
    hardware: PaperHardware
    lab: Lab

    def fault(self, effect: dict[str, Any], *, method: str = "*", path: str = "*", **more: Any) -> None:
        """Add a fault, see appliance/lab/api/faults.py; `more` is `after` and `times`."""
        new = {"effect": effect, "match": {"method": method, "path": path}, **more}
        self.set_faults([*self._faults("GET").json(), new])

    def set_faults(self, faults: Sequence[dict[str, Any]]) -> None:
        self._faults("PUT", json=list(faults)).raise_for_status()

    def clear_faults(self) -> None:
        self._faults("DELETE").raise_for_status()

    def _faults(self, method: str, **how: Any) -> requests.Response:
        url = self.endpoint.removesuffix("/v1") + "/_lab/faults"
        headers = {"Authorization": f"Bearer {self.token}"}
        return requests.request(method, url, headers=headers, timeout=10, **how)


@contextmanager
def served(
    hardware: PaperHardware | None = None,
    *,
    file: Path | None = None,
    recover: bool = False,
    bucket: Bucket | None = None,
) -> Iterator[LabApi]:
    """`file` None: the state is not written. `recover`: begin as a daemon does after a crash."""
    hardware, token = hardware or PaperHardware(), secrets.token_hex(32)
    lab = make_lab(Store(file), hardware, PUBLIC)
    app = make_app(lab, token, bucket)
    if recover:
        app.on_startup.append(lambda _: recovery.recover(lab))
    with serving(app) as url:
        yield LabApi(f"{url}/v1", token, hardware, lab)
