"""Two desks at once, and desks that died, at the lab's API."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from appliance.contract.trouble import CloudTrouble, LockedTrouble
from appliance.desk.lock import hold
from appliance.desk.model import Role
from tests.desk.at_lab import cloud_at
from tests.desk.saying import Saying
from tests.lab.served import LabApi

LOCK = "appliance-office-lock"


@contextmanager
def another_desk(api: LabApi) -> Iterator[subprocess.Popen[str]]:
    """Another process on this machine that holds the lock until it is ended."""
    code = (
        "import sys\n"
        "from appliance.desk.cloud import Cloud\n"
        "from appliance.desk.lock import hold\n"
        "from tests.desk.saying import Saying\n"
        "endpoint, token = sys.stdin.readline().split()\n"
        "with hold(Cloud(endpoint, token, 'office'), 'office', Saying()):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(f"{api.endpoint} {api.token}\n")
        child.stdin.flush()
        assert child.stdout.readline() == "held\n"
        try:
            yield child
        finally:
            child.kill()


def locks(api: LabApi) -> list[str]:
    return [
        held.name for held in cloud_at(api).observe().held if held.labels.get("appliance-role") == Role.LOCK
    ]


def test_it_is_there_while_held_and_gone_after(lab_api: LabApi) -> None:
    with hold(cloud_at(lab_api), "office", Saying()):
        assert locks(lab_api) == [LOCK]
    assert locks(lab_api) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_it_is_let_go_however_the_work_ends(lab_api: LabApi, error: type[BaseException]) -> None:
    with pytest.raises(error), hold(cloud_at(lab_api), "office", Saying()):
        raise error
    assert locks(lab_api) == []


def test_the_second_desk_is_told_who_holds_it_and_since_when(lab_api: LabApi) -> None:
    with another_desk(lab_api) as desk:
        with pytest.raises(LockedTrouble) as caught, hold(cloud_at(lab_api), "office", Saying()):
            pytest.fail("two desks hold the lock")
        assert f"process {desk.pid}, since 20" in caught.value.why
        assert "--break-lock" in caught.value.fix
        assert locks(lab_api) == [LOCK]


def test_appliances_do_not_lock_one_another(lab_api: LabApi) -> None:
    with hold(cloud_at(lab_api), "office", Saying()), hold(cloud_at(lab_api, "garage"), "garage", Saying()):
        assert locks(lab_api) == [LOCK]


def test_the_lock_of_a_killed_desk_is_taken_over_with_a_note(lab_api: LabApi) -> None:
    with another_desk(lab_api) as desk:
        desk.kill()
        desk.wait()
    said = Saying()
    with hold(cloud_at(lab_api), "office", said):
        assert locks(lab_api) == [LOCK]
    assert "that process is dead" in said.notes[0]
    assert locks(lab_api) == []


def test_a_lock_can_be_broken_knowingly(lab_api: LabApi) -> None:
    with another_desk(lab_api):
        said = Saying()
        with hold(cloud_at(lab_api), "office", said, break_lock=True):
            assert "Breaking the lock of" in said.warnings[0]


def test_a_desk_whose_lock_was_broken_does_not_let_go_of_the_new_one(lab_api: LabApi) -> None:
    with ExitStack() as second:
        with hold(cloud_at(lab_api), "office", Saying()):
            second.enter_context(hold(cloud_at(lab_api), "office", Saying(), break_lock=True))
        assert locks(lab_api) == [LOCK]


def test_a_lock_whose_answer_got_lost_is_ours(lab_api: LabApi) -> None:
    lab_api.fault({"kind": "lose_answer"}, method="POST", path="/placement_groups")
    with hold(cloud_at(lab_api), "office", Saying()):
        assert locks(lab_api) == [LOCK]
    assert locks(lab_api) == []


def test_a_group_of_that_name_that_is_no_lock_is_not_touched(lab_api: LabApi) -> None:
    cloud_at(lab_api, "garage").ensure_placement_group(LOCK)
    with (
        pytest.raises(CloudTrouble, match="no lock of this appliance"),
        hold(cloud_at(lab_api), "office", Saying(), break_lock=True),
    ):
        pytest.fail("it was taken")
    assert len(cloud_at(lab_api, "garage").observe().held) == 1


def test_a_lock_that_cannot_be_let_go_is_said_and_does_not_hide_the_work_s_result(lab_api: LabApi) -> None:
    said = Saying()
    with hold(cloud_at(lab_api, patience=0.1), "office", said):
        lab_api.fault({"kind": "answer", "status": 503, "code": "unavailable"}, method="DELETE", times=None)
    assert "could not be let go" in said.warnings[0]
