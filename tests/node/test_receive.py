"""A bundle is taken only when it is just what its manifest says; a refused one never touches the disk."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.contract import bundle
from appliance.node.receive import MOST_BYTES, Received, Refused, read, receive
from appliance.node.system import Paths

Members = list[tuple[tarfile.TarInfo, bytes]]

FILES = {"openclaw.json": b"{}\n", "deep/edge.map": b"* a/b\n"}
SECRETS = {bundle.GATEWAY_TOKEN: "t" * 8, bundle.PROVIDER + "alpha": "k" * 8}


def manifest_of(files: dict[str, bytes], secrets: dict[str, str]) -> bundle.Manifest:
    manifest = bundle.Manifest(
        name="test",
        digest="",
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        secrets=bundle.keyed_digests(secrets),
        workloads=["code"],
    )
    return manifest.model_copy(update={"digest": manifest.digest_of_content()})


def members(manifest: bundle.Manifest, files: dict[str, bytes], secrets: dict[str, str]) -> Members:
    contents = {bundle.MANIFEST: manifest.model_dump_json().encode()}
    contents |= {bundle.FILES + name: content for name, content in files.items()}
    contents[bundle.SECRETS] = json.dumps(secrets).encode()
    return [member(name, content) for name, content in contents.items()]


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(content)
    return info, content


def stream(parts: Members) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for info, content in parts:
            tar.addfile(info, io.BytesIO(content))
    return io.BytesIO(out.getvalue())


def good() -> Members:
    return members(manifest_of(FILES, SECRETS), FILES, SECRETS)


def test_a_whole_bundle_is_read_as_it_was_sent() -> None:
    assert read(stream(good())) == Received(manifest_of(FILES, SECRETS), FILES, SECRETS)


@pytest.mark.parametrize(
    "name",
    [
        "files/../../etc/passwd",
        "/etc/passwd",
        "files/./x",
        "files//x",
        "other/x",
        "../manifest.json",
        "files/a\nb",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(Refused, match="is not a path of a bundle"):
        read(stream([*good(), member(name)]))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_only_regular_files_are_taken(kind: bytes) -> None:
    with pytest.raises(Refused, match="is not a regular file"):
        read(stream([member("files/link", kind=kind), *good()]))


def _other_content(manifest: bundle.Manifest) -> Members:
    return members(manifest, {**FILES, "openclaw.json": b"{ }\n"}, SECRETS)


def _one_file_more(manifest: bundle.Manifest) -> Members:
    return members(manifest, {**FILES, "more": b""}, SECRETS)


def _one_file_less(manifest: bundle.Manifest) -> Members:
    return members(manifest, {"openclaw.json": FILES["openclaw.json"]}, SECRETS)


def _other_secret(manifest: bundle.Manifest) -> Members:
    return members(manifest, FILES, {**SECRETS, "provider-alpha": "x"})


def _other_token(manifest: bundle.Manifest) -> Members:
    return members(manifest, FILES, {**SECRETS, bundle.GATEWAY_TOKEN: "x"})


def _no_token(manifest: bundle.Manifest) -> Members:
    return members(manifest, FILES, {"provider-alpha": SECRETS["provider-alpha"]})


def _other_name(manifest: bundle.Manifest) -> Members:
    return members(manifest.model_copy(update={"name": "other"}), FILES, SECRETS)


def _unknown_format(manifest: bundle.Manifest) -> Members:
    newer = manifest.model_copy(update={"format": bundle.FORMAT + 1})
    return members(newer.model_copy(update={"digest": newer.digest_of_content()}), FILES, SECRETS)


@pytest.mark.parametrize(
    "change",
    [
        _other_content,
        _one_file_more,
        _one_file_less,
        _other_secret,
        _other_token,
        _no_token,
        _other_name,
        _unknown_format,
    ],
)
def test_anything_other_than_the_manifest_says_is_refused(
    change: Callable[[bundle.Manifest], Members],
) -> None:
    with pytest.raises(Refused):
        read(stream(change(manifest_of(FILES, SECRETS))))


@pytest.mark.parametrize("missing", [bundle.MANIFEST, bundle.SECRETS])
def test_a_bundle_without_its_manifest_or_secrets_is_refused(missing: str) -> None:
    with pytest.raises(Refused, match=f"{missing} is missing"):
        read(stream([part for part in good() if part[0].name != missing]))


def test_the_same_member_twice_is_refused() -> None:
    with pytest.raises(Refused, match="there twice"):
        read(stream([*good(), good()[1]]))


def test_a_stream_without_end_is_not_read_to_memory() -> None:
    with pytest.raises(Refused, match="too large"):
        read(stream([*good(), member("files/big", b"x" * (MOST_BYTES + 1))]))


@pytest.mark.parametrize("cut", [0, 100, 700, 2000])
def test_a_stream_that_was_cut_is_refused(cut: int) -> None:
    with pytest.raises(Refused):
        read(io.BytesIO(stream(good()).getvalue()[:cut]))


def test_a_certificate_comes_with_its_key_or_not_at_all() -> None:
    files = {**FILES, bundle.TLS_CHAIN: b"chain"}
    with pytest.raises(Refused, match="needs its key"):
        read(stream(members(manifest_of(files, SECRETS), files, SECRETS)))


def test_a_malformed_secret_is_not_shown() -> None:
    parts = [part for part in good() if part[0].name != bundle.SECRETS]
    with pytest.raises(Refused) as caught:
        read(stream([*parts, member(bundle.SECRETS, b'{"gateway-token": ["hidden"]}')]))
    assert "hidden" not in str(caught.value)


def test_a_refused_bundle_leaves_nothing_behind(tmp_path: Path) -> None:
    paths = Paths(bundles=tmp_path / "bundles")
    answer = receive(stream(_other_content(manifest_of(FILES, SECRETS))), paths)
    assert (answer["ok"], list(tmp_path.iterdir())) == (False, [])


def test_a_bundle_that_is_there_is_not_staged_again(tmp_path: Path) -> None:
    manifest = manifest_of(FILES, SECRETS)
    paths = Paths(bundles=tmp_path)
    (tmp_path / manifest.digest).mkdir()
    assert receive(stream(good()), paths) == {"ok": True, "digest": manifest.digest}
    assert list((tmp_path / manifest.digest).iterdir()) == []
