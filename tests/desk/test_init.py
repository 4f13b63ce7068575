"""A first appliance.yaml is valid, tells of every key, and comes with secrets that only their owner reads."""

from __future__ import annotations

import base64
import json
import re
import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from cryptography.hazmat.primitives import serialization

from appliance.contract.backup import Sftp
from appliance.contract.router_policy import BreakerTimes, CanaryRule, Deadlines, Mode
from appliance.contract.trouble import ConfigTrouble
from appliance.desk import pki
from appliance.desk.config.file import json_schema
from appliance.desk.config.initial import ANYONE, HETZNER_VENDORS, SSH_PLACEHOLDER, Start, Vendor, render
from appliance.desk.config.initial_backup import Store
from appliance.desk.config.reading import BadConfig, read
from appliance.desk.init import begin
from appliance.desk.secrets import read_secret
from appliance.desk.settings import ModelRef, Target

NOW = datetime(2026, 11, 22, tzinfo=UTC)
START = Start(
    name="office",
    target=Target.HETZNER,
    location="fsn1",
    server_type="cx23",
    bake_server_type="cx23",
    ssh_public_key="secrets/ssh.pub",
    ssh_sources=("198.51.101.7/32",),
    api_sources=ANYONE,
    vendors=HETZNER_VENDORS,
)
HOST_KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)).decode()
STORE = Store("u1.example", 23, "u1", HOST_KEY, "")


def test_what_init_writes_is_valid_and_means_what_was_asked(tmp_path: Path) -> None:
    begin(tmp_path / "appliance.yaml", START, NOW)
    settings = read(tmp_path / "appliance.yaml").settings
    assert (settings.name, settings.target, settings.server_type) == ("office", Target.HETZNER, "cx23")
    assert settings.access.ssh_public_key.exists()
    authority = pki.Authority(
        read_secret(settings.tls.ca_key, tmp_path).encode() if settings.tls.ca_key else b"",
        settings.tls.ca_cert.read_bytes() if settings.tls.ca_cert else b"",
    )
    pki.read_authority(authority)
    assert len(read_secret(settings.gateway_token, tmp_path)) >= 40


def test_the_times_of_the_first_file_are_the_routers_own_and_it_shows_each_way_to_fail_over(
    tmp_path: Path,
) -> None:
    begin(tmp_path / "appliance.yaml", START, NOW)
    settings = read(tmp_path / "appliance.yaml").settings
    assert {workload.deadlines for workload in settings.workloads} == {Deadlines()}
    assert (settings.breaker, settings.canary) == (BreakerTimes(), CanaryRule())
    ways = {w.name: (w.mode, w.fail_closed) for w in settings.workloads}
    assert ways == {
        "code": (Mode.PASS, False),
        "long-context": (Mode.HOLD, False),
        "batch": (Mode.PASS, True),
    }


def test_a_third_vendor_falls_back_for_the_second_one(tmp_path: Path) -> None:
    third = Vendor("third", "anthropic", "https://third.example/v1", "env:THIRD_KEY", "some")
    begin(tmp_path / "appliance.yaml", replace(START, vendors=(*HETZNER_VENDORS, third)), NOW)
    reading = read(tmp_path / "appliance.yaml")
    assert reading.settings.workloads[1].fallbacks == (ModelRef("third", "some"),)
    assert [warning.path for warning in reading.warnings] == ["workloads.batch.fail_closed"]


def test_only_who_may_reach_ssh_is_left_to_the_operator(tmp_path: Path) -> None:
    path = tmp_path / "appliance.yaml"
    path.write_text(render(Start(**{**vars(START), "ssh_sources": SSH_PLACEHOLDER})))
    with pytest.raises(BadConfig) as caught:
        read(path)
    assert [problem.path for problem in caught.value.problems] == ["access.ssh[0]"]


def keys_of(schema: dict[str, Any], root: dict[str, Any]) -> set[str]:
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    found = set(schema.get("properties", {}))
    inner = [*schema.get("properties", {}).values(), schema.get("additionalProperties")]
    inner += schema.get("anyOf", [])
    return found.union(*(keys_of(part, root) for part in inner if isinstance(part, dict)))


def test_every_key_of_the_schema_is_written_or_told_in_the_comments() -> None:
    schema = json_schema()
    text = render(START)
    told = r"(^[ #]*|  |[{,:] ?)"  # a key's own line, or its place in a list of keys
    missing = {key for key in keys_of(schema, schema) if not re.search(rf"{told}{key}\b", text, re.M)}
    assert missing == set()


