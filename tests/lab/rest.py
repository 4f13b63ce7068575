"""The API spoken by hand, where the stock client is in the way: codes, headers, bodies as they are."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Protocol

import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PATIENCE = 10.0  # seconds


class Api(Protocol):
    @property
    def endpoint(self) -> str: ...  # ends in /v1
    @property
    def token(self) -> str: ...


@dataclass
class Rest:
    api: Api
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {self.api.token}"

    def __call__(self, method: str, path: str, json: Any = None, **how: Any) -> requests.Response:
        return self.session.request(method, f"{self.api.endpoint}{path}", json=json, timeout=10, **how)

    def ok(self, method: str, path: str, json: Any = None) -> dict[str, Any]:
        """The body of an answer that must be a success; its actions have been waited for."""
        response = self(method, path, json)
        assert response.ok, response.text
        body: dict[str, Any] = response.json() if response.content else {}
        if method != "GET":
            for action in (body.get("action"), *body.get("actions", []), *body.get("next_actions", [])):
                if action:
                    assert self.finished(action["id"])["error"] is None
        return body

    def refused(self, method: str, path: str, json: Any = None) -> tuple[int, str]:
        response = self(method, path, json)
        assert not response.ok, response.text
        return response.status_code, response.json()["error"]["code"]

    def finished(self, action_id: int) -> dict[str, Any]:
        """The action once it has ended, well or not."""
        return self.until(f"/actions/{action_id}", "action", lambda a: a["status"] != "running")

    def until(self, path: str, key: str, fits: Any) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found: dict[str, Any] = self("GET", path).json()[key]
            if fits(found):
                return found
            time.sleep(0.01)
        raise AssertionError(f"{path} stayed {found}")

    # What many tests begin with

    def key(self, name: str = "k") -> int:
        body = self.ok("POST", "/ssh_keys", {"name": name, "public_key": public_key()})
        return int(body["ssh_key"]["id"])

    def server(self, name: str = "s", **more: Any) -> dict[str, Any]:
        """Running, with its actions ended."""
        wanted = {"name": name, "server_type": "cx23", "image": "debian-13", "location": "fsn1", **more}
        made = self.ok("POST", "/servers", wanted)
        found: dict[str, Any] = self.ok("GET", f"/servers/{made['server']['id']}")["server"]
        return found

    def network(self, name: str = "n", subnet: str = "10.0.1.0/24") -> int:
        zone = {"type": "cloud", "network_zone": "eu-central", "ip_range": subnet}
        body = self.ok("POST", "/networks", {"name": name, "ip_range": "10.0.0.0/16", "subnets": [zone]})
        return int(body["network"]["id"])


def public_key() -> str:
    public = Ed25519PrivateKey.generate().public_key()
    return public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
