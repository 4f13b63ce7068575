"""Load balancers: real HAProxy processes on loopback in front of real backends."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.lab.balancer import Balancers
from appliance.lab.hardware import BalancerService, BalancerSpec, HardwareTrouble, HealthCheck, TargetHealth
from appliance.lab.place import Place
from tests.lab.backends import Backend, backends, free_port
from tests.lab.serving import until

pytestmark = pytest.mark.lab
ID = 7


@pytest.fixture
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="lb") as folder:  # short: a socket's path holds 107 characters
        yield Place(Path(folder), 25)


@pytest.fixture
def balancers(place: Place) -> Iterator[Balancers]:
    made = Balancers(place)
    yield made
    made.wipe()


def _service(behind: list[Backend], protocol: str = "tcp", **more: Any) -> BalancerService:
    check = HealthCheck("tcp", behind[0].port, interval=1, timeout=1, retries=1)
    return BalancerService(
        **{
            "protocol": protocol,
            "listen_port": free_port(),
            "destination_port": behind[0].port,
            "proxyprotocol": False,
            "health_check": check,
            **more,
        }
    )


def _spec(behind: list[Backend], *services: BalancerService) -> BalancerSpec:
    targets = tuple((backend.name, backend.address) for backend in behind)
    return BalancerSpec(ID, "test", "round_robin", "127.0.0.1", (), services, targets)


@pytest.fixture
def pair() -> Iterator[list[Backend]]:
    with backends("one", "two") as made:
        yield made


def _ask(service: BalancerService, **more: Any) -> requests.Response:
    return requests.get(f"http://127.0.0.1:{service.listen_port}/", timeout=10, **more)


def _answers(service: BalancerService) -> bool:
    try:
        return _ask(service).ok
    except requests.ConnectionError:
        return False


def _all(balancers: Balancers, status: str) -> bool:
    health = balancers.health(ID)
    return bool(health) and {h.status for h in health.values()} == {status}


def test_both_targets_answer_in_turn_once_healthy(balancers: Balancers, pair: list[Backend]) -> None:
    service = _service(pair)
    balancers.apply(_spec(pair, service), None)
    until(lambda: _all(balancers, "healthy"))
    assert set(balancers.health(ID)) == {("one", service.listen_port), ("two", service.listen_port)}
    assert [_ask(service).text for _ in range(4)] in (["one", "two"] * 2, ["two", "one"] * 2)


def test_a_dead_target_becomes_unhealthy_gets_no_traffic_and_comes_back(
    balancers: Balancers, pair: list[Backend]
) -> None:
    service = _service(pair)
    balancers.apply(_spec(pair, service), None)
    until(lambda: _all(balancers, "healthy"))
    pair[0].down()
    dead = TargetHealth("unhealthy", "layer4_no_connection")
    until(lambda: balancers.health(ID)["one", service.listen_port] == dead)
    assert {_ask(service).text for _ in range(4)} == {"two"}
    pair[0].up()
    until(lambda: _all(balancers, "healthy"))
    assert {_ask(service).text for _ in range(4)} == {"one", "two"}


@pytest.mark.parametrize(
    ("trouble", "health"),
    [
        ({"status": 503}, TargetHealth("unhealthy", "unexpected_http_status", 503)),
        ({"text": "draining"}, TargetHealth("unhealthy", "unexpected_http_content")),
        ({"silent": True}, TargetHealth("unhealthy", "layer7_timeout")),
    ],
)
def test_http_checks_tell_what_is_wrong(
    balancers: Balancers, pair: list[Backend], trouble: dict[str, Any], health: TargetHealth
) -> None:
    check = HealthCheck(
        "http",
        pair[0].port,
        1,
        1,
        1,
        domain="node.test",
        path="/healthz",
        response="o",
        status_codes=("2??",),
    )
    service = _service(pair, health_check=check)
    balancers.apply(_spec(pair, service), None)
    until(lambda: _all(balancers, "healthy"))
    assert b"GET /healthz HTTP/1.1\r\nhost: node.test\r\n" in pair[0].heard[0]
    for name, value in trouble.items():
        setattr(pair[0], name, value)
    until(lambda: balancers.health(ID)["one", service.listen_port] == health)
    assert balancers.health(ID)["two", service.listen_port].status == "healthy"


def test_as_many_failures_as_ordered_are_needed(balancers: Balancers, pair: list[Backend]) -> None:
    check = HealthCheck("http", pair[0].port, 1, 1, retries=3)
    service = _service(pair, health_check=check)
    balancers.apply(_spec(pair, service), None)
    until(lambda: _all(balancers, "healthy"))
    pair[0].heard.clear()
    pair[0].status = 500
    until(lambda: balancers.health(ID)["one", service.listen_port].status == "unhealthy")
    failed = len(pair[0].heard)
    assert failed >= 3
    pair[0].status = 200
    until(lambda: _all(balancers, "healthy"))
    assert len(pair[0].heard) - failed >= 3


def test_before_the_first_check_health_is_unknown(balancers: Balancers, pair: list[Backend]) -> None:
    for backend in pair:
        backend.silent = True
    check = HealthCheck("http", pair[0].port, interval=60, timeout=15, retries=1)
    balancers.apply(_spec(pair, _service(pair, health_check=check)), None)
    assert _all(balancers, "unknown")


def test_a_reload_cuts_no_stream_and_remembers_who_is_down(balancers: Balancers, pair: list[Backend]) -> None:
    check = HealthCheck("tcp", pair[0].port, interval=1, timeout=1, retries=1)
    service = _service(pair, health_check=check)
    balancers.apply(_spec(pair, service), None)
    until(lambda: _all(balancers, "healthy"))
    pair[0].down()
    until(lambda: balancers.health(ID)["one", service.listen_port].status == "unhealthy")
    pair[1].stream = True
    stream = _ask(service, stream=True)
    lines = stream.iter_lines(chunk_size=1)
    assert next(lines) == b"tick"

    changed = replace(service, timeout_idle=60)
    other = replace(changed, listen_port=free_port())
    balancers.apply(_spec(pair, changed, other), None)
    assert balancers.health(ID)["one", service.listen_port].status == "unhealthy"
    assert balancers.health(ID)["two", service.listen_port].status == "healthy"
    assert next(lines) == b"tick"
    pair[1].ended.set()
    assert list(lines)[-1] == b"end"
    until(lambda: balancers.health(ID)["one", other.listen_port].status == "unhealthy")
    assert _ask(other).status_code == 200


def test_targets_come_and_go(balancers: Balancers, pair: list[Backend]) -> None:
    service = _service(pair)
    spec = _spec(pair, service)
    balancers.apply(replace(spec, targets=()), None)
    assert balancers.health(ID) == {}
    with pytest.raises(requests.ConnectionError):
        _ask(service)
    balancers.apply(replace(spec, targets=spec.targets[:1]), None)
    assert _ask(service).text == "one"
    balancers.apply(replace(spec, targets=spec.targets[1:]), None)
    assert _ask(service).text == "two"
    # the same target at another address is not sent to its old one
    balancers.apply(replace(spec, targets=(("two", pair[0].address),)), None)
    assert _ask(service).text == "one"


def test_the_proxy_header_carries_the_clients_address(balancers: Balancers) -> None:
    with backends("one", proxied=True) as behind:
        service = _service(behind, proxyprotocol=True)
        balancers.apply(_spec(behind, service), None)
        until(lambda: _all(balancers, "healthy"))
        with socket.create_connection(("127.0.0.1", service.listen_port), 10) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")
            port = client.getsockname()[1]
        header = behind[0].headers[-1]
        assert header[12:14] == b"\x21\x11"  # version 2, PROXY; TCP over IPv4
        assert header[16:20] == socket.inet_aton("127.0.0.1")
        assert int.from_bytes(header[24:26], "big") == port


def test_a_checks_own_header_satisfies_a_target_that_wants_one(balancers: Balancers) -> None:
    with backends("one", proxied=True) as behind:
        check = HealthCheck("http", behind[0].port, 1, 1, 1)
        balancers.apply(_spec(behind, _service(behind, proxyprotocol=True, health_check=check)), None)
        until(lambda: _all(balancers, "healthy"))
        assert behind[0].headers[-1][12] == 0x20  # LOCAL: the balancer speaks for itself


def test_a_sticky_cookie_keeps_a_client_at_its_target(balancers: Balancers, pair: list[Backend]) -> None:
    service = _service(pair, "http", sticky_sessions=True, cookie_name="STAY", cookie_lifetime=77)
    balancers.apply(_spec(pair, service), None)
    until(lambda: _all(balancers, "healthy"))
    first = _ask(service)
    assert "Max-Age=77" in first.headers["Set-Cookie"]
    value = first.cookies["STAY"]
    assert {_ask(service, cookies={"STAY": value}).text for _ in range(5)} == {first.text}
    assert {_ask(service).text for _ in range(4)} == {"one", "two"}
    assert "one" not in value
    assert "127.0.0" not in value


def test_http_targets_learn_who_asked(balancers: Balancers, pair: list[Backend]) -> None:
    service = _service(pair[:1], "http")
    balancers.apply(_spec(pair[:1], service), None)
    _ask(service, headers={"X-Forwarded-Proto": "https"})
    request = pair[0].heard[-1].lower()
    assert b"x-forwarded-for: 127.0.0.1\r\n" in request
    assert b"x-forwarded-proto: http\r\n" in request
    assert b"x-forwarded-proto: https" not in request


def _certificate() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lb.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return (made.public_bytes(pem) + private).decode()


@pytest.mark.filterwarnings("ignore:Unverified HTTPS")
def test_https_ends_at_the_balancer_and_its_check_may_speak_tls(
    balancers: Balancers, place: Place, tmp_path: Path
) -> None:
    pem = _certificate()
    (tmp_path / "pem").write_text(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pem")
    with backends("plain") as plain, backends("secure", tls=context) as secure:
        check = HealthCheck("http", secure[0].port, 1, 1, 1, domain="lb.test", tls=True)
        service = _service(plain, "https", certificates=(pem,), health_check=check)
        balancers.apply(_spec(plain, service), None)
        until(lambda: _all(balancers, "healthy"))
        url = f"https://127.0.0.1:{service.listen_port}/"
        assert requests.get(url, verify=False, timeout=10).text == "plain"
        assert b"x-forwarded-proto: https\r\n" in plain[0].heard[-1].lower()

        files = place.folder / "balancers" / str(ID)
        assert {oct(f.stat().st_mode & 0o777) for f in files.glob("*.pem")} == {"0o600"}
        balancers.apply(_spec(plain, replace(service, certificates=(_certificate(),))), None)
        assert len(list(files.glob("*.pem"))) == 1


def test_an_unchanged_spec_restarts_nothing(balancers: Balancers, place: Place, pair: list[Backend]) -> None:
    spec = _spec(pair, _service(pair))
    balancers.apply(spec, None)
    before = _processes(place)
    balancers.apply(spec, None)
    assert _processes(place) == before


def test_a_killed_daemons_balancer_is_found_again(place: Place, pair: list[Backend]) -> None:
    service = _service(pair)
    Balancers(place).apply(_spec(pair, service), None)
    before, after = _processes(place), Balancers(place)
    assert _ask(service).status_code == 200
    until(lambda: after.health(ID))
    after.apply(_spec(pair, replace(service, timeout_idle=70)), None)
    assert _processes(place) & before  # the same master
    after.delete(ID)
    assert _processes(place) == set()
    assert not (place.folder / "balancers" / str(ID)).exists()
    after.delete(ID)


def test_a_killed_balancer_is_started_again(balancers: Balancers, place: Place, pair: list[Backend]) -> None:
    service = _service(pair)
    balancers.apply(_spec(pair, service), None)
    for pid in _processes(place):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not _processes(place))
    assert balancers.health(ID) == {}
    balancers.apply(_spec(pair, service), None)
    assert _ask(service).status_code == 200


def test_a_port_in_use_is_told_and_what_ran_goes_on(
    balancers: Balancers, pair: list[Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.lab.balancer.READY", 2)
    service = _service(pair)
    balancers.apply(_spec(pair, service), None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        clash = replace(service, listen_port=taken.getsockname()[1])
        with pytest.raises(HardwareTrouble, match="load balancer 7"):
            balancers.apply(_spec(pair, service, clash), None)
        until(lambda: _answers(service))  # HAProxy takes about 2 s to give its attempt up
    balancers.apply(_spec(pair, service, clash), None)
    assert _ask(clash).status_code == 200


def test_wipe_ends_all_of_this_lab_and_none_of_another(place: Place, pair: list[Backend]) -> None:
    mine, other = Balancers(place), Balancers(replace(place, instance=24))
    kept = _service(pair)
    for number in (1, 2):
        mine.apply(replace(_spec(pair, _service(pair)), id=number), None)
    other.apply(_spec(pair, kept), None)
    mine.wipe()
    assert _processes(place) == set()
    assert _ask(kept).status_code == 200
    other.wipe()


def _processes(place: Place) -> set[int]:
    """HAProxy processes of this lab."""
    found, folder = set(), str(place.folder / "balancers").encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if b"haproxy" in line.partition(b"\0")[0] and folder in line:
            found.add(int(path.parent.name))
    return found


@pytest.fixture
def namespace(place: Place) -> Iterator[str]:
    name = f"alab{place.instance}b{ID}"
    _make(name)
    yield name
    subprocess.run(["ip", "netns", "delete", name], check=False)


def _make(namespace: str) -> None:
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    subprocess.run(["ip", "-n", namespace, "link", "set", "lo", "up"], check=True)


def _within(namespace: str) -> set[int]:
    listed = subprocess.run(["ip", "netns", "pids", namespace], check=True, capture_output=True, text=True)
    return {int(pid) for pid in listed.stdout.split()}


def test_it_runs_in_its_namespace_and_follows_it_when_it_is_made_anew(
    balancers: Balancers, place: Place, pair: list[Backend], namespace: str
) -> None:
    service = _service(pair)
    balancers.apply(_spec(pair, service), namespace)
    assert _within(namespace) == _processes(place) != set()
    assert not _answers(service)
    until(lambda: _all(balancers, "unhealthy"))  # the backends are outside
    subprocess.run(["ip", "netns", "delete", namespace], check=True)
    _make(namespace)
    balancers.apply(_spec(pair, service), namespace)
    assert _within(namespace) == _processes(place) != set()
