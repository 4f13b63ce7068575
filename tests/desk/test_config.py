"""appliance.yaml is read as it is meant, and every mistake is told with its line and what is right."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from appliance.contract.trouble import ConfigTrouble, ExitCode
from appliance.desk.config.reading import BadConfig, load
from appliance.desk.settings import ModelRef, ProviderApi, SecretRef, Target
from tests.desk.configs import GOOD, line_of, problems, read, spoil, the_problem


def test_a_good_file_becomes_settings() -> None:
    settings = read(GOOD).settings
    assert (settings.name, settings.target, settings.location) == ("office", Target.HETZNER, "fsn1")
    assert settings.workloads[0].primary == ModelRef("alpha", "large-1")
    assert settings.workloads[0].fallbacks == (ModelRef("beta", "opus"),)
    assert settings.workloads[1].fail_closed
    assert settings.providers[1].api is ProviderApi.ANTHROPIC
    assert settings.providers[0].key == SecretRef("env", "ALPHA_KEY")
    assert settings.network.ip_range == IPv4Network("10.90.0.0/16")


def test_paths_are_relative_to_the_file_not_to_where_the_command_runs() -> None:
    settings = read(GOOD).settings
    assert settings.access.ssh_public_key == Path("/desk/secrets/ssh.pub")
    assert settings.tls.ca_cert == Path("/desk/secrets/ca.crt")


def test_the_order_of_workloads_is_kept_since_the_first_one_answers_without_a_path() -> None:
    assert [workload.name for workload in read(GOOD).settings.workloads] == ["code", "batch"]


def test_a_model_may_hold_slashes() -> None:
    settings = read(spoil("primary: alpha/large-1", "primary: alpha/meta/llama:70b")).settings
    assert settings.workloads[0].primary == ModelRef("alpha", "meta/llama:70b")


def test_an_unknown_provider_is_told_as_the_readme_shows_it() -> None:
    said = the_problem(spoil("primary: alpha/large-1", "primary: alfa/large-1"))
    assert said == (
        f'appliance.yaml:{line_of(GOOD, "primary: alpha")}: workloads.code.primary: no provider "alfa"; '
        'did you mean "alpha"? (providers: alpha, beta)'
    )


def test_all_mistakes_are_told_at_once_in_the_order_of_their_lines() -> None:
    text = GOOD
    for old, new in {
        "name: office": "name: Office!",
        "target: hetzner": "target: hetzer",
        "server_type: cx23": "server_typ: cx23",
        "198.51.101.7/32": "198.51.101.7",
        "token: file:": "token: ",
        "api: anthropic": "api: antropic",
        "fail_closed: true": "fail_closed: yes",
    }.items():
        text = text.replace(old, new)
    found = problems(text)
    assert [(p.line, p.path) for p in found] == [
        (1, "name"),
        (1, "server_type"),
        (2, "target"),
        (4, "server_typ"),
        (6, "access.ssh[0]"),
        (14, "gateway.token"),
        (21, "providers.beta.api"),
        (30, "workloads.batch.fail_closed"),
    ]
    said = "\n".join(map(str, found))
    for hint in (
        '"hetzner"?',
        '"server_type"?',
        '"198.51.101.7/32"',
        '"anthropic"?',
        "write true",
        '"office"',
    ):
        assert hint in said


@pytest.mark.parametrize(
    ("old", "new", "path", "what"),
    [
        ("name: office", "name: 1office", "name", "cannot be a name"),
        ("name: office", "name: " + "a" * 33, "name", "at most 32"),
        ("name: office", "name: office-", "name", "cannot be a name"),
        ("name: office", "name: 12", "name", "must be text, is a number; put it in quotes"),
        ("name: office", "name: [office]", "name", "must be text, is a list"),
        ("location: fsn1", "location: FSN1", "location", 'did you mean "fsn1"?'),
        ("location: fsn1", "location:", "location", "must be text, is empty"),
        ("target: hetzner", "target: aws", "target", "one of: lab, hetzner"),
        ("name: office", "name: office\nlayout: pair", "layout", "one of: single"),
        ("::/0", "::/200", "access.api[1]", "not an address range"),
        ("::/0", "fd00::1/64", "access.api[1]", 'did you mean "fd00::/64"?'),
        ("198.51.101.7/32", "203.0.113.9/32", "access.ssh[0]", "is an example"),
        ('["198.51.101.7/32"]', "[]", "access.ssh", "is empty; name at least one"),
        ('["198.51.101.7/32"]', "198.51.101.7/32", "access.ssh", "must be a list, is text"),
        ("[gateway.example.com]", '["https://gateway"]', "tls.names[0]", "without https://"),
        (
            "base_url: https://beta.example",
            "base_url: beta.example",
            "providers.beta.base_url",
            "not an http",
        ),
        (
            "base_url: https://beta.example",
            "base_url: https://x:1234567",
            "providers.beta.base_url",
            "not a URL",
        ),
        (
            "base_url: https://beta.example",
            "base_url: https://beta.example/@x",
            "providers.beta.base_url",
            "no user, password",
        ),
        (
            "key: env:ALPHA_KEY",
            "key: 'env:'",
            "providers.alpha.key",
            "not followed by the name of a variable",
        ),
        ("key: env:ALPHA_KEY", "key: ENV:ALPHA_KEY", "providers.alpha.key", "write env:NAME or file:PATH"),
        ("primary: alpha/large-1", "primary: large-1", "workloads.code.primary", "provider/model, like"),
        (
            "fallback: beta/opus",
            "fallback: alpha/large-1",
            "workloads.code.fallback",
            "is the primary itself",
        ),
        ("fallback: beta/opus", "max_tokens: 5", "workloads.code", "fail_closed: true"),
        (
            "fallback: beta/opus",
            "fallback: beta/opus\n    fail_closed: true",
            "workloads.code.fail_closed",
            "keep one",
        ),
        (
            "fallback: beta/opus",
            "fallback: beta/opus\n    max_tokens: 0",
            "workloads.code.max_tokens",
            "at least 1",
        ),
        (
            "fallback: beta/opus",
            "fallback: beta/opus\n    max_tokens: 200000",
            "workloads.code.max_tokens",
            "leaves no room",
        ),
        (
            "    api: openai",
            "    timeout_seconds: 60\n    api: openai",
            "providers.alpha.timeout_seconds",
            "silence is acted on by `deadlines` now",
        ),
        ("  ca_key: file:secrets/ca.key\n", "", "tls", "ca_key is missing"),
        (
            "names: [gateway.example.com]",
            "key: file:x\n  certificate: y",
            "tls",
            "both a CA and a certificate",
        ),
        ("name: office", "name: office\nssh: []", "ssh", "it belongs under access:"),
        ("name: office", "name: office\nnetwork: {ip_range: 10.0.0.0/25}", "network.ip_range", "too small"),
        ("name: office", "name: office\nnetwork: {ip_range: 8.8.0.0/16}", "network.ip_range", "not private"),
        ("name: office", "name: office\nnetwork: {subnet: 10.90.1.0/31}", "network.subnet", "too small"),
        ("name: office", "name: office\nnetwork: {subnet: 10.80.1.0/24}", "network.subnet", "not part of"),
        ("name: office", "name: office\nnetwork: {subnet: 'fd00::/64'}", "network.subnet", "IPv4 only"),
        ("name: office", "name: office\nimage: debian-13", "image", "must be a group of keys, is text"),
    ],
)
def test_each_mistake_is_told_where_it_is_and_what_would_be_right(
    old: str, new: str, path: str, what: str
) -> None:
    said = the_problem(spoil(old, new))
    assert f": {path}: " in said
    assert what in said


@pytest.mark.parametrize("name", ["v1", "healthz", "router"])
def test_a_workload_cannot_take_a_path_that_the_node_uses_itself(name: str) -> None:
    said = the_problem(spoil("  batch:", f"  {name}:"))
    assert f'workloads.{name}: "{name}" is taken' in said


def test_a_missing_section_is_told_with_what_it_is_for() -> None:
    text = GOOD[: GOOD.index("gateway:")] + GOOD[GOOD.index("providers:") :]
    assert "gateway: is missing" in the_problem(text)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", 1, "the file is empty"),
        ("# only a comment\n", 1, "the file is empty"),
        ("- a\n- b\n", 1, "must be a group of keys, is a list"),
        ("name: office\n\ttarget: lab\n", 2, "a tab stands in the indentation"),
        ("name: office\ntarget: [lab\nlocation: x\n", 3, "this is not YAML"),
        ("name: a: b\n", 1, "does a value with `: ` need quotes?"),
        ("name: office\nname: other\n", 2, "stands here twice (first on line 1)"),
        ("name: &x office\ntarget: *x\n", 1, "anchors are not read"),
        ("name: !!python/object:os.system x\n", 1, "tags are not read"),
        ("a: 1\n---\nb: 2\n", 2, "second YAML document"),
    ],
)
def test_mistakes_of_form_are_told_with_their_line(text: str, line: int, what: str) -> None:
    found = [problem for problem in problems(text) if what in str(problem)]
    assert [problem.line for problem in found] == [line]


def test_a_file_that_is_not_utf8_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "appliance.yaml"
    path.write_bytes(b"name: office\nlocation: \xff\n")
    with pytest.raises(BadConfig) as caught:
        load(path)
    assert str(caught.value.problems[0]) == "appliance.yaml:2: this is not UTF-8; save the file as UTF-8"


def test_windows_line_ends_do_not_shift_the_lines_that_are_told() -> None:
    text = spoil("location: fsn1", "location: FSN1").replace("\n", "\r\n")
    assert the_problem(text).startswith("appliance.yaml:3: location: ")


def test_no_and_on_are_words_as_in_yaml_1_2() -> None:
    assert read(spoil("name: office", "name: no")).settings.name == "no"


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigTrouble) as caught:
        load(tmp_path / "appliance.yaml")
    assert "appliance init" in caught.value.fix
    assert caught.value.code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        ("https://beta.example", "https://alpha.example/beta", "fallback: is at the primary's host"),
        ("file:secrets/beta.key", "env:ALPHA_KEY", "fallback: uses the primary's key"),
        ("fallback: beta/opus", "fallback: alpha/small", "fallback: is at the primary's provider"),
        ("198.51.101.7/32", "0.0.0.0/0", "access.ssh[0]: SSH is open to the world"),
        ("198.51.101.7/32", "::/0", "access.ssh[0]: SSH is open to the world"),
        ("https://alpha", "http://alpha", "base_url: http:// sends the key and all content in the clear"),
        ("primary: beta/opus", "primary: alpha/large-1", ""),
    ],
)
def test_what_is_allowed_but_risky_is_a_warning_and_no_mistake(old: str, new: str, warning: str) -> None:
    said = "\n".join(str(w) for w in read(spoil(old, new)).warnings)
    assert warning in said


def test_a_workload_that_fails_closed_says_so_and_a_good_file_warns_of_nothing_else() -> None:
    (warning,) = read(GOOD).warnings
    assert warning.path == "workloads.batch.fail_closed"
    assert "requests fail: by choice" in warning.what


def test_plain_http_is_no_matter_in_the_lab() -> None:
    text = GOOD.replace("target: hetzner", "target: lab").replace("https://", "http://")
    assert "clear" not in str(read(text).warnings)
