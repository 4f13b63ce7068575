"""The fault proxy: what is not struck passes through untouched, and each fault is what its name says."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import pytest

from appliance.contract.drill import Kind
from appliance.contract.router_policy import Api, Deadlines, Provider, Target
from appliance.node.faults import FAULTS
from appliance.node.faults.proxy import Behind, Proxy
from appliance.node.faults.visit import Record
from appliance.node.router.attempt import Attempt
from appliance.node.router.classify import Cause, Failed
from appliance.node.router.dialects import Ask
from appliance.node.router.upstream import HttpOpener, new_session
from tests.node.router.house import Vendor, vendor

T = TypeVar("T")
LIMITS = Deadlines(connect=0.5, hedge=0.4, whole_hedge=0.4, between=0.4, closing=0.3, start=3, total=6)
MARK = "drill-0123abcd"
SAID = f"alpha/alpha-large heard: {MARK} which way is up"
SLACK = 0.6  # seconds of silence behind LIMITS until it is believed

# What the router takes it for: streams, whole answers. None: it does not end.
CAUSES: dict[str, tuple[Cause | None, Cause | None]] = {
    "refused": (Cause.UNREACHABLE, Cause.UNREACHABLE),
    "reset": (Cause.DROPPED, Cause.DROPPED),
    "dns": (Cause.UNREACHABLE, Cause.UNREACHABLE),
    "tls": (Cause.UNREACHABLE, Cause.UNREACHABLE),
    "black-hole": (Cause.UNREACHABLE, Cause.UNREACHABLE),
    "hang": (None, None),
    "trickled-headers": (None, None),
    "trickled-body": (None, None),
    "stall-after-role": (None, None),
    "stall-after-token": (Cause.SILENT, None),
    "comments-only": (None, None),
    "comments-after-token": (Cause.SILENT, None),
    "cut-before-content": (Cause.DROPPED, Cause.DROPPED),
    "cut-after-content": (Cause.DROPPED, Cause.DROPPED),
    "401": (Cause.ACCESS_REFUSED, Cause.ACCESS_REFUSED),
    "402": (Cause.ACCOUNT, Cause.ACCOUNT),
    "403": (Cause.ACCESS_REFUSED, Cause.ACCESS_REFUSED),
    "404": (Cause.MODEL_UNKNOWN, Cause.MODEL_UNKNOWN),
    "429": (Cause.RATE_LIMITED, Cause.RATE_LIMITED),
    "429-retry-after": (Cause.RATE_LIMITED, Cause.RATE_LIMITED),
    "500": (Cause.SERVER_ERROR, Cause.SERVER_ERROR),
    "502": (Cause.SERVER_ERROR, Cause.SERVER_ERROR),
    "503": (Cause.SERVER_ERROR, Cause.SERVER_ERROR),
    "504": (Cause.SERVER_ERROR, Cause.SERVER_ERROR),
    "529": (Cause.SERVER_ERROR, Cause.SERVER_ERROR),
    "spent-quota": (Cause.ACCOUNT, Cause.ACCOUNT),
    "wrong-key": (Cause.ACCESS_REFUSED, Cause.ACCESS_REFUSED),
    "html": (Cause.MALFORMED, Cause.MALFORMED),
    "malformed": (Cause.MALFORMED, Cause.MALFORMED),
    "empty": (Cause.MALFORMED, Cause.MALFORMED),
    "error-in-band": (Cause.ERROR_IN_BAND, Cause.ERROR_IN_BAND),
    "error-after-content": (Cause.ERROR_IN_BAND, None),
    "context-length": (Cause.CONTEXT, Cause.CONTEXT),
    "client-error": (Cause.REQUEST, Cause.REQUEST),
}
HEALTHY = ("slow", "slower")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 30))


@pytest.fixture(scope="module")
def alpha() -> Iterator[Vendor]:
    with vendor("alpha") as running:
        yield running


@dataclass
class Met:
    text: bytes
    cause: Cause | None
    seconds: float
    records: list[Record]


@asynccontextmanager
async def laned(alpha: Vendor, api: Api) -> AsyncIterator[Proxy]:
    """One lane, `1`, with one target, `a`."""
    async with Proxy() as proxy:
        behind = Behind("alpha", Provider(api=api, base_url=f"{alpha.url}/v1", credential="alpha"))
        proxy.open("1", {"a": behind}, LIMITS)
        yield proxy


async def meet(alpha: Vendor, api: Api, kind: Kind, fault: str, key: str = "") -> Met:
    """What the router makes of it, asking as it does."""
    async with laned(alpha, api) as proxy, new_session() as session:
        url = proxy.url("1", "a")
        if fault:
            proxy.inject("1", FAULTS[fault])
            elsewhere = FAULTS[fault].elsewhere
            url = elsewhere(proxy.wires) if elsewhere else url
        body = {"messages": [{"role": "user", "content": f"{MARK} which way is up"}]}
        ask = Ask("w", {**body, "stream": kind is Kind.STREAM}, 1)
        provider = Provider(api=api, base_url=url, credential="alpha")
        target = Target(provider="alpha", model="alpha-large")
        attempt = Attempt(ask, provider, target, key or alpha.key, LIMITS)
        begun, cause = asyncio.get_running_loop().time(), None
        try:
            async with asyncio.timeout(LIMITS.hedge + LIMITS.between + SLACK):
                await attempt.begin(HttpOpener(session))
                if kind is Kind.STREAM:
                    await attempt.gather(lambda: None)
        except Failed as failed:
            cause = failed.outcome.cause
        except TimeoutError:
            pass
        seconds = asyncio.get_running_loop().time() - begun
        text = b"".join(attempt.head) if attempt.done else b""
        attempt.close()
        await asyncio.sleep(0.05)
        return Met(text, cause, seconds, list(proxy.records("1", MARK)))


def test_every_fault_is_known_here() -> None:
    assert {*CAUSES, *HEALTHY} == set(FAULTS)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("api", list(Api))
@pytest.mark.parametrize("fault", CAUSES)
def test_a_fault_is_what_its_name_says(alpha: Vendor, fault: str, api: Api, kind: Kind) -> None:
    if FAULTS[fault].meaning(kind) is None:
        return
    met = run(meet(alpha, api, kind, fault))
    assert met.cause is CAUSES[fault][list(Kind).index(kind)]
    assert met.text == b""
    reached = FAULTS[fault].elsewhere is None
    assert len(met.records) == reached
    assert not any(record.whole for record in met.records)
    assert all(record.outcome and record.ended for record in met.records)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("api", list(Api))
@pytest.mark.parametrize("fault", ["", *HEALTHY])
def test_a_healthy_answer_flows_whole_and_is_recognised(
    alpha: Vendor, fault: str, api: Api, kind: Kind
) -> None:
    met = run(meet(alpha, api, kind, fault))
    (record,) = met.records
    assert record.text == SAID
    assert record.whole
    assert record.model == "alpha-large"
    assert record.first is not None
    assert met.cause is None
    assert b"heard" in met.text
    share = FAULTS[fault].first if fault else 0
    assert share * LIMITS.hedge <= met.seconds


def test_the_proxy_shows_no_key(alpha: Vendor, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = secrets.token_urlsafe(24)
    for fault in ("", "500", "wrong-key", "html"):
        shown = repr(run(meet(alpha, Api.OPENAI, Kind.STREAM, fault, key))) + caplog.text
        assert key not in shown
        assert alpha.key not in shown


def test_nobody_is_asked_at_a_lane_that_is_closed(alpha: Vendor) -> None:
    async def ask() -> int:
        async with laned(alpha, Api.OPENAI) as proxy, aiohttp.ClientSession() as session:
            url = proxy.url("1", "a") + "/chat/completions"
            proxy.close("1")
            async with session.post(url, json={}) as got:
                return got.status

    before = alpha.count()
    assert run(ask()) == 404
    assert alpha.count() == before
