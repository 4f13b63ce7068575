"""New config counts as applied only when the gateway says so of the very file that was written."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.node.gateway_live import applied

OLD = {"hash": "1", "configRevisionHash": "a", "appliedConfigHash": "a"}


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        ({"hash": "2", "configRevisionHash": "b", "appliedConfigHash": "b"}, True),
        ({"hash": "2", "configRevisionHash": "a", "appliedConfigHash": "a"}, True),  # other words, same sense
        ({"hash": "2", "configRevisionHash": "b", "appliedConfigHash": "a"}, False),  # read, not applied
        (OLD, False),  # kept from before the gateway saw the file
        ({"hash": "2", "configRevisionHash": None, "appliedConfigHash": "a"}, False),  # not valid
        ({"hash": "2", "configRevisionHash": None, "appliedConfigHash": None}, False),
        ({}, False),
    ],
)
def test_a_written_config_is_applied_when_both_revisions_are_the_new_one(
    now: dict[str, Any], verdict: bool
) -> None:
    assert applied(OLD, now, changed=True) is verdict


def test_a_config_that_was_there_already_needs_no_new_revision() -> None:
    assert applied(OLD, OLD, changed=False)
