"""Bytes to events, events to content, failures to causes: pure, at any split."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.node.router.classify import Cause, Failed, Verdict, harmless, in_band, refused, retry_after
from appliance.node.router.content import DONE, StreamCheck, check_type, check_whole, read_object
from appliance.node.router.sse import EVENT_BYTES, Event, SseParser

FIELDS = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=12)


@given(st.lists(st.lists(FIELDS, min_size=1, max_size=3), max_size=5), st.data())
def test_events_are_the_same_at_any_split_and_any_line_end(
    datas: list[list[str]], data: st.DataObject
) -> None:
    """Each event: its data lines; comments and fields nobody reads stand between them."""
    lines: list[str] = []
    for lines_of_one in datas:
        for line in lines_of_one:
            lines += [f"data: {line}", ": comment", "id: 3"]
        lines.append("")
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    wire = "".join(line + end for line in lines).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=10)))
    parser = SseParser()
    events: list[Event] = []
    for begin, stop in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        events += parser.feed(wire[begin:stop])
    assert [event.data.decode() for event in events] == ["\n".join(one) for one in datas]
    assert list(parser.close()) == []


def test_names_marks_and_an_end_without_its_empty_line() -> None:
    parser = SseParser()
    assert list(parser.feed(b"\xef\xbb\xbfevent: ping\ndata:1\n\n")) == [Event("ping", b"1")]
    assert list(parser.feed(b"data: 2")) == []
    assert list(parser.close()) == [Event("", b"2")]


def test_a_line_that_is_no_field_is_no_answer() -> None:
    with pytest.raises(Failed):
        list(SseParser().feed(b"<html>data: {}\n"))


def test_an_event_without_end_is_no_answer() -> None:
    parser = SseParser()
    list(parser.feed(b"x" * (EVENT_BYTES // 2)))
    with pytest.raises(Failed):
        list(parser.feed(b"x" * EVENT_BYTES))


def chunk(delta: Any, finish: Any = None, index: int = 0) -> bytes:
    return json.dumps({"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}).encode()


@pytest.mark.parametrize(
    ("delta", "is_content"),
    [
        ({"role": "assistant"}, False),
        ({"role": "assistant", "content": ""}, False),
        ({}, False),
        (None, False),
        ({"content": None, "tool_calls": []}, False),
        ({"content": " "}, True),
        ({"refusal": "no"}, True),
        ({"tool_calls": [{"index": 0}]}, True),
        ({"reasoning_content": "hm"}, True),
        ({"reasoning": "hm"}, True),
    ],
)
def test_what_counts_as_content(delta: Any, is_content: bool) -> None:
    assert StreamCheck().take(chunk(delta)).content is is_content


def test_finish_reason_counts_and_done_needs_it() -> None:
    check = StreamCheck()
    assert check.take(chunk({}, "stop")).content
    assert check.take(b"[DONE]").data == DONE
    assert check.done
    with pytest.raises(Failed):
        StreamCheck().take(b"[DONE]")
    cut = StreamCheck()
    cut.take(chunk({"content": "x"}))
    with pytest.raises(Failed):
        cut.end()


def test_what_has_no_choices_is_left_out_but_usage() -> None:
    assert StreamCheck().take(b'{"type": "keep-alive"}').data == b""
    assert json.loads(StreamCheck().take(b'{"usage": {}}').data[6:]) == {"usage": {}, "choices": []}


def test_an_event_in_several_lines_becomes_one() -> None:
    assert StreamCheck().take(b'{"choices":\n[]}').data == b'data: {"choices": []}\n\n'


def test_every_choice_must_finish() -> None:
    check = StreamCheck()
    check.take(chunk({"content": "a"}, index=0))
    check.take(chunk({"content": "b"}, index=1))
    check.take(chunk({}, "stop", index=0))
    assert not check.finished
    check.take(chunk({}, "length", index=1))
    assert check.finished


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"choices": null}',
        b'{"choices": [3]}',
        b'{"choices": [{"delta": []}]}',
        b'{"error": {"message": "x"}}',
        b'{"choices": [], "error": "x"}',
        b'{"choices": [{"index": "0"}]}',
        b'{"choices": [{"delta": {"content": NaN}}]}',
        b"\xff",
        chunk({}, "error"),
        chunk({}, 3),
        b"[" * 99999,
    ],
)
def test_what_is_no_part_of_an_answer(data: bytes) -> None:
    with pytest.raises(Failed):
        StreamCheck().take(data)


@pytest.mark.parametrize(
    "choices",
    [
        None,
        [],
        [3],
        [{}],
        [{"message": {}}],
        [{"message": None, "finish_reason": "stop"}],
        [{"message": {"content": "x"}, "finish_reason": "error"}],
    ],
)
def test_a_whole_needs_choices_with_message_and_finish_reason(choices: Any) -> None:
    with pytest.raises(Failed):
        check_whole({"choices": choices})


def test_a_whole_with_an_error_is_none() -> None:
    with pytest.raises(Failed) as caught:
        read_object(b'{"error": {"code": 429, "message": "slow down"}, "choices": []}')
    assert caught.value.outcome.cause is Cause.RATE_LIMITED


@pytest.mark.parametrize(
    ("kind", "stream", "fits"),
    [
        ("text/event-stream; charset=utf-8", True, True),
        ("application/json", True, False),
        ("text/html", True, False),
        ("application/json; charset=utf-8", False, True),
        ("", False, False),
        ("text/event-stream", False, False),
        ("application/problem+json", False, True),
    ],
)
def test_content_types(kind: str, stream: bool, fits: bool) -> None:
    if fits:
        check_type({"content-type": kind}, stream)
        return
    with pytest.raises(Failed):
        check_type({"content-type": kind}, stream)


def said(message: str, code: Any = None, kind: str = "invalid_request_error") -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, "code": code}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "cause", "verdict"),
    [
        (400, said("temperature must be below 2"), Cause.REQUEST, Verdict.CLIENTS_OWN),
        (422, said("no"), Cause.REQUEST, Verdict.CLIENTS_OWN),
        (413, b"<html>", Cause.REQUEST, Verdict.CLIENTS_OWN),
        (413, said("Request exceeds the maximum size"), Cause.REQUEST, Verdict.CLIENTS_OWN),
        (400, b"<html>", Cause.MALFORMED, Verdict.RETRYABLE),
        (400, said("x", "context_length_exceeded"), Cause.CONTEXT, Verdict.FALL_BACK),
        (400, said("prompt is too long: 208310 tokens > 200000 maximum"), Cause.CONTEXT, Verdict.FALL_BACK),
        (400, said("Your credit balance is too low to access"), Cause.ACCOUNT, Verdict.FALL_BACK),
        (
            400,
            said("API key not valid. Please pass a valid API key."),
            Cause.ACCESS_REFUSED,
            Verdict.FALL_BACK,
        ),
        (401, b"", Cause.ACCESS_REFUSED, Verdict.FALL_BACK),
        (403, b"", Cause.ACCESS_REFUSED, Verdict.FALL_BACK),
        (402, b"", Cause.ACCOUNT, Verdict.FALL_BACK),
        (404, b"", Cause.MODEL_UNKNOWN, Verdict.FALL_BACK),
        (429, b"", Cause.RATE_LIMITED, Verdict.RETRYABLE),
        (
            429,
            said("You exceeded your current quota", "insufficient_quota"),
            Cause.ACCOUNT,
            Verdict.FALL_BACK,
        ),
        *[
            (code, b"", Cause.SERVER_ERROR, Verdict.RETRYABLE)
            for code in (408, 409, 425, 500, 502, 503, 504, 529)
        ],
        (302, b"", Cause.MALFORMED, Verdict.RETRYABLE),
        (418, b"", Cause.MALFORMED, Verdict.RETRYABLE),
    ],
)
def test_statuses_and_words_name_a_cause(status: int, body: bytes, cause: Cause, verdict: Verdict) -> None:
    outcome = refused(status, {}, body)
    assert (outcome.cause, outcome.verdict) == (cause, verdict)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ("boom", Cause.ERROR_IN_BAND),
        ({}, Cause.ERROR_IN_BAND),
        ({"code": 503}, Cause.ERROR_IN_BAND),
        ({"code": 429}, Cause.RATE_LIMITED),
        ({"type": "authentication_error"}, Cause.ACCESS_REFUSED),
        ({"type": "overloaded_error"}, Cause.ERROR_IN_BAND),
        ({"code": "insufficient_quota"}, Cause.ACCOUNT),
        ({"code": "context_length_exceeded"}, Cause.CONTEXT),
        ({"code": 400}, Cause.ERROR_IN_BAND),
    ],
)
def test_errors_in_band_name_a_cause(error: Any, cause: Cause) -> None:
    assert in_band(error).cause is cause


@given(st.integers(100, 599), st.binary(max_size=80), st.dictionaries(FIELDS, FIELDS, max_size=3))
def test_any_refusal_has_an_outcome(status: int, body: bytes, headers: dict[str, str]) -> None:
    assert refused(status, headers, body).words


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "Sun, 22 Nov 2026 11:00:30 GMT", "date": "Sun, 22 Nov 2026 11:00:00 GMT"}, 30),
        ({"retry-after": "Sun, 22 Nov 2026 11:00:30 GMT"}, None),
        ({"retry-after-ms": "inf"}, None),
        ({"retry-after-ms": "nan"}, None),
    ],
)
def test_retry_after_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_only_harmless_words_are_quoted() -> None:
    assert harmless("max_tokens: must be above 0") == "max_tokens: must be above 0"
    for text in ("insufficient credits", "bad API key sk-1", "rate limit", "prompt is too long", "billing"):
        assert harmless(text) == ""
