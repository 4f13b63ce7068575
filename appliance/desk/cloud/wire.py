"""Requests to the Hetzner API: counted, with time-outs and bounded retries, safe against lost answers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from hcloud import APIException, Client

from appliance.contract.trouble import CloudTrouble
from appliance.desk.cloud.errors import (
    REFUSED_FOR_NOW,
    STILL_IN_USE,
    TOKEN_PAGE,
    UNCLEAR,
    ApiRefusal,
    Unanswered,
    no_api,
    refusal,
    unanswered,
    unreachable,
)

Raw = Mapping[str, Any]  # an object of the API's JSON
T = TypeVar("T")

CONNECT_SECONDS = 10.0
UNREACHABLE_SECONDS = 3.0  # of retries, while the endpoint has never answered
TRIES = 12
FIRST_POLL, LAST_POLL = 0.2, 2.0  # seconds between two looks at a running action
PER_PAGE = 50  # the API's most


class Wire:
    def __init__(
        self,
        endpoint: str,
        token: str,
        *,
        timeout: float,
        patience: float,
        pause: Callable[[float], None],
        tell: Callable[[str], None],
    ) -> None:
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise CloudTrouble(
                "The API token is none: it is empty or holds characters that no token has",
                fix=f"make one at {TOKEN_PAGE} and set HCLOUD_TOKEN to it, without quotes and line ends",
            )
        self.calls = 0
        self._endpoint = endpoint.rstrip("/")
        self._patience = patience
        self._pause = pause
        self._tell = tell
        self._headers: Mapping[str, str] = {}
        self._answered = False
        self._client = Client(
            token=token,
            api_endpoint=self._endpoint,
            application_name="appliance",
            timeout=(min(CONNECT_SECONDS, timeout), timeout),
        )
        base = self._client._client
        # hcloud sends a POST again after a time-out, which can make a second server. There is no
        # public switch; tests/desk/test_cloud_bad_days.py tells when this one has gone.
        base._retry_max_retries = 0
        base._session.hooks["response"].append(self._note_headers)
        if _is_loopback(self._endpoint):
            base._session.trust_env = False  # no proxy stands between this machine and itself

    def _note_headers(self, response: requests.Response, *_: object, **__: object) -> None:
        self._headers = response.headers
        self._answered = True

    def get(self, doing: str, path: str, **params: Any) -> Raw:
        return self._again(doing, lambda: self._send(doing, "GET", path, params=params))

    def list(self, doing: str, path: str, **params: Any) -> list[Raw]:
        """All pages; the answer's key is the last word of the path."""
        found: list[Raw] = []
        page: int | None = 1
        while page is not None:
            try:
                answer = self.get(doing, path, page=page, per_page=PER_PAGE, **params)
            except ApiRefusal as error:
                if error.api_code in ("not_found", "404") and path.count("/") == 1:
                    raise no_api(doing, self._endpoint) from error
                raise
            found += answer[path.rsplit("/", 1)[-1]]
            page = ((answer.get("meta") or {}).get("pagination") or {}).get("next_page")
        return found

    def put(self, doing: str, path: str, body: Raw) -> Raw:
        return self._again(doing, lambda: self._send(doing, "PUT", path, json=body))

    def act(self, doing: str, path: str, body: Raw | None = None) -> Raw:
        """A POST that does no harm when it arrives twice."""
        return self._again(doing, lambda: self._send(doing, "POST", path, json=body or {}))

    def delete(self, doing: str, path: str) -> Raw:
        """What is gone already is fine."""
        try:
            return self._again(doing, lambda: self._send(doing, "DELETE", path), STILL_IN_USE)
        except ApiRefusal as error:
            if error.api_code in ("not_found", "404"):
                return {}
            raise

    def once(
        self,
        doing: str,
        path: str,
        body: Raw,
        *,
        find: Callable[[], T | None],
        made: Callable[[Raw], T],
    ) -> T:
        """Create by POST unless `find` finds it; after an answer that got lost, find before sending again.

        `made` reads the answer to the POST.
        """

        def attempt() -> T:
            found = find()
            if found is not None:
                return found
            try:
                return made(self._send(doing, "POST", path, json=body))
            except ApiRefusal as error:
                # A request of ours whose answer got lost may have come to effect only now.
                if error.api_code == "uniqueness_error" and (found := find()) is not None:
                    return found
                raise

        return self._again(doing, attempt)

    def wait(
        self,
        doing: str,
        actions: Iterable[Raw],
        seconds: float,
        on_progress: Callable[[float], None] | None = None,
    ) -> None:
        """Until all actions have succeeded. CloudTrouble when one fails or `seconds` have passed."""
        running = [dict(a) for a in actions]
        started, poll = time.monotonic(), FIRST_POLL
        while True:
            for action in running:
                if action["status"] == "error":
                    error = action.get("error") or {}
                    raise refusal(doing, error.get("code", "unknown"), error.get("message", ""), None)
            running = [a for a in running if a["status"] != "success"]
            if not running:
                return
            if on_progress:
                on_progress(min(a["progress"] for a in running) / 100)
            if time.monotonic() - started > seconds:
                raise took_too_long(doing, seconds)
            self._pause(poll)
            poll = min(poll * 1.4, LAST_POLL)
            answer = self.get(doing, "/actions", id=[a["id"] for a in running])
            running = [dict(a) for a in answer["actions"]]

    def until(self, doing: str, look: Callable[[], T | None], seconds: float) -> T:
        """What `look` returns once that is not None."""
        started, poll = time.monotonic(), FIRST_POLL
        while (seen := look()) is None:
            if time.monotonic() - started > seconds:
                raise took_too_long(doing, seconds)
            self._pause(poll)
            poll = min(poll * 1.4, LAST_POLL)
        return seen

    def _again(self, doing: str, attempt: Callable[[], T], also: frozenset[str] = frozenset()) -> T:
        """Run `attempt` until it is answered for good; waits sum up to the patience at most."""
        started = time.monotonic()
        waited = 0.0
        for number in range(TRIES):
            try:
                return attempt()
            except (ApiRefusal, Unanswered) as error:
                code = error.api_code if isinstance(error, ApiRefusal) else None
                if code is not None and code not in REFUSED_FOR_NOW | also:
                    raise
                wait = self._delay(number, limited=code == "rate_limit_exceeded")
                patience = self._patience if self._answered else min(UNREACHABLE_SECONDS, self._patience)
                if max(time.monotonic() - started, waited) + wait > patience or number == TRIES - 1:
                    raise
                if wait > 2:
                    self._tell(f"{error.why}; trying again in {wait:.0f} s ({doing})")
                self._pause(wait)
                waited += wait
        raise AssertionError("the last try returns or raises")

    def _delay(self, number: int, *, limited: bool) -> float:
        """Seconds to the next try: Retry-After as it says, at most to RateLimit-Reset."""
        back_off = float(min(8.0, 0.5 * 2**number)) * random.uniform(0.75, 1.25)  # noqa: S311
        if not limited:
            return back_off
        try:
            if "Retry-After" in self._headers:
                return max(0.0, float(self._headers["Retry-After"]))
            if "RateLimit-Reset" in self._headers:
                return max(0.1, min(back_off, float(self._headers["RateLimit-Reset"]) - time.time()))
        except ValueError:  # a date, or rubbish from a proxy
            return back_off
        return back_off

    def _send(self, doing: str, method: str, path: str, **kwargs: Any) -> Raw:
        """One request. Unanswered where it is unclear whether it was carried out."""
        self.calls += 1
        try:
            return self._client.request(method, path, **kwargs)
        except APIException as error:
            if str(error.code) in UNCLEAR:
                raise unanswered(doing, f"{error.message} ({error.code})") from error
            raise refusal(doing, error.code, error.message, error.details) from error
        except requests.Timeout as error:
            raise unanswered(doing, f"{self._endpoint} did not answer in time") from error
        except requests.exceptions.SSLError as error:
            raise CloudTrouble(
                f"No trusted connection to {self._endpoint}",
                why=str(error),
                fix="if this machine sits behind a proxy of its own, point REQUESTS_CA_BUNDLE at its CA",
            ) from error
        except requests.RequestException as error:
            if isinstance(error, ValueError):  # requests' word for an address that cannot be one
                raise no_api(doing, self._endpoint) from error
            why = f"no connection to {self._endpoint}: {_root(error)}"
            if self._answered:  # before, the same call may have come through: it was cut
                raise unanswered(doing, why) from error
            raise unreachable(doing, why, this_machine=_is_loopback(self._endpoint)) from error


def took_too_long(doing: str, seconds: float) -> CloudTrouble:
    return CloudTrouble(
        f"Waited {seconds:.0f} s in vain to {doing}",
        why="the cloud has accepted it but not finished it",
        fix="run the same command again, it carries on where this one stopped",
    )


def _is_loopback(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _root(error: BaseException) -> str:
    """The innermost reason: requests wraps urllib3, which wraps the socket's own words."""
    reason: object = error
    while isinstance(reason, BaseException):
        inner = getattr(reason, "reason", None) or (reason.args[0] if reason.args else None)
        if not isinstance(inner, BaseException):
            break
        reason = inner
    return str(reason)
