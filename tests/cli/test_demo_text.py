"""What a demo prints to try can be typed, and gives no secret away."""

from __future__ import annotations

import subprocess
from pathlib import Path

from appliance.cli.demo import curl
from appliance.desk.ask import Answer
from appliance.desk.deploy import DeployResult
from appliance.desk.model import Plan

RESULT = DeployResult(Plan((), "EUR"), False, "demo-1", "198.18.1.7", (Answer("code", "m", "hello", 1.0),), 1)


def test_the_token_reaches_curl_by_its_input_and_not_by_its_arguments(tmp_path: Path) -> None:
    folder = tmp_path / "with a space"
    (folder / "secrets").mkdir(parents=True)
    (folder / "secrets" / "gateway-token").write_text("s3cret\n")
    stub = tmp_path / "curl"
    stub.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > '{tmp_path}/argv'; cat > '{tmp_path}/stdin'\n")
    stub.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    subprocess.run(["bash", "-c", curl(folder, RESULT)], env=environ, check=True)
    argv = (tmp_path / "argv").read_text().splitlines()
    assert (tmp_path / "stdin").read_text() == "Authorization: Bearer s3cret"
    assert argv[-1] == "https://198.18.1.7/code/v1/chat/completions"
    assert f"{folder}/secrets/ca.crt" in argv
    assert "s3cret" not in " ".join(argv)
