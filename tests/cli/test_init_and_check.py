"""From nothing to a file that `check` reads: the operator's first minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.cli.wiring import HETZNER, access
from appliance.contract.trouble import CloudTrouble, ExitCode, LabTrouble
from appliance.desk.settings import Target
from tests.cli.runs import appliance


def test_init_says_what_it_wrote_and_what_only_the_operator_knows(tmp_path: Path) -> None:
    done = appliance("init", at=tmp_path)
    assert done.code == 0, done.err
    for name in ("appliance.yaml", "appliance.schema.json", "secrets/ca.key", "secrets/ssh"):
        assert name in done.out
        assert (tmp_path / name).exists()
    assert "access.ssh" in done.out
    assert appliance("init", at=tmp_path).code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--name", "My Office", 'for instance "my-office"'),
        ("--ssh-from", "198.51.101.7", '"198.51.101.7/32"'),
        ("--location", "FSN1", '"fsn1"'),
    ],
)
def test_init_refuses_what_the_file_would_before_it_writes_anything(
    option: str, value: str, said: str, tmp_path: Path
) -> None:
    done = appliance("init", option, value, at=tmp_path)
    assert done.code == ExitCode.USAGE
    assert said in done.err
    assert list(tmp_path.iterdir()) == []


def test_init_for_the_lab_is_complete(tmp_path: Path) -> None:
    done = appliance(
        "init", "--target", "lab", "--json", at=tmp_path, APPLIANCE_LAB_DIR=str(tmp_path / "lab")
    )
    assert done.json["ok"] is True
    checked = appliance("check", "--json", at=tmp_path, APPLIANCE_LAB_DIR=str(tmp_path / "lab"))
    wrong = {f["subject"] for f in checked.json["findings"] if f["level"] == "wrong"}
    assert wrong == {*(f"providers.{name}.key" for name in ("alpha", "beta", "alpha-messages")), "cloud"}


def test_check_tells_all_that_is_missing_at_once(tmp_path: Path) -> None:
    appliance("init", "--ssh-from", "198.51.101.7/32", at=tmp_path)
    (tmp_path / "secrets/gateway-token").chmod(0o644)
    (tmp_path / "secrets/ssh").unlink()
    done = appliance("check", at=tmp_path)
    assert done.code == ExitCode.USAGE
    for said in (
        "gateway.token",
        "chmod 600",
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "HCLOUD_TOKEN",
        "agent",
    ):
        assert said in done.out


def test_check_tells_what_the_canaries_cost(tmp_path: Path) -> None:
    appliance("init", "--ssh-from", "198.51.101.7/32", at=tmp_path)
    done = appliance("check", "--json", at=tmp_path)
    (canary,) = [f for f in done.json["findings"] if f["subject"] == "canary"]
    assert "2 models are asked every 6 h: 8 requests" in canary["what"]
    assert done.json["canaries"] == {"models": 2, "hours": 6, "requests_a_day": 8, "tokens_a_day": 288}


def test_check_never_prints_a_secret(tmp_path: Path) -> None:
    appliance("init", "--ssh-from", "198.51.101.7/32", at=tmp_path)
    token = (tmp_path / "secrets/gateway-token").read_text().strip()
    done = appliance("check", "--json", at=tmp_path, OPENAI_API_KEY=f"x{token}")
    assert token not in done.out + done.err


def test_an_api_that_does_not_answer_is_told_and_not_waited_for_ever(tmp_path: Path) -> None:
    appliance("init", "--ssh-from", "198.51.101.7/32", at=tmp_path)
    done = appliance(
        "check", "--json", at=tmp_path, HCLOUD_ENDPOINT="http://127.0.0.1:9/v1", HCLOUD_TOKEN="x" * 64
    )
    (cloud,) = [f for f in done.json["findings"] if f["subject"] == "cloud"]
    assert cloud["level"] == "wrong"


def test_a_destroy_that_nobody_can_confirm_is_declined_before_the_cloud_is_asked(
    tmp_path: Path,
) -> None:
    appliance("init", "--ssh-from", "198.51.101.7/32", at=tmp_path)
    done = appliance("destroy", at=tmp_path, HCLOUD_ENDPOINT="http://127.0.0.1:9/v1", HCLOUD_TOKEN="x" * 64)
    assert done.code == ExitCode.DECLINED
    assert "--yes" in done.err


def test_the_environment_names_the_cloud_as_for_any_client() -> None:
    found = access(Target.HETZNER, {"HCLOUD_TOKEN": "t", "HCLOUD_ENDPOINT": "http://127.0.0.1:1/v1"})
    assert (found.endpoint, found.token) == ("http://127.0.0.1:1/v1", "t")
    assert access(Target.HETZNER, {"HCLOUD_TOKEN": "t"}).endpoint == HETZNER
    assert (
        access(Target.LAB, {"HCLOUD_TOKEN": "t", "HCLOUD_ENDPOINT": "http://x/v1"}).endpoint == "http://x/v1"
    )


def test_without_a_token_it_says_where_to_get_one() -> None:
    with pytest.raises(CloudTrouble) as caught:
        access(Target.HETZNER, {})
    assert "console" in caught.value.fix


def test_a_token_alone_never_turns_the_lab_into_hetzner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPLIANCE_LAB_DIR", str(tmp_path))
    with pytest.raises(LabTrouble, match="lab up"):
        access(Target.LAB, {"HCLOUD_TOKEN": "t"})
