"""What appliance.yaml says of failing over: read as it is meant, its mistakes told where they are."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from appliance.contract.router_policy import BreakerTimes, CanaryRule, Deadlines, Mode
from appliance.desk.config.file import json_schema
from appliance.desk.config.initial import HETZNER_VENDORS
from appliance.desk.settings import ModelRef, Workload
from tests.desk.configs import FULL, GOOD, line_of, problems, read, spoil, the_problem

README = Path(__file__).parents[2] / "README.md"
CODE = "    fallback: beta/opus\n"  # of GOOD's first workload
LONG = "    fallback: [alpha/large-1, {model: alpha/large-2, context_window: 1000000}]\n"


def workload(text: str, name: str) -> Workload:
    return next(workload for workload in read(text).settings.workloads if workload.name == name)


def with_code(more: str) -> str:
    """GOOD, whose first workload says `more` too."""
    return spoil(CODE, f"{CODE}    {more}\n")


def test_fallbacks_are_one_or_a_list_by_name_or_with_a_window_of_their_own() -> None:
    assert workload(FULL, "code").fallbacks == (ModelRef("beta", "opus"),)
    long = workload(FULL, "long")
    assert long.models == (
        ModelRef("beta", "opus"),
        ModelRef("alpha", "large-1"),
        ModelRef("alpha", "large-2"),
    )
    assert [long.window_of(model) for model in long.models] == [200_000, 128_000, 1_000_000]


def test_a_workloads_deadlines_go_before_those_of_all_and_those_before_the_defaults() -> None:
    defaults = Deadlines()
    assert workload(GOOD, "code").deadlines == defaults
    of_all, long = workload(FULL, "code").deadlines, workload(FULL, "long").deadlines
    assert (of_all.connect, of_all.hedge, of_all.whole_hedge, of_all.between) == (3, 4.5, 15, 25)
    assert (of_all.start, of_all.total, of_all.comment) == (100, 500, defaults.comment)
    assert (long.hedge, long.start, long.total) == (7, 60, 500)


def test_mode_status_breaker_and_canary_are_read() -> None:
    settings = read(FULL).settings
    long = workload(FULL, "long")
    assert (long.mode, long.failed_status) == (Mode.HOLD, 422)
    assert (workload(FULL, "code").mode, workload(FULL, "code").failed_status) == (Mode.PASS, 503)
    assert settings.breaker == BreakerTimes(server_error=10, rate_limited=11, refused=400)
    assert settings.canary == CanaryRule(every=12 * 3600, max_tokens=8)
    assert (read(GOOD).settings.breaker, read(GOOD).settings.canary) == (BreakerTimes(), CanaryRule())


@pytest.mark.parametrize(
    ("text", "path", "what"),
    [
        (
            spoil(CODE, "    fallback: [beta/opus, opus]\n"),
            "workloads.code.fallback[1]",
            "provider/model, like",
        ),
        (spoil(CODE, "    fallback: opus\n"), "workloads.code.fallback", "provider/model, like"),
        (spoil(CODE, "    fallback: 12\n"), "workloads.code.fallback", "must be text, is a number"),
        (spoil(CODE, "    fallback: []\n"), "workloads.code", "says neither what answers"),
        (spoil(CODE, "    fallback: {modell: beta/opus}\n"), "workloads.code.fallback", "is missing"),
        (
            spoil(CODE, "    fallback: [gamma/x, beta/opus]\n"),
            "workloads.code.fallback[0]",
            'no provider "gamma"',
        ),
        (
            spoil(CODE, "    fallback: [beta/opus, beta/opus]\n"),
            "workloads.code.fallback[1]",
            "stands there twice",
        ),
        (
            spoil(CODE, "    fallback: [beta/opus, alpha/large-1]\n"),
            "workloads.code.fallback[1]",
            "is the primary itself",
        ),
        (
            spoil(CODE, "    fallback: [beta/1, beta/2, beta/3, beta/4]\n"),
            "workloads.code.fallback",
            "names 4; at most 3",
        ),
        (
            spoil(CODE, "    fallback: {model: beta/opus, context_window: 5}\n"),
            "workloads.code.fallback.context_window",
            "at least 1000",
        ),
        (
            spoil("context_window: 1000000", "context_window: 9000", FULL),
            "workloads.long.max_tokens",
            "no room for a question in a context window of 9000",
        ),
        (with_code("mode: keep"), "workloads.code.mode", "one of: pass, hold"),
        (with_code("failed_status: 500"), "workloads.code.failed_status", "one of: 422 or 503"),
        (
            with_code("deadlines: {hedge: soon}"),
            "workloads.code.deadlines.hedge",
            "must be a number, is text",
        ),
        (with_code("deadlines: {hedge: 0}"), "workloads.code.deadlines.hedge", "at least 0.1"),
        (with_code("deadlines: {total: 900}"), "workloads.code.deadlines.total", "at most 600"),
        (with_code("deadlines: {totl: 90}"), "workloads.code.deadlines.totl", 'did you mean "total"?'),
        (
            with_code("deadlines: {start: 3}"),
            "workloads.code.deadlines.start",
            "hedge of 5 s is not below start",
        ),
        (
            with_code("deadlines: {total: 60}"),
            "workloads.code.deadlines.total",
            "start of 110 s is above total",
        ),
        (
            with_code("deadlines: {whole_hedge: 570}"),
            "workloads.code.deadlines.whole_hedge",
            "whole_hedge < total",
        ),
        (with_code("hedge: 3"), "workloads.code.hedge", "it belongs under deadlines:"),
        (f"{GOOD}breaker: {{refused: 4000}}\n", "breaker.refused", "at most 3600"),
        (f"{GOOD}canary: {{every_hours: 0}}\n", "canary.every_hours", "at least 0.1"),
        (spoil("  batch:", "  drill-1:"), "workloads.drill-1", "is a drill's name"),
    ],
)
def test_each_mistake_is_told_where_it_is_and_what_would_be_right(text: str, path: str, what: str) -> None:
    told = "\n".join(map(str, problems(text)))
    assert f": {path}: " in told or f": {path}." in told
    assert what in told


def test_a_provider_cannot_take_a_drills_name() -> None:
    assert "providers.drill-alpha: " in str(problems(GOOD.replace("alpha", "drill-alpha"))[0])


def test_a_mistake_in_the_deadlines_of_all_is_told_once_and_there() -> None:
    text = f"{GOOD}deadlines:\n  connect: 2\n  start: 590\n"
    assert the_problem(text).startswith(f"appliance.yaml:{line_of(text, 'start: 590')}: deadlines.start: ")
    text = f"{GOOD}deadlines:\n  connect: 2\n  hedge: 200\n"
    said = the_problem(text)
    assert said.startswith(f"appliance.yaml:{line_of(text, 'hedge: 200')}: deadlines.hedge: ")
    assert "hedge of 200 s is not below start of 110 s" in said


def test_a_workload_at_odds_with_what_holds_for_all_is_told_at_the_workload() -> None:
    text = with_code("deadlines: {hedge: 80}") + "deadlines: {start: 70}\n"
    assert the_problem(text).startswith(
        f"appliance.yaml:{line_of(text, 'hedge: 80')}: workloads.code.deadlines"
    )


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        (FULL, True),
        (spoil(CODE, "    fallback: [a/1, a/2, a/3, a/4]\n"), False),
        (with_code("mode: keep"), False),
    ],
)
def test_an_editor_with_the_schema_agrees(text: str, fits: bool) -> None:
    schema = jsonschema.Draft202012Validator(json_schema())
    assert schema.is_valid(yaml.safe_load(text)) is fits


def warned(text: str) -> str:
    return "\n".join(map(str, read(text).warnings))


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (FULL, "workloads.long.fallback[1]: is at another fallback's provider"),
        (
            with_code("deadlines: {start: 8}"),
            "code.deadlines.start: hedge of 5 s is too near to start of 8 s",
        ),
        (with_code("deadlines: {start: 8}"), "3 s are left for the last fallback; start of at least 10"),
        (spoil("fail_closed: true", "fail_closed: true\n    mode: hold"), "batch.mode: holds answers back"),
        (GOOD, "by choice; failed_status: 422 lets clients read the cause"),
        (spoil("https://beta.example/v1", "https://beta.example"), "will ask https://beta.example/messages"),
    ],
)
def test_what_is_allowed_but_risky_is_a_warning(text: str, warning: str) -> None:
    assert warning in warned(text)


def test_two_fallbacks_need_room_for_three_hedges() -> None:
    text = spoil(LONG, f"{LONG}    x: 1\n", FULL).replace("    x: 1\n", "")
    assert "too near" not in warned(text)
    assert "too near" in warned(text.replace("{hedge: 7, start: 60}", "{hedge: 7, start: 20}"))


def test_the_hetzner_vendors_of_the_first_file_name_the_version_that_the_router_appends_to() -> None:
    assert all(vendor.base_url.endswith("/v1") for vendor in HETZNER_VENDORS)


def test_the_policy_that_the_readme_shows_is_read_as_it_stands_there() -> None:
    shown = re.search(r"```yaml\n(providers:.*?)```", README.read_text(), re.S)
    assert shown
    reading = read(GOOD[: GOOD.index("providers:")] + shown[1])
    assert [workload.mode for workload in reading.settings.workloads] == [Mode.PASS, Mode.HOLD, Mode.PASS]
    assert [warning.path for warning in reading.warnings] == ["workloads.batch.fail_closed"]
