"""Whatever stands in the file: it makes a policy, or its mistakes are told; and no secret is repeated."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.contract.router_policy import RouterPolicy
from appliance.desk.config.reading import BadConfig, parse
from appliance.desk.policy import router_json
from tests.desk.configs import FULL

PATH = Path("/desk/appliance.yaml")
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
)
keys = st.text(string.ascii_letters + string.digits, min_size=24, max_size=48).filter(
    lambda text: sum(c.isdigit() for c in text) >= 3 and sum(c.isalpha() for c in text) >= 3
)


def outcome(content: bytes) -> BadConfig | None:
    try:
        settings = parse(content, PATH).settings
    except BadConfig as bad:
        return bad
    RouterPolicy.model_validate_json(router_json(settings))
    return None


def check(content: bytes) -> BadConfig | None:
    """Parse; every problem must have a line that the file has, and say something, on one line."""
    bad = outcome(content)
    if bad is not None:
        lines = content.count(b"\n") + content.count(b"\r") + 1
        assert bad.problems
        for problem in bad.problems:
            assert 1 <= problem.line <= lines
            assert problem.what
            assert "\n" not in str(problem)
    return bad


def places(tree: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a tree of dicts and lists."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [at, *(place for key, value in inner for place in places(value, (*at, key)))]


def replaced(tree: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[place[0]] = replaced(copy[place[0]], place[1:], value)
    return copy


GOOD_TREE = yaml.safe_load(FULL)
PLACES = places(GOOD_TREE)


@given(st.binary(max_size=200))
def test_any_bytes(content: bytes) -> None:
    check(content)


@given(st.text(max_size=200) | st.text("{}[]:-?!&*|>'\"%@`#, \n\tab01", max_size=60))
def test_any_text(text: str) -> None:
    check(text.encode("utf-8", "surrogatepass"))


numbers = st.integers(-1, 1000) | st.floats(0, 1000)


@given(st.sampled_from(PLACES), trees | numbers)
@settings(max_examples=300)
def test_anything_at_any_place_of_a_good_file(place: tuple[Any, ...], value: Any) -> None:
    check(yaml.safe_dump(replaced(GOOD_TREE, place, value), allow_unicode=True).encode("utf-8", "replace"))


@given(st.integers(0, len(FULL)), st.integers(0, 40), st.text(max_size=5))
@settings(max_examples=300)
def test_a_good_file_cut_and_mended_anywhere(start: int, length: int, insert: str) -> None:
    check((FULL[:start] + insert + FULL[start + length :]).encode("utf-8", "replace"))


def test_deep_nesting_is_a_mistake_and_no_crash() -> None:
    for text in (
        "[" * 5000,
        "{a: " * 5000,
        "- " * 5000,
        "a:\n" + "".join(f"{' ' * n}a:\n" for n in range(1, 900)),
    ):
        assert check(text.encode()) is not None


@given(
    st.sampled_from(PLACES[1:]),
    keys,
    st.sampled_from(["", "sk-", "Bearer ", "env:", "file:sk-", "https://u:"]),
)
@settings(max_examples=300)
def test_a_key_pasted_anywhere_is_not_repeated(place: tuple[Any, ...], key: str, prefix: str) -> None:
    text = yaml.safe_dump(replaced(GOOD_TREE, place, prefix + key))
    bad = check(text.encode())
    assert key not in str(bad)
    assert key not in str(bad and bad.__dict__)


@given(keys, st.sampled_from([f"{key}:" for key in GOOD_TREE]))
def test_a_key_pasted_as_a_name_is_not_repeated(key: str, before: str) -> None:
    for line in (f"{key}: 1\n", f"{key}: 1\n{key}: 2\n", f"{key}\n", f"? {key}\n"):
        bad = check(FULL.replace(f"\n{before}", f"\n{line}{before}", 1).encode())
        assert key not in str(bad)
