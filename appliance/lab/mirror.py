"""The lab's package proxy: apt asks it for absolute http:// URLs, it keeps what never changes.

It names no host: the machines' own sources say where packages come from.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiohttp
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from yarl import URL

CONNECT = 10  # seconds to reach the upstream
SILENCE = 30  # seconds without a byte from it
WHOLE = 900  # seconds for one file
STALE = 3600  # seconds after which a part file is a dead lab's
CHUNK = 256 * 1024
# Never the same name with other content: packages and sources in a pool, indexes named by their hash.
_IMMUTABLE = re.compile(
    r"/pool/.*\.(deb|udeb|ddeb|dsc|tar\.[a-z0-9]+|asc|diff\.gz)$|/by-hash/[A-Za-z0-9]+/[0-9a-f]+$"
)
_PASSED_ON = ("If-Modified-Since", "If-None-Match", "Range", "If-Range", "User-Agent", "Cache-Control")
_PASSED_BACK = ("Last-Modified", "ETag", "Content-Type", "Content-Range", "Accept-Ranges", "Content-Length")


class Order(BaseModel):
    """What PUT /_lab/fault takes: an error status, or silence of at most `seconds`."""

    model_config = ConfigDict(extra="forbid")

    status: int | None = Field(None, ge=400, le=599)
    hang: bool = False
    seconds: float = Field(60, gt=0, le=600)
    count: int | None = Field(None, ge=1)


class Refused(Exception):  # noqa: N818 - the word of the house
    """Not something that apt asks for."""


def cache_path(url: str) -> Path:
    """Where, below the cache, the file of an absolute URL lies: host/path. Raises Refused."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise Refused(str(error)) from None
    if parts.scheme != "http" or not parts.hostname or parts.username or parts.password or parts.query:
        raise Refused("only plain http:// URLs of packages are fetched here")
    path = unquote(parts.path)
    steps = path.split("/")[1:]
    if not {"dists", "pool"} & set(steps[:-1]):
        raise Refused("this proxy serves package archives only: the path has neither dists/ nor pool/")
    if any(step in ("", ".", "..") or step.startswith(".part-") or not step.isprintable() for step in steps):
        raise Refused("the path is not that of a package archive")
    if not re.fullmatch(r"[A-Za-z0-9.:_-]+", parts.netloc) or parts.netloc.startswith("."):
        raise Refused("the host's name cannot be one")
    return Path(parts.netloc.lower(), *steps)


