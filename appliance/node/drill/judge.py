"""What became of an ask, and what is wrong with it. Pure; the judge believes only what it can compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.contract.drill import Ended, Expected, Level
from appliance.contract.router_policy import Workload
from appliance.node.drill.heard import Heard
from appliance.node.drill.limits import Pair, longest
from appliance.node.drill.plan import Meets, RowPlan
from appliance.node.faults.visit import Record


@dataclass(frozen=True)
class Wrong:
    words: str
    late: bool = False  # only too slow


@dataclass(frozen=True)
class Seen:
    """An ask, and the requests that it made providers get. `models`: what each target is to be asked for."""

    meets: Meets
    heard: Heard
    records: Sequence[Record]
    models: dict[str, str]

    @property
    def ended(self) -> Ended:
        return ended(self.heard, self.records)

    @property
    def answered_by(self) -> Record | None:
        return answerer(self.heard, self.records) if self.ended is Ended.ANSWER else None


def ended(heard: Heard, records: Sequence[Record]) -> Ended:
    said = _plain(heard.text)
    if heard.silent:
        return Ended.SILENT
    if said and not any(_plain(record.text).startswith(said) for record in records):
        return Ended.MIXED
    if heard.error:
        return Ended.BROKEN if said else Ended.ERROR
    if not said:
        return Ended.EMPTY
    return Ended.ANSWER if heard.done and answerer(heard, records) else Ended.PARTIAL


def answerer(heard: Heard, records: Sequence[Record]) -> Record | None:
    """Whose whole answer it is. Two may say the same: then the header tells, or who ended last."""
    said = _plain(heard.text)
    whole = [record for record in records if record.whole and _plain(record.text) == said]
    named = [record for record in whole if record.target == heard.told_by]
    return (named or whole)[-1] if whole else None


def faults_of(plan: RowPlan, seen: Seen, workload: Workload, times: Pair) -> list[Wrong]:
    """Everything that is wrong with one ask of a row; empty: all is right."""
    expected = _expected(plan, seen.meets)
    ends = plan.ends if seen.meets is Meets.FAULT else Ended.ANSWER
    found = _of_answer(expected, ends, seen)
    if seen.ended is Ended.ERROR or seen.ended is Ended.BROKEN:
        found += _of_error(plan, seen)
    if plan.level is Level.ROUTER:
        found += _of_headers(seen)
    found += _of_calls(plan, seen, expected)
    limit = times.of(expected).allowed
    if seen.meets is Meets.FAULT:
        limit = longest(plan.fault, plan.upstream, workload, times, expected)
    if not found and seen.heard.seconds > limit:
        found.append(Wrong(f"took {seen.heard.seconds:.2f} s of {limit:.2f} s at most", late=True))
    return found


def _expected(plan: RowPlan, meets: Meets) -> Expected:
    match meets:
        case Meets.FAULT:
            return plan.expected
        case Meets.BREAKER:
            return Expected.FALLBACK
        case Meets.NOTHING:
            return Expected.PRIMARY


def _of_answer(expected: Expected, ends: Ended, seen: Seen) -> list[Wrong]:
    if seen.ended is not ends:
        said = f" ({seen.heard.error})" if seen.heard.error else ""
        return [Wrong(f"ended as {seen.ended}{said}, not as {ends}")]
    who = seen.answered_by
    if who is None or who.primary == (expected is Expected.PRIMARY):
        return []
    return [Wrong(f"{who.provider} answered, not the {'fallback' if who.primary else 'primary'}")]


def _of_error(plan: RowPlan, seen: Seen) -> list[Wrong]:
    found, heard = [], seen.heard
    if plan.level is Level.ROUTER:
        if heard.done:
            found.append(Wrong("[DONE] behind an error: clients take what came for whole"))
        if heard.status != 400 and not any(target in heard.error for target in seen.models):
            found.append(Wrong("the error does not name who failed"))
    return found


def _of_headers(seen: Seen) -> list[Wrong]:
    who = seen.answered_by
    if who is not None and seen.heard.told_by != who.target:
        return [Wrong(f"{who.provider} answered, but the header says {seen.heard.told_by or 'nothing'}")]
    begun_early = seen.heard.commented  # held: the head went out before anybody could be named
    if who is None and not (seen.heard.text or seen.heard.told_by or begun_early):
        return [Wrong("no header says that nobody answered")]
    return []


def _of_calls(plan: RowPlan, seen: Seen, expected: Expected) -> list[Wrong]:
    found = []
    for target, model in seen.models.items():
        calls = [record for record in seen.records if record.target == target]
        if len(calls) > 1:
            found.append(Wrong(f"{calls[0].provider} was asked {len(calls)} times"))
        if other := sorted({record.model for record in calls} - {model}):
            found.append(Wrong(f"{calls[0].provider} was asked for {', '.join(other)}, not for {model}"))
    primary = [record for record in seen.records if record.primary]
    others = [record for record in seen.records if not record.primary]
    if seen.meets is Meets.BREAKER and primary:
        found.append(Wrong("the primary was asked behind its open breaker"))
    unneeded = expected is Expected.ERROR or seen.meets is Meets.NOTHING or 0 < plan.fault.first < 1
    if others and unneeded:
        found.append(Wrong(f"{others[0].provider} was asked for nothing"))
    if not primary and seen.meets is not Meets.BREAKER and plan.fault.elsewhere is None:
        found.append(Wrong("the primary was not asked"))
    return found


def _plain(text: str) -> str:
    return " ".join(text.split())
