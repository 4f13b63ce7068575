"""Load on the router with faults coming and going at both vendors: no leak, no request without an outcome.

    .venv/bin/python -m tests.bench.router_soak [--seconds 600]

Exit status 1: a request had neither a whole answer nor a clear error, or something was left behind.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import secrets
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from tests.bench.router import CONCURRENT, MESSAGES, free_port, process, say

FAULTS: list[dict[str, Any]] = [
    *({"fault": "status", "status": code} for code in (401, 429, 500, 529)),
    *(
        {"fault": name}
        for name in ("hang", "reset", "html", "empty-body", "malformed-json", "error-in-band", "quota",
                     "stall-after-role", "stall-after-token", "cut-before-content", "cut-after-content")
    ),
    {"fault": "comments-only", "pace": 0.05},
    {"fault": "trickled-headers", "pace": 0.01},
    {"fault": "slow", "seconds": 0.4},
]  # fmt: skip
QUICK = {
    "hedge": 0.2,
    "whole_hedge": 0.2,
    "between": 0.3,
    "closing": 0.2,
    "start": 3,
    "total": 5,
    "comment": 0.2,
}
GROWTH_MB = 15


def policy(ports: dict[str, int]) -> dict[str, Any]:
    apis = {"alpha": "openai", "beta": "anthropic"}
    pair = {
        "primary": {"provider": "alpha", "model": "alpha-large"},
        "fallbacks": [{"provider": "beta", "model": "beta-large"}],
        "deadlines": QUICK,
    }
    return {
        "providers": {
            name: {"api": apis[name], "base_url": f"http://127.0.0.1:{port}/v1", "credential": name}
            for name, port in ports.items()
        },
        "workloads": {"code": pair, "safe": {**pair, "mode": "hold"}},
        "breaker": {"server_error": 0.2, "rate_limited": 0.2, "refused": 0.2},
    }


def outcome(raw: str, stream: bool) -> str:
    """whole alpha | whole beta | error | broke alpha | broke beta, or what should not be."""
    givers = [name for name in ("alpha", "beta") if f"{name}/" in raw or f'"{name}/' in raw]
    values = [json.loads(line[6:]) for line in raw.split("\n") if line.startswith("data: {")]
    values = values if stream and values else ([json.loads(raw)] if raw.startswith("{") else [])
    failed = any("error" in value for value in values)
    whole = "data: [DONE]" in raw or (not stream and not failed)
    if len(givers) > 1 or whole == failed or (whole and not givers):
        return f"WRONG: {raw}"
    who = f" {givers[0]}" if givers else ""
    return f"whole{who}" if whole else f"broke{who}" if who else "error"


async def load(session: aiohttp.ClientSession, url: str, until: float, seen: Counter[str]) -> None:
    while time.monotonic() < until:
        stream = random.random() < 0.8
        body = {"model": random.choice(["code", "safe"]), "messages": MESSAGES, "stream": stream}
        leaves = random.random() < 0.05
        timeout = aiohttp.ClientTimeout(total=random.random() * 0.3 if leaves else 10)
        try:
            async with session.post(f"{url}/v1/chat/completions", json=body, timeout=timeout) as got:
                seen[outcome(await got.text(), stream)] += 1
        except TimeoutError:
            seen["client left" if leaves else "WRONG: silence"] += 1
        except aiohttp.ClientError as error:
            seen[f"WRONG: {error!r}"] += 1


async def trouble(session: aiohttp.ClientSession, urls: list[str], until: float) -> None:
    while time.monotonic() < until:
        url = random.choice(urls)
        if random.random() < 0.4:
            await session.delete(f"{url}/_lab/fault")
        else:
            await session.put(f"{url}/_lab/fault", json=random.choice(FAULTS))
        await asyncio.sleep(random.random() * 0.5)
    for url in urls:
        await session.delete(f"{url}/_lab/fault")


async def soak(seconds: float, url: str, vendors: list[str], router: psutil.Process) -> bool:
    seen: Counter[str] = Counter()
    async with aiohttp.ClientSession() as session:
        await load(session, url, time.monotonic() + 3, Counter())
        before = router.memory_info().rss
        until = time.monotonic() + seconds
        await asyncio.gather(
            trouble(session, vendors, until), *(load(session, url, until, seen) for _ in range(CONCURRENT))
        )
        await asyncio.sleep(7)  # longer than any request or settling may last
        async with session.get(f"{url}/healthz") as got:
            in_flight = (await got.json())["in_flight"]
        healed: Counter[str] = Counter()
        await load(session, url, time.monotonic() + 1, healed)
    for what, count in sorted(seen.items(), key=lambda item: -item[1]):
        say(f"{count:7d} {what[:300]}")
    grown = (router.memory_info().rss - before) / 2**20
    say(f"in flight {in_flight}, connections {len(router.net_connections())}, grown by {grown:.1f} MB")
    say(f"healed: {dict(healed)}")
    wrong = any(what.startswith("WRONG") for what in seen) or set(healed) != {"whole alpha"}
    return not wrong and in_flight == 0 and grown < GROWTH_MB


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    arguments = parser.parse_args()
    key = secrets.token_urlsafe(24)
    ports, port = {"alpha": free_port(), "beta": free_port()}, free_port()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        file, keys = Path(folder, "router.json"), Path(folder, "keys.json")
        file.write_text(json.dumps(policy(ports)))
        keys.write_text(json.dumps(dict.fromkeys(ports, key)))
        for name, at in ports.items():
            stack.enter_context(process(["tests.bench.router", "--vendor", name, str(at)], at, BENCH_KEY=key))
        words = ["appliance.node.router", "--policy", str(file), "--keys", str(keys)]
        router = stack.enter_context(process([*words, "--listen", f"127.0.0.1:{port}"], port))
        vendors = [f"http://127.0.0.1:{at}" for at in ports.values()]
        right = asyncio.run(soak(arguments.seconds, f"http://127.0.0.1:{port}", vendors, router))
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
