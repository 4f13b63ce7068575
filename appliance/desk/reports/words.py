"""A drill's evidence in words, the same at the terminal and on the page. Pure."""

from __future__ import annotations

import unicodedata

from appliance.contract.drill import Ask, Ended, Expected, Level, Row

ENDED = {
    Ended.ANSWER: "answered",
    Ended.ERROR: "a clear error",
    Ended.BROKEN: "broke off, and said so",
    Ended.PARTIAL: "PARTIAL: broke off unsaid",
    Ended.MIXED: "MIXED: two answers in one",
    Ended.EMPTY: "EMPTY answer",
    Ended.SILENT: "SILENT",
}
EXPECTED = {
    Expected.FALLBACK: "the fallback answers",
    Expected.PRIMARY: "the primary answers",
    Expected.ERROR: "one clear error",
}
LEVEL = {Level.ROUTER: "at the router", Level.GATEWAY: "through the gateway"}


def legible(text: str) -> str:
    """Without what could steer a terminal or turn the direction of a line: names and words come from afar."""
    return "".join(" " if unicodedata.category(sign) in ("Cc", "Cf", "Cs") else sign for sign in text)


def seconds(value: float) -> str:
    """0.0123 -> "0.012 s", 1.234 -> "1.23 s", 83.4 -> "83.4 s"."""
    digits = 3 if value < 0.0995 else 2 if value < 9.995 else 1
    return f"{value:.{digits}f} s"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def where(row: Row) -> str:
    """The column that a row stands in, e.g. "code, at the router, stream"."""
    return f"{legible(row.workload)}, {LEVEL[row.level]}, {row.kind.value}"


def who(ask: Ask | None) -> str:
    """Who answered, or what came instead, e.g. "beta", "error 503" or "error in band"."""
    if ask is None:
        return "not asked"
    if ask.ended is Ended.ANSWER:
        return legible(ask.answered_by or "somebody")
    if ask.ended is Ended.ERROR:
        in_band = ask.status is None or ask.status < 400
        return "error in band" if in_band else f"error {ask.status}"
    return ENDED[ask.ended]


def outcome(ask: Ask | None) -> str:
    """`who` and how long it took."""
    return who(ask) if ask is None else f"{who(ask)}, {seconds(ask.seconds)}"


def first(row: Row) -> Ask | None:
    """The request that met the fault."""
    return row.asks[0] if row.asks else None


def second(row: Row) -> Ask | None:
    """The one after it, that met what it left: an open breaker, or none. Not every row has it."""
    return next((ask for ask in row.asks if ask.began >= row.asks[0].began + row.asks[0].seconds), None)


def beside(row: Row, ask: Ask) -> str:
    """When a later request was, e.g. ", after the fault"."""
    first = row.asks[0]
    if ask is first:
        return ""
    if ask.began >= row.fault_ended:
        return ", after the fault"
    return ", after it" if ask.began >= first.began + first.seconds else ", at the same time"


def against(row: Row) -> str:
    """The first answer's time beside the healthy one's, e.g. "+0.010 s"."""
    if not row.asks or row.expected is Expected.ERROR:
        return ""
    more = row.asks[0].seconds - row.healthy
    return f"{'+' if more >= 0 else '-'}{seconds(abs(more))}"


def calls(ask: Ask) -> str:
    """Who was asked and what came of it, in order, e.g. "alpha: 503; beta: answered"."""
    return (
        "; ".join(f"{legible(c.provider)}: {legible(c.outcome)}" for c in ask.calls)
        or "no call reached a provider"
    )