def test_every_section_of_the_file_has_a_comment() -> None:
    lines = render(START).splitlines()
    for number, line in enumerate(lines):
        if re.match(r"[a-z_]+:", line):
            near = lines[max(0, number - 1) : number + 2]
            assert any(part.lstrip().startswith("#") for part in near), line


def test_an_editor_finds_the_schema_and_agrees_with_the_file(tmp_path: Path) -> None:
    begin(tmp_path / "appliance.yaml", START, NOW)
    text = (tmp_path / "appliance.yaml").read_text()
    named = re.match(r"# yaml-language-server: \$schema=\./(\S+)\n", text)
    assert named
    schema = json.loads((tmp_path / named[1]).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(text), schema)


def test_secrets_are_for_their_owner_only(tmp_path: Path) -> None:
    begin(tmp_path / "appliance.yaml", START, NOW)
    folder = tmp_path / "secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("gateway-token", "ca.key", "ssh"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert (folder / ".gitignore").read_text() == "*\n"


def test_the_ssh_pair_belongs_together_and_is_openssh(tmp_path: Path) -> None:
    begin(tmp_path / "appliance.yaml", START, NOW)
    private = serialization.load_ssh_private_key((tmp_path / "secrets/ssh").read_bytes(), None)
    public = serialization.load_ssh_public_key((tmp_path / "secrets/ssh.pub").read_bytes())
    form = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    assert private.public_key().public_bytes(*form) == public.public_bytes(*form)


def test_an_edited_file_is_never_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "appliance.yaml"
    path.write_text("mine\n")
    with pytest.raises(ConfigTrouble, match="is there already"):
        begin(path, START, NOW)
    assert path.read_text() == "mine\n"
    assert not (tmp_path / "secrets").exists()


def test_force_overwrites_the_file_but_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "appliance.yaml"
    begin(path, START, NOW)
    before = {file.name: file.read_bytes() for file in (tmp_path / "secrets").iterdir()}
    begin(path, Start(**{**vars(START), "name": "other"}), NOW, force=True)
    assert {file.name: file.read_bytes() for file in (tmp_path / "secrets").iterdir()} == before
    assert read(path).settings.name == "other"


def test_two_appliances_share_no_secret(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        begin(tmp_path / name / "appliance.yaml", START, NOW)
    for name in ("gateway-token", "ca.key", "ssh"):
        assert (tmp_path / "a/secrets" / name).read_bytes() != (tmp_path / "b/secrets" / name).read_bytes()


def test_a_store_that_is_there_takes_both_keys_and_the_file_orders_backups(tmp_path: Path) -> None:
    taken: list[str] = []
    start = replace(START, store=STORE)
    begin(tmp_path / "appliance.yaml", start, NOW, authorize=taken.extend)
    backup = read(tmp_path / "appliance.yaml").settings.backup
    assert backup is not None
    repository = backup.repository
    assert isinstance(repository, Sftp)
    node, operator = ((tmp_path / f"secrets/backup-{who}.pub").read_text() for who in ("node", "operator"))
    assert taken == [repository.authorized_key(node.strip()), operator.strip()]
    assert taken[0].startswith("restrict,command=")
    assert len(read_secret(backup.passphrase, tmp_path)) >= 40
    for name in ("backup-passphrase", "backup-node", "backup-operator"):
        assert stat.S_IMODE((tmp_path / "secrets" / name).stat().st_mode) == 0o600


def test_another_passphrase_is_another_repository_and_the_same_one_the_same(tmp_path: Path) -> None:
    paths = []
    for folder in ("a", "a", "b"):
        (tmp_path / folder).mkdir(exist_ok=True)
        begin(tmp_path / folder / "appliance.yaml", replace(START, store=STORE), NOW, force=True)
        backup = read(tmp_path / folder / "appliance.yaml").settings.backup
        assert backup is not None
        paths.append(backup.repository.address)
    assert paths[0] == paths[1] != paths[2]


def test_no_file_orders_backups_that_a_store_would_refuse(tmp_path: Path) -> None:
    def refuse(_: object) -> None:
        raise ConfigTrouble("the store is not there")

    with pytest.raises(ConfigTrouble, match="not there"):
        begin(tmp_path / "appliance.yaml", replace(START, store=STORE), NOW, authorize=refuse)
    assert not (tmp_path / "appliance.yaml").exists()
