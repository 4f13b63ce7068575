"""Who follows a job hears all its lines, whole ones, whenever they come."""

from __future__ import annotations

import subprocess
from pathlib import Path

from appliance.node.backup.follow import Job, _lines


def test_lines_that_come_in_pieces_are_heard_whole_and_once(tmp_path: Path) -> None:
    said = tmp_path / "said"
    script = f'sleep .3; printf "one\\ntw" > {said}; sleep .5; printf "o\\nthree\\nfo" >> {said}'
    with subprocess.Popen(["sh", "-c", script]) as job:
        assert list(_lines(said, job)) == ["one", "two", "three"]


def test_a_job_that_says_nothing_ends_all_the_same(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as job:
        assert list(_lines(tmp_path / "never", job)) == []


def test_what_a_person_wants_is_taken_once(tmp_path: Path) -> None:
    job = Job("x.service", tmp_path / "said", tmp_path / "wanted")
    assert job.taken() is None
    job.want("")
    assert job.taken() == ""
    assert job.taken() is None
