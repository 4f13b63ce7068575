"""Providers over HTTP: attempt's protocols on aiohttp's client. Only here is a provider connected to."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import aiohttp

from appliance.node.router.attempt import Upstream
from appliance.node.router.classify import Cause, Failed
from appliance.node.router.dialects import Question

KEEP_ALIVE = 30  # seconds an idle connection is kept: below the vendors' own, so that it is alive when used
READ = 64 * 1024


class _Answer:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}

    async def read(self) -> bytes:
        try:
            data: bytes = await self._response.content.readany()
        except (aiohttp.ClientError, OSError):
            raise Failed(Cause.DROPPED) from None
        return data

    def close(self) -> None:
        self._response.close()  # leaves alone a connection whose answer was read to its end


class HttpOpener:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def open(self, question: Question, connect: float) -> Upstream:
        """Once more where a kept connection turns out to be closed: that says nothing of the provider."""
        trace = SimpleNamespace(reused=False)
        try:
            return await self._post(question, connect, trace)
        except Failed as failed:
            if failed.outcome.cause is not Cause.DROPPED or not trace.reused:
                raise
        return await self._post(question, connect, SimpleNamespace(reused=False))

    async def _post(self, question: Question, connect: float, trace: SimpleNamespace) -> _Answer:
        timeout = aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=connect)
        try:
            response = await self._session.post(
                question.url,
                data=question.body,
                headers=question.headers,
                timeout=timeout,
                allow_redirects=False,
                trace_request_ctx=trace,
            )
        except (aiohttp.ClientConnectorError, aiohttp.ClientSSLError, aiohttp.InvalidURL):
            raise Failed(Cause.UNREACHABLE) from None
        except aiohttp.ServerDisconnectedError:
            raise Failed(Cause.DROPPED) from None
        except aiohttp.ClientResponseError:  # a header section that is none
            raise Failed(Cause.MALFORMED) from None
        except TimeoutError:
            raise Failed(Cause.UNREACHABLE) from None
        except (aiohttp.ClientError, OSError):
            raise Failed(Cause.DROPPED) from None
        return _Answer(response)


def new_session() -> aiohttp.ClientSession:
    """No cookies, no proxies from the environment, as many connections as are asked for."""
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(_reused)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[trace],
        read_bufsize=READ,
        auto_decompress=True,
    )


async def _reused(
    _: aiohttp.ClientSession, context: SimpleNamespace, __: aiohttp.TraceConnectionReuseconnParams
) -> None:
    asked = context.trace_request_ctx
    if isinstance(asked, SimpleNamespace):
        asked.reused = True
