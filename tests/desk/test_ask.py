"""A question to a real TLS server: only the appliance's CA is trusted, and every refusal is told in words."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import certifi
import pytest
from cryptography.hazmat.primitives import serialization

from appliance.contract.trouble import NodeTrouble
from appliance.desk import pki
from appliance.desk.ask import Door, ask
from tests.desk.sshd import free_port
from tests.desk.test_pki import node_request

TOKEN = "right"


class Gateway(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/slow/v1/chat/completions":
            self.server.hold.wait(30)  # type: ignore[attr-defined]
            return
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._answer(401, {"error": {"message": "bad token"}})
        elif self.path == "/code/v1/chat/completions":
            text = f"{self.headers['Host']} heard {body['messages'][0]['content']}"
            self._answer(200, {"model": "openclaw", "choices": [{"message": {"content": text}}]})
        elif self.path == "/odd/v1/chat/completions":
            self._answer(200, {"hello": 1})
        elif self.path == "/down/v1/chat/completions":
            self._answer(502, {"error": {"message": "upstream failed"}})
        else:
            self._answer(404, {"error": {"message": "no such workload"}})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        return


class Server(ThreadingHTTPServer):
    daemon_threads = True
    hold = threading.Event()


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("tls")
    now = datetime.now(UTC)
    ca = pki.make_ca("office", now)
    key, csr = node_request()
    (folder / "chain").write_bytes(pki.sign(ca, csr, ["gateway.example.org", "127.0.0.1"], now))
    (folder / "key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain", folder / "key")
    server = Server(("127.0.0.1", 0), Gateway)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Door("127.0.0.1", "gateway.example.org", ca.certificate, TOKEN, server.server_port)
    server.hold.set()
    server.shutdown()
    server.server_close()


def test_the_answer_comes_back_for_a_name_and_for_a_bare_address(door: Door) -> None:
    answer = ask(door, "code", "hello")
    assert answer.text == "gateway.example.org heard hello"
    assert (answer.workload, answer.model) == ("code", "openclaw")
    assert ask(replace(door, name="127.0.0.1"), "code", "x").text == "127.0.0.1 heard x"


def test_a_certificate_of_the_operator_s_own_is_trusted_without_its_root(door: Door) -> None:
    leaf = ssl.get_server_certificate(("127.0.0.1", door.port)).encode()
    assert leaf != door.ca
    assert ask(replace(door, ca=leaf), "code").workload == "code"


def test_another_ca_the_public_cas_or_another_name_are_not_trusted(door: Door) -> None:
    other = pki.make_ca("office", datetime.now(UTC)).certificate
    public = Path(certifi.where()).read_bytes()
    for wrong in (replace(door, ca=other), replace(door, ca=public), replace(door, name="other.example")):
        with pytest.raises(NodeTrouble, match="is not the appliance's"):
            ask(wrong, "code")


def test_a_ca_bundle_or_proxy_in_the_environment_changes_nothing(
    door: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing.pem"))
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    assert ask(door, "code").workload == "code"


@pytest.mark.parametrize(
    ("workload", "status", "words"), [("nowhere", "404", "no such workload"), ("down", "502", "upstream")]
)
def test_a_refusal_carries_the_status_and_the_gateway_s_words(
    door: Door, workload: str, status: str, words: str
) -> None:
    with pytest.raises(NodeTrouble, match=f"{workload} answered with HTTP {status}") as caught:
        ask(door, workload)
    assert words in caught.value.why


def test_a_wrong_token_is_named_and_not_shown(door: Door) -> None:
    with pytest.raises(NodeTrouble, match="401") as caught:
        ask(replace(door, token="wrong-value"), "code")
    assert "gateway token" in caught.value.fix
    assert "wrong-value" not in str(caught.value)


def test_an_answer_that_is_no_completion_is_told(door: Door) -> None:
    with pytest.raises(NodeTrouble, match="not a chat completion"):
        ask(door, "odd")


def test_silence_is_bounded(door: Door) -> None:
    with pytest.raises(NodeTrouble, match=r"gave no answer within 0 s|gave no answer within 1 s"):
        ask(door, "slow", timeout=0.5)


def test_a_closed_port_is_told_from_a_bad_certificate(door: Door) -> None:
    with pytest.raises(NodeTrouble, match="Nothing answers at"):
        ask(replace(door, port=free_port()), "code")
