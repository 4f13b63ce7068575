"""Which rows a drill has, and what each must come to. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from appliance.contract.drill import Ended, Expected, Kind, Level
from appliance.contract.router_policy import BreakerTimes, Mode, RouterPolicy, Workload
from appliance.contract.trouble import ExitCode, Trouble
from appliance.node.faults.fault import Costs, Fault, Rule

MOST_ROWS = 2000
TOGETHER = 3  # asks at once that a row may need to open a breaker; with more it is not opened
WORTH_WAITING = 30  # seconds of a breaker's time that a drill waits for healing
# One of each way to come back: after a 5xx, a Retry-After, silence, an answer that broke.
HEALED_AT_ROUTER = frozenset({"503", "429-retry-after", "hang", "cut-before-content"})
HEALED_AT_GATEWAY = frozenset({"503"})


class Meets(StrEnum):
    FAULT = "the fault"
    BREAKER = "the open breaker"
    NOTHING = "a healthy primary whose breaker never opened"


@dataclass(frozen=True)
class RowPlan:
    workload: str
    fault: Fault
    level: Level
    kind: Kind
    expected: Expected
    broken: bool  # content flows before the error
    waves: tuple[tuple[Meets, ...], ...]  # asks of a wave at once, waves one after another
    heals: float | None  # seconds until the primary must be asked again; None: not waited for

    @property
    def upstream(self) -> Kind:
        """The gateway always asks for a stream, and makes of it what its client wants."""
        return Kind.STREAM if self.level is Level.GATEWAY else self.kind

    @property
    def quick(self) -> bool:
        """An error is known at once: such rows run one after another, so that their times are honest."""
        meaning = self.fault.meaning(self.upstream)
        return meaning is not None and meaning.costs is Costs.ERROR

    @property
    def ends(self) -> Ended:
        """How an ask that meets the fault must end."""
        if self.expected is not Expected.ERROR:
            return Ended.ANSWER
        return Ended.BROKEN if self.broken else Ended.ERROR


def plan(
    policy: RouterPolicy,
    faults: Mapping[str, Fault],
    workloads: Collection[str] = (),
    only: Collection[str] = (),
    levels: Collection[Level] = (),
) -> list[RowPlan]:
    """Empty collections mean all. Trouble: a name is unknown."""
    _known("workload", workloads, policy.workloads)
    _known("fault", only, faults)
    rows = [
        row
        for name, workload in policy.workloads.items()
        if not workloads or name in workloads
        for level in Level
        if not levels or level in levels
        for fault in faults.values()
        if not only or fault.name in only
        for kind in Kind
        if (row := _row(name, workload, policy.breaker, fault, level, kind))
    ]
    if len(rows) > MOST_ROWS:
        raise Trouble(
            f"The drill would have {len(rows)} rows; {MOST_ROWS} are the most.",
            fix="Name workloads or faults.",
            code=ExitCode.USAGE,
        )
    return rows


def _known(what: str, asked: Collection[str], known: Collection[str]) -> None:
    if unknown := sorted(set(asked) - set(known)):
        raise Trouble(
            f"There is no {what} {', '.join(unknown)}.",
            why=f"there are {', '.join(known)}",
            code=ExitCode.USAGE,
        )


def _row(
    name: str, workload: Workload, times: BreakerTimes, fault: Fault, level: Level, kind: Kind
) -> RowPlan | None:
    upstream = Kind.STREAM if level is Level.GATEWAY else kind
    meaning = fault.meaning(upstream)
    if meaning is None or (fault.router_only and level is Level.GATEWAY):
        return None
    expected = _expected(meaning.rule, workload)
    flows = meaning.rule is Rule.AFTER_CONTENT and workload.mode is Mode.PASS and kind is Kind.STREAM
    waves = _waves(workload, times, fault, level, upstream)
    return RowPlan(
        workload=name,
        fault=fault,
        level=level,
        kind=kind,
        expected=expected,
        broken=flows and expected is Expected.ERROR,
        waves=waves,
        heals=_heals(workload, times, fault, level, kind, waves),
    )


def _expected(rule: Rule, workload: Workload) -> Expected:
    match rule:
        case Rule.PRIMARY:
            return Expected.PRIMARY
        case Rule.CLIENTS_OWN:
            return Expected.ERROR
        case Rule.CONTEXT:
            larger = any(t.context_window > workload.primary.context_window for t in workload.fallbacks)
            return Expected.FALLBACK if larger else Expected.ERROR
        case Rule.AFTER_CONTENT if workload.mode is Mode.PASS:
            return Expected.ERROR
        case _:
            return Expected.ERROR if workload.fail_closed else Expected.FALLBACK


def _waves(
    workload: Workload, times: BreakerTimes, fault: Fault, level: Level, upstream: Kind
) -> tuple[tuple[Meets, ...], ...]:
    """The ask with the fault, and a second one: with the breaker open where the fault opens it."""
    meaning = fault.meaning(upstream)
    assert meaning is not None
    once = (Meets.FAULT,)
    if meaning.rule is Rule.PRIMARY:
        return once, (Meets.NOTHING,)
    quick = meaning.costs is Costs.ERROR
    if workload.fail_closed or meaning.rule in (Rule.CLIENTS_OWN, Rule.CONTEXT):
        return (once, once) if quick else (once,)  # never masked by a breaker: asked again all the same
    silent = meaning.costs in (Costs.SILENCE, Costs.GAP)
    needed = times.silences if silent else times.failures
    if needed > TOGETHER or (level is Level.GATEWAY and needed > 1):  # the gateway's slots are its users'
        return (once,)
    return once * needed, (Meets.BREAKER,)


def _heals(
    workload: Workload,
    times: BreakerTimes,
    fault: Fault,
    level: Level,
    kind: Kind,
    waves: tuple[tuple[Meets, ...], ...],
) -> float | None:
    upstream = Kind.STREAM if level is Level.GATEWAY else kind
    meaning = fault.meaning(upstream)
    assert meaning is not None
    if workload.fail_closed:
        # Its only provider is asked whatever the breaker says: healed is healed at once.
        return 0 if level is Level.ROUTER and meaning.costs is Costs.ERROR else None
    worth = HEALED_AT_GATEWAY if level is Level.GATEWAY else HEALED_AT_ROUTER
    if kind is not Kind.STREAM or fault.name not in worth or (Meets.BREAKER,) not in waves:
        return None
    seconds = fault.heals if fault.heals is not None else times.server_error
    return seconds if seconds <= WORTH_WAITING else None
