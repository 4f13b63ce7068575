"""The router as the node runs it: a process, its files, its signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from appliance.contract.trouble import NodeTrouble
from appliance.node.router_admin import RouterAdmin
from tests.lab.serving import until
from tests.node.router.house import Routed, Vendor, target, two

RSS_MB = 60


def files(folder: Path, alpha: Vendor, beta: Vendor) -> tuple[Path, Path]:
    policy, keys = folder / "router.json", folder / "provider-keys.json"
    policy.write_text(two(alpha, beta).model_dump_json())
    keys.write_text(json.dumps({"alpha": alpha.key, "beta": beta.key}))
    return policy, keys


@contextmanager
def process(policy: Path, credentials: Path, log: Path) -> Iterator[tuple[Routed, subprocess.Popen[bytes]]]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    words = ["-m", "appliance.node.router", "--policy", str(policy), "--listen", f"127.0.0.1:{port}"]
    admin = RouterAdmin(str(credentials / "admin.sock"))
    words += ["--admin", admin.socket]
    environment = os.environ | {"CREDENTIALS_DIRECTORY": str(credentials)}
    with log.open("wb") as out:
        running = subprocess.Popen([sys.executable, *words], env=environment, stdout=out, stderr=out)
    routed = Routed(f"http://127.0.0.1:{port}", None, None, admin)  # type: ignore[arg-type]
    try:
        until(lambda: "listening" in log.read_text())
        yield routed, running
    finally:
        running.terminate()
        assert running.wait(20) == 0, log.read_text()


def test_the_service_answers_reloads_by_signal_and_shows_no_key(
    tmp_path: Path, alpha: Vendor, beta: Vendor
) -> None:
    policy, keys = files(tmp_path, alpha, beta)
    log = tmp_path / "log"
    with process(policy, tmp_path, log) as (router, running):
        assert router.ask().is_whole_from("alpha")
        changed = json.loads(policy.read_text())
        changed["workloads"]["new"] = {"primary": target("beta"), "fail_closed": True}
        policy.write_text(json.dumps(changed))
        running.send_signal(signal.SIGHUP)
        until(lambda: "reloaded" in log.read_text())
        assert router.ask("new").is_whole_from("beta")
        policy.write_text("{")
        running.send_signal(signal.SIGHUP)
        until(lambda: "not reloaded" in log.read_text())
        with pytest.raises(NodeTrouble, match="refuses /reload") as told:
            router.reload()
        assert "no policy" in told.value.why
        assert router.ask("new").is_whole_from("beta"), "the old policy stays"
        keys.write_text(json.dumps({"alpha": ["not", "a", alpha.key]}))
        running.send_signal(signal.SIGHUP)
        until(lambda: log.read_text().count("not reloaded") == 3)
        alpha.order("status", status=401)
        assert router.ask().is_whole_from("beta")
        assert psutil.Process(running.pid).memory_info().rss < RSS_MB * 1024 * 1024
    assert alpha.key not in log.read_text()
    assert beta.key not in log.read_text()


def test_it_ends_when_the_answers_in_flight_are_out(tmp_path: Path, alpha: Vendor, beta: Vendor) -> None:
    policy, _ = files(tmp_path, alpha, beta)
    with process(policy, tmp_path, tmp_path / "log") as (router, running):
        alpha.order("slow", seconds=0.01, pace=0.2)
        body = {"model": "code", "messages": [{"role": "user", "content": "a b"}], "stream": True}
        with requests.post(f"{router.url}/v1/chat/completions", json=body, stream=True, timeout=10) as got:
            running.terminate()
            assert got.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("listen", ["0.0.0.0:8791", "192.0.2.1:8791", "localhost", ":1"])
def test_it_listens_on_loopback_only(tmp_path: Path, alpha: Vendor, beta: Vendor, listen: str) -> None:
    policy, keys = files(tmp_path, alpha, beta)
    words = ["-m", "appliance.node.router", "--policy", str(policy), "--keys", str(keys), "--listen", listen]
    done = subprocess.run([sys.executable, *words], capture_output=True, timeout=20, check=False)
    assert done.returncode == 4
    assert b"Traceback" not in done.stderr
