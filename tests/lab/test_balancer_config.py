"""What HAProxy is told and what its words mean, without a process."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.lab.balancer_config import configuration, generation, quoted, read_stats, served
from appliance.lab.hardware import BalancerService, BalancerSpec, HardwareTrouble, HealthCheck, TargetHealth

CHECK = HealthCheck("tcp", 80, interval=15, timeout=10, retries=3)
SERVICE = BalancerService("tcp", 80, 8080, proxyprotocol=False, health_check=CHECK)
SPEC = BalancerSpec(1, "web", "round_robin", "198.18.1.5", (), (SERVICE,), (("server:1", "10.0.0.2"),))
FOLDER = Path("/lab/balancers/1")


def _text(**changes: object) -> str:
    return configuration(replace(SPEC, **changes), FOLDER)  # type: ignore[arg-type]


def test_checks_need_as_many_successes_as_failures() -> None:
    assert "check port 80 inter 15s fall 3 rise 3" in _text()


def test_the_idle_time_bounds_both_sides() -> None:
    text = _text(services=(replace(SERVICE, timeout_idle=120),))
    assert {f"timeout {side} 120s" for side in ("client", "server", "tunnel")} <= {
        line.strip() for line in text.splitlines()
    }


@pytest.mark.parametrize(
    ("algorithm", "word"), [("round_robin", "roundrobin"), ("least_connections", "leastconn")]
)
def test_the_algorithm_is_haproxys_of_the_same_meaning(algorithm: str, word: str) -> None:
    assert f"  balance {word}\n" in _text(algorithm=algorithm)


def test_nothing_to_listen_for_is_no_process() -> None:
    assert served(SPEC)
    assert not served(replace(SPEC, services=()))
    assert not served(replace(SPEC, public_ipv4=None))


def test_any_change_is_a_new_generation_and_none_is_not() -> None:
    other = _text(targets=(("server:1", "10.0.0.3"),))
    assert generation(_text()) == generation(_text()) != generation(other) != ""


@pytest.mark.parametrize(
    "spec",
    [
        replace(SPEC, targets=(("server:1", "10.0.0.2"), ("server:1", "10.0.0.3"))),
        replace(SPEC, targets=(("server 1", "10.0.0.2"),)),
        replace(SPEC, targets=(("server:1", "10.0.0.2 backup"),)),
        replace(SPEC, targets=(("server:1", "fe80::1%eth0"),)),
        replace(SPEC, services=(SERVICE, SERVICE)),
        replace(SPEC, services=(replace(SERVICE, destination_port=0),)),
        replace(SPEC, services=(replace(SERVICE, protocol="https"),)),
        replace(SPEC, services=(replace(SERVICE, protocol="http", sticky_sessions=True, cookie_name="a;b"),)),
        replace(
            SPEC, services=(replace(SERVICE, health_check=replace(CHECK, protocol="http", path="a\nb")),)
        ),
        replace(
            SPEC,
            services=(replace(SERVICE, health_check=replace(CHECK, protocol="http", status_codes=("2.*",))),),
        ),
    ],
)
def test_what_makes_no_sense_is_refused(spec: BalancerSpec) -> None:
    with pytest.raises(HardwareTrouble):
        configuration(spec, FOLDER)


def _words(line: str) -> list[str]:
    """A line of HAProxy's configuration as HAProxy reads it (its manual, "Quoting and escaping")."""
    words: list[str] = []
    word, begun, inside, rest = "", False, False, iter(line)
    for sign in rest:
        if inside:
            inside, word = (False, word) if sign == "'" else (True, word + sign)
        elif sign == "'":
            inside = begun = True
        elif sign == "\\":
            word, begun = word + next(rest), True
        elif sign == " ":
            words, word, begun = ([*words, word] if begun else words), "", False
        elif sign == "#":
            break
        else:
            word, begun = word + sign, True
    assert not inside
    return [*words, word] if begun else words


