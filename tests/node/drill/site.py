"""A router process of its own between the lab's vendors, to be drilled; whole, or broken on purpose."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from appliance.contract.drill import Level, Report
from appliance.contract.router_policy import RouterPolicy
from appliance.contract.trouble import NodeTrouble
from appliance.node.drill import command
from appliance.node.drill.client import router_door
from appliance.node.drill.command import Site, Wanted
from appliance.node.router_admin import RouterAdmin
from tests.lab.serving import until
from tests.node.router.house import Vendor, provider, target

QUICK: dict[str, float] = {
    "connect": 0.3, "hedge": 0.5, "whole_hedge": 0.5, "between": 0.6, "closing": 0.3, "start": 4, "total": 8,
    "comment": 0.2,
}  # fmt: skip
HEAL = {"server_error": 1.5, "rate_limited": 60, "refused": 60}  # seconds
LARGER = 500_000  # tokens: of the fallback that takes what is too long for the primary


def policy(alpha: Vendor, beta: Vendor, **more: Any) -> RouterPolicy:
    """`code` passes and `safe` holds, each with the other's primary as fallback; `alone` is fail-closed."""
    code: dict[str, Any] = {"primary": target("alpha"), "fallbacks": [target("beta", context_window=LARGER)]}
    safe: dict[str, Any] = {"primary": target("beta"), "fallbacks": [target("alpha")], "mode": "hold"}
    alone: dict[str, Any] = {"primary": target("alpha"), "fail_closed": True}
    named = {"code": code, "safe": safe, "alone": alone}
    return RouterPolicy.model_validate(
        {
            "providers": {"alpha": provider(alpha, "openai"), "beta": provider(beta, "anthropic")},
            "workloads": {name: {**workload, "deadlines": QUICK} for name, workload in named.items()},
            "breaker": HEAL,
            **more,
        }
    )


@contextmanager
def site(folder: Path, alpha: Vendor, beta: Vendor, broken: str = "", **more: Any) -> Iterator[Site]:
    """`broken`: a name of breakages.py."""
    asked = policy(alpha, beta, **more)
    (folder / "policy.json").write_text(asked.model_dump_json())
    (folder / "keys.json").write_text(json.dumps({"alpha": alpha.key, "beta": beta.key}))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    module = ["tests.node.drill.breakages", broken] if broken else ["appliance.node.router"]
    files = ["--policy", str(folder / "policy.json"), "--keys", str(folder / "keys.json")]
    listen = ["--listen", f"127.0.0.1:{port}", "--admin", str(folder / "admin.sock"), "--drain", "1"]
    with (folder / "router.log").open("w") as log:
        router = subprocess.Popen([sys.executable, "-m", *module, *files, *listen], stderr=log)
    try:
        admin = RouterAdmin(str(folder / "admin.sock"))
        until(lambda: _answers(admin), 20)
        doors = {Level.ROUTER: router_door(port)}
        yield Site(asked, admin, doors, "here", None, folder / "drill.lock", folder / "drill.json")
    finally:
        router.terminate()
        router.wait(20)


def drilled(at: Site, *faults: str, workloads: tuple[str, ...] = ()) -> Report:
    """All workloads and all faults, unless named; at the router's level."""
    wanted = Wanted(workloads, faults, (Level.ROUTER,))
    return asyncio.run(command.drill(at, wanted, lambda _: None))


def red(report: Report) -> dict[str, tuple[str, ...]]:
    """What is wrong, by row."""
    return {f"{r.workload} {r.fault} {r.kind}": r.wrong for r in report.rows if not r.ok}


def _answers(admin: RouterAdmin) -> bool:
    try:
        asyncio.run(admin.healthz())
    except NodeTrouble:
        return False
    return True
