"""The package proxy, between a real HTTP client and an archive on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import requests
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from appliance.lab.mirror import Refused, cache_path, mirror_app
from tests.lab.serving import serving, until

DEB = "/debian/pool/main/h/hello/hello_2.10-3_amd64.deb"
INDEX = "/debian/dists/trixie/InRelease"
BY_HASH = "/debian/dists/trixie/main/binary-amd64/by-hash/SHA256/" + "ab" * 32
MODIFIED = "Sat, 10 May 2025 08:00:00 GMT"


@dataclass
class Archive:
    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    status: int = 200
    cut: bool = False
    body: bytes = b"\x00deb" * 200_000

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.path))
        if self.status != 200:
            return web.Response(status=self.status)
        if request.headers.get("If-Modified-Since") == MODIFIED:
            return web.Response(status=304)
        if not self.cut:
            return web.Response(body=self.body, headers={"Last-Modified": MODIFIED})
        response = web.StreamResponse()
        response.content_length = len(self.body)
        await response.prepare(request)
        await response.write(self.body[:100_000])
        assert request.transport
        request.transport.close()
        return response


@dataclass
class Apt:
    """Asks as apt does: absolute URLs through the proxy."""

    archive: Archive
    mirror: str
    cache: Path

    def get(self, path: str, method: str = "GET", **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        proxies = {"http": self.mirror}
        return requests.request(method, self.archive.url + path, headers=named, proxies=proxies, timeout=10)

    def files(self) -> list[str]:
        return sorted(p.name for p in self.cache.rglob("*") if p.is_file())


@pytest.fixture
def apt(tmp_path: Path) -> Iterator[Apt]:
    archive = Archive()
    with serving(archive.app()) as archive.url, serving(mirror_app(tmp_path)) as mirror:
        yield Apt(archive, mirror, tmp_path)


@pytest.mark.parametrize("path", [DEB, BY_HASH])
def test_what_never_changes_is_fetched_once(apt: Apt, path: str) -> None:
    for _ in range(3):
        assert apt.get(path).content == apt.archive.body
    assert apt.archive.asked == [("GET", path)]


def test_a_package_is_served_while_the_archive_is_down(apt: Apt) -> None:
    apt.get(DEB)
    apt.archive.status = 503
    assert apt.get(DEB).content == apt.archive.body
    assert apt.get(DEB, method="HEAD").headers["Content-Length"] == str(len(apt.archive.body))
    assert apt.get(DEB, Range="bytes=4-7").content == apt.archive.body[4:8]
    assert apt.get(DEB.replace("hello_", "other_")).status_code == 502


def test_indexes_are_asked_anew_and_served_from_the_copy_when_the_archive_fails(apt: Apt) -> None:
    assert apt.get(INDEX).content == apt.archive.body
    apt.archive.body = b"newer"
    assert apt.get(INDEX).content == b"newer"
    assert apt.get(INDEX, If_Modified_Since=MODIFIED).status_code == 304
    apt.archive.status = 500
    assert apt.get(INDEX).content == b"newer"
    assert apt.get(INDEX, If_Modified_Since=MODIFIED).status_code == 304


def test_missing_files_are_missing(apt: Apt) -> None:
    apt.archive.status = 404
    assert apt.get(DEB).status_code == 404
    assert apt.files() == []


def test_a_download_that_breaks_off_is_an_error_and_not_kept(apt: Apt) -> None:
    apt.archive.cut = True
    with pytest.raises(requests.RequestException):
        apt.get(DEB)
    assert apt.files() == []
    apt.archive.cut = False
    assert apt.get(DEB).content == apt.archive.body


def test_a_client_may_insist_on_a_fresh_copy(apt: Apt) -> None:
    apt.get(DEB)
    apt.archive.body = b"mended"
    assert apt.get(DEB, Cache_Control="no-cache").content == b"mended"
    assert apt.get(DEB).content == b"mended"


def test_many_at_once_get_the_whole_file(apt: Apt) -> None:
    got: list[bytes] = []
    threads = [threading.Thread(target=lambda: got.append(apt.get(DEB).content)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert got == [apt.archive.body] * 8
    # Each client has its last byte a moment before its copy is renamed into place.
    until(lambda: apt.files() == [DEB.rpartition("/")[2]])


@pytest.mark.parametrize(
    "path", ["/", "/index.html", "/latest/user-data", "/pool", "/pool/../../../etc/passwd"]
)
def test_what_is_no_package_archive_is_refused(apt: Apt, path: str) -> None:
    url = apt.archive.url + path
    session = requests.Session()
    request = session.prepare_request(requests.Request("GET", url))
    request.url = url  # as written, ".." and all
    answer = session.send(request, proxies={"http": apt.mirror}, timeout=10)
    assert answer.status_code == 403
    assert apt.archive.asked == []


def test_other_methods_and_plain_requests_are_refused(apt: Apt) -> None:
    assert apt.get(DEB, method="POST").status_code == 405
    assert requests.get(apt.mirror + DEB, timeout=10).status_code == 400
    assert apt.archive.asked == []


def test_a_failing_mirror_can_be_ordered_and_healed(apt: Apt) -> None:
    apt.get(DEB)
    fault = f"{apt.mirror}/_lab/fault"
    assert requests.put(fault, json={"status": 503, "count": 2}, timeout=10).status_code == 200
    assert [apt.get(DEB).status_code for _ in range(3)] == [503, 503, 200]
    requests.put(fault, json={"hang": True, "seconds": 0.2}, timeout=10)
    assert apt.get(DEB).status_code == 504
    requests.delete(fault, timeout=10)
    assert apt.get(DEB).status_code == 200
    assert requests.put(fault, json={}, timeout=10).status_code == 400
    assert requests.get(f"{apt.mirror}/_lab/requests", timeout=10).json()["hits"] == 2


def test_healing_frees_those_who_wait(apt: Apt) -> None:
    requests.put(f"{apt.mirror}/_lab/fault", json={"hang": True, "seconds": 600}, timeout=10)
    got: list[int] = []
    waiting = threading.Thread(target=lambda: got.append(apt.get(DEB).status_code))
    waiting.start()
    until(lambda: "faults" in requests.get(f"{apt.mirror}/_lab/requests", timeout=10).json())
    requests.delete(f"{apt.mirror}/_lab/fault", timeout=10)
    waiting.join(10)
    assert got == [504]


@given(path=st.text(st.sampled_from("ab./%2eEfF~\\\x00 \n:+pool-"), max_size=40), host=st.text(max_size=12))
def test_no_url_leads_out_of_the_cache(path: str, host: str) -> None:
    for url in (f"http://archive.test/debian/pool/{path}", f"http://{host}/pool/{quote(path)}/x"):
        try:
            kept = cache_path(url)
        except Refused:
            continue
        assert not kept.is_absolute()
        assert ".." not in kept.parts
        assert len(kept.parts) >= 3
        assert kept.parts[0] == urlsplit(url).netloc.lower()
