"""Each of the router's ten behaviours turned off, one at a time: the drill is red, where one would look."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.node.drill.breakages import BREAKAGES
from tests.node.drill.site import drilled, red, site
from tests.node.router.house import Vendor

pytestmark = pytest.mark.usefixtures("busy")


@dataclass(frozen=True)
class Off:
    point: int  # of the ten
    breakage: str
    row: str  # workload, fault, kind
    words: str

    def __str__(self) -> str:
        return f"{self.point}-{self.breakage}-{self.row.split()[1]}"


ALL = [
    Off(1, "role_is_content", "code stall-after-role stream", "ended as error"),
    Off(1, "role_is_content", "code cut-before-content stream", "ended as error"),
    Off(2, "bytes_put_off_the_hedge", "code comments-only stream", "ended as error"),
    Off(2, "bytes_put_off_the_hedge", "code trickled-body whole", "ended as"),
    Off(2, "bytes_are_signs_of_life", "code comments-after-token stream", "ended as silent"),
    Off(3, "the_hedge_kills", "code slower stream", "not the primary"),
    Off(3, "silence_is_waited_for", "code hang stream", "ended as error"),
    Off(4, "a_break_is_a_silent_end", "code cut-after-content stream", "ended as partial"),
    Off(4, "nothing_is_held", "safe cut-after-content stream", "ended as broken"),
    Off(5, "an_end_is_an_end", "code empty stream", "ended as empty"),
    Off(5, "whole_answers_are_passed_on", "code html whole", "ended as error"),
    Off(6, "too_long_is_the_clients_own", "code context-length stream", "ended as error"),
    Off(6, "the_clients_own_is_tried_elsewhere", "code client-error whole", "ended as answer"),
    Off(7, "no_breaker_opens", "code 503 stream", "behind its open breaker"),
    Off(7, "no_breaker_closes", "code 503 stream", "does not answer again"),
    Off(7, "retry_after_is_not_heard", "code 429-retry-after stream", "does not answer again"),
    Off(8, "a_cooldown_masks_the_cause", "alone 500 stream", "does not name who failed"),
    Off(9, "the_model_is_the_clients", "code 500 stream", "not for beta-large"),
    Off(9, "all_get_one_key", "code 500 stream", "even without a fault"),
    Off(10, "nobody_says_who_answered", "code 500 stream", "the header says nothing"),
    Off(10, "losers_go_on", "code hang stream", "was never ended"),
    Off(10, "there_is_no_deadline", "alone hang stream", "ended as silent"),
]


@pytest.mark.parametrize("off", ALL, ids=str)
def test_what_is_turned_off_is_seen(tmp_path: Path, alpha: Vendor, beta: Vendor, off: Off) -> None:
    workload, fault, _ = off.row.split()
    with site(tmp_path, alpha, beta, off.breakage) as at:
        report = drilled(at, fault, workloads=(workload,))
    assert not report.ok
    assert off.words in " ".join(red(report)[off.row])


def test_each_of_the_ten_behaviours_is_turned_off() -> None:
    assert {off.point for off in ALL} == set(range(1, 11))
    assert {off.breakage for off in ALL} == set(BREAKAGES)
