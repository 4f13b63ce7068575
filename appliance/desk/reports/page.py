"""A drill's report as one page that needs nothing else. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median

from appliance.contract.drill import Ask, Expected, Kind, Level, Report, Row
from appliance.desk.render_page import render_page
from appliance.desk.reports import words
from appliance.desk.reports.advice import advise
from appliance.desk.reports.timeline import OVERLAP, Timeline, timeline

FEW = 40  # rows: so many pictures are all open from the start

AT_ONCE = 2.0  # seconds: longer, and a deadline was waited for
FAILED = "an error: the fallback answers, over healthy"
HEDGED = "silence: the fallback is asked beside, over healthy"
HEDGED_WHOLE = "the same without a stream, which may be silent longer"
WAITED = "a deadline: the fallback answers, over healthy"
BEHIND = "the next request, its breaker open, over healthy"
TOLD = "one clear error at once, in all"
TOLD_LATE = "one clear error after a deadline, in all"
COSTS = (FAILED, HEDGED, HEDGED_WHOLE, WAITED, BEHIND, TOLD, TOLD_LATE)

Column = tuple[str, Level, Kind]


@dataclass(frozen=True)
class Cell:
    """One row in the matrix and as a picture. `place` is its index in the report."""

    place: int
    row: Row
    column: Column


@dataclass(frozen=True)
class Picture:
    cell: Cell
    line: Timeline


@dataclass(frozen=True)
class Fault:
    name: str
    cells: Mapping[Column, Cell]
    pictures: tuple[Picture, ...]  # red ones first

    @property
    def red(self) -> int:
        return sum(not picture.cell.row.ok for picture in self.pictures)

    @property
    def slowest(self) -> Ask | None:
        asks = [cell.row.asks[0] for cell in self.cells.values() if cell.row.asks]
        return max(asks, key=lambda ask: ask.seconds, default=None)


@dataclass(frozen=True)
class Heading:
    """Of a column, or of a few beside one another."""

    text: str
    columns: int
    healthy: float | None = None


@dataclass(frozen=True)
class Cost:
    """Seconds."""

    median: float
    worst: float


@dataclass(frozen=True)
class Figure:
    """`costs`: a level each, in their order."""

    what: str
    costs: tuple[Cost | None, ...]


def page(report: Report, templates: Mapping[str, str]) -> str:
    """HTML. `templates` are assets.report_templates()."""
    cells = [Cell(place, row, (row.workload, row.level, row.kind)) for place, row in enumerate(report.rows)]
    columns = _columns(cells)
    found = _faults(cells, _primaries(report.rows))
    values = {
        "report": report,
        "red": sum(not row.ok for row in report.rows),
        "refused": sum(not canary.ok for canary in report.canaries.canaries),
        "advices": advise(report),
        "figures": tuple(_figures(report.rows)),
        "columns": columns,
        "headings": _headings(columns, cells),
        "faults": found,
        "by_need": sorted(found, key=lambda fault: -fault.red),
        "all_open": len(report.rows) <= FEW,
        "levels": [words.LEVEL[level] for level in Level],
        "words": words,
        "Expected": Expected,
    }
    filters: dict[str, Callable[..., object]] = {
        "legible": words.legible,
        "seconds": _seconds,
        "count": words.count,
        "px": _px,
    }
    return render_page("drill.html.j2", templates, values, filters)


def _seconds(value: float) -> str:
    """Not broken before its unit."""
    return words.seconds(value).replace(" ", "\u00a0")


def _px(places: float) -> str:
    return f"{places:.1f}"


def _columns(cells: Sequence[Cell]) -> list[Column]:
    """Workloads as they come in the report; within one the router's first, streams first."""
    workloads = list(dict.fromkeys(cell.row.workload for cell in cells))
    drilled = {cell.column for cell in cells}
    every = ((w, level, kind) for w in workloads for level in Level for kind in Kind)
    return [column for column in every if column in drilled]


def _primaries(rows: Sequence[Row]) -> dict[str, str]:
    """Workload -> provider: a fault that keeps calls from reaching it hides its name in that row."""
    return {
        row.workload: call.provider for row in rows for ask in row.asks for call in ask.calls if call.primary
    }


def _faults(cells: Sequence[Cell], primaries: Mapping[str, str]) -> tuple[Fault, ...]:
    found = []
    for name in dict.fromkeys(cell.row.fault for cell in cells):
        mine = [cell for cell in cells if cell.row.fault == name]
        pictures = sorted(mine, key=lambda cell: cell.row.ok)
        found.append(
            Fault(
                name,
                {cell.column: cell for cell in mine},
                tuple(
                    Picture(cell, timeline(cell.row, primaries.get(cell.row.workload, "")))
                    for cell in pictures
                ),
            )
        )
    return tuple(found)


def _headings(columns: Sequence[Column], cells: Sequence[Cell]) -> tuple[tuple[Heading, ...], ...]:
    """Three rows of them: workload, level, kind with its healthy time."""
    workloads = [Heading(name, len(list(g))) for name, g in groupby(columns, lambda c: c[0])]
    levels = [
        Heading(words.LEVEL[level], len(list(g))) for (_, level), g in groupby(columns, lambda c: c[:2])
    ]
    kinds = [
        Heading(column[2].value, 1, median(cell.row.healthy for cell in cells if cell.column == column))
        for column in columns
    ]
    return tuple(workloads), tuple(levels), tuple(kinds)


def _figures(rows: Sequence[Row]) -> Iterator[Figure]:
    """What a fault costs where the outcome was right, by what had to be waited for."""
    found: dict[str, dict[Level, list[float]]] = {what: {level: [] for level in Level} for what in COSTS}
    for row in rows:
        for what, seconds in _costs(row) if row.ok else ():
            found[what][row.level].append(seconds)
    for what, by_level in found.items():
        if any(by_level.values()):
            yield Figure(what, tuple(_cost(by_level[level]) for level in Level))


def _cost(seconds: Sequence[float]) -> Cost | None:
    return Cost(max(median(seconds), 0.0), max(*seconds, 0.0)) if seconds else None


def _costs(row: Row) -> Iterator[tuple[str, float]]:
    """(what, seconds over healthy) of a right row's requests; of an error, all its seconds."""
    first = words.first(row)
    if first is None or row.expected is Expected.PRIMARY:
        return
    if row.expected is Expected.ERROR:
        yield (TOLD_LATE if first.seconds > AT_ONCE else TOLD), first.seconds
        return
    over = first.seconds - row.healthy
    hedged = HEDGED_WHOLE if (row.level, row.kind) == (Level.ROUTER, Kind.WHOLE) else HEDGED
    yield hedged if _beside(first) else WAITED if over > AT_ONCE else FAILED, over
    for ask in row.asks[1:]:
        if ask.began < row.fault_ended and ask.calls and not any(call.primary for call in ask.calls):
            yield BEHIND, ask.seconds - row.healthy


def _beside(ask: Ask) -> bool:
    """Whether a fallback was started beside a primary that was silent."""
    if not ask.calls:
        return False
    first, *later = ask.calls
    return bool(later) and (first.ended is None or any(first.ended > c.began + OVERLAP for c in later))
