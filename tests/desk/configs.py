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


def read(text: str) -> Reading:
    return parse(text.encode(), Path("/desk/appliance.yaml"))


def spoil(old: str, new: str) -> str:
    """GOOD with its only `old` replaced."""
    assert GOOD.count(old) == 1, f"{old!r} stands there {GOOD.count(old)} times"
    return GOOD.replace(old, new)


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