@given(text=st.text(max_size=300))
def test_a_quoted_text_is_one_word_and_the_same_text(text: str) -> None:
    try:
        line = f"a {quoted(text)} b"
    except HardwareTrouble:
        assert re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", text)
        return
    assert _words(line) == ["a", text, "b"]
    assert "\n" not in line


def _shape(text: str) -> list[tuple[str, int]]:
    """Each line's first word and how many words it has: what no name may change."""
    lines = [_words(line) for line in text.split("\n")]
    return [(words[0] if words else "", len(words)) for words in lines]


def _named(key: str, address: str, cookie: str, domain: str, path: str, response: str) -> str:
    check = replace(CHECK, protocol="http", domain=domain, path=path, response=response, tls=True)
    service = replace(SERVICE, protocol="http", sticky_sessions=True, cookie_name=cookie, health_check=check)
    return _text(services=(service,), targets=((key, address),))


_printed = st.text(
    st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs"]),
    min_size=1,
    max_size=40,
)


@given(domain=_printed, path=_printed, response=_printed)
def test_no_text_reaches_the_configuration_but_as_its_own_word(domain: str, path: str, response: str) -> None:
    text = _named("k", "10.0.0.1", "c", domain, path, response)
    assert _shape(text) == _shape(_named("k", "10.0.0.1", "c", "d", "p", "r"))
    said = {word for line in text.split("\n") for word in _words(line)}
    assert {domain.replace("%", "%%"), path, response} <= said


@given(key=st.text(max_size=20), address=st.text(max_size=20) | st.ip_addresses().map(str), cookie=st.text())
@example("server:1", "10.0.0.1", "a b")
@example("server:1", "10.0.0.1 backup", "a")
@example("server:1 backup", "::1", "a")
@example("server:1", "::1", "HCLBSTICKY")
def test_a_name_is_one_word_or_refused(key: str, address: str, cookie: str) -> None:
    try:
        text = _named(key, address, cookie, "d", "p", "r")
    except HardwareTrouble:
        return
    assert _shape(text) == _shape(_named("k", "10.0.0.1", "c", "d", "p", "r"))


@given(name=st.text())
def test_the_balancers_own_name_is_not_told_at_all(name: str) -> None:
    assert _text(name=name) == _text()


HEADER = "# pxname,svname,status,check_status,check_code,last_chk,"


@pytest.mark.parametrize(
    ("row", "health"),
    [
        ("UP,L4OK,,", TargetHealth("healthy")),
        ("UP 1/3,* L4CON,,Connection refused", TargetHealth("healthy")),  # not yet retries times
        ("UP,INI,,", TargetHealth("unknown")),
        ("DOWN,L4CON,,Connection refused", TargetHealth("unhealthy", "layer4_no_connection")),
        ("DOWN,* L4TOUT,,", TargetHealth("unhealthy", "layer4_timeout")),
        ("DOWN,L7TOUT,,", TargetHealth("unhealthy", "layer7_timeout")),
        ("DOWN,L7STS,503,no", TargetHealth("unhealthy", "unexpected_http_status", 503)),
        (
            "DOWN,L7RSP,,HTTP content check did not match",
            TargetHealth("unhealthy", "unexpected_http_content"),
        ),
        ("DOWN,L7RSP,,", TargetHealth("unhealthy", "unspecified")),
        ("DOWN 1/3,L7OK,200,", TargetHealth("unhealthy", "unspecified")),  # well, but not often enough
    ],
)
def test_haproxys_words_become_hetzners(row: str, health: TargetHealth) -> None:
    text = (
        f"{HEADER}\np443,FRONTEND,OPEN,,,,\np443-to-8443-check-80,server:7_10.0.0.2,{row},\n"
        "p443-to-8443-check-80,BACKEND,UP,,,,\n"
    )
    assert read_stats(text) == {("server:7", 443): health}
