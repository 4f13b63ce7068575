"""What the drill calls an answer, an error, a mix; how late is late; and what each row must come to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from appliance.contract.drill import Ended, Expected, Kind, Level
from appliance.contract.router_policy import Deadlines, RouterPolicy
from appliance.contract.trouble import Trouble
from appliance.node.drill import judge, limits
from appliance.node.drill.heard import Heard
from appliance.node.drill.judge import Seen
from appliance.node.drill.limits import Healthy, Pair
from appliance.node.drill.plan import Meets, RowPlan, plan
from appliance.node.faults import FAULTS
from appliance.node.faults.visit import Record

TIMES = Pair(Healthy(1.0, 0.0), Healthy(2.0, 0.0))
MODELS = {"drill-1-alpha": "large", "drill-2-beta": "small"}


def policy() -> RouterPolicy:
    def target(provider: str, model: str, window: int = 128_000) -> dict[str, Any]:
        return {"provider": provider, "model": model, "context_window": window}

    two = {"primary": target("alpha", "large"), "fallbacks": [target("beta", "small")]}
    larger = {"primary": target("alpha", "large"), "fallbacks": [target("beta", "small", 400_000)]}
    provider = {"api": "openai", "base_url": "https://x.invalid/v1", "credential": "x"}
    return RouterPolicy.model_validate(
        {
            "providers": {"alpha": provider, "beta": provider},
            "workloads": {
                "code": two,
                "held": {**larger, "mode": "hold"},
                "alone": {"primary": target("alpha", "large"), "fail_closed": True},
            },
        }
    )


def row(fault: str, workload: str = "code", level: Level = Level.ROUTER, kind: Kind = Kind.STREAM) -> RowPlan:
    rows = plan(policy(), FAULTS, [workload], [fault], [level])
    return next(row for row in rows if row.kind is kind)


def call(text: str, *, primary: bool = False, whole: bool = True, model: str = "") -> Record:
    target, name = ("drill-1-alpha", "alpha") if primary else ("drill-2-beta", "beta")
    asked = model or MODELS[target]
    record = Record(target, name, primary, asked, "drill-0", 0.0, ended=1.0, text=text, whole=whole)
    record.outcome = "answered" if whole else "503"
    return record


def said(
    text: str, *, done: bool = True, error: str = "", by: str = "drill-2-beta", seconds: float = 2
) -> Heard:
    return Heard(200, text, error, done, by, seconds=seconds)


FAILED = call("", primary=True, whole=False)
BETAS = call("up is down")
NAMELESS = said("", done=False, error="no")


@pytest.mark.parametrize(
    ("heard", "calls", "ended"),
    [
        (said("up is down"), [FAILED, BETAS], Ended.ANSWER),
        (said("up  is\ndown "), [FAILED, BETAS], Ended.ANSWER),
        (said("up is"), [FAILED, BETAS], Ended.PARTIAL),
        (said("up is down", done=False), [FAILED, BETAS], Ended.PARTIAL),
        (said("up", done=True), [call("up", primary=True, whole=False)], Ended.PARTIAL),
        (said("upup is down"), [call("up", primary=True, whole=False), BETAS], Ended.MIXED),
        (said("nobody said so"), [], Ended.MIXED),
        (said("up is", done=False, error="cut"), [FAILED, BETAS], Ended.BROKEN),
        (said("up is", error="cut"), [FAILED, call("other")], Ended.MIXED),
        (said("", done=False, error="all failed"), [FAILED], Ended.ERROR),
        (said(""), [FAILED, BETAS], Ended.EMPTY),
        (Heard(silent=True), [FAILED], Ended.SILENT),
    ],
)
def test_an_ask_is_judged_by_what_flowed(heard: Heard, calls: list[Record], ended: Ended) -> None:
    assert judge.ended(heard, calls) is ended


def wrong(row: RowPlan, heard: Heard, *calls: Record, meets: Meets = Meets.FAULT) -> str:
    seen = Seen(meets, heard, calls, MODELS)
    workload = policy().workloads[row.workload]
    return "; ".join(w.words for w in judge.faults_of(row, seen, workload, TIMES))


def test_what_is_right_has_nothing_wrong() -> None:
    assert wrong(row("503"), said("up is down"), FAILED, BETAS) == ""
    assert wrong(row("503"), said("up is down"), BETAS, meets=Meets.BREAKER) == ""
    error = said("", done=False, error="drill-1-alpha failed", by="none", seconds=1.1)
    assert wrong(row("503", "alone"), error, FAILED) == ""


@pytest.mark.parametrize(
    ("fault", "workload", "heard", "calls", "meets", "words"),
    [
        ("503", "code", said("up is down"), [FAILED, FAILED, BETAS], Meets.FAULT, "asked 2 times"),
        ("503", "code", said("up is down"), [FAILED, BETAS], Meets.BREAKER, "behind its open breaker"),
        ("503", "code", said("up is down"), [BETAS], Meets.FAULT, "the primary was not asked"),
        ("503", "code", said("up is down", by=""), [FAILED, BETAS], Meets.FAULT, "the header says nothing"),
        ("slow", "code", said("up is down"), [FAILED, BETAS], Meets.FAULT, "beta answered, not the primary"),
        ("503", "alone", said("up is down"), [FAILED, BETAS], Meets.FAULT, "ended as answer, not as error"),
        ("503", "alone", NAMELESS, [FAILED], Meets.FAULT, "does not name who failed"),
        ("client-error", "code", NAMELESS, [FAILED, BETAS], Meets.FAULT, "for nothing"),
        ("503", "code", said("up is down", seconds=2.2), [FAILED, BETAS], Meets.FAULT, "took 2.20 s of 2.15"),
        ("hang", "code", said("up is down", seconds=7.1), [FAILED, BETAS], Meets.FAULT, ""),
        ("hang", "code", said("up is down", seconds=7.2), [FAILED, BETAS], Meets.FAULT, "took 7.20 s of 7.1"),
        ("hang", "code", said("up is down", seconds=7.0), [BETAS], Meets.BREAKER, "took 7.00 s of 2.15"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    fault: str, workload: str, heard: Heard, calls: list[Record], meets: Meets, words: str
) -> None:
    found = wrong(row(fault, workload), heard, *calls, meets=meets)
    assert words in found
    assert bool(words) is bool(found)


def test_another_model_than_the_policys_is_wrong() -> None:
    other = call("up is down", model="huge")
    assert "asked for huge, not for small" in wrong(row("503"), said("up is down"), FAILED, other)


@pytest.mark.parametrize(
    ("fault", "workload", "level", "kind", "expected", "ends"),
    [
        ("503", "code", Level.ROUTER, Kind.STREAM, Expected.FALLBACK, Ended.ANSWER),
        ("503", "alone", Level.ROUTER, Kind.STREAM, Expected.ERROR, Ended.ERROR),
        ("cut-after-content", "code", Level.ROUTER, Kind.STREAM, Expected.ERROR, Ended.BROKEN),
        ("cut-after-content", "code", Level.ROUTER, Kind.WHOLE, Expected.FALLBACK, Ended.ANSWER),
        ("cut-after-content", "code", Level.GATEWAY, Kind.STREAM, Expected.ERROR, Ended.BROKEN),
        ("cut-after-content", "code", Level.GATEWAY, Kind.WHOLE, Expected.ERROR, Ended.ERROR),
        ("cut-after-content", "held", Level.GATEWAY, Kind.STREAM, Expected.FALLBACK, Ended.ANSWER),
        ("context-length", "code", Level.ROUTER, Kind.STREAM, Expected.ERROR, Ended.ERROR),
        ("context-length", "held", Level.ROUTER, Kind.STREAM, Expected.FALLBACK, Ended.ANSWER),
        ("client-error", "held", Level.ROUTER, Kind.STREAM, Expected.ERROR, Ended.ERROR),
        ("slower", "alone", Level.ROUTER, Kind.STREAM, Expected.PRIMARY, Ended.ANSWER),
    ],
)
def test_what_is_right_follows_the_policy(
    fault: str, workload: str, level: Level, kind: Kind, expected: Expected, ends: Ended
) -> None:
    planned = row(fault, workload, level, kind)
    assert (planned.expected, planned.ends) == (expected, ends)


def test_every_fault_is_asked_at_both_levels_in_both_kinds() -> None:
    rows = plan(policy(), FAULTS)
    for workload in ("code", "held", "alone"):
        asked = {(row.fault.name, row.level, row.kind) for row in rows if row.workload == workload}
        senseless = {
            (fault.name, Level.ROUTER, kind)
            for fault in FAULTS.values()
            for kind in Kind
            if fault.meaning(kind) is None
        }
        senseless |= {("comments-after-token", Level.GATEWAY, kind) for kind in Kind}
        assert asked | senseless == {(f, level, kind) for f in FAULTS for level in Level for kind in Kind}


def test_the_gateway_is_never_asked_more_than_once_at_a_time_by_a_row() -> None:
    rows = plan(policy(), FAULTS, levels=[Level.GATEWAY])
    assert max(len(wave) for row in rows for wave in row.waves) == 1


@pytest.mark.parametrize(("workloads", "faults"), [(["nope"], []), ([], ["nope"])])
def test_an_unknown_name_is_refused(workloads: list[str], faults: list[str]) -> None:
    with pytest.raises(Trouble, match="nope"):
        plan(policy(), FAULTS, workloads, faults)


def test_a_fail_closed_lane_is_silent_for_seconds_only() -> None:
    short = limits.shortened(Deadlines(), Healthy(0.4, 0))
    assert short.total <= 5
    Deadlines.model_validate(short.model_dump())  # still in order
    assert limits.shortened(Deadlines(), Healthy(10, 0)).start == 60, "a slow vendor's answers must still fit"


def test_a_streams_words_are_heard_in_any_pieces() -> None:
    lines = [{"choices": [{"delta": {"content": c}}]} for c in ("up", " is ☃", " down")]
    raw = b"".join(b"data: " + json.dumps(line).encode() + b"\r\n\r\n" for line in lines)
    raw = b": drill-2-beta\n\n" + raw + b"data: [DONE]\n\n"
    for size in (1, 7, len(raw)):
        heard = Heard(200)
        for start in range(0, len(raw), size):
            heard.stream(raw[start : start + size], start)
        assert (heard.text, heard.done, heard.told_by) == ("up is ☃ down", True, "drill-2-beta")
