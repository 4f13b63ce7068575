"""The vendors' answers and keys, apart from any socket."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.lab.vendors import vendor_key
from appliance.lab.vendors.answers import Ask, BadAsk, Tool, answer_to
from appliance.lab.vendors.anthropic import Anthropic
from appliance.lab.vendors.openai import OpenAI
from tests.lab.vendor_words import WEATHER, stream_events


def test_keys_are_random_kept_and_private(tmp_path: Path) -> None:
    key = vendor_key(tmp_path, "alpha")
    assert vendor_key(tmp_path, "alpha") == key
    assert len({key, vendor_key(tmp_path, "beta"), vendor_key(tmp_path / "other", "alpha")}) == 3
    assert stat.S_IMODE((tmp_path / "vendors" / "alpha.key").stat().st_mode) == 0o600
    assert sorted(p.name for p in (tmp_path / "vendors").iterdir()) == ["alpha.key", "beta.key"]
    with pytest.raises(ValueError, match="name"):
        vendor_key(tmp_path, "../x")


_json_values = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5),
    lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(st.text(max_size=5), deeper, max_size=3),
    max_leaves=10,
)


@given(heard=st.text(max_size=600), limit=st.none() | st.integers(1, 50), tool=st.booleans())
def test_streamed_chunks_concatenate_to_the_plain_answer(heard: str, limit: int | None, tool: bool) -> None:
    ask = Ask(
        model="m", heard=heard, words=1, stream=True, limit=limit, tool=Tool("t", WEATHER) if tool else None
    )
    answer = answer_to("alpha", ask)
    plain = OpenAI().whole(1, ask, answer)["choices"][0]
    chunks = stream_events(b"".join(part.data for part in OpenAI().events(1, ask, answer)).decode())
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    if tool:
        calls = [call["function"]["arguments"] for d in deltas for call in d.get("tool_calls", [])]
        assert "".join(calls) == plain["message"]["tool_calls"][0]["function"]["arguments"]
    else:
        assert "".join(d.get("content") or "" for d in deltas) == plain["message"]["content"]
        assert limit or plain["message"]["content"].startswith("alpha/m heard: " + heard[:300])
    events = stream_events(b"".join(part.data for part in Anthropic().events(1, ask, answer)).decode())
    streamed = [e["delta"] for e in events if e["type"] == "content_block_delta"]
    assert "".join(d.get("text", d.get("partial_json")) for d in streamed) == answer.text


_messages = st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": _json_values}), max_size=3)


@given(
    body=st.fixed_dictionaries(
        {"model": st.text(max_size=5), "messages": _messages | _json_values, "max_tokens": st.integers(1, 9)},
        optional={"tools": _json_values, "tool_choice": _json_values, "stream_options": _json_values},
    )
)
def test_no_body_breaks_a_vendor(body: dict[str, Any]) -> None:
    for dialect in (OpenAI(), Anthropic()):
        try:
            ask = dialect.read(body)
        except BadAsk:
            continue
        assert answer_to("alpha", ask).text
