"""One real chat completion through the node's 443: the proof that the whole way works."""

from __future__ import annotations

import re
import ssl
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from appliance.contract.trouble import NodeTrouble

CONNECT_SECONDS = 10
DEFAULT_PROMPT = "Answer with the one word: ready"


@dataclass(frozen=True)
class Answer:
    workload: str
    model: str  # as the answer names it
    text: str
    seconds: float


@dataclass(frozen=True)
class Door:
    """Where and how to knock. `address` is the node's; `name` what its certificate must be good for."""

    address: str
    name: str
    ca: bytes  # PEM: trusted alone; a CA's certificate, or the node's own chain
    token: str
    port: int = 443


def ask(door: Door, workload: str, prompt: str = DEFAULT_PROMPT, timeout: float = 180.0) -> Answer:
    """Ask `workload` and return what came back within `timeout` seconds. Raises NodeTrouble.

    The first answer after a start takes the gateway 6 to 20 s.
    """
    start = time.monotonic()
    body = {"model": "openclaw", "messages": [{"role": "user", "content": prompt}]}
    with _session(door) as session:
        try:
            response = session.post(
                f"https://{_bracketed(door.address)}:{door.port}/{workload}/v1/chat/completions",
                json=body,
                headers={"Authorization": f"Bearer {door.token}", "Host": door.name},
                timeout=(CONNECT_SECONDS, timeout),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise _unanswered(door, workload, error, timeout) from error
    if response.status_code != 200:
        raise _refused(workload, response)
    try:
        answer: Any = response.json()
        text = answer["choices"][0]["message"]["content"]
        return Answer(workload, str(answer["model"]), str(text), time.monotonic() - start)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise NodeTrouble(
            f"The answer of workload {workload} is not a chat completion.", why=response.text[:300]
        ) from error


class _Pinned(HTTPAdapter):
    """Connects to an address, and wants the certificate to be good for a name."""

    def __init__(self, name: str, ca: bytes) -> None:
        self._name = name
        self._context = ssl.create_default_context(cadata=ca.decode())
        # A chain of the operator's own need not hold its root, nor be made by RFC 5280's letter.
        self._context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        self._context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        kwargs |= {"server_hostname": self._name, "assert_hostname": self._name}
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)


@contextmanager
def _session(door: Door) -> Iterator[requests.Session]:
    with tempfile.NamedTemporaryFile(suffix=".pem") as ca, requests.Session() as session:
        # Neither a proxy nor another CA bundle from the environment: this must be the node, and none else.
        session.trust_env = False
        session.mount("https://", _Pinned(door.name, door.ca))
        ca.write(door.ca)
        ca.flush()
        session.verify = ca.name  # else requests adds the public CAs to what the context trusts
        yield session


def _unanswered(door: Door, workload: str, error: requests.RequestException, timeout: float) -> NodeTrouble:
    if isinstance(error, requests.exceptions.SSLError):
        return NodeTrouble(
            f"The certificate that {door.address} shows is not the appliance's.",
            why=_innermost(error),
            fix="`appliance push` renews it. If it stays so, somebody may be in between.",
        )
    if isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.ConnectionError):
        return NodeTrouble(
            f"Nothing answers at {door.address}, port {door.port}.",
            why=_innermost(error),
            fix="Check that your own address is in access.api in appliance.yaml, and see `appliance status`.",
        )
    return NodeTrouble(
        f"Workload {workload} gave no answer within {timeout:.0f} s.",
        why=_innermost(error),
        fix="`appliance status` tells whether its provider can be reached from the node.",
    )


def _refused(workload: str, response: requests.Response) -> NodeTrouble:
    try:
        why = str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        # The edge's own pages are HTML.
        why = " ".join(re.sub(r"<[^>]*>", " ", response.text[:300]).split())
    fixes = {
        401: "The gateway token at the desk is not the node's: `appliance push`.",
        403: "The gateway token at the desk is not the node's: `appliance push`.",
        404: "The node does not know this workload yet: `appliance push`.",
        503: "The gateway is not ready, or its provider is not: `appliance status` tells which.",
        429: "Too many requests or failed tokens from your address: wait five minutes.",
    }
    fix = fixes.get(response.status_code, "`appliance status` tells how its provider is doing.")
    return NodeTrouble(f"Workload {workload} answered with HTTP {response.status_code}.", why=why, fix=fix)


def _innermost(error: BaseException) -> str:
    """The reason under the wrappings of requests and urllib3."""
    while True:
        inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        if not isinstance(inner, BaseException):
            return str(error)
        error = inner


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
