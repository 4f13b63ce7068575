"""Seconds to places on a line. Long stretches in which nothing happens are cut short. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

LONGEST = 86_400.0
IDLE = 0.15  # of the busy time: a longer pause is cut
CUT = 26.0  # places that a cut takes
STEPS = (1, 2, 5)

Span = tuple[float, float]  # seconds, from and to


def finite(seconds: float) -> float:
    """What can be drawn, whatever was measured; to the microsecond."""
    return 0.0 if math.isnan(seconds) else round(min(max(seconds, 0.0), LONGEST), 6)


@dataclass(frozen=True)
class Stretch:
    """A part of the line without a cut."""

    begin: float
    end: float
    left: float
    right: float


@dataclass(frozen=True)
class Scale:
    stretches: tuple[Stretch, ...]

    def x(self, seconds: float) -> float:
        at = finite(seconds)
        for stretch in self.stretches:
            if at <= stretch.begin:
                return stretch.left
            if at <= stretch.end:
                share = (at - stretch.begin) / (stretch.end - stretch.begin)
                return stretch.left + share * (stretch.right - stretch.left)
        return self.stretches[-1].right

    def cuts(self) -> tuple[float, ...]:
        """The middle of each."""
        return tuple((a.right + b.left) / 2 for a, b in pairwise(self.stretches))

    def ticks(self, apart: float) -> list[float]:
        """Round seconds, at least `apart` places from one another; the begin of each stretch if none fits."""
        found: list[float] = []
        for stretch in self.stretches:
            step = _step(stretch, apart)
            first = math.ceil(stretch.begin / step - 1e-9)
            last = math.floor(stretch.end / step + 1e-9)
            found += [n * step for n in range(first, last + 1)] or [stretch.begin]
        kept: list[float] = []
        for tick in found:
            if not kept or self.x(tick) - self.x(kept[-1]) >= apart:
                kept.append(tick)
        return kept


def scale(spans: Iterable[Span], left: float, right: float) -> Scale:
    """The line from `left` to `right` on which every span is, each second as wide as any other."""
    busy = _merged(sorted((finite(a), max(finite(a), finite(b))) for a, b in spans), 0.0)
    total = sum(end - begin for begin, end in busy) or 1.0
    busy = _merged(busy, IDLE * total)
    length = sum(end - begin for begin, end in busy) or 1.0
    cut = min(CUT, (right - left) / (2 * len(busy)))
    a_second = (right - left - cut * (len(busy) - 1)) / length
    stretches, at = [], left
    for begin, end in busy:
        width = (end - begin) * a_second
        stretches.append(Stretch(begin, end, at, at + width))
        at += width + cut
    return Scale(tuple(stretches))


def _merged(spans: list[Span], gap: float) -> list[Span]:
    """Those that lie no further than `gap` apart become one."""
    merged: list[Span] = []
    for begin, end in spans:
        if merged and begin - merged[-1][1] <= gap:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged or [(0.0, 0.0)]


def _step(stretch: Stretch, apart: float) -> float:
    """The smallest 1, 2 or 5 of a power of ten, in seconds, whose ticks are `apart` places apart."""
    width = stretch.right - stretch.left
    if width <= 0:
        return LONGEST
    least = max((stretch.end - stretch.begin) * apart / width, 1e-6)
    power = 10.0 ** math.floor(math.log10(least))
    return next((step * power for step in STEPS if step * power >= least), 10 * power)


def tracks(spans: Sequence[Span]) -> list[int]:
    """For each span the first of as many lines as needed on which it lies beside no other."""
    free: list[float] = []
    found = [0] * len(spans)
    for index, (begin, end) in sorted(enumerate(spans), key=lambda item: finite(item[1][0])):
        track = next((n for n, until in enumerate(free) if until <= finite(begin)), len(free))
        free[track:] = [max(finite(begin), finite(end)), *free[track + 1 :]]
        found[index] = track
    return found
