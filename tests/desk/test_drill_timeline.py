"""Seconds to places: in order, within the frame, whatever was measured."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.contract.drill import Ask, Call, Ended, Expected, Kind, Level, Row
from appliance.desk.reports.scale import scale
from appliance.desk.reports.timeline import RIGHT, WIDTH, timeline
from tests.desk.drill_samples import FAULTS, row, rows

LEFT = 72.0
SECONDS = st.floats(0, 4000) | st.sampled_from([0.0, 1e-9, float("inf"), float("nan"), -1.0])
SPANS = st.lists(st.tuples(SECONDS, SECONDS), max_size=8)


@given(SPANS)
def test_later_is_never_further_left(spans: list[tuple[float, float]]) -> None:
    line = scale(spans, LEFT, RIGHT)
    moments = sorted({t for span in spans for t in span if t == t})
    places = [line.x(t) for t in moments]
    assert all(a <= b for a, b in pairwise(places))
    assert all(LEFT - 1e-6 <= x <= RIGHT + 1e-6 for x in places)


@given(SPANS, st.floats(20, 100))
def test_ticks_stand_apart(spans: list[tuple[float, float]], apart: float) -> None:
    line = scale(spans, LEFT, RIGHT)
    ticks = line.ticks(apart)
    assert len(ticks) <= (RIGHT - LEFT) / apart + 1
    assert all(line.x(b) - line.x(a) >= apart - 1e-6 for a, b in pairwise(ticks))


def test_a_second_is_as_wide_in_one_request_as_in_the_other_and_a_long_pause_is_cut() -> None:
    line = scale([(0, 2), (60, 61)], 0, 330)
    assert len(line.cuts()) == 1
    assert line.x(2) - line.x(0) == pytest.approx(2 * (line.x(61) - line.x(60)))
    assert line.x(61) == pytest.approx(330)


def calls() -> st.SearchStrategy[Call]:
    return st.builds(
        Call,
        provider=st.sampled_from(["alpha", "beta", "a provider with a rather long name", ""]),
        primary=st.booleans(),
        began=SECONDS,
        first=st.none() | SECONDS,
        ended=st.none() | SECONDS,
        outcome=st.text(max_size=60),
    )


def asks() -> st.SearchStrategy[Ask]:
    return st.builds(
        Ask,
        began=SECONDS,
        seconds=SECONDS,
        first=st.none() | SECONDS,
        ended=st.sampled_from(Ended),
        answered_by=st.sampled_from(["alpha", "beta", None]),
        status=st.sampled_from([200, 503, None]),
        calls=st.lists(calls(), max_size=4).map(tuple),
    )


def any_row() -> st.SearchStrategy[Row]:
    return st.builds(
        Row,
        workload=st.text(max_size=50),
        fault=st.text(max_size=80),
        level=st.sampled_from(Level),
        kind=st.sampled_from(Kind),
        expected=st.sampled_from(Expected),
        healthy=SECONDS,
        asks=st.lists(asks(), max_size=3).map(tuple),
        fault_began=SECONDS,
        fault_ended=SECONDS,
        healed=st.none() | SECONDS,
    )


@settings(max_examples=150, deadline=None)
@given(any_row())
def test_any_row_is_drawn_within_the_frame_with_a_bar_for_each_call(of: Row) -> None:
    line = timeline(of)
    drawn = [bar.kind for bar in line.bars]
    assert drawn.count("call") == sum(len(ask.calls) for ask in of.asks)
    assert drawn.count("ask") == len(of.asks)
    assert drawn.count("fault") == 1
    for bar in line.bars:
        assert bar.width > 0
        assert bar.x >= line.left - 1e-6
        assert bar.x + bar.width <= RIGHT + 1e-6
        assert bar.y >= 0
        assert bar.y + line.bar <= line.height
    assert all(0 <= mark.x <= WIDTH for mark in line.marks)
    assert all(0 <= stroke.x <= WIDTH for stroke in line.lines)
    assert all(0 <= stroke.top <= stroke.bottom <= line.height for stroke in line.lines)


def test_silence_shows_a_hedge_and_an_error_none() -> None:
    def kinds(fault: str) -> list[str]:
        lines = timeline(row("code", fault, Level.ROUTER, Kind.STREAM)).lines
        return [line.kind for line in lines if line.kind != "edge"]

    assert kinds("hang") == ["hedge"]
    assert kinds("503") == ["next"]


def test_the_fault_reaches_from_its_begin_to_its_end() -> None:
    of = row("code", "503", Level.ROUTER, Kind.STREAM)
    line = timeline(of)
    (fault,) = [bar for bar in line.bars if bar.kind == "fault"]
    edges = [e.x for e in line.lines if e.kind == "edge"]
    assert edges == [pytest.approx(fault.x), pytest.approx(fault.x + fault.width)]
    requests = [bar for bar in line.bars if bar.kind == "ask"]
    assert all(fault.x <= bar.x and bar.x + bar.width <= fault.x + fault.width + 1e-6 for bar in requests)


@pytest.mark.parametrize("fault", FAULTS)
def test_who_answered_is_the_one_bar_that_is_filled(fault: str) -> None:
    for of in rows(("code", "private"), (fault,)):
        won = [bar for bar in timeline(of).bars if bar.kind == "call" and "won" in bar.look]
        assert len(won) == sum(ask.ended is Ended.ANSWER for ask in of.asks)
