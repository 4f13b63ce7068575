"""Time the command on the lab's real machines and print medians.

    sudo .venv/bin/python -m tests.bench            # five runs of everything that has caches
    sudo .venv/bin/python -m tests.bench help build-unchanged --runs 9

Each figure is the wall time of a whole process, as an operator would meet it. The lab used is
number 20, apart from the operator's own; package caches are shared with it unless `cold` is asked.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import requests

from tests.bench.providers import hold_answers, show
from tests.e2e.conftest import Desk, Node

BOUND_SECONDS = 1200


@dataclass
class Bench:
    """One folder with one appliance.yaml in one lab."""

    folder: Path
    environment: dict[str, str]
    seconds: dict[str, list[float]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)

    def appliance(self, *words: str) -> dict[str, object]:
        """Run the command; its JSON answer. Raises CalledProcessError with the output shown."""
        command = [sys.executable, "-m", "appliance", *words, "--json"]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=BOUND_SECONDS,
        )
        if done.returncode:
            sys.stderr.write(done.stdout + done.stderr)
            done.check_returncode()
        answer = json.loads(done.stdout) if done.stdout.strip() else {}
        return answer if isinstance(answer, dict) else {}

    def timed(self, figure: str, *words: str) -> None:
        begin = time.monotonic()
        answer = self.appliance(*words)
        self.seconds.setdefault(figure, []).append(time.monotonic() - begin)
        calls = answer.get("api_calls")
        if isinstance(calls, int):
            self.calls[figure] = calls

    def keep(self, figure: str, seconds: float) -> None:
        self.seconds.setdefault(figure, []).append(seconds)

    def report(self) -> None:
        width = max(map(len, self.seconds), default=0)
        for figure, values in self.seconds.items():
            low, middle, high = min(values), statistics.median(values), max(values)
            calls = f"  {self.calls[figure]:4d} API calls" if figure in self.calls else ""
            sys.stdout.write(
                f"{figure:{width}}  median {middle:8.3f} s  "
                f"(min {low:.3f}, max {high:.3f}, n={len(values)}){calls}\n"
            )


def measure_help(bench: Bench, runs: int) -> None:
    for _ in range(runs):
        begin = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "appliance", "--help"],
            env=bench.environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        bench.keep("appliance --help", time.monotonic() - begin)


def measure_lab(bench: Bench, runs: int) -> None:
    for _ in range(runs):
        bench.appliance("lab", "down", "--yes")
        bench.timed("lab up, base cached", "lab", "up")


def measure_api(bench: Bench, runs: int) -> None:
    endpoint, headers = lab_access(bench)
    with requests.Session() as session:
        for _ in range(runs * 40):
            begin = time.monotonic()
            session.get(f"{endpoint}/servers", headers=headers, timeout=10).raise_for_status()
            bench.keep("lab API, GET /servers", time.monotonic() - begin)


def measure_server(bench: Bench, runs: int) -> None:
    """From the POST that creates a server to the first byte of its SSH banner."""
    import socket

    endpoint, headers = lab_access(bench)
    body = {"server_type": "cx23", "image": "debian-13", "location": "fsn1"}
    for run in range(runs):
        begin = time.monotonic()
        answer = requests.post(
            f"{endpoint}/servers", headers=headers, json=body | {"name": f"bench-{run}"}, timeout=60
        )
        answer.raise_for_status()
        server = answer.json()["server"]
        address = (server["public_net"]["ipv4"]["ip"], 22)
        while time.monotonic() - begin < 60:
            try:
                with socket.create_connection(address, timeout=0.5) as wire:
                    wire.settimeout(5)
                    if wire.recv(4).startswith(b"SSH-"):
                        break
            except OSError:
                time.sleep(0.02)
        bench.keep("server create to SSH", time.monotonic() - begin)
        requests.delete(f"{endpoint}/servers/{server['id']}", headers=headers, timeout=60).raise_for_status()


def measure_build(bench: Bench, runs: int) -> None:
    for _ in range(runs):
        bench.timed("build, caches warm", "build", "--force")


def measure_build_unchanged(bench: Bench, runs: int) -> None:
    bench.appliance("build")
    for _ in range(runs):
        bench.timed("build, unchanged", "build")


def measure_deploy(bench: Bench, runs: int) -> None:
    bench.appliance("build")
    for _ in range(runs):
        bench.timed("deploy, from nothing", "deploy", "--yes")
        bench.timed("deploy, unchanged", "deploy", "--yes")
        bench.timed("push, unchanged", "push")
        bench.timed("status", "status")
        bench.timed("destroy, snapshot kept", "destroy", "--yes", "--keep-snapshots")


def measure_demo(bench: Bench, runs: int) -> None:
    for _ in range(runs):
        bench.appliance("lab", "down", "--yes")
        with tempfile.TemporaryDirectory() as folder:
            bench.timed("demo, caches warm", "demo", "--yes", "--dir", folder)
    bench.appliance("lab", "down", "--yes")


def measure_cold(bench: Bench, runs: int) -> None:
    """The very first run on a machine: base image, packages and all come over the network."""
    warm = bench.environment
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="appliance-cold-", dir="/var/tmp") as root:
            bench.environment = warm | {"APPLIANCE_LAB_DIR": root, "APPLIANCE_LAB_INSTANCE": "21"}
            try:
                bench.timed("lab up, nothing cached", "lab", "up")
                bench.timed("build, nothing cached", "build", "--force")
            finally:
                bench.appliance("lab", "down", "--yes")
                bench.environment = warm


def measure_providers(bench: Bench, _: int) -> None:
    """Its own table: each fault's seconds, ours beside OpenClaw's own fallback."""
    hold_answers(bench.folder)
    bench.appliance("build")
    address = bench.appliance("deploy", "--yes")["address"]
    show(Node(Desk(bench.folder, bench.environment), str(address)))


def lab_access(bench: Bench) -> tuple[str, dict[str, str]]:
    answer = bench.appliance("lab", "env")
    return str(answer["HCLOUD_ENDPOINT"]), {"Authorization": f"Bearer {answer['HCLOUD_TOKEN']}"}


LONG = {"cold", "providers"}  # measured where they are named
MEASURES: dict[str, Callable[[Bench, int], None]] = {
    "help": measure_help,
    "lab": measure_lab,
    "api": measure_api,
    "server": measure_server,
    "build": measure_build,
    "build-unchanged": measure_build_unchanged,
    "deploy": measure_deploy,
    "demo": measure_demo,
    "cold": measure_cold,
    "providers": measure_providers,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__.split("\n")[0] if __doc__ else ""
    )
    parser.add_argument("figures", nargs="*", choices=[*MEASURES, []], help="which; the quick ones if none")
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args()
    figures = chosen.figures or [name for name in MEASURES if name not in LONG]
    folder = Path(tempfile.mkdtemp(prefix="appliance-bench-"))
    environment = os.environ | {"APPLIANCE_LAB_INSTANCE": "20"}
    bench = Bench(folder, environment)
    try:
        if figures != ["help"]:
            bench.appliance("lab", "up")
            bench.appliance("init", "--target", "lab")
        for figure in figures:
            MEASURES[figure](bench, chosen.runs)
    finally:
        bench.report()
        if figures != ["help"]:
            bench.appliance("lab", "down", "--yes")
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
