"""Who runs when, by a clock that the test holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.node.router.classify import Cause, Outcome
from appliance.node.router.race import Cancel, Race, Start

BAD = Outcome(Cause.SERVER_ERROR, 500)
WRONG = Outcome(Cause.REQUEST, 400)
LONG = Outcome(Cause.CONTEXT, 400)


def race(*windows: int) -> Race:
    begun = Race(windows or (100, 100), hedge=5)
    assert begun.begin(0) == [Start(0)]
    return begun


def test_a_failure_starts_the_next_at_once_and_the_last_ends_it() -> None:
    running = race()
    assert running.failed(0, BAD, 0.1) == [Start(1)]
    assert not running.over
    assert running.failed(1, BAD, 0.2) == []
    assert running.over


def test_silence_starts_the_next_beside_it_when_the_time_is_there_not_before() -> None:
    running = race(1, 1, 1)
    assert running.wake == 5
    assert running.tick(4.9) == []
    assert running.tick(5) == [Start(1)]
    assert running.running == [0, 1]
    assert running.wake == 10
    assert running.tick(10) == [Start(2)]
    assert running.wake is None


def test_content_ends_hedging_and_the_others() -> None:
    running = race()
    running.tick(5)
    assert running.content(0, 6) == [Cancel(1)], "a hedge that loses was not silent"
    assert running.wake is None
    assert running.tick(99) == []


def test_who_was_overtaken_by_a_later_one_was_silent() -> None:
    running = race()
    running.tick(5)
    assert running.content(1, 6) == [Cancel(0, silent=True)]


def test_a_hedge_of_more_than_its_time_that_loses_was_not_silent() -> None:
    running = race()
    running.tick(5)
    assert running.content(0, 50) == [Cancel(1)]


def test_when_the_leader_breaks_the_cancelled_one_is_asked_again() -> None:
    running = race()
    running.tick(5)
    running.content(0, 6)
    assert running.failed(0, BAD, 7) == [Start(1)]
    assert running.content(1, 8) == []
    assert running.leader == 1


def test_a_failed_primary_leaves_its_hedge_running() -> None:
    running = race(1, 1, 1)
    running.tick(5)
    assert running.failed(0, BAD, 6) == []
    assert running.running == [1]
    assert running.tick(10) == [Start(2)]


def test_the_clients_own_mistake_ends_it_from_the_first_and_counts_as_failure_from_a_hedge() -> None:
    running = race()
    running.tick(5)
    assert running.failed(0, WRONG, 6) == [Cancel(1)]
    assert running.over
    running = race()
    running.tick(5)
    assert running.failed(1, WRONG, 6) == []
    assert running.running == [0]


def test_too_long_goes_only_to_larger_windows() -> None:
    assert race(100, 100, 200).failed(0, LONG, 1) == [Start(2)]
    running = race(100, 50)
    assert running.failed(0, LONG, 1) == []
    assert running.over


def test_time_over_names_the_silent() -> None:
    running = race()
    running.tick(5)
    assert running.time_over(7) == [Cancel(0, silent=True), Cancel(1)]
    assert running.over


OUTCOMES = st.sampled_from([BAD, WRONG, LONG])


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.data())
def test_it_always_comes_to_an_end(windows: list[int], data: st.DataObject) -> None:
    running = Race(windows, hedge=5)
    running.begin(0)
    now = 0.0
    for _ in range(60):
        if running.over:
            break
        assert running.running, "somebody must run as long as it is not over"
        now += data.draw(st.floats(0, 10))
        index = data.draw(st.sampled_from(running.running))
        deed = data.draw(st.sampled_from(["fail", "content", "tick"]))
        if deed == "fail":
            running.failed(index, data.draw(OUTCOMES), now)
        elif deed == "content":
            running.content(index, now)
        else:
            running.tick(now)
    else:
        running.time_over(now)
    assert running.over
    assert running.running == []
