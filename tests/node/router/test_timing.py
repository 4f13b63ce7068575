"""To the second, in virtual time: what silence, pings, slowness and missing ends cost by the defaults."""

from __future__ import annotations

import asyncio
import json

import pytest

from appliance.contract.router_policy import Api, Deadlines, Mode
from tests.node.router.said import anthropic_stream, chunk, heard, openai_stream, whole_text
from tests.node.router.virtual import LIMITS, Listener, Script, Seen, asked, run

PING = b": ping\n\n"
STREAMS = {Api.OPENAI: openai_stream, Api.ANTHROPIC: anthropic_stream}


def healthy(name: str, first: float = 0.1, pace: float = 0.0, api: Api = Api.OPENAI) -> Script:
    """Its first content comes `first` seconds after it was asked."""
    head = {Api.OPENAI: 1, Api.ANTHROPIC: 3}[api]
    waits = [0.0] * head + [first]
    events = STREAMS[api](name)
    return Script(pieces=[(waits[i] if i < len(waits) else pace, data) for i, data in enumerate(events)])


def pinging(*before: bytes, every: float = 1, times: int = 2000) -> Script:
    return Script(pieces=[*((0.0, data) for data in before), *[(every, PING)] * times], end="hang")


def text_of(seen: Seen) -> str:
    text, _, done, errors = heard(seen.client.data)
    assert done
    assert not errors
    return text


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(
    "primary",
    [
        Script(wait=1e6),
        Script(end="hang"),
        pinging(),
        pinging(chunk({"role": "assistant", "content": ""})),
        Script(pieces=[(1.0, bytes([byte])) for byte in b"data: " + b" " * 2000]),
        Script(pieces=[(1.0, chunk({"role": "assistant"}))] * 500),
    ],
    ids=["hang", "headers-then-silence", "pings", "role-then-pings", "trickle", "roles-for-ever"],
)
def test_silence_of_any_kind_costs_the_hedges_time(primary: Script, mode: Mode) -> None:
    seen = run(asked({"alpha": primary, "beta": healthy("beta")}, mode=mode))
    assert text_of(seen) == whole_text("beta")
    assert seen.client.times[0] == pytest.approx(LIMITS.hedge + 0.1)
    assert str(seen.relay.story.passed[0]) == "alpha=silent"


@pytest.mark.parametrize("api", list(Api))
def test_pings_after_content_are_silence(api: Api) -> None:
    """Passed: a clear error when `between` is over. Held: the fallback's whole answer."""
    events = STREAMS[api]("alpha")[:4]
    apis = {"alpha": api}
    seen = run(asked({"alpha": pinging(*events), "beta": healthy("beta")}, apis=apis))
    _, _, done, errors = heard(seen.client.data)
    assert not done
    assert errors[0]["code"] == 504
    assert seen.seconds == pytest.approx(LIMITS.between)
    seen = run(asked({"alpha": pinging(*events), "beta": healthy("beta")}, apis=apis, mode=Mode.HOLD))
    assert text_of(seen) == whole_text("beta")
    assert seen.seconds == pytest.approx(LIMITS.between + 0.1)


@pytest.mark.parametrize("mode", list(Mode))
def test_a_slow_answer_wins_over_a_slower_fallback(mode: Mode) -> None:
    seen = run(asked({"alpha": healthy("alpha", 60), "beta": healthy("beta", 90)}, mode=mode))
    assert text_of(seen) == whole_text("alpha")
    assert seen.seconds == pytest.approx(60)


def test_a_slow_pace_is_given_all_its_time_and_never_hedged() -> None:
    fallback = healthy("beta")
    seen = run(asked({"alpha": healthy("alpha", 4.9, LIMITS.between - 0.1), "beta": fallback}))
    assert text_of(seen) == whole_text("alpha")
    assert fallback.calls == 0


def test_the_first_with_content_wins_and_no_connection_is_left() -> None:
    slow, fast = healthy("alpha", 8), healthy("beta", 1)
    seen = run(asked({"alpha": slow, "beta": fast}))
    assert text_of(seen) == whole_text("beta")
    assert (slow.open_now, fast.open_now) == (0, 0)
    assert seen.seconds == pytest.approx(LIMITS.hedge + 1)


@pytest.mark.parametrize("end", ["close", "drop", "hang"])
def test_an_answer_that_has_its_finish_reason_is_whole_without_done(end: str) -> None:
    events = openai_stream("alpha")[:-1]
    seen = run(asked({"alpha": Script(pieces=[(0.0, event) for event in events], end=end)}))
    assert text_of(seen) == whole_text("alpha")
    assert seen.seconds == pytest.approx(LIMITS.closing if end == "hang" else 0)


