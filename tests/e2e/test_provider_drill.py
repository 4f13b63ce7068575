"""The drill on a real node: green on every row, red where it should be, unseen by users, gone with a desk."""

from __future__ import annotations

import json
import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from appliance.contract.drill import Expected, Kind, Level, Report
from appliance.contract.router_admin import SOCKET
from appliance.contract.trouble import ExitCode
from appliance.desk.remote import Shell
from tests.e2e.conftest import Node, node_shell, openai_client
from tests.e2e.test_first_node import QUESTION
from tests.e2e.test_push_under_load import Vendor

pytestmark = pytest.mark.lab

PAUSE = 0.5  # seconds between a user's questions
ROUTER = ["curl", "-sf", "--unix-socket", SOCKET, "http://router/healthz"]  # the port tells of no lanes


@dataclass
class User:
    """Asks a workload all the time; what it heard."""

    answers: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def asks(self, node: Node, workload: str, over: threading.Event) -> None:
        with openai_client(node.desk, node.address, workload) as client:
            while not over.wait(PAUSE):
                try:
                    answer = client.chat.completions.create(model="openclaw", messages=QUESTION)
                    self.answers.append(answer.choices[0].message.content or "")
                except Exception as error:  # whatever a user meets
                    self.failures.append(repr(error))


@contextmanager
def asking(node: Node, workload: str) -> Iterator[User]:
    user, over = User(), threading.Event()
    thread = threading.Thread(target=user.asks, args=(node, workload, over))
    thread.start()
    try:
        yield user
    finally:
        over.set()
        thread.join()


@dataclass(frozen=True)
class Drilled:
    """The whole drill, once, with a user who asked meanwhile."""

    code: int
    out: str
    err: str
    page: str
    user: User

    @property
    def report(self) -> Report:
        said = json.loads(self.out)
        assert said.pop("ok") is (self.code == 0)
        return Report.model_validate(said)

    @property
    def wrong(self) -> list[str]:
        return [
            f"{row.workload} {row.fault} {row.level} {row.kind}: {'; '.join(row.wrong)}"
            for row in self.report.rows
            if not row.ok
        ]


@pytest.fixture(scope="module")
def drilled(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Drilled:
    page = tmp_path_factory.mktemp("drill") / "report.html"
    with asking(node, "code") as user:
        done = node.desk.tries("drill", "providers", "--json", "--report", str(page))
    return Drilled(done.code, done.out, done.err, page.read_text(), user)


def test_every_row_is_green(drilled: Drilled) -> None:
    assert drilled.wrong == []
    assert drilled.report.aftermath.ok, drilled.report.aftermath.detail
    assert drilled.report.canaries.ok
    assert drilled.code == 0


def test_every_fault_is_drilled_for_every_workload_at_both_levels_in_both_kinds(
    node: Node, drilled: Drilled
) -> None:
    faults = {
        fault["name"] for fault in node.desk.does("drill", "providers", "--list", "--json").json["faults"]
    }
    rows = drilled.report.rows
    assert len(faults) >= 30
    for workload in node.config()["workloads"]:
        mine = [row for row in rows if row.workload == workload]
        assert {row.fault for row in mine} == faults
        assert {(row.level, row.kind) for row in mine} == {(level, kind) for level in Level for kind in Kind}


def test_rows_are_told_from_evidence(drilled: Drilled) -> None:
    """Somebody answered, and who answered was asked, as the fault proxy saw it."""
    for row in drilled.report.rows:
        first = row.asks[0]
        assert row.fault_began <= first.began
        if row.expected is not Expected.ERROR:
            assert first.answered_by in {call.provider for call in first.calls}


def test_users_never_meet_it(node: Node, drilled: Drilled) -> None:
    assert drilled.user.failures == []
    assert len(drilled.user.answers) > 20
    primary = node.primary_of("code")
    assert [answer for answer in drilled.user.answers if primary not in answer] == []


def test_the_page_has_every_row_and_no_secret(node: Node, drilled: Drilled) -> None:
    assert drilled.page.count('<svg class="timeline"') == len(drilled.report.rows)
    assert "Green: every fault had its right outcome" in drilled.page
    shown = drilled.page + drilled.out + drilled.err
    assert [path for path in node.desk.secret_files() if path.read_text().strip() in shown] == []


def test_status_tells_of_it(node: Node, drilled: Drilled) -> None:
    assert "last drill" in node.desk.tries("status").out


@pytest.fixture
def beta(node: Node) -> Iterator[Vendor]:
    """The vendor of code's fallback; afterwards it takes its key again."""
    provider = node.config()["providers"]["beta"]
    vendor = Vendor(str(provider["base_url"]).removesuffix("/v1"))
    yield vendor
    vendor.takes((node.desk.folder / str(provider["key"]).removeprefix("file:")).read_text().strip())
    node.desk.does("canary")


def test_a_revoked_fallback_key_is_red_and_named_before_it_is_needed(
    node: Node, beta: Vendor, tmp_path: Path
) -> None:
    beta.takes(secrets.token_urlsafe(24))
    page = tmp_path / "report.html"
    words = ("--workload", "code", "--fault", "503", "--level", "router", "--report", str(page))
    done = node.desk.tries("drill", "providers", *words)
    assert done.code == ExitCode.UNVERIFIED
    end = done.out[done.out.index("RED: ") :]
    assert "beta/beta-large: its key is refused (asked directly: " in end
    assert "runbooks/rotate-keys.md" in end
    assert "its key is refused" in page.read_text()


def lanes(shell: Shell) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shell.check(ROUTER))["lanes"]
    return found


def test_a_killed_desk_leaves_no_lane_and_the_next_drill_works(node: Node) -> None:
    words = ("drill", "providers", "--workload", "code", "--fault")
    with node_shell(node) as shell:
        desk = node.desk.popen(*words, "hang", "--json")
        try:
            _until(lambda: lanes(shell), 60)
        finally:
            os.killpg(desk.pid, signal.SIGKILL)
            desk.communicate(timeout=30)
        _until(lambda: not lanes(shell), 60)
        _until(lambda: shell.run(["pgrep", "-f", "appliance-node drill"]).code == 1, 60)
    node.desk.does(*words, "503")


def _until(true: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.2)


def test_two_drills_at_once_are_refused_in_words(node: Node) -> None:
    words = ("drill", "providers", "--workload", "code", "--fault")
    with node_shell(node) as shell:
        first = node.desk.popen(*words, "hang", "--json")
        try:
            _until(lambda: lanes(shell), 60)
            second = node.desk.tries(*words, "503")
            assert second.code == ExitCode.LOCKED
            assert "Another drill is at work" in second.err
        finally:
            os.killpg(first.pid, signal.SIGINT)
            out, _ = first.communicate(timeout=60)
        assert first.returncode == ExitCode.INTERRUPTED
        assert json.loads(out)["error"]["kind"] == "interrupted"
        _until(lambda: not lanes(shell), 30)


def test_an_unknown_fault_is_the_command_line_s_mistake(node: Node) -> None:
    done = node.desk.tries("drill", "providers", "--fault", "gremlins")
    assert done.code == ExitCode.USAGE
    assert "There is no fault gremlins" in done.err
