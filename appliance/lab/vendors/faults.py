"""What can go wrong at a vendor, on command. A fault is a small function, entered by `@fault("name")`.

All end by themselves after `order.seconds`, or at once when healed.

Refused connections are made by stopping the listener, and lost packets by the wires: neither is here.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

from aiohttp import web

from appliance.lab.vendors.answers import Part, Refusal
from appliance.lab.vendors.visit import Visit

Fault = Callable[[Visit], Awaitable[web.StreamResponse]]
FAULTS: dict[str, Fault] = {}


def fault(name: str) -> Callable[[Fault], Fault]:
    def enter(function: Fault) -> Fault:
        FAULTS[name] = function
        return function

    return enter


def _retry_after(visit: Visit) -> dict[str, str]:
    seconds = visit.order.retry_after
    return {} if seconds is None else {"Retry-After": str(seconds)}


@fault("status")
async def status(visit: Visit) -> web.StreamResponse:
    """Any error status in the vendor's own words, with Retry-After where `retry_after` is set."""
    return visit.refuse(Refusal(visit.order.status, headers=_retry_after(visit)))


@fault("quota")
async def quota(visit: Visit) -> web.StreamResponse:
    """The account is spent: OpenAI says 429 to that, Anthropic 400."""
    code = 400 if visit.record.vendor_api == "anthropic" else 429
    return visit.refuse(Refusal(code, "quota", headers=_retry_after(visit)))


@fault("context-length")
async def context_length(visit: Visit) -> web.StreamResponse:
    return visit.refuse(Refusal(400, "context"))


@fault("reset")
async def reset(visit: Visit) -> web.StreamResponse:
    """RST instead of an answer."""
    transport = visit.request.transport
    if transport is not None:
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    visit.record.outcome = "broken"
    return web.Response()


@fault("hang")
async def hang(visit: Visit) -> web.StreamResponse:
    """Takes the request and never answers."""
    await visit.wait(visit.order.seconds)
    return visit.cut(web.Response())


@fault("black-hole")
async def black_hole(visit: Visit) -> web.StreamResponse:
    """As hang, and deaf too: reads nothing more, so that it does not even see the client leave."""
    transport = visit.request.transport
    if isinstance(transport, asyncio.Transport):
        transport.pause_reading()
    await visit.wait(visit.order.seconds)
    return visit.cut(web.Response())


async def _trickle(visit: Visit, data: bytes, write: Callable[[bytes], Awaitable[None]]) -> None:
    """One byte at a time, `pace` (or half a second) apart, as long as the fault may last."""
    pace = visit.order.pace or 0.5
    for index in range(min(len(data), int(visit.order.seconds / pace) + 1)):
        if visit.gone or visit.standing.healed.is_set():
            return
        await write(data[index : index + 1])
        await visit.wait(pace)


@fault("trickled-headers")
async def trickled_headers(visit: Visit) -> web.StreamResponse:
    """The header section comes byte by byte and never ends."""

    async def write(data: bytes) -> None:
        if isinstance(visit.request.transport, asyncio.Transport):
            visit.request.transport.write(data)

    await _trickle(visit, b"HTTP/1.1 200 OK\r\nX-Trickle: " + b"." * 8000, write)
    return visit.cut(web.Response())


@fault("trickled-body")
async def trickled_body(visit: Visit) -> web.StreamResponse:
    """The right answer byte by byte, cut off when the time is over."""
    response = await visit.begin()
    await _trickle(visit, b"".join(part.data for part in visit.parts), response.write)
    return visit.cut(response)


async def _stall(visit: Visit, tokens: int) -> web.StreamResponse:
    response = await visit.begin()
    await visit.send(response, visit.head(tokens))
    await visit.wait(visit.order.seconds)
    return visit.cut(response)


@fault("stall-after-role")
async def stall_after_role(visit: Visit) -> web.StreamResponse:
    """What comes before any content, then silence."""
    return await _stall(visit, 0)


@fault("stall-after-token")
async def stall_after_token(visit: Visit) -> web.StreamResponse:
    """`tokens` pieces of content, then silence."""
    return await _stall(visit, visit.order.tokens)


@fault("cut-before-content")
async def cut_before_content(visit: Visit) -> web.StreamResponse:
    response = await visit.begin()
    await visit.send(response, visit.head(0))
    return visit.cut(response)


@fault("cut-after-content")
async def cut_after_content(visit: Visit) -> web.StreamResponse:
    """`tokens` pieces of content, then the connection ends."""
    response = await visit.begin()
    await visit.send(response, visit.head(visit.order.tokens), visit.order.pace)
    return visit.cut(response)


@fault("comments-only")
async def comments_only(visit: Visit) -> web.StreamResponse:
    """Signs of life and no answer: comments in a stream, blanks before a whole body."""
    response = await visit.begin(sized=False)
    sign = b": ping\n\n" if visit.stream else b" "
    pace = visit.order.pace or 0.5
    for _ in range(int(visit.order.seconds / pace) + 1):
        if visit.gone or visit.standing.healed.is_set():
            break
        await response.write(sign)
        await visit.wait(pace)
    return visit.cut(response)


@fault("html")
async def html(visit: Visit) -> web.StreamResponse:
    """A 200 that some box on the way made up."""
    return web.Response(
        text="<!doctype html><title>Sign in</title><h1>Sign in</h1>", content_type="text/html"
    )


@fault("malformed-json")
async def malformed_json(visit: Visit) -> web.StreamResponse:
    response = await visit.begin(sized=False)
    whole = b"".join(part.data for part in visit.parts)
    await response.write(b'data: {"id": "chatcmpl-\n\n' if visit.stream else whole[: len(whole) // 2])
    return response


@fault("empty-body")
async def empty_body(visit: Visit) -> web.StreamResponse:
    return await visit.begin(sized=False)


@fault("error-in-band")
async def error_in_band(visit: Visit) -> web.StreamResponse:
    """A 200 whose stream brings an error after `tokens` pieces (0: as its very first event)."""
    response = await visit.begin(sized=False)
    refusal = Refusal(529 if visit.record.vendor_api == "anthropic" else 500)
    if not visit.stream:
        await response.write(visit.dialect.error_event(refusal).partition(b"data: ")[2])
        return response
    await visit.send(response, visit.head(visit.order.tokens) if visit.order.tokens else ())
    await response.write(visit.dialect.error_event(refusal))
    return response


@fault("slow")
async def slow(visit: Visit) -> web.StreamResponse:
    """Healthy: the first token takes `seconds`, the others follow `pace` apart."""
    response = await visit.begin() if visit.stream else None
    await visit.wait(visit.order.seconds)
    if response is None:
        response = await visit.begin()
    await visit.send(response, visit.parts, visit.order.pace)
    return response


def whole_parts(body: bytes) -> list[Part]:
    """A whole answer as parts, so that faults strike it as they do a stream."""
    half = max(1, len(body) // 2)
    return [Part("opening", body[:1]), Part("content", body[1:half]), Part("closing", body[half:])]
