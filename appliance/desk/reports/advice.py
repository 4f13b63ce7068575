"""What a red drill means, and what to do next: a cause once, with the rows that it made red. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from appliance.contract.drill import Call, Canary, Ended, Expected, Report, Row
from appliance.desk.reports.words import legible

BUG = "keep this report, and report it as a bug of the router with `--report` attached"
LOOK = (
    "`appliance status`, then drill again when the node is quiet; "
    "on the node: `journalctl -u appliance-router`"
)
KEY = "put a key that works where appliance.yaml points, then `appliance push` (runbooks/rotate-keys.md)"
QUOTA = "raise the limit or pay at the vendor, or name another fallback (runbooks/quota-spent.md)"
DOWN = "see the vendor's status page, or name another fallback (runbooks/provider-down.md)"
LEFT = "lanes end by themselves in minutes; if not, on the node: `systemctl restart appliance-router`"
MODEL = "correct the model's name in appliance.yaml, then `appliance check` and `appliance push`"

# What a provider's own answer says of it, whoever wrote the words: the first that matches.
_ILLS: tuple[tuple[str, str, str], ...] = (
    (r"\b402\b|\b429\b|quota|account|credit|billing|asked later", "its account or quota is spent", QUOTA),
    (r"\b40[13]\b|refused.*access|\bkey\b|credential|unauthori|forbidden", "its key is refused", KEY),
    (r"\b404\b|\bmodel\b", "it does not know the model", MODEL),
    (r"", "it is down", DOWN),
)
_FINE = ("answered", "cancelled")


@dataclass(frozen=True)
class Advice:
    """rows: indices into the report's; empty where it is about no row."""

    what: str
    do: str
    rows: tuple[int, ...] = ()


def advise(report: Report) -> tuple[Advice, ...]:
    """All that is wrong: canaries, then rows, then what is left on the node."""
    found = [_of_canary(canary) for canary in report.canaries.canaries if not canary.ok]
    causes: dict[tuple[str, str], list[int]] = {}
    for index, row in enumerate(report.rows):
        if not row.ok:
            causes.setdefault(_cause(row), []).append(index)
    found += [Advice(what, do, tuple(rows)) for (what, do), rows in causes.items()]
    if not report.rows:
        found.append(Advice("no row was drilled: nothing is proven", "name workloads and faults that exist"))
    if not report.aftermath.ok:
        found.append(Advice(f"the drill left something behind: {legible(report.aftermath.detail)}", LEFT))
    return tuple(found)


def _of_canary(canary: Canary) -> Advice:
    ill, do = _ill(canary.detail)
    who = f"{legible(canary.provider)}/{legible(canary.model)}"
    users = ", ".join(legible(workload) for workload in canary.workloads)
    needed = f"; needed by {users}" if users else ""
    return Advice(f"{who}: {ill} (asked directly: {legible(canary.detail)}){needed}", do)


def _ill(told: str) -> tuple[str, str]:
    return next((ill, do) for pattern, ill, do in _ILLS if re.search(pattern, told, re.IGNORECASE))


def _cause(row: Row) -> tuple[str, str]:
    """What made this row red, and what to do."""
    ends = {ask.ended for ask in row.asks}
    if failed := _failed_fallback(row):
        ill, do = _ill(failed.outcome)
        return f"the fallback {legible(failed.provider)} did not answer: {ill}", do
    if ends & {Ended.PARTIAL, Ended.MIXED, Ended.EMPTY}:
        return "a client took something for an answer that is none", BUG
    if Ended.SILENT in ends:
        return "a client would have waited for nothing", BUG
    if row.expected is Expected.ERROR and Ended.ANSWER in ends:
        return "an answer came where only a clear error was right", BUG
    if row.expected is not Expected.ERROR and ends - {Ended.ANSWER}:
        return "a client got an error though a provider could have answered", LOOK
    if row.expected is Expected.PRIMARY and _by_another(row):
        return "a slow but healthy answer was not waited for", "raise `deadlines.hedge` in appliance.yaml"
    if all(re.search(r"\btook\b", wrong) for wrong in row.wrong):
        return "the right outcome, but too late: is the node busy, or the provider slow now?", LOOK
    return "the right outcome, but not as it should come about: see the rows", LOOK


def _failed_fallback(row: Row) -> Call | None:
    """Where the fallback had to answer: its call that brought nothing, if it was asked."""
    if row.expected is not Expected.FALLBACK:
        return None
    failed = [
        call
        for ask in row.asks
        if ask.ended is not Ended.ANSWER
        for call in ask.calls
        if not call.primary and not call.outcome.startswith(_FINE)
    ]
    return failed[0] if failed else None


def _by_another(row: Row) -> bool:
    primaries = {call.provider for ask in row.asks for call in ask.calls if call.primary}
    return any(ask.answered_by not in (None, *primaries) for ask in row.asks)
