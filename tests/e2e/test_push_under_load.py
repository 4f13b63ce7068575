"""A push of new config or new keys while clients are at work: none of their requests fails."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import openai
import pytest
import requests

from appliance.desk.remote import Shell
from tests.e2e.conftest import Node, node_shell, openai_client
from tests.e2e.test_first_node import QUESTION

pytestmark = pytest.mark.lab

PROCESSES = ["systemctl", "show", "-p", "MainPID", "openclaw", "appliance-router"]
GATEWAY_LOCKS_AT = 10  # failures of an address, by the template of openclaw.json
SLOW_STREAMS = {"fault": "slow", "stream": True, "seconds": 0.2, "pace": 0.03}
LONG_STREAM = {**SLOW_STREAMS, "pace": 0.5}


@dataclass
class Load:
    """What clients met: the ends of their requests, and every failure in words."""

    ended: dict[str, int] = field(default_factory=lambda: {"plain": 0, "stream": 0})
    failed: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def client(self, node: Node, kind: str) -> None:
        ask = _stream if kind == "stream" else _plain
        with openai_client(node.desk, node.address, "code") as client:
            while not self.over.is_set():
                began = time.monotonic()
                try:
                    said = ask(client)
                    if node.primary_of("code") not in said:
                        self.failed.append(f"{kind}: {said!r}")
                    self.ended[kind] += 1
                except (openai.OpenAIError, OSError) as error:
                    waited = time.monotonic() - began
                    self.failed.append(f"{kind} after {waited:.1f} s: {type(error).__name__} {error}")

    def grows(self) -> None:
        """Requests of both kinds that begin from now on have ended."""
        before = dict(self.ended)
        end = time.monotonic() + 60
        while any(self.ended[kind] < before[kind] + 2 for kind in before):
            assert time.monotonic() < end, f"no request ends: {self.ended}, {self.failed}"
            time.sleep(0.05)


def _plain(client: openai.OpenAI) -> str:
    answer = client.chat.completions.create(model="openclaw", messages=QUESTION)
    return answer.choices[0].message.content or ""


def _stream(client: openai.OpenAI) -> str:
    stream = client.chat.completions.create(model="openclaw", messages=QUESTION, stream=True)
    return "".join(c.choices[0].delta.content or "" for c in stream if c.choices)


@dataclass(frozen=True)
class Vendor:
    url: str

    def takes(self, *keys: str) -> None:
        requests.put(f"{self.url}/_lab/keys", json={"keys": keys}, timeout=10).raise_for_status()

    def orders(self, fault: dict[str, Any]) -> None:
        requests.put(f"{self.url}/_lab/fault", json=fault, timeout=10).raise_for_status()

    def heals(self) -> None:
        requests.delete(f"{self.url}/_lab/fault", timeout=10).raise_for_status()


@contextmanager
def _rotation(node: Node, vendor: Vendor) -> Iterator[tuple[str, str]]:
    """The vendor's old and new key, of which it takes both; afterwards all is as it was."""
    config = node.desk.config.read_text()
    key_file = node.config()["providers"]["alpha"]["key"].removeprefix("file:")
    old = (node.desk.folder / key_file).read_text().strip()
    new = f"rotated-{secrets.token_urlsafe(24)}"
    vendor.takes(old, new)
    try:
        yield old, new
    finally:
        vendor.takes(old, new)
        node.desk.config.write_text(config)
        node.desk.does("push")
        vendor.takes(old)
        vendor.heals()


@contextmanager
def _under_load(node: Node) -> Iterator[Load]:
    load = Load()
    clients = [threading.Thread(target=load.client, args=(node, kind)) for kind in ("plain", "stream")]
    for client in clients:
        client.start()
    try:
        load.grows()
        yield load
    finally:
        load.over.set()
        for client in clients:
            client.join()


def _edited(node: Node, change: Callable[[dict[str, Any]], object]) -> None:
    config = node.config()
    change(config)
    node.desk.edit(config)


