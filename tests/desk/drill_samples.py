"""Evidence of a drill as a node gives it, without a node: every fault of the issue, by plausible figures."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime

from appliance.contract.drill import (
    Aftermath,
    Ask,
    Call,
    Canaries,
    Canary,
    Ended,
    Expected,
    Kind,
    Level,
    Report,
    Row,
)

NOW = datetime(2026, 11, 22, 3, 14, tzinfo=UTC)
HEDGE = 5.0
AT_ONCE = (
    "refused", "reset", "cut before content", "401", "403", "402", "404", "429", "429 with Retry-After",
    "spent quota", "500", "502", "503", "504", "529", "HTML", "malformed", "empty", "error in band",
    "DNS", "TLS",
)  # fmt: skip
SILENT = (
    "hang",
    "black hole",
    "trickled headers",
    "trickled body",
    "stall after the role chunk",
    "comments only",
)
AFTER_CONTENT = ("stall after a token", "cut after content")
OTHER = ("context length", "a client's own 400", "slow but healthy")
FAULTS = (*AT_ONCE, *SILENT, *AFTER_CONTENT, *OTHER)
WORKLOADS = {"code": "pass", "batch": "hold", "private": "fail-closed"}


class Chance:
    """Figures that look measured, the same at each run."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def near(self, seconds: float) -> float:
        return round(seconds * self.random.uniform(0.85, 1.25) + self.random.uniform(0.0005, 0.003), 4)


def ask_at_once(chance: Chance, began: float, fault: str, healthy: float) -> Ask:
    """The primary fails at once, the fallback answers."""
    met, answer = chance.near(0.004), chance.near(healthy)
    calls = (
        Call(provider="alpha", primary=True, began=began + 0.002, ended=began + 0.002 + met, outcome=fault),
        _answered("beta", began + 0.003 + met, answer),
    )
    return _ask(began, 0.004 + met + answer, "beta", calls, first=began + 0.004 + met + answer * 0.6)


def ask_hedged(chance: Chance, began: float, fault: str, healthy: float) -> Ask:
    answer = chance.near(healthy)
    calls = (
        Call(
            provider="alpha",
            primary=True,
            began=began + 0.002,
            ended=began + HEDGE + answer,
            outcome="cancelled",
        ),
        _answered("beta", began + HEDGE, answer),
    )
    return _ask(began, HEDGE + answer + 0.003, "beta", calls, first=began + HEDGE + answer * 0.7)


def ask_open(chance: Chance, began: float, healthy: float) -> Ask:
    """The breaker is open: the fallback alone."""
    answer = chance.near(healthy)
    return _ask(began, answer + 0.002, "beta", (_answered("beta", began + 0.002, answer),), began + answer)


def ask_primary(chance: Chance, began: float, seconds: float) -> Ask:
    return _ask(
        began, seconds + 0.003, "alpha", (_answered("alpha", began + 0.002, seconds, True),), began + seconds
    )


def ask_error(began: float, status: int, told: str, seconds: float, outcome: str) -> Ask:
    call = Call(
        provider="alpha", primary=True, began=began + 0.002, ended=began + seconds - 0.001, outcome=outcome
    )
    return Ask(began=began, seconds=seconds, ended=Ended.ERROR, status=status, told=told, calls=(call,))


def row(workload: str, fault: str, level: Level, kind: Kind, seed: int = 0) -> Row:
    """One green row."""
    chance = Chance(seed)
    healthy = chance.near(0.03 if level is Level.ROUTER else 0.16)
    asks, expected = _asks(chance, workload, fault, healthy)
    ended = asks[-1].began + asks[-1].seconds + 0.02
    return Row(
        workload=workload,
        fault=fault,
        level=level,
        kind=kind,
        expected=expected,
        healthy=healthy,
        asks=asks,
        fault_began=0.0,
        fault_ended=ended,
        healed=chance.near(0.9 if fault in AT_ONCE else 0.1),
    )


