"""What `appliance status` prints: each fact once, and nothing amiss left out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from appliance.cli.output import duration
from appliance.cli.status import text
from appliance.contract.backup import LastBackup
from appliance.contract.drill import Canaries, Canary, Summary
from appliance.contract.health import Check
from appliance.contract.node_report import Breaker
from appliance.desk.model import Server
from appliance.desk.status import NodeStatus, Status, describe

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SERVER = Server(
    7, "office-1", "running", "cx33", "fsn1", 42, "198.18.1.7", "10.60.1.2", None, None, (), {}, NOW
)
NODE = replace(describe(SERVER, None, None, None), gateway="ready", router="ready", uptime_seconds=93_784.0)

BACKUP = LastBackup(
    tried_at=NOW - timedelta(minutes=40),
    at=NOW - timedelta(minutes=39),
    bytes=2_831_695,
    added=74_709,
    verified_at=NOW - timedelta(days=3),
)
DRILL = Summary(at=NOW - timedelta(days=3), ok=False, rows=62, red=2, seconds=90)


def rows(of: NodeStatus) -> list[str]:
    return [" ".join(line.split()) for line in text(Status("office", (of,), 42), NOW).splitlines()]


REFUSED = "refused this node access"
MENDED = "Once it is mended: `appliance canary`"
BACKED_UP = "Once it is mended: `appliance backup now`"
CLOSED = Breaker(provider="beta", model="small", state="closed", cause=None, seconds_left=0)
OPEN = Breaker(provider="alpha", model="large", state="open", cause="server-error", seconds_left=12)


def canaries(ok: bool) -> Canaries:
    detail = "answered" if ok else REFUSED
    one = Canary(
        provider="beta", model="small", ok=ok, detail=detail, seconds=0.1, workloads=("code", "batch")
    )
    return Canaries(at=NOW - timedelta(hours=2), canaries=(one,))


def test_it_says_how_long_a_node_is_up() -> None:
    assert "up for 1d 02h" in rows(NODE)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trouble": "it does not answer\n  why: timed out"}, "not well: it does not answer"),
        ({"gateway": "failed"}, "not well: its gateway is failed"),
        ({"router": "failed"}, "not well: its router is failed"),
        ({"last_drill": DRILL}, "well, but for last drill"),
        ({"bundle": "a", "bundle_wanted": "b"}, "push`"),
        ({"checks": (Check(name="disk", ok=False, detail="97 % used"),)}, "not well: disk: 97 % used"),
    ],
)
def test_the_first_line_says_why_a_node_is_not_well(changes: dict[str, Any], said: str) -> None:
    assert said in rows(replace(NODE, **changes))[0]


@pytest.mark.parametrize("well", [True, False])
def test_a_check_repeats_no_row_unless_it_has_something_to_say(well: bool) -> None:
    names = ("gateway", "router", "canary", "disk", "memory", "workload:code")
    checks = tuple(Check(name=name, ok=well, detail="27 % used") for name in names)
    said = rows(replace(NODE, checks=checks))
    first = [row.split()[0] for row in said[1:]]
    assert first.count("workload:code") == 1
    assert first.count("disk") == (1 if well else 2)
    assert ("disk NOT OK: 27 % used" in said) is not well


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "canary none yet: the node asks its providers within minutes, `appliance canary` at once"),
        ({"canaries": canaries(True)}, "canary 2h 00m ago, all 1 answered"),
        (
            {"canaries": canaries(False)},
            f"canary 2h 00m ago, NOT OK: beta/small (code, batch) {REFUSED}. {MENDED}",
        ),
        ({}, "last drill none: `appliance drill providers`"),
        (
            {"last_drill": DRILL},
            "last drill 3d 00h ago, RED, 2 of 62 rows: `appliance drill providers` shows why",
        ),
        (
            {"last_drill": DRILL.model_copy(update={"ok": True, "red": 0})},
            "last drill 3d 00h ago, green, 62 rows",
        ),
        ({}, "last backup none, and none is ordered: `backup` in appliance.yaml, then `appliance push`"),
        (
            {"backup_every_hours": 1},
            "last backup none yet: the node makes one within minutes, `appliance backup now` at once",
        ),
        (
            {"backup_every_hours": 1, "last_backup": BACKUP},
            "last backup 39m 00s ago, 2.8 MB, 0.1 MB of it new; verified 3d 00h ago",
        ),
        (
            {
                "backup_every_hours": 1,
                "last_backup": BACKUP.model_copy(update={"error": "the store is full"}),
            },
            "last backup NOT OK: the last try failed, the last backup is 39 minutes old: the store is full. "
            + BACKED_UP,
        ),
        (
            {"backup_every_hours": 1, "last_backup": LastBackup(tried_at=NOW, error="the store is full")},
            f"last backup NOT OK: there is no backup: the store is full. {BACKED_UP}",
        ),
        ({"breakers": (CLOSED,)}, "router ready"),
        (
            {"breakers": (CLOSED, OPEN)},
            "router ready; asked last: alpha/large for 12.0s (server error)",
        ),
    ],
)
def test_what_stands_between_a_workload_and_an_answer_is_told_with_what_to_do(
    changes: dict[str, Any], said: str
) -> None:
    assert said in rows(replace(NODE, **changes))


def test_durations_are_read_at_a_glance() -> None:
    seconds = (0.04, 59.94, 60, 3599, 3600, 86_399, 86_400, 4_000_000)
    said = ["0.0s", "59.9s", "1m 00s", "59m 59s", "1h 00m", "23h 59m", "1d 00h", "46d 07h"]
    assert [duration(s) for s in seconds] == said


def test_of_a_node_that_is_off_the_bundle_is_unknown_and_not_another() -> None:
    off = describe(SERVER, None, "a" * 64, "the server is off")
    assert not off.bundle_differs
    assert "bundle unknown" in rows(off)
