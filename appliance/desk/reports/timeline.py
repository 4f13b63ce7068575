"""A row as a picture: who asked and was asked when, where the fault began and ended. Places only. Pure.

From above: the fault, the client's requests, then a lane a provider, the primary first. 1 place = 1 CSS px.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from appliance.contract.drill import Ask, Call, Ended, Expected, Row
from appliance.desk.reports import words
from appliance.desk.reports.scale import Scale, Span, scale, tracks

WIDTH, RIGHT = 370.0, 362.0
NAMES = (68.0, 116.0)  # places for the lanes' names, at least and at most
TOP, PITCH, BAR, AXIS = 8.0, 31.0, 12.0, 24.0
LABEL = 23.0  # from a lane's top to its labels' baseline
LETTER = 6.8  # of a label, in the widest of the usual fonts
THINNEST = 3.0
TICKS_APART = 44.0
OVERLAP = 0.002  # seconds: a call that begins so long before the one before it ends runs beside it


@dataclass(frozen=True)
class Lane:
    """`lines`: their tops; more than one where bars lie beside one another in time."""

    name: str
    whole: str
    lines: tuple[float, ...]


@dataclass(frozen=True)
class Bar:
    kind: str  # "fault" | "ask" | "call"
    look: str  # CSS class
    x: float
    y: float
    width: float
    title: str


@dataclass(frozen=True)
class Mark:
    """A moment in a lane: first content, healthy, healed."""

    kind: str
    x: float
    y: float
    title: str


@dataclass(frozen=True)
class Line:
    """From lane to lane, or through all of them."""

    kind: str  # "edge" | "hedge" | "next"
    x: float
    top: float
    bottom: float


@dataclass(frozen=True)
class Label:
    x: float
    y: float
    anchor: str
    text: str
    look: str = ""


@dataclass(frozen=True)
class Tick:
    x: float
    middle: float  # of its text
    text: str


@dataclass(frozen=True)
class Timeline:
    height: float
    lanes: tuple[Lane, ...]
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    lines: tuple[Line, ...]
    labels: tuple[Label, ...]
    ticks: tuple[Tick, ...]
    cuts: tuple[float, ...]
    left: float
    width: float = WIDTH
    right: float = RIGHT
    bar: float = BAR


def timeline(row: Row, primary: str = "") -> Timeline:
    """`primary` names it where no call of it was seen."""
    return _Drawing(row, primary).done()


@dataclass
class _Drawing:
    row: Row
    primary: str
    bars: list[Bar] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    taken: dict[float, list[Span]] = field(default_factory=dict)  # a line's labels: from, to

    def __post_init__(self) -> None:
        self.ends = [(ask.began, ask.began + ask.seconds) for ask in self.row.asks]
        calls = [
            (call, (call.began, end if call.ended is None else call.ended))
            for ask, (_, end) in zip(self.row.asks, self.ends, strict=True)
            for call in ask.calls
        ]
        self.primary = next((call.provider for call, _ in calls if call.primary), self.primary or "primary")
        self.others = list(dict.fromkeys(call.provider for call, _ in calls if not call.primary))
        longest = max(len(words.legible(name)) for name in (self.primary, *self.others))
        self.left = min(max(longest * LETTER + 10, NAMES[0]), NAMES[1])
        self.scale: Scale = scale(_spans(self.row), self.left, RIGHT)
        self.lanes: list[Lane] = []
        self.bottom = TOP
        self._lane("fault", 1)
        self.ask_tops = self._tops("requests", self.ends)
        self.call_tops: dict[int, float] = {}
        for name, primary in ((self.primary, True), *((name, False) for name in self.others)):
            mine = [
                (call, span)
                for call, span in calls
                if call.primary == primary and (primary or call.provider == name)
            ]
            tops = self._tops(name, [span for _, span in mine])
            self.call_tops |= {id(call): top for (call, _), top in zip(mine, tops, strict=True)}

    def _tops(self, name: str, spans: Sequence[Span]) -> list[float]:
        """A lane's bars: the top of each."""
        found = tracks(spans)
        lane = self._lane(name, max(found, default=0) + 1)
        return [lane.lines[track] for track in found]

    def _lane(self, name: str, lines: int) -> Lane:
        whole = words.legible(name)
        lane = Lane(_short(whole, self.left - 8), whole, tuple(self.bottom + n * PITCH for n in range(lines)))
        self.lanes.append(lane)
        self.bottom += lines * PITCH
        return lane

    def done(self) -> Timeline:
        self._fault()
        for ask, (_, end), top in zip(self.row.asks, self.ends, self.ask_tops, strict=True):
            self._ask(ask, end, top)
        self._healed()
        return Timeline(
            height=self.bottom + AXIS,
            lanes=tuple(self.lanes),
            bars=tuple(self.bars),
            marks=tuple(self.marks),
            lines=tuple(self.lines),
            labels=tuple(self.labels),
            ticks=tuple(_ticks(self.scale)),
            cuts=self.scale.cuts(),
            left=self.left,
        )

    def _fault(self) -> None:
        row, y = self.row, self.lanes[0].lines[0]
        name, began, ended = words.legible(row.fault), row.fault_began, row.fault_ended
        told = f"{name}, {words.seconds(ended - began)} long"
        title = f"the fault: {name}, from {words.seconds(began)} to {words.seconds(ended)}"
        self._bar("fault", "fault", y, began, ended, title, told)
        for moment in (began, ended):
            self.lines.append(Line("edge", self.scale.x(moment), y, self.bottom))

    def _ask(self, ask: Ask, end: float, y: float) -> None:
        row = self.row
        look = _look(ask, row, self.primary)
        self._bar("ask", look, y, ask.began, end, f"a request: {words.outcome(ask)}", words.outcome(ask))
        self._first(ask.first, y)
        if row.expected is not Expected.ERROR and row.healthy < ask.seconds:
            at = self.scale.x(ask.began + row.healthy)
            self.marks.append(Mark("healthy", at, y, f"healthy: {words.seconds(row.healthy)}"))
        for before, call in zip((None, *ask.calls), ask.calls, strict=False):
            self._call(call, ask, end)
            if before is not None:
                self._next(before, call, end)

    def _call(self, call: Call, ask: Ask, end: float) -> None:
        won = call.provider == ask.answered_by and ask.ended is Ended.ANSWER and call is _last(ask)
        look = f"{'primary' if call.primary else 'other'} {'won' if won else 'lost'}"
        y = self.call_tops[id(call)]
        told = words.legible(call.outcome)
        until = end if call.ended is None else call.ended
        title = f"{words.legible(call.provider)}: {told}, {words.seconds(until - call.began)}"
        self._bar("call", look, y, call.began, until, title, told)
        self._first(call.first, y)

    def _next(self, before: Call, call: Call, end: float) -> None:
        """From the call that failed or was silent to the one that took its place."""
        top, bottom = sorted((self.call_tops[id(before)], self.call_tops[id(call)]))
        if top == bottom:
            return
        beside = (end if before.ended is None else before.ended) > call.began + OVERLAP
        x = self.scale.x(call.began)
        self.lines.append(Line("hedge" if beside else "next", x, top + BAR, bottom))
        if beside:
            self._label(top, x + 3, x - 3, f"hedge {words.seconds(call.began - before.began)}", "hedge")

    def _healed(self) -> None:
        if self.row.healed is None:
            return
        x, y = self.scale.x(self.row.fault_ended + self.row.healed), self.lanes[2].lines[0]
        told = f"healed +{words.seconds(self.row.healed)}"
        self.marks.append(Mark("healed", x, y, f"{told}: the primary answers again"))
        self._label(y, x + 5, x - 5, told, "healed")

    def _bar(self, kind: str, look: str, y: float, begin: float, end: float, title: str, told: str) -> None:
        x = self.scale.x(begin)
        width = max(self.scale.x(end) - x, THINNEST)
        x = min(x, RIGHT - width)
        self.bars.append(Bar(kind, look, x, y, width, title))
        self._label(y, x, x + width, told)

    def _first(self, moment: float | None, y: float) -> None:
        if moment is not None:
            self.marks.append(
                Mark("first", self.scale.x(moment), y, f"first content at {words.seconds(moment)}")
            )

    def _label(self, y: float, from_: float, to: float, text: str, look: str = "") -> None:
        """From `from_` to the right, or up to `to`; left out without room: the caption says it too."""
        text = _short(text, RIGHT - self.left)
        wide = len(text) * LETTER
        taken = self.taken.setdefault(y, [])
        ways = ((from_, from_ + wide, "start", from_), (to - wide, to, "end", to))
        for begin, end, anchor, x in ways if look != "hedge" else ways[::-1]:
            inside = begin >= self.left and end <= RIGHT
            if inside and all(end + 4 <= a or begin - 4 >= b for a, b in taken):
                taken.append((begin, end))
                self.labels.append(Label(x, y + LABEL, anchor, text, look))
                return


