"""When it is time for a backup, and for reading one back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from appliance.contract.backup import LastBackup
from appliance.node.backup.due import run_due, verify_due

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


def ago(**spans: float) -> datetime:
    return NOW - timedelta(**spans)


def good(at: datetime) -> LastBackup:
    return LastBackup(tried_at=at, at=at + timedelta(seconds=9), id="1")


def failed(at: datetime, before: datetime | None = None) -> LastBackup:
    return LastBackup(tried_at=at, error="the store is full", at=before)


@pytest.mark.parametrize(
    ("last", "due"),
    [
        (None, True),
        (good(ago(minutes=30)), False),
        (good(ago(minutes=56)), True),
        (good(ago(days=9)), True),
        (failed(ago(minutes=5), ago(hours=3)), False),
        (failed(ago(minutes=16), ago(hours=3)), True),
        (failed(ago(minutes=16), ago(minutes=40)), True),
        (failed(ago(minutes=5)), False),
        (LastBackup(tried_at=ago(minutes=20), at=ago(minutes=50)), True),
        (good(NOW + timedelta(days=400)), True),
    ],
    ids=[
        "the first",
        "not yet",
        "in time",
        "missed while the machine was off",
        "failed just now",
        "failed a while ago",
        "failed, and the one before is young",
        "never a good one",
        "it died",
        "the clock was wrong",
    ],
)
def test_a_run_is_due(last: LastBackup | None, due: bool) -> None:
    assert run_due(last, NOW, every_hours=1, given=None) is due


def test_new_keys_are_tried_at_once_where_the_old_ones_failed() -> None:
    assert run_due(failed(ago(minutes=5)), NOW, 1, given=ago(minutes=2))
    assert not run_due(good(ago(minutes=5)), NOW, 1, given=ago(minutes=2))


def test_a_day_is_a_day() -> None:
    assert not run_due(good(ago(hours=20)), NOW, 24, None)
    assert run_due(good(ago(hours=24)), NOW, 24, None)


@pytest.mark.parametrize(
    ("last", "due"),
    [
        (None, False),
        (failed(ago(minutes=5)), False),
        (good(ago(minutes=5)), True),
        (good(ago(minutes=5)).model_copy(update={"verified_at": ago(days=6)}), False),
        (good(ago(minutes=5)).model_copy(update={"verified_at": ago(days=7)}), True),
        (
            good(ago(minutes=5)).model_copy(
                update={
                    "verify_error": "damaged",
                    "verify_tried_at": ago(hours=3),
                    "verified_at": ago(days=9),
                }
            ),
            False,
        ),
        (
            good(ago(minutes=5)).model_copy(
                update={
                    "verify_error": "damaged",
                    "verify_tried_at": ago(hours=25),
                    "verified_at": ago(days=1),
                }
            ),
            True,
        ),
    ],
    ids=["nothing there", "none good", "never yet", "this week", "a week ago", "failed today", "failed"],
)
def test_reading_back_is_due(last: LastBackup | None, due: bool) -> None:
    assert verify_due(last, NOW) is due