@pytest.mark.parametrize("mode", list(Mode))
def test_when_nobody_speaks_the_router_does_before_its_caller_gives_up(mode: Mode) -> None:
    seen = run(asked({"alpha": pinging(), "beta": Script(wait=1e6)}, mode=mode))
    assert seen.seconds == pytest.approx(LIMITS.start)
    if mode is Mode.PASS:
        assert seen.reply is not None
        assert seen.reply.status == 504
        assert json.loads(seen.reply.body)["error"]["code"] == 504
    else:
        assert heard(seen.client.data)[3][0]["code"] == 504


@pytest.mark.parametrize("mode", list(Mode))
def test_the_total_deadline_ends_what_flows(mode: Mode) -> None:
    limits = Deadlines(hedge=5, start=20, total=50)
    endless = Script(pieces=[(1.0, chunk({"content": "x"}))] * 999)
    seen = run(asked({"alpha": endless, "beta": healthy("beta")}, mode=mode, limits=limits))
    text, _, done, errors = heard(seen.client.data)
    assert seen.seconds == pytest.approx(50)
    assert not done
    assert errors
    assert bool(text) is (mode is Mode.PASS)


class Deaf(Listener):
    async def write(self, data: bytes) -> None:
        await asyncio.sleep(1e6)


@pytest.mark.parametrize("mode", list(Mode))
def test_a_client_that_reads_no_more_is_left_in_the_end(mode: Mode) -> None:
    alpha = healthy("alpha")
    with pytest.raises(TimeoutError):
        run(asked({"alpha": alpha}, mode=mode, client=Deaf()))
    assert alpha.open_now == 0


def test_comments_keep_a_held_answer_alive() -> None:
    seen = run(asked({"alpha": healthy("alpha", 1, 20)}, mode=Mode.HOLD))
    assert text_of(seen) == whole_text("alpha")
    gaps = [b - a for a, b in zip([0.0, *seen.client.times], seen.client.times, strict=False)]
    assert max(gaps) <= LIMITS.comment + 0.1


def test_a_held_answer_that_is_quick_has_headers_and_no_comments() -> None:
    seen = run(asked({"alpha": healthy("alpha", 1, 1)}, mode=Mode.HOLD))
    assert seen.client.headers == {"x-appliance-provider": "alpha", "x-appliance-failover": "none"}
    assert not any(line.startswith(b":") for line in seen.client.data.splitlines())


def test_a_fast_fallback_of_a_broken_held_answer_has_the_whole_time() -> None:
    """The primary broke when `start` was long over: the fallback is not cut off by it."""
    long = Script(pieces=[(1.0 if i < 2 else 20.0, chunk({"content": "x"})) for i in range(10)], end="drop")
    seen = run(asked({"alpha": long, "beta": healthy("beta", 1, 1)}, mode=Mode.HOLD))
    assert seen.seconds > LIMITS.start
    assert text_of(seen) == whole_text("beta")


def test_three_silent_ones_start_one_after_the_other() -> None:
    third = healthy("gamma")
    seen = run(asked({"alpha": Script(wait=1e6), "beta": Script(wait=1e6), "gamma": third}))
    assert text_of(seen) == whole_text("gamma")
    assert seen.seconds == pytest.approx(2 * LIMITS.hedge + 0.1)


@pytest.mark.parametrize("status", [400, 422])
def test_a_fallback_that_takes_the_request_wrong_does_not_end_a_slow_primary(status: int) -> None:
    body = json.dumps({"error": {"message": "no such parameter"}}).encode()
    picky = Script(status, "application/json", [(0.0, body)])
    seen = run(asked({"alpha": healthy("alpha", 20), "beta": picky}))
    assert text_of(seen) == whole_text("alpha")


@pytest.mark.parametrize(
    ("shown", "quoted"), [("key-of-alpha", False), ("...-alpha", False), ("tools.0", True)]
)
def test_a_vendor_that_shows_the_key_is_not_quoted(shown: str, quoted: bool) -> None:
    body = json.dumps({"error": {"message": f"{shown} is odd"}}).encode()
    seen = run(asked({"alpha": Script(400, "application/json", [(0.0, body)])}))
    assert seen.reply is not None
    assert (shown in seen.reply.body.decode()) is quoted


def test_an_error_body_that_trickles_does_not_hold_up_the_fallback() -> None:
    trickle = Script(500, "application/json", [(0.4, b" ")] * 500)
    seen = run(asked({"alpha": trickle, "beta": healthy("beta")}))
    assert text_of(seen) == whole_text("beta")
    assert seen.seconds < 1.2
