"""What the router costs: added latency, requests a second against direct, memory, and seconds a fault costs.

    .venv/bin/python -m tests.bench.router [--runs 300]

The vendors and the router are processes of their own, the client is aiohttp with kept connections.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import requests
from aiohttp import web

from appliance.lab.vendors import vendor_app
from tests.lab.serving import until

CONCURRENT = 16
MESSAGES = [{"role": "user", "content": "which way is up"}]
FAULTS: dict[str, dict[str, Any]] = {
    "status 500": {"fault": "status", "status": 500},
    "reset": {"fault": "reset"},
    "html": {"fault": "html"},
    "hang": {"fault": "hang"},
    "stall-after-role": {"fault": "stall-after-role"},
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@contextmanager
def process(words: list[str], port: int, **environment: str) -> Iterator[psutil.Process]:
    running = subprocess.Popen(
        [sys.executable, "-m", *words], env=os.environ | environment, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: _listens(port))
        yield psutil.Process(running.pid)
    finally:
        running.terminate()
        running.wait(20)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def policy(ports: dict[str, int]) -> dict[str, Any]:
    def target(name: str) -> dict[str, str]:
        return {"provider": name, "model": f"{name}-large"}

    return {
        "providers": {
            name: {"api": "openai", "base_url": f"http://127.0.0.1:{port}/v1", "credential": name}
            for name, port in ports.items()
        },
        "workloads": {
            "code": {
                "primary": target("alpha"),
                "fallbacks": [target("beta")],
                "deadlines": {"hedge": 1, "whole_hedge": 1},
            }
        },
        "breaker": {"server_error": 0.01, "silences": 100},
    }


async def ask(
    session: aiohttp.ClientSession, url: str, key: str, model: str, stream: bool
) -> tuple[float, float]:
    """Seconds until the first content, and until the end."""
    body = {"model": model, "messages": MESSAGES, "stream": stream}
    begun = time.perf_counter()
    first = 0.0
    async with session.post(
        f"{url}/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"}
    ) as got:
        assert got.status == 200, await got.text()
        if not stream:
            await got.read()
        async for line in got.content:
            if not first and b'"content": "' in line and b'"content": ""' not in line:
                first = time.perf_counter() - begun
    end = time.perf_counter() - begun
    return first or end, end


async def latency(
    session: aiohttp.ClientSession, runs: int, url: str, key: str, model: str
) -> dict[str, float]:
    """Medians in milliseconds."""
    wholes = [await ask(session, url, key, model, False) for _ in range(runs)]
    streams = [await ask(session, url, key, model, True) for _ in range(runs)]
    return {
        "plain": statistics.median(end for _, end in wholes) * 1e3,
        "first content": statistics.median(first for first, _ in streams) * 1e3,
        "stream": statistics.median(end for _, end in streams) * 1e3,
    }


async def throughput(session: aiohttp.ClientSession, runs: int, url: str, key: str, model: str) -> float:
    async def one() -> None:
        for _ in range(runs // CONCURRENT + 1):
            await ask(session, url, key, model, False)

    begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(CONCURRENT)))
    return (runs // CONCURRENT + 1) * CONCURRENT / (time.perf_counter() - begun)


def cpu(process: psutil.Process) -> float:
    """Seconds so far."""
    used = process.cpu_times()
    return float(used.user + used.system)


async def measure(runs: int, direct: str, routed: str, key: str, router: psutil.Process) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(20):
            await ask(session, direct, key, "alpha-large", True)
            await ask(session, routed, key, "code", True)
        plain = await latency(session, runs, direct, key, "alpha-large")
        through = await latency(session, runs, routed, key, "code")
        for what, value in plain.items():
            more = through[what] - value
            say(f"{what:14} direct {value:6.2f} ms  routed {through[what]:6.2f} ms  added {more:.2f} ms")
        for name, url, model in (("direct", direct, "alpha-large"), ("routed", routed, "code")):
            before = cpu(router)
            each = await throughput(session, runs * 4, url, key, model)
            say(f"{name}: {each:.0f} requests/s, {CONCURRENT} concurrent")
        # Client, router and vendor share the cores; this says more of the router alone.
        say(f"the router's CPU: {(cpu(router) - before) / (runs * 4) * 1e6:.0f} us a request")


async def faults(direct: str, routed: str, key: str) -> None:
    async with aiohttp.ClientSession() as session:
        for name, order in FAULTS.items():
            requests.put(f"{direct}/_lab/fault", json=order, timeout=5).raise_for_status()
            times = []
            for _ in range(5):
                await asyncio.sleep(0.05)  # the breaker is half-open again
                times.append((await ask(session, routed, key, "code", True))[1])
            say(f"{name:18} median {statistics.median(times):.3f} s until beta's whole answer (hedge 1 s)")
            requests.delete(f"{direct}/_lab/fault", timeout=5).raise_for_status()


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def serve_vendor(name: str, port: int) -> None:
    app = vendor_app(name, os.environ["BENCH_KEY"])
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--vendor", nargs=2, metavar=("NAME", "PORT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.vendor:
        serve_vendor(arguments.vendor[0], int(arguments.vendor[1]))
        return
    key = secrets.token_urlsafe(24)
    ports = {"alpha": free_port(), "beta": free_port()}
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        file, keys = Path(folder, "router.json"), Path(folder, "keys.json")
        file.write_text(json.dumps(policy(ports)))
        keys.write_text(json.dumps(dict.fromkeys(ports, key)))
        for name, at in ports.items():
            stack.enter_context(process(["tests.bench.router", "--vendor", name, str(at)], at, BENCH_KEY=key))
        words = [
            "appliance.node.router",
            "--policy",
            str(file),
            "--keys",
            str(keys),
            "--listen",
            f"127.0.0.1:{port}",
        ]
        router = stack.enter_context(process(words, port))
        say(f"idle {router.memory_info().rss / 2**20:.1f} MB")
        direct, routed = f"http://127.0.0.1:{ports['alpha']}", f"http://127.0.0.1:{port}"
        asyncio.run(measure(arguments.runs, direct, routed, key, router))
        asyncio.run(faults(direct, routed, key))
        say(f"after {router.memory_info().rss / 2**20:.1f} MB")


if __name__ == "__main__":
    main()
