"""Whether it is time, by the memory of the last. Pure. Runs that were missed are caught up with that way."""

from __future__ import annotations

from datetime import datetime, timedelta

from appliance.contract.backup import LastBackup

AGAIN = timedelta(minutes=15)  # after a failure
EARLY = timedelta(minutes=5)  # half of the timer's step: so none comes a whole step late
WEEK = timedelta(days=7)
VERIFY_AGAIN = timedelta(days=1)


def run_due(last: LastBackup | None, now: datetime, every_hours: int, given: datetime | None) -> bool:
    """`given`: when the bundle came in force, if since boot: new keys or another store are tried at once."""
    if last is None or last.tried_at > now:
        return True
    since = now - last.tried_at
    if last.at is None or last.error or last.without_end:
        return since >= AGAIN or (given is not None and given > last.tried_at)
    return now - last.at >= timedelta(hours=every_hours) - EARLY


def verify_due(last: LastBackup | None, now: datetime) -> bool:
    """A week after the last good one; the first as soon as there is a backup."""
    if last is None or last.at is None:
        return False
    if last.verify_error and last.verify_tried_at:
        return now - last.verify_tried_at >= VERIFY_AGAIN
    return last.verified_at is None or now - last.verified_at >= WEEK
