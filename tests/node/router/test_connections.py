"""Connections to providers are kept, and one that turns out closed is no failure of the provider's."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from appliance.contract.router_policy import RouterPolicy
from tests.node.router.house import Vendor, provider, routed, target
from tests.node.router.said import heard, openai_stream, whole_text


class Moody:
    """Streams whole answers on kept connections, and hangs up on the `last` request of each unanswered."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.connections = 0
        self.requests = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                wire, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with wire:
                self._talk(wire)

    def _talk(self, wire: socket.socket) -> None:
        for number in range(1, self.last + 1):
            if not _request(wire) or number == self.last:
                return
            self.requests += 1
            body = b"".join(openai_stream("alpha"))
            head = (
                f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            wire.sendall(head.encode() + body)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


def _request(wire: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        got = wire.recv(65536)
        if not got:
            return b""
        data += got
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += wire.recv(65536)
    return body


@pytest.fixture
def moody() -> Iterator[Moody]:
    vendor = Moody(last=3)
    yield vendor
    vendor.close()


def test_a_kept_connection_that_was_closed_is_replaced_unseen(
    moody: Moody, beta: Vendor, keys: dict[str, str]
) -> None:
    policy = {
        "providers": {
            "alpha": {"api": "openai", "base_url": moody.url, "credential": "alpha"},
            "beta": provider(beta),
        },
        "workloads": {"code": {"primary": target("alpha"), "fallbacks": [target("beta")]}},
    }
    with routed(RouterPolicy.model_validate(policy), keys) as router:
        for _ in range(4):
            answer = router.ask()
            assert heard(answer.raw.encode())[0] == whole_text("alpha")
            assert answer.failover == "none"
    assert moody.requests == 4
    assert moody.connections == 2
