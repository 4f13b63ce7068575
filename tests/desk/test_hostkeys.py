from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from appliance.desk import hostkeys
from appliance.desk.model import Label


def test_a_public_key_fits_in_a_label_and_comes_back_whole() -> None:
    key = hostkeys.make()
    label = hostkeys.to_label(key.public)
    assert len(label) == 52
    assert label.isalnum()
    assert hostkeys.from_label(label) == key.public


def test_a_comment_on_the_key_line_does_not_matter() -> None:
    key = hostkeys.make()
    assert hostkeys.to_label(f"{key.public} root@node\n") == hostkeys.to_label(key.public)


@given(st.text(max_size=60))
def test_rubbish_in_a_label_is_a_value_error_or_a_key(text: str) -> None:
    try:
        line = hostkeys.from_label(text)
    except ValueError:
        return
    assert hostkeys.from_label(hostkeys.to_label(line)) == line


@pytest.mark.parametrize(
    "line",
    ["", "ssh-ed25519", "ssh-rsa AAAAB3NzaC1yc2E=", "ssh-ed25519 ####", "ssh-ed25519 AAAAB3NzaC1yc2E="],
)
def test_other_keys_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not"):
        hostkeys.to_label(line)


def test_openssh_reads_both_halves_of_a_made_key(tmp_path: Path) -> None:
    key = hostkeys.make()
    private = tmp_path / "key"
    private.touch(0o600)
    private.write_text(key.private)
    derived = subprocess.run(["ssh-keygen", "-y", "-f", private], capture_output=True, text=True, check=True)
    assert derived.stdout.split()[:2] == key.public.split()


def test_while_both_labels_stand_either_key_is_accepted_the_lasting_first() -> None:
    first, lasting = hostkeys.make().public, hostkeys.make().public
    labels = {
        Label.FIRST_HOST_KEY: hostkeys.to_label(first),
        Label.HOST_KEY: hostkeys.to_label(lasting),
    }
    assert hostkeys.accepted(labels) == (lasting, first)
    assert hostkeys.accepted({}) == ()


def test_user_data_gives_cloud_init_the_whole_key_and_fits() -> None:
    key = hostkeys.make()
    text = hostkeys.user_data(key)
    assert text.startswith("#cloud-config\n")
    assert len(text) < 32 * 1024
    keys = yaml.safe_load(text)["ssh_keys"]
    assert keys["ed25519_private"] == key.private
    assert keys["ed25519_public"] == key.public


def test_the_private_half_does_not_show_in_a_repr() -> None:
    key = hostkeys.make()
    assert "PRIVATE" not in repr(key)
