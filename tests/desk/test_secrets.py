"""Secrets are found where the file says, and what is wrong with one is told without its value."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.contract.trouble import ConfigTrouble
from appliance.desk.secrets import read_secret, read_secrets
from appliance.desk.settings import SecretRef
from tests.desk.configs import GOOD, read

FILE = SecretRef("file", "key")
VALUE = "s3cret-value-0123456789"


def write(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "key"
    path.write_bytes(content)
    path.chmod(mode)
    return folder


def test_a_file_is_read_relative_to_the_config_without_its_line_end(tmp_path: Path) -> None:
    assert read_secret(FILE, write(tmp_path, f"{VALUE}\n".encode())) == VALUE


def test_a_variable_is_read(tmp_path: Path) -> None:
    assert read_secret(SecretRef("env", "KEY"), tmp_path, {"KEY": VALUE}) == VALUE


def test_pem_may_have_many_lines(tmp_path: Path) -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"
    assert read_secret(FILE, write(tmp_path, pem.encode())) == pem


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        (VALUE.encode(), 0o640, "mode 0640"),
        (VALUE.encode(), 0o604, "mode 0604"),
        (b" \n", 0o600, "it is empty"),
        (f"{VALUE}\n{VALUE}".encode(), 0o600, "more than one line"),
        (VALUE.encode() + b"\x07x", 0o600, "control characters"),
        (VALUE.encode() + b"\xff", 0o600, "is not text"),
        (VALUE.encode() * 5000, 0o600, "larger than"),
    ],
)
def test_an_unusable_file_is_refused_and_its_content_not_repeated(
    tmp_path: Path, content: bytes, mode: int, why: str
) -> None:
    with pytest.raises(ConfigTrouble) as caught:
        read_secret(FILE, write(tmp_path, content, mode))
    assert why in caught.value.why
    assert caught.value.fix
    assert VALUE not in str(caught.value)


def test_a_folder_or_nothing_at_all_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigTrouble, match="there is no file"):
        read_secret(FILE, tmp_path)
    (tmp_path / "key").mkdir()
    with pytest.raises(ConfigTrouble, match="directory"):
        read_secret(FILE, tmp_path)


def test_an_unset_variable_says_how_to_set_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigTrouble) as caught:
        read_secret(SecretRef("env", "ALPHA_KEY"), tmp_path, {})
    assert "export ALPHA_KEY=" in caught.value.fix


def test_all_missing_secrets_are_told_at_once() -> None:
    with pytest.raises(ConfigTrouble) as caught:
        read_secrets(read(GOOD).settings, {})
    for where in ("gateway.token", "providers.alpha.key", "providers.beta.key", "tls.ca_key"):
        assert where in caught.value.why