def _asks(chance: Chance, workload: str, fault: str, healthy: float) -> tuple[tuple[Ask, ...], Expected]:
    if fault == "slow but healthy":
        return (ask_primary(chance, 0.01, 8.2),), Expected.PRIMARY
    if fault == "a client's own 400":
        return (ask_error(0.01, 400, "temperature must be at most 2", 0.01, "400"),), Expected.ERROR
    if WORKLOADS.get(workload) == "fail-closed":
        wait = HEDGE * 2 if fault in SILENT else 0.01
        told = "alpha failed with an error of its own; this workload has no other provider"
        return (ask_error(0.01, 503, told, wait, fault),), Expected.ERROR
    if fault in AFTER_CONTENT and WORKLOADS.get(workload) == "pass":
        broken = Ask(
            began=0.01,
            seconds=2.1,
            first=0.06,
            ended=Ended.BROKEN,
            told="alpha fell silent",
            status=200,
            calls=(
                Call(
                    provider="alpha", primary=True, began=0.012, first=0.05, ended=2.1, outcome="went silent"
                ),
            ),
        )
        return (broken,), Expected.ERROR
    slow = fault in SILENT or fault in AFTER_CONTENT
    first = (ask_hedged if slow else ask_at_once)(chance, 0.01, fault, healthy)
    return (first, ask_open(chance, first.began + first.seconds + 0.05, healthy)), Expected.FALLBACK


def canaries(*, beta: str = "answered") -> Canaries:
    used = tuple(WORKLOADS)
    return Canaries(
        at=NOW,
        canaries=(
            Canary(
                provider="alpha",
                model="alpha-large",
                ok=True,
                detail="answered",
                seconds=0.41,
                workloads=used,
            ),
            Canary(
                provider="beta",
                model="beta-large",
                ok=beta == "answered",
                detail=beta,
                seconds=0.38,
                workloads=used[:2],
            ),
        ),
    )


def rows(workloads: tuple[str, ...] = tuple(WORKLOADS), faults: tuple[str, ...] = FAULTS) -> Iterator[Row]:
    seed = 0
    for workload in workloads:
        for fault in faults:
            for level in Level:
                for kind in Kind:
                    seed += 1
                    yield row(workload, fault, level, kind, seed)


def report(*of: Row, beta: str = "answered", left: str = "") -> Report:
    return Report(
        node="demo-1",
        bundle="5f0c" * 16,
        at=NOW,
        seconds=431.5,
        rows=of or tuple(rows()),
        canaries=canaries(beta=beta),
        aftermath=Aftermath(ok=not left, detail=left or "no lane, no open breaker, no cooldown"),
    )


def red_report() -> Report:
    """A night on which the fallback's key was revoked, and the router had a bug or two."""
    chosen = []
    for found in rows(("code", "private")):
        if found.expected is Expected.FALLBACK and found.level is Level.GATEWAY:
            found = _without_fallback(found)
        elif found.fault == "comments only" and found.workload == "private":
            found = _silent(found)
        elif found.fault == "malformed" and found.workload == "code":
            found = _partial(found)
        chosen.append(found)
    return report(*chosen, beta="refused this node access (401)", left="lane drill-2 is still open")


def _without_fallback(of: Row) -> Row:
    first = of.asks[0]
    refused = first.calls[-1].model_copy(update={"outcome": "401", "first": None})
    ask = first.model_copy(
        update={
            "ended": Ended.ERROR,
            "answered_by": None,
            "status": 503,
            "first": None,
            "told": "alpha failed with an error of its own; beta refused this node access",
            "calls": (*first.calls[:-1], refused),
        }
    )
    return of.model_copy(update={"asks": (ask,), "wrong": ("an error, where beta should have answered",)})


def _silent(of: Row) -> Row:
    ask = of.asks[0].model_copy(
        update={"ended": Ended.SILENT, "seconds": 30.0, "status": None, "told": "", "calls": ()}
    )
    return of.model_copy(
        update={"asks": (ask,), "fault_ended": 30.1, "wrong": ("nothing came within 30 s",), "healed": None}
    )


def _partial(of: Row) -> Row:
    ask = of.asks[0].model_copy(update={"ended": Ended.PARTIAL, "answered_by": "alpha"})
    return of.model_copy(
        update={"asks": (ask, *of.asks[1:]), "wrong": ("an answer that ends without its end",)}
    )


def _ask(began: float, seconds: float, by: str, calls: tuple[Call, ...], first: float) -> Ask:
    return Ask(
        began=began,
        seconds=seconds,
        first=first,
        ended=Ended.ANSWER,
        answered_by=by,
        status=200,
        calls=calls,
    )


def _answered(provider: str, began: float, seconds: float, primary: bool = False) -> Call:
    return Call(
        provider=provider,
        primary=primary,
        began=began,
        first=began + seconds * 0.6,
        ended=began + seconds,
        outcome="answered",
    )