def test_no_request_fails_while_deadlines_workload_and_key_are_pushed(node: Node) -> None:
    vendor = _alpha(node)
    vendor.orders(SLOW_STREAMS)
    with node_shell(node) as shell, _rotation(node, vendor) as (old, new), _under_load(node) as load:
        process = shell.check(PROCESSES)

        _edited(node, lambda c: c.update(deadlines={"total": 500}))
        _edited(
            node, lambda c: c["workloads"].update(pushed={"primary": "beta/beta-small", "fail_closed": True})
        )
        node.desk.does("push")
        with openai_client(node.desk, node.address, "pushed") as client:
            assert "beta" in _plain(client)

        rotated = {"key": _secret(node, new)}
        _edited(
            node, lambda c: [c["providers"][name].update(rotated) for name in ("alpha", "alpha-messages")]
        )
        node.desk.does("push")
        load.grows()  # what began with the old one has ended
        vendor.takes(new)  # the old one is revoked: whoever still used it would fail
        load.grows()

        assert not load.failed, load.failed
        assert shell.check(PROCESSES) == process
        held = shell.check(["grep", "-rhs", "--devices=skip", "-e", "-", "/run/appliance-router"])
        assert new in held
        assert old not in held
        others = shell.check(
            ["grep", "-rhs", "--devices=skip", "-e", "-", "/run/openclaw", "/run/credentials"]
        )
        assert new not in others


def test_a_new_gateway_token_is_in_force_at_once_and_ends_no_answer(node: Node) -> None:
    vendor = _alpha(node)
    config = node.desk.config.read_text()
    begun = openai_client(node.desk, node.address, "code")
    said: list[str] = []
    asking = threading.Thread(target=lambda: said.append(_stream(begun)))
    new = secrets.token_urlsafe(24)
    try:
        with node_shell(node) as shell:
            process = shell.check(PROCESSES)
            vendor.orders(LONG_STREAM)
            asking.start()
            _edited(node, lambda c: c["gateway"].update(token=_secret(node, new)))
            node.desk.does("push")
            assert "beta" in _plain(openai_client(node.desk, node.address, "batch").with_options(api_key=new))
            with pytest.raises(openai.AuthenticationError):
                _plain(begun)
            asking.join()
            assert len(said) == 1
            assert "alpha" in said[0]
            assert shell.check(PROCESSES) == process
    finally:
        node.desk.config.write_text(config)
        node.desk.does("push")
        vendor.heals()


def test_wrong_tokens_are_held_back_before_the_gateway_locks_their_address_out(node: Node) -> None:
    client = openai_client(node.desk, node.address, "code")
    wrong = client.with_options(api_key="not-the-token")
    refusals = 0
    with node_shell(node) as shell:
        try:
            while _status_of_models(wrong) == 401:
                refusals += 1
                assert refusals < GATEWAY_LOCKS_AT
            assert _status_of_models(wrong) == 429
        finally:
            _edge(shell, "clear table edge")
        assert refusals >= 3
        assert client.models.list().data  # only the edge had closed


def test_a_provider_that_refuses_its_key_is_not_taken_for_a_wrong_token(node: Node) -> None:
    config = node.desk.config.read_text()
    alpha = node.config()["providers"]["alpha"]
    refused = alpha | {"key": _secret(node, secrets.token_urlsafe(24))}
    try:
        _edited(node, lambda c: c["providers"].update(gamma=refused))
        _edited(node, lambda c: c["workloads"].update(refused={"primary": "gamma/g", "fail_closed": True}))
        node.desk.does("push")
        with node_shell(node) as shell:
            _edge(shell, "clear table edge")
            with pytest.raises(openai.InternalServerError):
                _plain(openai_client(node.desk, node.address, "refused"))
            assert "gpc0_rate(120000)=0" in _edge(shell, "show table edge")
    finally:
        node.desk.config.write_text(config)
        node.desk.does("push")


def _status_of_models(client: openai.OpenAI) -> int:
    try:
        client.models.list()
    except openai.APIStatusError as error:
        return error.status_code
    return 200


def _alpha(node: Node) -> Vendor:
    return Vendor(str(node.config()["providers"]["alpha"]["base_url"]).removesuffix("/v1"))


def _secret(node: Node, value: str) -> str:
    """A file of the desk's with it, as appliance.yaml names it."""
    path = node.desk.folder / "secrets" / f"test-{secrets.token_hex(4)}"
    path.touch(mode=0o600)
    path.write_text(value)
    return f"file:secrets/{path.name}"


def _edge(shell: Shell, command: str) -> str:
    """HAProxy's own words."""
    ask = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock'); "
    ask += "s.sendall(sys.argv[1].encode() + b'\\n'); print(s.makefile().read())"
    return shell.check(["python3", "-c", ask, command])
