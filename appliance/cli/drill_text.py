"""A drill's report at the terminal: what is wrong first, the verdict and what to do at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import groupby

from appliance.cli.output import duration, table
from appliance.cli.progress import Marks
from appliance.contract.drill import Canary, Report, Row
from appliance.desk.reports import words
from appliance.desk.reports.advice import Advice, advise

HEAD = ("", "fault", "expected", "who answered", "took", "over healthy", "second request", "calls")
SHOWN = 3  # rows by name below an advice


def text(report: Report) -> Iterator[str]:
    marks = Marks.of(sys.stdout)
    red = [row for row in report.rows if not row.ok]
    if red:
        yield from _tables("WRONG", red, marks)
    yield from _tables("right", [row for row in report.rows if row.ok], marks)
    yield "Each provider asked directly:"
    yield table([_canary(canary, marks) for canary in report.canaries.canaries])
    yield f"Afterwards: {words.legible(report.aftermath.detail)}"
    yield ""
    yield verdict(report)
    for advice in advise(report):
        yield from _advice(advice, report)


def verdict(report: Report) -> str:
    took = f"({duration(report.seconds)})"
    where = f"{words.legible(report.node)}, bundle {(report.bundle or 'none')[:12]}"
    if report.ok:
        return f"GREEN: all {words.count(len(report.rows), 'row')} had the right outcome; {where} {took}."
    red = sum(not row.ok for row in report.rows)
    refused = sum(not canary.ok for canary in report.canaries.canaries)
    amiss = [f"{red} of {words.count(len(report.rows), 'row')}"] if red or not report.rows else []
    amiss += [f"{words.count(refused, 'provider')} asked directly"] if refused else []
    amiss += [] if report.aftermath.ok else ["what was left behind"]
    return f"RED: {', '.join(amiss)}; {where} {took}."


def _tables(title: str, rows: Sequence[Row], marks: Marks) -> Iterator[str]:
    places = list(dict.fromkeys(words.where(row) for row in rows))
    for place, found in groupby(sorted(rows, key=lambda row: places.index(words.where(row))), words.where):
        yield f"{title}: {place}"
        of = list(found)
        head, *lines = table([HEAD, *(_row(row, marks) for row in of)]).splitlines()
        yield head
        for row, line in zip(of, lines, strict=True):
            yield line
            yield from (f"     {words.legible(wrong)}" for wrong in row.wrong)
        yield ""


def _row(row: Row, marks: Marks) -> tuple[str, ...]:
    first, second = words.first(row), words.second(row)
    return (
        marks.done if row.ok else marks.failed,
        words.legible(row.fault),
        words.EXPECTED[row.expected],
        words.who(first),
        words.seconds(first.seconds) if first else "",
        words.against(row),
        words.outcome(second) if second else "",
        str(sum(len(ask.calls) for ask in row.asks)),
    )


def _canary(canary: Canary, marks: Marks) -> tuple[str, ...]:
    return (
        marks.done if canary.ok else marks.failed,
        f"{words.legible(canary.provider)}/{words.legible(canary.model)}",
        words.seconds(canary.seconds),
        words.legible(canary.detail),
    )


def _advice(advice: Advice, report: Report) -> Iterator[str]:
    yield f"  - {advice.what}"
    if advice.rows:
        rows = [report.rows[index] for index in advice.rows]
        named = [f"{words.legible(row.fault)} ({words.where(row)})" for row in rows]
        more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
        yield f"    in {'; '.join(named[:SHOWN])}{more}"
    yield f"    next: {advice.do}"
