"""Whatever two upstreams send, however split and timed: one provider's whole answer, or one clear error."""

from __future__ import annotations

import json
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.contract.router_policy import Api, Mode
from tests.node.router.said import anthropic_stream, chunk, event, heard, openai_stream, whole_text
from tests.node.router.virtual import LIMITS, Script, Seen, asked, run

WAITS = st.sampled_from([0.0, 0.0, 0.0, 0.1, 2.0, 4.9, 5.1, 29.0, 31.0, 200.0])


NOISE = [
    b": ping\n\n",
    b"\n\n",
    b"data: {\n\n",
    b"data: []\n\n",
    b"<html>",
    b"\xff\xfe\n",
    b"data: null\n\n",
    event({"error": {"message": "overloaded", "code": 529}}),
    chunk({}, "error"),
    b"data: [DONE]\n\n",
    chunk({"role": "assistant"}),
    event({"choices": []}),
    event({"type": "error", "error": {"type": "api_error"}}),
    b"event: error\ndata: {}\n\n",
    event({"type": "ping"}),
    event({"usage": {}}),
    b"id: 7\nretry: 3\n",
    b'data: {"choices": [{"delta": 3}]}\n\n',
]


@st.composite
def scripts(draw: st.DrawFn, name: str, api: Api) -> Script:
    events = (openai_stream if api is Api.OPENAI else anthropic_stream)(name)
    kept = draw(st.one_of(st.just(len(events)), st.integers(0, len(events))))
    events = events[:kept]
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        events.insert(draw(st.integers(0, len(events))), draw(st.sampled_from(NOISE)))
    if draw(st.booleans()):
        events = [piece.replace(b"\n", draw(st.sampled_from([b"\r\n", b"\r"]))) for piece in events]
    data = b"".join(events)
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    ends = [0, *cuts, len(data)]
    pieces = [(draw(WAITS), data[a:b]) for a, b in pairwise(ends)]
    status = draw(st.sampled_from([200] * 8 + [400, 401, 429, 500, 204]))
    kind = draw(st.sampled_from(["text/event-stream"] * 8 + ["text/html", "application/json", ""]))
    end = draw(st.sampled_from(["close", "drop", "hang"]))
    return Script(status, kind, pieces, end, draw(WAITS))


def is_one_answer_or_one_error(seen: Seen, names: list[str]) -> None:
    assert seen.seconds <= LIMITS.total + 1
    if seen.reply is not None:
        assert seen.client.headers is None, "both a reply and a stream"
        assert seen.reply.status in (400, 404, 422, 503, 504)
        assert json.loads(seen.reply.body)["error"]["message"]
        return
    text, reasons, done, errors = heard(seen.client.data)
    givers = [name for name in names if f"{name}:" in text]
    assert len(givers) <= 1, "two answers in one"
    assert done != bool(errors), "neither whole nor an error, or both"
    if done:
        assert text == (whole_text(givers[0]) if givers else "")
        assert reasons
    if givers:
        assert seen.relay.story.provider == givers[0]
        assert whole_text(givers[0]).startswith(text)


APIS = st.sampled_from([Api.OPENAI, Api.ANTHROPIC])


@settings(max_examples=400, deadline=None)
@given(st.data(), st.sampled_from(list(Mode)), APIS, APIS)
def test_the_client_sees_one_whole_answer_or_one_error(
    data: st.DataObject, mode: Mode, first: Api, second: Api
) -> None:
    two = {"alpha": data.draw(scripts("alpha", first)), "beta": data.draw(scripts("beta", second))}
    seen = run(asked(two, mode=mode, apis={"alpha": first, "beta": second}))
    is_one_answer_or_one_error(seen, ["alpha", "beta"])
    assert {name: script.open_now for name, script in two.items()} == {"alpha": 0, "beta": 0}


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(list(Mode)), APIS)
def test_a_healthy_fallback_answers_whatever_the_primary_does_before_its_content(
    data: st.DataObject, mode: Mode, api: Api
) -> None:
    """Held: always. Passed: unless the primary had content."""
    primary = data.draw(scripts("alpha", api))
    healthy = Script(pieces=[(0.1, piece) for piece in openai_stream("beta")])
    seen = run(asked({"alpha": primary, "beta": healthy}, mode=mode, apis={"alpha": api}))
    is_one_answer_or_one_error(seen, ["alpha", "beta"])
    assert seen.reply is None
    text, _, done, _ = heard(seen.client.data)
    assert done or (mode is Mode.PASS and "beta:" not in text)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6), st.sampled_from(list(Mode)), APIS)
def test_any_bytes_at_all_are_passed_over(data: bytes, cuts: list[int], mode: Mode, api: Api) -> None:
    ends = [0, *sorted(cut for cut in cuts if cut <= len(data)), len(data)]
    noise = Script(pieces=[(0.0, data[a:b]) for a, b in pairwise(ends)])
    healthy = Script(pieces=[(0.1, piece) for piece in openai_stream("beta")])
    seen = run(asked({"alpha": noise, "beta": healthy}, mode=mode, apis={"alpha": api}))
    text, _, done, _ = heard(seen.client.data)
    assert done
    assert text == whole_text("beta")


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=200)
    | st.builds(
        lambda v: json.dumps(v).encode(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["choices", "message", "finish_reason", "content", "type"]), inner
                )
            ),
            max_leaves=8,
        ),
    ),
    APIS,
)
def test_a_whole_that_is_no_answer_is_passed_over(body: bytes, api: Api) -> None:
    message = {"message": {"content": whole_text("beta")}, "finish_reason": "stop", "index": 0}
    good = json.dumps({"choices": [message]}).encode()
    noise = Script(kind="application/json", pieces=[(0, body)])
    healthy = Script(kind="application/json", pieces=[(1.0, good)])
    seen = run(asked({"alpha": noise, "beta": healthy}, stream=False, apis={"alpha": api}))
    assert seen.reply is not None
    assert seen.reply.status == 200
    assert json.loads(seen.reply.body)["choices"][0]["message"]["content"] == whole_text("beta")
