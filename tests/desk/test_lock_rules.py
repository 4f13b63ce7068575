from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.desk.processes import NO_CONTAINER, Process, known_dead, label_value

HERE = Process("desk", 100, "5000", "boot-a.1")


def test_a_process_that_runs_is_not_dead() -> None:
    assert not known_dead(HERE, HERE, lambda pid: "5000")


def test_a_pid_that_runs_nothing_or_something_younger_is_dead() -> None:
    assert known_dead(HERE, HERE, lambda pid: None)
    assert known_dead(HERE, HERE, lambda pid: "9999")


def test_of_another_boot_or_container_nothing_is_known() -> None:
    for boot in ("boot-b.1", "boot-a.2", ""):
        assert not known_dead(Process("desk", 100, "5000", boot), HERE, lambda pid: None)


def test_a_process_from_before_this_machine_was_booted_is_dead() -> None:
    before = Process("desk", 100, "5000", f"boot-a{NO_CONTAINER}", "m1")
    now = Process("desk", 7, "9", f"boot-b{NO_CONTAINER}", "m1")
    assert known_dead(before, now, lambda pid: "5000")


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (("desk", NO_CONTAINER, "m1"), ("desk", NO_CONTAINER, "m2")),
        (("desk", NO_CONTAINER, ""), ("desk", NO_CONTAINER, "")),
        (("desk", NO_CONTAINER, "m1"), ("other", NO_CONTAINER, "m1")),
        (("desk", ".4026532000", "m1"), ("desk", NO_CONTAINER, "m1")),
        (("desk", NO_CONTAINER, "m1"), ("desk", ".4026532000", "m1")),
    ],
)
def test_another_machine_clone_or_container_may_be_alive(
    before: tuple[str, str, str], now: tuple[str, str, str]
) -> None:
    def process(boot: str, facts: tuple[str, str, str]) -> Process:
        host, namespace, machine = facts
        return Process(host, 100, "5000", boot + namespace, machine)

    assert not known_dead(process("boot-a", before), process("boot-b", now), lambda pid: None)


def test_a_lock_without_a_pid_is_not_known_to_be_dead() -> None:
    assert not known_dead(Process.of({}), HERE, lambda pid: None)


def test_a_process_comes_back_whole_from_its_labels() -> None:
    this = Process.this()
    assert Process.of(this.labels()) == this
    assert this.pid == os.getpid()


def test_a_killed_process_is_seen_to_be_dead_and_a_live_one_is_not() -> None:
    code = "from appliance.desk.processes import Process"
    code += "; print(*Process.this().labels().values(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        holder, pid, started, boot, *_ = child.stdout.readline().split()
        other = Process(holder, int(pid), started, boot)
        assert not known_dead(other, Process.this())
        child.kill()
        child.wait()
        assert known_dead(other, Process.this())


@given(st.text())
def test_any_host_name_becomes_a_valid_label_value(text: str) -> None:
    assert re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?", label_value(text))