def _ticks(of: Scale) -> Iterator[Tick]:
    """As many as there is room for, none beyond the right edge."""
    free = -RIGHT
    for moment in of.ticks(TICKS_APART):
        text = f"{moment:.3g} s" if moment < 1000 else f"{moment:.0f} s"
        wide = len(text) * LETTER
        middle = min(of.x(moment), WIDTH - wide / 2)
        if middle - wide / 2 >= free:
            free = middle + wide / 2 + 4
            yield Tick(of.x(moment), middle, text)


def _spans(row: Row) -> list[Span]:
    spans = [(row.fault_began, row.fault_began), (row.fault_ended, row.fault_ended)]
    if row.healed is not None:
        spans.append((row.fault_ended + row.healed, row.fault_ended + row.healed))
    for ask in row.asks:
        spans.append((ask.began, ask.began + ask.seconds))
        spans += [(c.began, c.ended) for c in ask.calls if c.ended is not None]
    return spans


def _look(ask: Ask, row: Row, primary: str) -> str:
    if ask.ended is Ended.ANSWER:
        return "primary won" if ask.answered_by == primary else "other won"
    right = row.expected is Expected.ERROR and ask.ended in (Ended.ERROR, Ended.BROKEN)
    return "told" if right else "bad"


def _last(ask: Ask) -> Call | None:
    """The call whose answer the client got: of that provider's, the last."""
    return next((c for c in reversed(ask.calls) if c.provider == ask.answered_by), None)


def _short(text: str, places: float) -> str:
    most = int(places / LETTER)
    return text if len(text) <= most else text[: most - 1] + "…"
