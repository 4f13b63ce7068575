"""One row a fault of the failover study: whatever the primary does, the client soon has beta's clean answer.

Streaming and not, passing and holding, and either vendor in either API.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from appliance.contract.router_policy import RouterPolicy
from tests.node.router.house import HEDGE, Routed, Vendor, routed, two

SLACK = 1.2  # seconds that a busy machine may add; the bench measures without it
APIS = [("openai", "openai"), ("anthropic", "openai"), ("openai", "anthropic"), ("anthropic", "anthropic")]


@dataclass(frozen=True)
class Row:
    fault: str
    failover: str  # the cause in x-appliance-failover
    figures: dict[str, Any] = field(default_factory=dict)
    silence: bool = False  # costs the hedge's time

    def __str__(self) -> str:
        return "-".join([self.fault, *map(str, self.figures.values())])


def status(code: int, cause: str, **more: Any) -> Row:
    return Row("status", cause, {"status": code, **more})


ERRORS = [
    status(401, "access-refused"),
    status(402, "account"),
    status(403, "access-refused"),
    status(404, "model-unknown"),
    status(429, "rate-limited"),
    status(429, "rate-limited", retry_after=30),
    *(status(code, "server-error") for code in (500, 502, 503, 504, 529)),
    Row("quota", "account"),
    Row("reset", "dropped"),
    Row("html", "malformed"),
    Row("empty-body", "malformed"),
]
SILENCES = [
    Row("hang", "silent", silence=True),
    Row("black-hole", "silent", silence=True),
    Row("trickled-headers", "silent", {"pace": 0.05}, silence=True),
    Row("trickled-body", "silent", {"pace": 0.1}, silence=True),
    Row("comments-only", "silent", {"pace": 0.05}, silence=True),
]
OF_STREAMS = [
    Row("stall-after-role", "silent", silence=True),
    Row("cut-before-content", "dropped"),
    Row("error-in-band", "error-in-band", {"tokens": 0}),
    Row("malformed-json", "malformed"),
]
OF_WHOLES = [
    Row("stall-after-token", "silent", silence=True),
    Row("cut-after-content", "dropped"),
    Row("error-in-band", "error-in-band"),
    Row("malformed-json", "malformed"),
]


def is_right(router: Routed, row: Row, workload: str, stream: bool) -> None:
    answer = router.ask(workload, stream=stream)
    assert answer.is_whole_from("beta"), answer
    assert row.failover in answer.failover or "x-appliance-failover" not in answer.headers
    assert answer.seconds < SLACK + (HEDGE if row.silence else 0)


@pytest.mark.parametrize("row", [*ERRORS, *SILENCES, *OF_STREAMS], ids=str)
@pytest.mark.parametrize("workload", ["code", "safe"])
def test_a_stream_comes_whole_from_the_fallback(
    router: Routed, alpha: Vendor, row: Row, workload: str
) -> None:
    alpha.order(row.fault, **row.figures)
    is_right(router, row, workload, stream=True)


@pytest.mark.parametrize("row", [*ERRORS, *SILENCES, *OF_WHOLES], ids=str)
def test_an_answer_comes_whole_from_the_fallback(router: Routed, alpha: Vendor, row: Row) -> None:
    alpha.order(row.fault, **row.figures)
    is_right(router, row, "code", stream=False)


@pytest.mark.parametrize("apis", APIS, ids="-to-".join)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_either_api_falls_back_to_either(
    alpha: Vendor, beta: Vendor, keys: dict[str, str], apis: tuple[str, str], stream: bool
) -> None:
    rows = [
        status(401, "access-refused"), status(529, "server-error"), Row("quota", "account"),
        Row("hang", "silent", silence=True), Row("html", "malformed"), Row("malformed-json", "malformed"),
        Row("error-in-band", "", {"tokens": 0}), Row("comments-only", "silent", silence=True),
        *([Row("stall-after-role", "silent", silence=True)] if stream else []),
        Row("cut-before-content", "dropped"), Row("empty-body", "malformed"),
    ]  # fmt: skip
    for row in rows:
        with routed(two(alpha, beta, apis), keys) as router:
            assert router.ask(stream=stream).is_whole_from("alpha")
            alpha.order(row.fault, **row.figures)
            is_right(router, row, "code", stream)
            alpha.heal()


@contextmanager
def rude(words: bytes | None) -> Iterator[str]:
    """A base URL whose listener reads a little and then says `words` (None: RST at once)."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                wire, _ = listener.accept()
            except OSError:
                return
            with wire:
                if words is None:
                    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    wire.recv(65536)
                    wire.sendall(words)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def from_elsewhere(alpha_url: str, alpha: Vendor, beta: Vendor, keys: dict[str, str], stream: bool) -> str:
    """The cause that is named when the primary stands at `alpha_url` and beta answers."""
    policy = two(alpha, beta).model_dump(mode="json")
    policy["providers"]["alpha"]["base_url"] = alpha_url
    with routed(RouterPolicy.model_validate(policy), keys) as router:
        answer = router.ask(stream=stream)
    assert answer.is_whole_from("beta"), answer
    assert answer.seconds < SLACK + 1
    return answer.failover


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_who_cannot_be_reached_is_passed_over(
    alpha: Vendor, beta: Vendor, keys: dict[str, str], stream: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    for url in (f"http://127.0.0.1:{free}/v1", "http://no-such-host.invalid/v1"):
        assert from_elsewhere(url, alpha, beta, keys, stream) == "alpha=unreachable"
    with rude(b"no TLS here\r\n") as at:
        assert from_elsewhere(f"https://{at}/v1", alpha, beta, keys, stream) == "alpha=unreachable"


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (None, ""),
        (b"SSH-2.0-OpenSSH_9\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{}", ""),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "malformed"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 20000 + b"\r\n\r\n", "malformed"),
    ],
    ids=["rst", "another-protocol", "short", "redirect", "no-content", "huge-header"],
)
def test_who_speaks_nonsense_is_passed_over(
    alpha: Vendor, beta: Vendor, keys: dict[str, str], words: bytes | None, cause: str, stream: bool
) -> None:
    with rude(words) as at:
        assert cause in from_elsewhere(f"http://{at}/v1", alpha, beta, keys, stream)
