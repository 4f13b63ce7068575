"""The router on a port of this host between tests' clients and the lab's fake vendors."""

from __future__ import annotations

import asyncio
import json
import secrets
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from aiohttp import web

from appliance.contract.router_policy import RouterPolicy
from appliance.lab.vendors import vendor_app
from appliance.node.router.admin import door
from appliance.node.router.keys import Keys
from appliance.node.router.server import Router, runner
from appliance.node.router.switchboard import InForce
from appliance.node.router_admin import RouterAdmin
from tests.lab.serving import serving

MESSAGES: Any = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "which way is up"}]
HEARD = "heard: which way is up"
HEDGE = 0.3  # seconds
QUICK: dict[str, float] = {
    "connect": 1, "hedge": HEDGE, "whole_hedge": HEDGE, "between": 0.5, "closing": 0.3, "start": 2.5,
    "total": 6, "comment": 0.2,
}  # fmt: skip


@dataclass
class Vendor:
    name: str
    url: str
    key: str

    def order(self, fault: str, **figures: Any) -> None:
        answer = requests.put(f"{self.url}/_lab/fault", json={"fault": fault, **figures}, timeout=10)
        assert answer.status_code == 200, answer.text

    def heal(self) -> None:
        requests.delete(f"{self.url}/_lab/fault", timeout=10).raise_for_status()

    def count(self) -> int:
        """Requests ever; `calls` keeps only the last of them."""
        return int(requests.get(f"{self.url}/_lab/requests", timeout=10).json()["count"])

    def calls(self) -> list[dict[str, Any]]:
        last: list[dict[str, Any]] = requests.get(f"{self.url}/_lab/requests", timeout=10).json()["last"]
        return last


@dataclass
class Answer:
    """What a client saw, streaming or not."""

    status: int
    headers: dict[str, str]
    raw: str
    seconds: float
    text: str = ""
    reasons: list[str] = field(default_factory=list)
    error: dict[str, Any] | None = None
    done: bool = False
    calls: dict[int, dict[str, str]] = field(default_factory=dict)  # tool calls
    usage: dict[str, Any] | None = None

    @property
    def provider(self) -> str:
        return self.headers.get("x-appliance-provider", "")

    @property
    def failover(self) -> str:
        return self.headers.get("x-appliance-failover", "")

    def is_whole_from(self, vendor: str) -> bool:
        whole = self.text == f"{vendor}/{vendor}-large {HEARD}" and self.reasons == ["stop"]
        return whole and self.status == 200 and self.error is None and self.provider in (vendor, "")


@dataclass
class Routed:
    url: str
    router: Router
    force: InForce  # what the next reload reads
    admin: RouterAdmin = RouterAdmin("/dev/null")  # noqa: RUF009 - frozen

    def ask(self, workload: str = "code", stream: bool = True, **more: Any) -> Answer:
        body = {"model": workload, "messages": MESSAGES, "stream": stream, **more}
        if stream:
            body.setdefault("stream_options", {"include_usage": True})
        begun = time.monotonic()
        with requests.post(f"{self.url}/v1/chat/completions", json=body, timeout=20) as got:
            raw = got.content.decode()  # to its proper end, or an exception
        answer = Answer(got.status_code, dict(got.headers.lower_items()), raw, time.monotonic() - begun)
        if got.headers["content-type"].startswith("text/event-stream"):
            read_stream(raw, answer)
        else:
            read_whole(json.loads(raw), answer)
        return answer

    def reload(self) -> None:
        asyncio.run(self.admin.reload())

    def health(self) -> dict[str, Any]:
        told: dict[str, Any] = requests.get(f"{self.url}/healthz", timeout=10).json()
        return told

    def state(self, provider: str) -> str:
        (state,) = {b["state"] for b in self.health()["breakers"] if b["provider"] == provider}
        return str(state)


def read_stream(raw: str, answer: Answer) -> None:
    for line in raw.splitlines():
        if line.startswith("data: "):
            assert not answer.done, "something behind [DONE]"
            assert answer.error is None, "something behind an error"
            if line == "data: [DONE]":
                answer.done = True
                continue
            event = json.loads(line[6:])
            answer.error = event.get("error")
            answer.usage = event.get("usage") or answer.usage
            for choice in event.get("choices", []):
                delta = choice["delta"]
                answer.text += delta.get("content") or ""
                answer.reasons += [choice["finish_reason"]] if choice["finish_reason"] else []
                for call in delta.get("tool_calls") or []:
                    made = answer.calls.setdefault(call["index"], {"name": "", "arguments": ""})
                    for key, value in call["function"].items():
                        made[key] += value
        else:
            assert line == "" or line.startswith(":"), line
    assert answer.done != bool(answer.error), f"neither whole nor an error, or both: {raw}"


def read_whole(value: dict[str, Any], answer: Answer) -> None:
    answer.error = value.get("error")
    answer.usage = value.get("usage")
    for choice in value.get("choices", []):
        message = choice["message"]
        answer.text += message.get("content") or ""
        answer.reasons.append(choice["finish_reason"])
        for index, call in enumerate(message.get("tool_calls") or []):
            answer.calls[index] = call["function"]


@contextmanager
def vendor(name: str) -> Iterator[Vendor]:
    key = secrets.token_urlsafe(24)
    with serving(vendor_app(name, key)) as url:
        yield Vendor(name, url, key)


def provider(vendor: Vendor, api: str = "openai", credential: str = "") -> dict[str, Any]:
    return {"api": api, "base_url": f"{vendor.url}/v1", "credential": credential or vendor.name}


def target(name: str, **more: Any) -> dict[str, Any]:
    return {"provider": name, "model": f"{name}-large", **more}


def two(
    alpha: Vendor, beta: Vendor, apis: tuple[str, str] = ("openai", "openai"), **more: Any
) -> RouterPolicy:
    """Workload `code` passes, `safe` holds, `alone` is fail-closed at alpha."""
    pair = {"primary": target("alpha"), "fallbacks": [target("beta")], "deadlines": QUICK}
    alone = {"primary": target("alpha"), "fail_closed": True, "deadlines": QUICK}
    return RouterPolicy.model_validate(
        {
            "providers": {"alpha": provider(alpha, apis[0]), "beta": provider(beta, apis[1])},
            "workloads": {"code": pair, "safe": {**pair, "mode": "hold"}, "alone": alone},
            **more,
        }
    )


@contextmanager
def routed(policy: RouterPolicy, keys: dict[str, str]) -> Iterator[Routed]:
    """The router as __main__ runs it, in a thread of its own."""
    box: list[Routed] = []
    folder = tempfile.TemporaryDirectory()
    socket = Path(folder.name) / "admin.sock"
    router = Router(lambda: box[0].force if box else InForce(policy, Keys(keys)))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    service = runner(router, drain=2)
    doors = AsyncExitStack()

    async def start() -> int:
        await doors.enter_async_context(door(router, socket))
        await service.setup()
        await web.TCPSite(service, "127.0.0.1", 0).start()
        port: int = service.addresses[0][1]
        return port

    try:
        port = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        box.append(
            Routed(f"http://127.0.0.1:{port}", router, router.boards.users.force, RouterAdmin(str(socket)))
        )
        yield box[0]
    finally:
        asyncio.run_coroutine_threadsafe(service.cleanup(), loop).result(20)
        asyncio.run_coroutine_threadsafe(doors.aclose(), loop).result(20)
        folder.cleanup()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
