"""Runs on a node, beside an OpenClaw that is being tried: a provider that does as told, and clients.

    python3 scripted.py serve PORT          # /<provider>/v1/chat/completions, every provider apart
    python3 scripted.py try PORT < tries    # a Batch as JSON; prints a list of lists of answers

It is sent there as one file: nothing of ours is imported, aiohttp alone.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web

BOUND_SECONDS = 560
BEAT_SECONDS = 0.5


def healthy(name: str) -> list[list[Any]]:
    """A whole stream: pairs of seconds to wait and what is then said."""
    said: list[dict[str, str]] = [
        {"role": "assistant", "content": ""},
        {"content": f"{name} "},
        {"content": "answered"},
    ]
    events: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in said]
    events.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    chunks: list[dict[str, Any]] = [{"choices": [event]} for event in events]
    chunks.append({"choices": [], "usage": usage})
    head = {"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    lines = [f"data: {json.dumps({**head, **chunk})}\n\n" for chunk in chunks]
    return [[0, line] for line in [*lines, "data: [DONE]\n\n"]]


class Provider:
    """Scripts and calls by provider.

    A script is {"status", "headers", "json"}, or {"pieces": [[seconds, text], …]}; "{}" is healthy. Before
    the pieces {"beat": text} is said over and over, until the provider gets another script.
    """

    def __init__(self) -> None:
        self.scripts: dict[str, dict[str, Any]] = {}
        self.calls: dict[str, list[dict[str, Any]]] = {}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        call = {"body": await request.json(), "headers": dict(request.headers), "at": time.time()}
        self.calls.setdefault(name, []).append(call)
        script = self.scripts.get(name, {})
        if "status" in script:
            headers = script.get("headers", {})
            return web.json_response(script["json"], status=script["status"], headers=headers)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            while "beat" in script and self.scripts[name] is script:
                await response.write(script["beat"].encode())
                await asyncio.sleep(BEAT_SECONDS)
            for seconds, text in script.get("pieces") or healthy(name):
                await asyncio.sleep(seconds)
                await response.write(text.encode())
        except ConnectionError:
            call["left"] = time.time()  # the client did not wait
        return response

    async def told(self, request: web.Request) -> web.Response:
        self.scripts[request.match_info["name"]] = await request.json()
        return web.json_response({})

    async def tells(self, request: web.Request) -> web.Response:
        return web.json_response(self.calls.get(request.match_info["name"], []))

    async def tells_all(self, _: web.Request) -> web.Response:
        return web.json_response([call for calls in self.calls.values() for call in calls])

    def app(self) -> web.Application:
        app = web.Application(client_max_size=8 << 20)
        app.router.add_get("/_", self.tells_all)
        app.router.add_put("/_/{name}", self.told)
        app.router.add_get("/_/{name}", self.tells)
        app.router.add_post("/{name}/v1/chat/completions", self.serve)
        return app


async def ask(client: ClientSession, gateway: str, token: str, one: dict[str, Any]) -> dict[str, Any]:
    """One question to OpenClaw: {"header", "model", "agent", "stream", "text"}, all but `text` optional."""
    headers = {"Authorization": f"Bearer {token}"}
    headers |= {"x-openclaw-model": one["header"]} if one.get("header") else {}
    headers |= {"x-openclaw-agent-id": one["agent"]} if one.get("agent") else {}
    messages = [{"role": "user", "content": one.get("text", "Which provider are you?")}]
    body = {
        "model": one.get("model", "openclaw"),
        "messages": messages,
        "stream": bool(one.get("stream")),
    }
    begun = time.monotonic()
    status, first, raw = 0, None, b""
    try:
        async with client.post(f"{gateway}/v1/chat/completions", json=body, headers=headers) as got:
            status = got.status
            async for piece in got.content.iter_any():
                if first is None and b'"content":"' in piece:
                    first = time.monotonic() - begun
                raw += piece
    except (ClientError, TimeoutError) as trouble:
        said = {"error": {"message": f"no whole answer: {type(trouble).__name__} {trouble}"}}
        status, raw = 0, json.dumps(said).encode()
    return {"status": status, "raw": raw.decode(), "seconds": time.monotonic() - begun, "first": first}


async def run(client: ClientSession, scripted: str, batch: dict[str, Any], one: dict[str, Any]) -> list[Any]:
    """The steps of one try, one after the other: each may wait, hand over a script, and ask."""
    provider = f"{scripted}/_/{one['provider']}"
    answers = []
    for step in one["steps"]:
        await asyncio.sleep(step.get("wait", 0))
        if "script" in step:
            async with client.put(provider, json=step["script"]) as done:
                done.raise_for_status()
        if "ask" in step:
            before = len(await calls(client, provider))
            answer = await ask(client, batch["gateway"], batch["token"], step["ask"])
            answers.append({**answer, "calls": (await calls(client, provider))[before:]})
    return answers


async def calls(client: ClientSession, provider: str) -> list[Any]:
    async with client.get(provider) as got:
        return list(await got.json())


async def tries(port: int) -> list[Any]:
    """All tries of the batch on stdin, side by side."""
    batch = json.load(sys.stdin)
    # A kept connection may be closed by OpenClaw in the moment in which it is used again.
    connector, timeout = TCPConnector(limit=0, force_close=True), ClientTimeout(total=BOUND_SECONDS)
    async with ClientSession(connector=connector, timeout=timeout) as client:
        scripted = f"http://127.0.0.1:{port}"
        work = (run(client, scripted, batch, one) for one in batch["tries"])
        return list(await asyncio.gather(*work))


def main() -> None:
    port = int(sys.argv[2])
    if sys.argv[1] == "serve":
        web.run_app(Provider().app(), host="127.0.0.1", port=port, print=None, access_log=None)
    else:
        json.dump(asyncio.run(tries(port)), sys.stdout)


if __name__ == "__main__":
    main()
