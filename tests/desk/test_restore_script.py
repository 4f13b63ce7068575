"""What restore.sh is handed, and what is understood of its words."""

from __future__ import annotations

import re
import secrets
import subprocess
from pathlib import Path

import pytest

from appliance.contract import backup
from appliance.contract.backup import S3, Folder, Policy, Repository, Sftp
from appliance.desk.assets import restore_script
from appliance.desk.remote import Result
from appliance.desk.restore_script import Orders, handover, orders, trouble_of

SECRETS = {name: secrets.token_hex(8) for name in (backup.PASSPHRASE, backup.S3_ID, backup.S3_SECRET)}
SECRETS[backup.SSH_KEY] = "a key\nof two lines\n"
BOX = Sftp(host="u1.example.org", user="u1", path="gateway", host_key="ssh-ed25519 AAAA")


def ordered(repository: Repository, drill: bool = False) -> Orders:
    return orders(b"", Policy(name="office", repository=repository), SECRETS, drill)


def test_a_box_gets_the_node_s_key_and_is_known_by_its_own() -> None:
    made = ordered(BOX)
    assert made.variables["RESTIC_REPOSITORY"] == "sftp://u1@u1.example.org:23/gateway"
    assert made.variables["STORE_HOST_KEY"] == BOX.host_key
    assert made.variables["SSH_KEY_APPENDS"] == "yes"
    assert made.ssh_key == SECRETS[backup.SSH_KEY]
    full = ordered(BOX.model_copy(update={"append_only": False}))
    assert "SSH_KEY_APPENDS" not in full.variables


def test_other_stores_get_what_they_ask_for_and_no_ssh_key() -> None:
    s3 = ordered(S3(endpoint="https://s3.example.org", bucket="box", prefix="gateway", region="eu"))
    assert s3.variables["AWS_SECRET_ACCESS_KEY"] == SECRETS[backup.S3_SECRET]
    assert s3.variables["AWS_DEFAULT_REGION"] == "eu"
    folder = ordered(Folder(path="/mnt/backups"))
    assert folder.variables["RESTIC_REPOSITORY"] == "/mnt/backups"
    assert s3.ssh_key is None
    assert folder.ssh_key is None


def test_only_a_drill_says_that_the_node_is_not_off() -> None:
    assert ordered(BOX).variables["OLD_NODE_IS_OFF"] == "yes"
    assert ordered(BOX, drill=True).variables["OLD_NODE_IS_OFF"] == "drill"


def test_every_variable_is_one_that_restore_sh_or_restic_reads() -> None:
    script = restore_script().decode()
    s3 = S3(endpoint="https://s3.example.org", bucket="box", prefix="gateway")
    names = {*ordered(BOX).variables, *ordered(s3).variables, "SSH_KEY"} - {"AWS_DEFAULT_REGION"}
    assert [name for name in names if not re.search(rf"\$\{{?{name}\b|prompt {name}\b", script)] == []


def test_what_is_handed_over_arrives_whole_whatever_signs_are_in_it(tmp_path: Path) -> None:
    odd = 'it\'s "odd" $HOME `id` \\ \n second line'
    given = handover(Orders(b"", {"RESTIC_PASSWORD": odd}, odd + "\n"), ["--backup", "ab 'c"])
    (tmp_path / "restore.sh").write_text('printf "%s|%s|%s" "$RESTIC_PASSWORD" "$(cat "$SSH_KEY")" "$*"')
    here = given.decode().replace("/root/restore/", f"{tmp_path}/").replace("/run/", f"{tmp_path}/run/")
    done = subprocess.run(["sh", "-s"], input=here, capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout == f"{odd}|{odd}|--backup ab 'c"
    assert (tmp_path / "run/appliance-restore/given").stat().st_mode & 0o077 == 0


def test_its_words_become_the_operator_s() -> None:
    said = (
        "--> Reach the repository\n    | Fatal: wrong password\n"
        '\nFAILED at "Reach the repository": The passphrase is another\'s.\n  next: see the sheet\n'
    )
    trouble = trouble_of(Result(1, said, ""), "office-1")
    assert trouble.what == 'The passphrase is another\'s. (at "Reach the repository")'
    assert trouble.why == "Fatal: wrong password"
    assert trouble.fix == "see the sheet"


@pytest.mark.parametrize("said", ["", "sh: not found\n", "--> Tools\nKilled\n"])
def test_an_end_without_words_is_told_with_its_code(said: str) -> None:
    assert "ended with 137" in trouble_of(Result(137, said, ""), "office-1").what
