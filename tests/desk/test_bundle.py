"""A bundle: the same input gives the same bytes, any other input another digest, and no secret shows."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contract.bundle import (
    FILES,
    GATEWAY_TOKEN,
    MANIFEST,
    ROUTER_POLICY,
    SECRETS,
    TLS_CHAIN,
    Manifest,
)
from appliance.desk import archive, bundle
from appliance.desk.archive import Entry
from tests.desk.samples import SETTINGS

names = st.text("abcdefgh.-", min_size=1, max_size=8).filter(lambda name: name not in (".", ".."))
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
files = st.dictionaries(paths, st.binary(max_size=40), min_size=1, max_size=5)
secrets = st.dictionaries(names, st.text(min_size=1, max_size=20), max_size=4).map(
    lambda found: {**found, GATEWAY_TOKEN: "token " + "".join(sorted(found))}
)


@given(files, secrets)
def test_the_order_of_files_and_secrets_does_not_matter(
    content: dict[str, bytes], hidden: dict[str, str]
) -> None:
    one = bundle.make(SETTINGS, content, hidden)
    other = bundle.make(SETTINGS, dict(reversed(list(content.items()))), dict(reversed(list(hidden.items()))))
    assert one == other


@given(files, secrets, st.data())
def test_any_changed_byte_or_secret_changes_the_digest(
    content: dict[str, bytes], hidden: dict[str, str], data: st.DataObject
) -> None:
    before = bundle.make(SETTINGS, content, hidden).digest
    path = data.draw(st.sampled_from(sorted(content)))
    assert bundle.make(SETTINGS, {**content, path: content[path] + b"."}, hidden).digest != before
    secret = data.draw(st.sampled_from(sorted(hidden)))
    assert bundle.make(SETTINGS, content, {**hidden, secret: hidden[secret] + "."}).digest != before
    assert bundle.make(replace(SETTINGS, name="other"), content, hidden).digest != before


def test_two_secrets_that_change_places_change_the_digest() -> None:
    one = {GATEWAY_TOKEN: "t", "provider-a": "x", "provider-b": "y"}
    other = {GATEWAY_TOKEN: "t", "provider-a": "y", "provider-b": "x"}
    assert bundle.make(SETTINGS, {}, one).digest != bundle.make(SETTINGS, {}, other).digest


def test_secrets_stand_only_in_the_last_member_and_equal_ones_do_not_look_alike() -> None:
    hidden = {GATEWAY_TOKEN: "gateway-value", "provider-a": "shared-value", "provider-b": "shared-value"}
    made = bundle.make(SETTINGS, {"openclaw.json": b"{}"}, hidden)
    with tarfile.open(fileobj=io.BytesIO(made.tar)) as tar:
        assert tar.getnames() == [MANIFEST, FILES + "openclaw.json", SECRETS]
        last = tar.extractfile(SECRETS)
        assert last is not None
        assert json.load(last) == hidden
    shown = made.manifest.model_dump_json()
    assert "-value" not in shown
    assert "-value" not in repr(made)
    assert made.manifest.secrets["provider-a"] != made.manifest.secrets["provider-b"]


def test_a_manifest_read_back_proves_its_own_digest() -> None:
    made = bundle.make(SETTINGS, {"a": b"1"}, {GATEWAY_TOKEN: "t"})
    with tarfile.open(fileobj=io.BytesIO(made.tar)) as tar:
        member = tar.extractfile(MANIFEST)
        assert member is not None
        manifest = Manifest.model_validate_json(member.read())
    assert manifest.digest == manifest.digest_of_content() == made.digest
    assert manifest.model_copy(update={"name": "x"}).digest_of_content() != made.digest


@given(st.text(max_size=20))
def test_no_path_in_a_tar_is_absolute_or_climbs(path: str) -> None:
    try:
        tar = archive.pack({path: Entry(b"")})
    except ValueError:
        return
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        (name,) = opened.getnames()
    assert name == path
    assert not name.startswith("/")
    assert ".." not in name.split("/")


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../../b", "a//b", "./a", "", ".", "a/", "a\0b"])
def test_a_path_that_is_not_plain_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="plain relative path"):
        bundle.make(SETTINGS, {path: b""}, {GATEWAY_TOKEN: "t"})


def test_a_certificate_from_files_travels_with_the_bundle() -> None:
    material = bundle.Material({"a.j2": "{{ name }}"}, {GATEWAY_TOKEN: "t"}, None, b"CHAIN")
    without = bundle.Material({"a.j2": "{{ name }}"}, {GATEWAY_TOKEN: "t"}, None, None)
    assert set(bundle.wanted(SETTINGS, material).manifest.files) == {"a", ROUTER_POLICY, TLS_CHAIN}
    assert set(bundle.wanted(SETTINGS, without).manifest.files) == {"a", ROUTER_POLICY}
