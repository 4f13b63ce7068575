from __future__ import annotations

import os
import re
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from appliance.desk.lock import Process, known_dead, label_value

HERE = Process("desk", 100, "5000", "boot-a.1")


def test_a_process_that_runs_is_not_dead() -> None:
    assert not known_dead(HERE, HERE, lambda pid: "5000")


def test_a_pid_that_runs_nothing_or_something_younger_is_dead() -> None:
    assert known_dead(HERE, HERE, lambda pid: None)
    assert known_dead(HERE, HERE, lambda pid: "9999")


def test_of_another_boot_or_container_nothing_is_known() -> None:
    for boot in ("boot-b.1", "boot-a.2", ""):
        assert not known_dead(Process("desk", 100, "5000", boot), HERE, lambda pid: None)


def test_a_lock_without_a_pid_is_not_known_to_be_dead() -> None:
    assert not known_dead(Process.of({}), HERE, lambda pid: None)


def test_a_process_comes_back_whole_from_its_labels() -> None:
    this = Process.this()
    assert Process.of(this.labels()) == this
    assert this.pid == os.getpid()


def test_a_killed_process_is_seen_to_be_dead_and_a_live_one_is_not() -> None:
    code = "from appliance.desk.lock import Process"
    code += "; print(*Process.this().labels().values(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        holder, pid, started, boot = child.stdout.readline().split()
        other = Process(holder, int(pid), started, boot)
        assert not known_dead(other, Process.this())
        child.kill()
        child.wait()
        assert known_dead(other, Process.this())


@given(st.text())
def test_any_host_name_becomes_a_valid_label_value(text: str) -> None:
    assert re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?", label_value(text))
