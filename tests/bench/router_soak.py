"""Load on the router while faults, lanes, reloads and canaries come and go: no leak, an outcome for all.

    .venv/bin/python -m tests.bench.router_soak [--seconds 600]

Exit status 1: a request had neither a whole answer nor a clear error, or something was left behind: memory,
file descriptors, tasks, lanes.
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
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from appliance.contract.router_admin import Lane
from appliance.node.router.upstream import KEEP_ALIVE
from appliance.node.router_admin import RouterAdmin
from tests.bench.router import CONCURRENT, MESSAGES, free_port, process, say

FAULTS: list[dict[str, Any]] = [
    *({"fault": "status", "status": code} for code in (401, 402, 404, 429, 500, 503, 529)),
    *(
        {"fault": name}
        for name in ("hang", "black-hole", "context-length", "reset", "html", "empty-body", "malformed-json",
                     "error-in-band", "quota", "stall-after-role", "stall-after-token", "cut-before-content",
                     "cut-after-content")
    ),
    {"fault": "comments-only", "pace": 0.05},
    {"fault": "trickled-headers", "pace": 0.01},
    {"fault": "trickled-body", "pace": 0.005},
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
GROWTH_MB = 15  # from the first tenth to the end
LANES = ("1", "2", "3", "4")
LEASE = 1.5  # seconds at most


def policy(ports: dict[str, int]) -> dict[str, Any]:
    return {
        "providers": providers(ports),
        "workloads": {"code": pair(), "safe": {**pair(), "mode": "hold"}},
        "breaker": {"server_error": 0.2, "rate_limited": 0.2, "refused": 0.2},
    }


def providers(ports: dict[str, int], prefix: str = "") -> dict[str, Any]:
    apis = {"alpha": "openai", "beta": "anthropic"}
    return {
        prefix + name: {"api": apis[name], "base_url": f"http://127.0.0.1:{port}/v1", "credential": name}
        for name, port in ports.items()
    }


def pair(prefix: str = "") -> dict[str, Any]:
    return {
        "primary": {"provider": f"{prefix}alpha", "model": "alpha-large"},
        "fallbacks": [{"provider": f"{prefix}beta", "model": "beta-large"}],
        "deadlines": QUICK,
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
        model = random.choice(["code", "safe"] * 4 + [f"drill-{lane}" for lane in LANES])
        body = {"model": model, "messages": MESSAGES, "stream": stream}
        leaves = random.random() < 0.05
        timeout = aiohttp.ClientTimeout(total=random.random() * 0.3 if leaves else 10)
        try:
            async with session.post(f"{url}/v1/chat/completions", json=body, timeout=timeout) as got:
                raw = await got.text()
                no_lane = got.status == 404 and model.startswith("drill-")
                seen["no lane" if no_lane else outcome(raw, stream)] += 1
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


async def errands(admin: RouterAdmin, ports: dict[str, int], until: float) -> None:
    """What root does meanwhile."""
    while time.monotonic() < until:
        lane, what = random.choice(LANES), random.random()
        if what < 0.6:
            given = {"workload": pair("drill-"), "providers": providers(ports, "drill-")}
            more = {"seconds": random.uniform(0.2, LEASE), "keep": random.random() < 0.5}
            await admin.open_lane(lane, Lane.model_validate(given | more))
        elif what < 0.8:
            await admin.close_lane(lane)
        elif what < 0.97:
            await admin.reload()
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(random.uniform(0.05, 1)):
                    await admin.canary()
        await asyncio.sleep(random.random() * 0.3)


async def memory(router: psutil.Process, seconds: float) -> list[float]:
    """MB, eleven times."""
    taken = [router.memory_info().rss / 2**20]
    for _ in range(10):
        await asyncio.sleep(seconds / 10)
        taken.append(router.memory_info().rss / 2**20)
    return taken


async def soak(seconds: float, port: int, ports: dict[str, int], admin: RouterAdmin, pid: int) -> bool:
    url, router = f"http://127.0.0.1:{port}", psutil.Process(pid)
    vendors = [f"http://127.0.0.1:{at}" for at in ports.values()]
    seen: Counter[str] = Counter()
    healed: Counter[str] = Counter()
    tasks = (await admin.healthz())["tasks"]
    await asyncio.sleep(0.5)  # that connection is closed
    files = router.num_fds()
    async with aiohttp.ClientSession() as session:
        until = time.monotonic() + seconds
        taking = asyncio.create_task(memory(router, seconds))
        await asyncio.gather(
            trouble(session, vendors, until),
            errands(admin, ports, until),
            *(load(session, url, until, seen) for _ in range(CONCURRENT)),
        )
    taken = await taking
    await asyncio.sleep(7)  # longer than any request or settling may last
    async with aiohttp.ClientSession() as session:
        await load(session, url, time.monotonic() + 1, healed)
    idle = time.monotonic() + 2 * KEEP_ALIVE + 5  # the pool looks every KEEP_ALIVE
    while router.num_fds() > files and time.monotonic() < idle:
        await asyncio.sleep(1)
    files_left = router.num_fds() - files
    after = await admin.healthz()
    left = {
        "requests in flight": after["in_flight"],
        "lanes": len(after["lanes"]),
        "tasks": after["tasks"] - tasks,
        "files": files_left,
    }
    tell(seen, healed, taken, left, seconds)
    return not (
        any(what.startswith("WRONG") for what in seen)
        or "whole alpha" not in healed
        or healed.keys() - {"whole alpha", "no lane", "client left"}
        or any(count > 0 for count in left.values())
        or taken[-1] - taken[1] > GROWTH_MB
    )


def tell(
    seen: Counter[str], healed: Counter[str], taken: list[float], left: dict[str, int], seconds: float
) -> None:
    for what, count in sorted(seen.items(), key=lambda item: -item[1]):
        say(f"{count:7d} {what[:300]}")
    say(f"{sum(seen.values())} requests in {seconds:g} s, healed: {dict(healed)}")
    say(f"left behind: {left}")
    say(f"MB: {' '.join(f'{value:.1f}' for value in taken)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    arguments = parser.parse_args()
    key = secrets.token_urlsafe(24)
    ports, port = {"alpha": free_port(), "beta": free_port()}, free_port()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        file, keys = Path(folder, "router.json"), Path(folder, "keys.json")
        admin = RouterAdmin(f"{folder}/admin.sock")
        file.write_text(json.dumps(policy(ports)))
        keys.write_text(json.dumps(dict.fromkeys(ports, key)))
        for name, at in ports.items():
            stack.enter_context(process(["tests.bench.router", "--vendor", name, str(at)], at, BENCH_KEY=key))
        words = ["appliance.node.router", "--policy", str(file), "--keys", str(keys), "--admin", admin.socket]
        router = stack.enter_context(process([*words, "--listen", f"127.0.0.1:{port}"], port))
        right = asyncio.run(soak(arguments.seconds, port, ports, admin, router.pid))
    say("no leak, an outcome for each" if right else "WRONG, see above")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
