"""What `appliance drill providers` prints: the verdict, what is wrong and what to do, and every row."""

from __future__ import annotations

import pytest

from appliance.cli.drill_text import text, verdict
from appliance.contract.drill import Expected, Kind, Level, Report
from appliance.desk.reports.advice import advise
from tests.desk.drill_samples import FAULTS, canaries, red_report, report, row, rows

GREEN, RED = report(), red_report()


def said(of: Report) -> list[str]:
    return "\n".join(text(of)).splitlines()


def test_a_green_drill_ends_with_one_line_that_says_so() -> None:
    assert said(GREEN)[-1] == (
        f"GREEN: all {len(GREEN.rows)} rows had the right outcome; demo-1, bundle 5f0c5f0c5f0c (7m 11s)."
    )
    assert advise(GREEN) == ()


def test_every_row_has_a_line_under_its_workload_level_and_kind() -> None:
    lines = said(GREEN)
    assert sum(line.startswith("  ✓") for line in lines) == len(GREEN.rows) + 2  # and the canaries
    heads = [line for line in lines if line.startswith("right: ")]
    assert len(heads) == 3 * len(Level) * len(Kind)
    assert all(any(f"  ✓  {fault} " in line for line in lines) for fault in FAULTS)


def test_a_line_tells_who_answered_when_and_against_what() -> None:
    of = row("code", "503", Level.ROUTER, Kind.STREAM)
    (line,) = [line for line in said(report(of)) if "503" in line]
    first, second = of.asks
    more = first.seconds - of.healthy
    words = (f"beta   {first.seconds:.3f} s", f"+{more:.3f} s", f"beta, {second.seconds:.3f} s", "  3")
    assert [word for word in words if " ".join(word.split()) not in " ".join(line.split())] == []


def test_what_is_wrong_comes_first_and_again_at_the_end_with_what_to_do() -> None:
    lines = said(RED)
    assert lines[0].startswith("WRONG: ")
    heads = [line.split(":")[0] for line in lines if line.startswith(("WRONG: ", "right: "))]
    assert heads == sorted(heads)  # capitals before the others
    assert set(heads) == {"WRONG", "right"}
    end = lines[next(n for n, line in enumerate(lines) if line.startswith("RED: ")) :]
    assert end[0].startswith("RED: 62 of 256 rows, 1 provider asked directly, what was left behind; demo-1")
    assert sum(line.startswith("    next: ") for line in end) == len(advise(RED))
    assert "the fallback beta did not answer: its key is refused" in "\n".join(end)


def test_a_cause_is_told_once_however_many_rows_it_made_red() -> None:
    causes = [advice.what for advice in advise(RED)]
    assert len(causes) == len(set(causes))
    told = [place for advice in advise(RED) for place in advice.rows]
    assert sorted(told) == [place for place, of in enumerate(RED.rows) if not of.ok]


@pytest.mark.parametrize(
    ("detail", "runbook"),
    [
        ("refused this node access", "rotate-keys"),
        ("refused this node access (401)", "rotate-keys"),
        ("has no credential on this node", "rotate-keys"),
        ("does not serve this node's account at present", "quota-spent"),
        ("asked to be asked later", "quota-spent"),
        ("could not be reached", "provider-down"),
        ("dropped the connection", "provider-down"),
        ("fell silent", "provider-down"),
        ("failed with an error of its own", "provider-down"),
        ("does not know the model", "model's name"),
    ],
)
def test_each_way_a_canary_fails_leads_to_its_runbook(detail: str, runbook: str) -> None:
    (advice,) = advise(report(*rows(("code",), ("503",)), beta=detail))
    assert runbook in advice.do
    assert detail in advice.what
    assert "code, batch" in advice.what


def test_the_words_of_the_samples_are_those_that_the_router_says() -> None:
    """Desk and node do not import one another; a test may look at both."""
    from appliance.node.router.classify import WORDS, Cause

    ills = {Cause.ACCESS_REFUSED: "rotate", Cause.ACCOUNT: "quota", Cause.UNREACHABLE: "down"}
    for cause, runbook in ills.items():
        (advice,) = advise(report(*rows(("code",), ("503",)), beta=WORDS[cause]))
        assert runbook in advice.do


def test_a_drill_of_nothing_is_red() -> None:
    nothing = GREEN.model_copy(update={"rows": ()})
    assert verdict(nothing).startswith("RED: 0 of 0 rows")
    assert "nothing is proven" in advise(nothing)[0].what


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"expected": Expected.ERROR}, "an answer came where only a clear error was right"),
        ({"wrong": ("the fault: took 9.10 s of 6.20 s at most",)}, "too late"),
        ({"wrong": ("the open breaker: the primary was asked",)}, "not as it should come about"),
    ],
)
def test_each_kind_of_wrong_has_its_words(changes: dict[str, object], said: str) -> None:
    of = row("code", "503", Level.ROUTER, Kind.STREAM).model_copy(update={"wrong": ("so",)} | changes)
    (advice,) = advise(report(of))
    assert said in advice.what
    assert advice.do


def test_a_provider_that_stopped_answering_directly_makes_a_drill_red() -> None:
    of = report(*rows(("code",), ("503",))).model_copy(update={"canaries": canaries(beta="fell silent")})
    assert verdict(of).startswith("RED: 1 provider asked directly; ")


def test_an_error_in_a_stream_that_began_well_is_not_called_by_its_200() -> None:
    of = row("private", "503", Level.GATEWAY, Kind.STREAM)
    asks = (of.asks[0].model_copy(update={"status": 200}),)
    lines = said(report(of.model_copy(update={"asks": asks})))
    assert any("503 one clear error error in band" in " ".join(line.split()) for line in lines)
