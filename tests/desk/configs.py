"""An appliance.yaml that holds, and ways to spoil it."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.desk.config.reading import BadConfig, Problem, Reading, parse

GOOD = """\
name: office
target: hetzner
location: fsn1
server_type: cx23
access:
  ssh: ["198.51.101.7/32"]
  api: ["0.0.0.0/0", "::/0"]
  ssh_public_key: secrets/ssh.pub
tls:
  names: [gateway.example.com]
  ca_cert: secrets/ca.crt
  ca_key: file:secrets/ca.key
gateway:
  token: file:secrets/gateway-token
providers:
  alpha:
    api: openai
    base_url: https://alpha.example/v1
    key: env:ALPHA_KEY
  beta:
    api: anthropic
    base_url: https://beta.example/v1
    key: file:secrets/beta.key
workloads:
  code:
    primary: alpha/large-1
    fallback: beta/opus
  batch:
    primary: beta/opus
    fail_closed: true
"""
# With everything that may be said of failing over.
FULL = (
    GOOD
    + """\
  long:
    primary: {model: beta/opus, context_window: 200000}
    fallback: [alpha/large-1, {model: alpha/large-2, context_window: 1000000}]
    mode: hold
    failed_status: 422
    max_tokens: 9000
    deadlines: {hedge: 7, start: 60}
deadlines: {connect: 3, hedge: 4.5, whole_hedge: 15, between: 25, start: 100, total: 500}
breaker: {server_error: 10, rate_limited: 11, refused: 400}
canary: {every_hours: 12, max_tokens: 8}
"""
)


def read(text: str) -> Reading:
    return parse(text.encode(), Path("/desk/appliance.yaml"))


def spoil(old: str, new: str, text: str = GOOD) -> str:
    """`text` with its only `old` replaced."""
    assert text.count(old) == 1, f"{old!r} stands there {text.count(old)} times"
    return text.replace(old, new)


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(BadConfig) as caught:
        read(text)
    return caught.value.problems


def the_problem(text: str) -> str:
    """The only problem, as it is printed."""
    found = problems(text)
    assert len(found) == 1, [str(problem) for problem in found]
    return str(found[0])


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)
