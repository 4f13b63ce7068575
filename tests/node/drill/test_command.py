"""A drill lives as long as somebody listens, alone, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from appliance.contract.drill import Level, Report, Row, Summary
from appliance.contract.trouble import ExitCode
from appliance.node.drill.command import Site
from appliance.node.drill.lanes import LEASE
from tests.lab.serving import until
from tests.node.drill.site import site
from tests.node.router.house import Vendor

LONG = ("hang", "503")  # healing takes seconds


@pytest.fixture
def here(tmp_path: Path, alpha: Vendor, beta: Vendor) -> Iterator[Site]:
    with site(tmp_path, alpha, beta) as at:
        yield at


@contextmanager
def running(at: Site, *faults: str) -> Iterator[subprocess.Popen[bytes]]:
    folder, port = at.lock.parent, at.doors[Level.ROUTER].url.rpartition(":")[2]
    argv = [sys.executable, "-m", "tests.node.drill.attended", str(folder), port, *faults]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen(argv, **pipes)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def lanes(at: Site) -> dict[str, Any]:
    found: dict[str, Any] = asyncio.run(at.admin.healthz())["lanes"]
    return found


def test_it_says_what_it_does_and_keeps_a_summary(here: Site) -> None:
    with running(here, "503", "client-error") as process:
        out, err = read(process)
    events = [json.loads(line) for line in out.splitlines()]
    kinds = [event.pop("event") for event in events]
    assert kinds[0] == "plan"
    assert kinds[-1] == "report", err
    rows = [Row.model_validate(e) for e, kind in zip(events, kinds, strict=True) if kind == "row"]
    assert len(rows) == events[0]["rows"] == 12
    report = Report.model_validate(events[-1])
    assert {row.fault for row in report.rows} == {"503", "client-error"}
    assert Summary.model_validate_json(here.summary.read_bytes()) == report.summary()
    assert process.returncode == (ExitCode.OK if report.ok else ExitCode.UNVERIFIED)
    assert lanes(here) == {}


def read(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """To its end, with its stdin open."""
    assert process.stdout
    assert process.stderr
    out = process.stdout.read()
    err = process.stderr.read()
    process.wait(20)
    return out, err


@pytest.mark.parametrize("gone", ["stdin", "stdout"])
def test_a_drill_without_a_listener_ends_and_closes_its_lanes(here: Site, gone: str) -> None:
    with running(here, *LONG) as process:
        until(lambda: lanes(here), 20)
        pipe = getattr(process, gone)
        pipe.close()
        setattr(process, gone, None)
        assert process.wait(30) == ExitCode.INTERRUPTED
    assert lanes(here) == {}
    assert not here.summary.exists()


def test_what_a_killed_drill_leaves_is_a_lease_that_no_user_meets(
    here: Site, alpha: Vendor, beta: Vendor
) -> None:
    with running(here, *LONG) as process:
        until(lambda: lanes(here), 20)
        process.kill()
        process.wait(10)
    left = lanes(here)
    assert all(0 < lane["seconds"] <= 3 * LEASE for lane in left.values())
    body = {"model": "code", "messages": [{"role": "user", "content": "which way is up"}]}
    url = here.doors[Level.ROUTER].url
    answer = requests.post(f"{url}/v1/chat/completions", json=body, timeout=10)
    assert answer.headers["x-appliance-provider"] == "alpha"
    assert answer.headers["x-appliance-failover"] == "none"


def test_there_is_one_drill_at_a_time(here: Site) -> None:
    with running(here, *LONG) as first:
        until(lambda: lanes(here), 20)
        with running(here, *LONG) as second:
            _, err = read(second)
            assert second.returncode == ExitCode.LOCKED
            assert b"Another drill" in err
        assert first.poll() is None


def test_a_router_that_is_not_there_is_told_in_words(here: Site) -> None:
    at = Site(here.policy, here.admin, here.doors, "here", None, here.lock.parent / "none" / "lock")
    (here.lock.parent / "none").mkdir()
    (here.lock.parent / "none" / "policy.json").write_text(here.policy.model_dump_json())
    with running(at, "503") as process:
        out, err = read(process)
    assert process.returncode == ExitCode.NODE
    assert out == b""
    assert b"The router is not ready to be drilled." in err


def test_a_name_that_is_none_is_told_in_words(here: Site) -> None:
    with running(here, "nope") as process:
        out, err = read(process)
    assert process.returncode == ExitCode.USAGE
    assert out == b""
    assert b"There is no fault nope." in err