class Mirror:
    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._order: Order | None = None
        self._left: int | None = None
        self._healed = asyncio.Event()
        self._counts: Counter[str] = Counter()
        self._session: aiohttp.ClientSession | None = None

    async def session(self, _: web.Application) -> AsyncIterator[None]:
        await asyncio.to_thread(self._sweep)
        times = aiohttp.ClientTimeout(total=WHOLE, connect=CONNECT, sock_connect=CONNECT, sock_read=SILENCE)
        # trust_env: where the host itself gets out through a proxy only, so does the lab
        async with aiohttp.ClientSession(timeout=times, auto_decompress=False, trust_env=True) as session:
            self._session = session
            yield
        self._session = None

    def _sweep(self) -> None:
        """Remove the halves that a killed lab left."""
        self._cache.mkdir(parents=True, exist_ok=True)
        for part in self._cache.rglob(".part-*"):
            try:
                if time.time() - part.stat().st_mtime > STALE:
                    part.unlink()
            except FileNotFoundError:  # another lab swept it, or finished it
                continue

    async def serve(self, request: web.Request) -> web.StreamResponse:
        url = request.raw_path  # as it came: absolute when asked as a proxy
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, text="This proxy takes GET and HEAD only.\n")
        if url.startswith("/"):
            return web.Response(status=400, text="This is a proxy for apt: ask for absolute URLs.\n")
        try:
            kept = self._cache / cache_path(url)
        except Refused as refused:
            self._counts["refused"] += 1
            return web.Response(status=403, text=f"{refused}\n")
        if (broken := await self._broken()) is not None:
            return broken
        fresh_wanted = "no-cache" in request.headers.get("Cache-Control", "")
        if _IMMUTABLE.search(urlsplit(url).path) and not fresh_wanted and kept.is_file():
            self._counts["hits"] += 1
            return _file(kept)
        return await self._fetch(request, url, kept)

    async def _broken(self) -> web.StreamResponse | None:
        order = self._order
        if order is None or self._left == 0:
            return None
        if self._left is not None:
            self._left -= 1
        self._counts["faults"] += 1
        if order.hang:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._healed.wait(), order.seconds)
        return web.Response(status=order.status or 504, text="out of order by order\n")

    async def _fetch(self, request: web.Request, url: str, kept: Path) -> web.StreamResponse:
        """Pass the file through and keep it; without an upstream, what was kept before."""
        assert self._session
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        headers["Accept-Encoding"] = "identity"
        try:
            upstream = await self._session.request(
                request.method, URL(url, encoded=True), headers=headers, allow_redirects=True
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            status = 504 if isinstance(error, TimeoutError) else 502
            return self._fall_back(kept, status, f"{type(error).__name__}: {error}")
        async with upstream:
            if upstream.status >= 500 or upstream.status == 429:
                return self._fall_back(kept, 502, f"the archive answered {upstream.status}")
            self._counts["misses"] += 1
            response = web.StreamResponse(status=upstream.status, reason=upstream.reason)
            for name in _PASSED_BACK:
                if name in upstream.headers and (name != "Content-Length" or upstream.status != 304):
                    response.headers[name] = upstream.headers[name]
            if request.method == "HEAD" or upstream.status != 200:
                return await _pass(request, upstream, response)
            return await self._keep(request, upstream, response, kept)

    def _fall_back(self, kept: Path, status: int, why: str) -> web.StreamResponse:
        if kept.is_file():
            self._counts["stale"] += 1
            return _file(kept)
        self._counts["failed"] += 1
        return web.Response(status=status, text=f"The package archive did not answer: {why}\n")

    async def _keep(
        self, request: web.Request, upstream: aiohttp.ClientResponse, response: web.StreamResponse, kept: Path
    ) -> web.StreamResponse:
        await asyncio.to_thread(kept.parent.mkdir, parents=True, exist_ok=True)
        part = kept.with_name(f".part-{secrets.token_hex(6)}")
        try:
            with part.open("wb") as file:
                await response.prepare(request)
                async for data in upstream.content.iter_chunked(CHUNK):
                    file.write(data)
                    await response.write(data)
            if (modified := upstream.headers.get("Last-Modified")) is not None:
                _date(part, modified)
            part.replace(kept)
        except (aiohttp.ClientError, TimeoutError):
            # Half an answer is out: only a broken connection tells apt so, which then asks again
            self._counts["failed"] += 1
            if request.transport is not None:
                request.transport.close()
        finally:
            part.unlink(missing_ok=True)
        return response

    async def put_fault(self, request: web.Request) -> web.Response:
        try:
            order = Order.model_validate(json.loads(await request.read()))
            if order.status is None and not order.hang:
                raise ValueError("status or hang: one of them is needed")
        except (ValueError, ValidationError) as error:
            return web.json_response({"error": str(error)}, status=400)
        self.heal()
        self._order, self._left, self._healed = order, order.count, asyncio.Event()
        return web.json_response(order.model_dump())

    async def delete_fault(self, _: web.Request) -> web.Response:
        self.heal()
        return web.json_response({})

    def heal(self) -> None:
        self._healed.set()
        self._order = None

    async def counts(self, _: web.Request) -> web.Response:
        """hits (from the cache), misses, stale (upstream dead), failed, refused, faults."""
        return web.json_response(dict(self._counts))


def _file(path: Path) -> web.FileResponse:
    return web.FileResponse(path, headers={"Content-Type": "application/octet-stream"}, chunk_size=CHUNK)


def _date(path: Path, modified: str) -> None:
    """apt asks If-Modified-Since by the archive's date, so the copy carries it."""
    try:
        stamp = parsedate_to_datetime(modified).timestamp()
    except ValueError:
        return
    os.utime(path, (stamp, stamp))


async def _pass(
    request: web.Request, upstream: aiohttp.ClientResponse, response: web.StreamResponse
) -> web.StreamResponse:
    await response.prepare(request)
    try:
        async for data in upstream.content.iter_chunked(CHUNK):
            await response.write(data)
    except (aiohttp.ClientError, TimeoutError):
        if request.transport is not None:
            request.transport.close()
    return response


def mirror_app(cache: Path) -> web.Application:
    """The proxy with its files in `cache` (place.cache/"packages"/"apt"), which labs may share."""
    mirror = Mirror(cache)
    app = web.Application()
    app.router.add_put("/_lab/fault", mirror.put_fault)
    app.router.add_delete("/_lab/fault", mirror.delete_fault)
    app.router.add_get("/_lab/requests", mirror.counts)
    app.router.add_route("*", "/{path:.*}", mirror.serve)
    app.cleanup_ctx.append(mirror.session)

    async def release(_: web.Application) -> None:
        mirror.heal()

    app.on_shutdown.append(release)
    return app
