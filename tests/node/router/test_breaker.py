"""A breaker opens, half-opens with one probe and closes; it is never stuck, whatever the order of things."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from appliance.contract.router_policy import BreakerTimes
from appliance.node.router.breaker import Breaker, Permit
from appliance.node.router.classify import Cause, Outcome

TIMES = BreakerTimes()


def opened(outcome: Outcome, times: BreakerTimes = TIMES) -> Breaker:
    breaker = Breaker(times)
    breaker.failed(breaker.start(0), outcome, 0)
    return breaker


@pytest.mark.parametrize(
    ("outcome", "seconds"),
    [
        (Outcome(Cause.SERVER_ERROR), TIMES.server_error),
        (Outcome(Cause.DROPPED), TIMES.server_error),
        (Outcome(Cause.RATE_LIMITED), TIMES.rate_limited),
        (Outcome(Cause.RATE_LIMITED, 429, 42), 42),
        (Outcome(Cause.SERVER_ERROR, 503, 3), 3),
        (Outcome(Cause.RATE_LIMITED, 429, 1e6), TIMES.longest),
        *[
            (Outcome(cause), TIMES.refused)
            for cause in (Cause.ACCESS_REFUSED, Cause.ACCOUNT, Cause.MODEL_UNKNOWN)
        ],
        (Outcome(Cause.ACCOUNT, 429, 5), TIMES.refused),
    ],
)
def test_each_cause_has_its_time(outcome: Outcome, seconds: float) -> None:
    breaker = opened(outcome)
    assert not breaker.admits(seconds - 0.1)
    assert breaker.admits(seconds)


@pytest.mark.parametrize("cause", [Cause.REQUEST, Cause.CONTEXT, Cause.NOT_CARRIED])
def test_the_clients_own_requests_open_nothing(cause: Cause) -> None:
    assert opened(Outcome(cause)).state(0) == "closed"


def test_one_silence_is_no_verdict_two_are() -> None:
    breaker = opened(Outcome(Cause.SILENT))
    assert breaker.state(0) == "closed"
    breaker.failed(breaker.start(1), Outcome(Cause.SILENT), 1)
    assert breaker.state(1) == "open"


def test_a_whole_answer_between_two_silences_forgives_the_first() -> None:
    breaker = opened(Outcome(Cause.SILENT))
    breaker.succeeded(breaker.start(1))
    breaker.failed(breaker.start(2), Outcome(Cause.SILENT), 2)
    assert breaker.state(2) == "closed"


def test_one_probe_is_out_at_a_time_and_its_silence_opens_again() -> None:
    breaker = opened(Outcome(Cause.SERVER_ERROR))
    probe = breaker.start(20)
    assert probe.probe
    assert not breaker.admits(21)
    breaker.failed(probe, Outcome(Cause.SILENT), 25)
    assert breaker.state(26) == "open"
    assert breaker.admits(40)


def test_a_probe_that_is_let_go_leaves_room_for_the_next() -> None:
    breaker = opened(Outcome(Cause.SERVER_ERROR))
    probe = breaker.start(20)
    breaker.let_go(probe)
    assert breaker.admits(20)


def test_an_answer_that_began_before_the_breaker_opened_proves_nothing() -> None:
    breaker = Breaker(TIMES)
    early = breaker.start(0)
    breaker.failed(breaker.start(1), Outcome(Cause.ACCESS_REFUSED), 2)
    breaker.succeeded(early)
    assert breaker.state(3) == "open"


CAUSES = st.sampled_from(list(Cause))


class AnyLife(RuleBasedStateMachine):
    """Attempts start and end as they like, some never; time goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(TIMES)
        self.now = 0.0
        self.running: list[Permit] = []

    @rule(seconds=st.floats(0, 400))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def one_starts(self) -> None:
        self.running.append(self.breaker.start(self.now))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), cause=CAUSES, retry=st.none() | st.floats(0, 1e6))
    def one_fails(self, data: st.DataObject, cause: Cause, retry: float | None) -> None:
        permit = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.breaker.failed(permit, Outcome(cause, None, retry), self.now)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), how=st.sampled_from(["succeeded", "let_go", "never heard of"]))
    def one_ends(self, data: st.DataObject, how: str) -> None:
        permit = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        if how != "never heard of":
            getattr(self.breaker, how)(permit)

    @invariant()
    def it_admits_again_in_bounded_time(self) -> None:
        bound = max(TIMES.longest, TIMES.refused) + self.breaker.lease
        assert self.breaker.admits(self.now + bound)

    @invariant()
    def only_one_probe_is_let_through(self) -> None:
        if self.breaker.state(self.now) == "half-open" and self.breaker.admits(self.now):
            permit = self.breaker.start(self.now)
            assert not self.breaker.admits(self.now)
            self.breaker.let_go(permit)


TestNeverStuck = AnyLife.TestCase
TestNeverStuck.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)
