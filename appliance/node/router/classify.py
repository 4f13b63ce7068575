"""What an upstream's failure means: a verdict, a cause, and neutral words. Pure.

OpenClaw reads the texts of errors and takes providers out of use for words like "quota" or "credits", and
vendors' texts may hold parts of keys: so none of their words go on, but in a client's own mistake, and there
only harmless ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

TOLD = 300  # characters of a vendor's words that go on


class Verdict(StrEnum):
    RETRYABLE = "retryable"  # the same provider may do it soon
    FALL_BACK = "fall back"  # it will not before somebody acts, or not for this request
    CLIENTS_OWN = "client's own"  # every provider would say so
    FATAL = "fatal"  # nobody can be asked any more


class Cause(StrEnum):
    UNREACHABLE = "unreachable"
    DROPPED = "dropped"
    SILENT = "silent"
    SERVER_ERROR = "server-error"
    RATE_LIMITED = "rate-limited"
    ACCESS_REFUSED = "access-refused"
    ACCOUNT = "account"
    MODEL_UNKNOWN = "model-unknown"
    NO_KEY = "no-key"
    MALFORMED = "malformed"
    ERROR_IN_BAND = "error-in-band"
    CONTEXT = "context"
    REQUEST = "request"
    NOT_CARRIED = "not-carried"
    DEADLINE = "deadline"


WORDS: Mapping[Cause, str] = {
    Cause.UNREACHABLE: "could not be reached",
    Cause.DROPPED: "dropped the connection",
    Cause.SILENT: "fell silent",
    Cause.SERVER_ERROR: "failed with an error of its own",
    Cause.RATE_LIMITED: "asked to be asked later",
    Cause.ACCESS_REFUSED: "refused this node access",
    Cause.ACCOUNT: "does not serve this node's account at present",
    Cause.MODEL_UNKNOWN: "does not know the model",
    Cause.NO_KEY: "has no credential on this node",
    Cause.MALFORMED: "gave an answer that is none",
    Cause.ERROR_IN_BAND: "broke off with an error",
    Cause.CONTEXT: "takes no request of this size",
    Cause.REQUEST: "did not accept the request",
    Cause.NOT_CARRIED: "cannot be asked this in its API",
    Cause.DEADLINE: "was not done in time",
}
_FALL_BACK = {
    Cause.ACCESS_REFUSED, Cause.ACCOUNT, Cause.MODEL_UNKNOWN, Cause.NO_KEY, Cause.CONTEXT, Cause.NOT_CARRIED,
}  # fmt: skip
_VERDICTS = {Cause.REQUEST: Verdict.CLIENTS_OWN, Cause.DEADLINE: Verdict.FATAL}


@dataclass(frozen=True)
class Outcome:
    """How an attempt failed."""

    cause: Cause
    status: int | None = None  # the upstream's
    retry_after: float | None = None  # seconds
    told: str = ""  # for the client's own mistakes: the vendor's words, where harmless

    @property
    def verdict(self) -> Verdict:
        return _VERDICTS.get(self.cause, Verdict.FALL_BACK if self.cause in _FALL_BACK else Verdict.RETRYABLE)

    @property
    def words(self) -> str:
        return WORDS[self.cause]


class Failed(Exception):  # noqa: N818 - the word of the house
    """An attempt came to nothing."""

    def __init__(self, cause: Cause, **more: Any) -> None:
        self.outcome = Outcome(cause, **more)
        super().__init__(self.outcome.words)


_ACCOUNT = re.compile(
    r"insufficient[ _](quota|credit|balance|fund)|current quota|credit balance|billing|payment|"
    r"(spend|usage|hard)[a-z]*[ _]limit",
    re.I,
)
_CONTEXT = re.compile(
    r"context[ _](length|window|size)|maximum context|(prompt|input|request) (is )?too (long|large)|"
    r"too many (input |prompt )?tokens|exceed\w* .{0,40}(context|token limit|input tokens)",
    re.I,
)
_KEY = re.compile(r"(invalid|incorrect|wrong)[ _]api[ _]key|api key (is )?(not valid|invalid|expired)", re.I)
_RISKY = re.compile(
    r"quota|credit|billing|balance|payment|insufficient|api.?key|x-api|bearer|secret|password|"
    r"rate.?limit|too many|overload|unauthori|forbidden|permission|context|too (long|large)|expired",
    re.I,
)
_IN_BAND = {  # Anthropic's error types
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "insufficient_quota": 429,
}


def refused(status: int, headers: Mapping[str, str], body: bytes) -> Outcome:
    """An answer that is no 200. `headers` in lower case; `body` as far as it was read."""
    words, envelope = _words_in(body)
    cause = _cause(status, " ".join(words), envelope)
    told = harmless(words[-1]) if cause is Cause.REQUEST and words else ""
    return Outcome(cause, status, retry_after(headers), told)


def in_band(error: object) -> Outcome:
    """An error inside of a 200. What names a cause is believed; the rest is the provider's failure."""
    words = _strings(error)
    code = error.get("code") if isinstance(error, dict) else None
    status = next((_IN_BAND[word] for word in words if word in _IN_BAND), None)
    if status is None and isinstance(code, int) and 400 <= code < 600:
        status = code
    cause = _cause(status or 400, " ".join(words), envelope=True)
    if cause in (Cause.REQUEST, Cause.SERVER_ERROR):
        cause = Cause.ERROR_IN_BAND
    return Outcome(cause, status)


def _cause(status: int, words: str, envelope: bool) -> Cause:
    if status in (400, 413, 422):
        return _cause_of_bad_request(status, words, envelope)
    if status in (402, 429) and (status == 402 or _ACCOUNT.search(words)):
        return Cause.ACCOUNT
    if status in (401, 403):
        return Cause.ACCOUNT if "insufficient_quota" in words else Cause.ACCESS_REFUSED
    if status < 500 and status not in (408, 409, 425, 429):
        return Cause.MODEL_UNKNOWN if status == 404 else Cause.MALFORMED
    return Cause.RATE_LIMITED if status == 429 else Cause.SERVER_ERROR


def _cause_of_bad_request(status: int, words: str, envelope: bool) -> Cause:
    if not envelope and status != 413:
        return Cause.MALFORMED  # some box on the way, not the vendor
    for pattern, cause in (
        (_ACCOUNT, Cause.ACCOUNT),
        (_KEY, Cause.ACCESS_REFUSED),
        (_CONTEXT, Cause.CONTEXT),
    ):
        if pattern.search(words) and (status != 413 or cause is not Cause.CONTEXT):
            return cause
    return Cause.REQUEST


def _words_in(body: bytes) -> tuple[list[str], bool]:
    """The texts of an error body, the message last; and whether it is an error in an API's envelope."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return [], False
    if not isinstance(value, dict):
        return [], False
    error = next((value[key] for key in ("error", "detail", "message") if value.get(key)), None)
    return _strings(error), error is not None


def _strings(error: object) -> list[str]:
    if isinstance(error, str):
        return [error]
    if not isinstance(error, dict):
        return []
    found = (error.get(key) for key in ("type", "code", "message"))
    return [value for value in found if isinstance(value, str)]


def harmless(text: str) -> str:
    """The vendor's words if nobody can take them for anything else; otherwise nothing."""
    text = " ".join(text.split())
    return "" if _RISKY.search(text) else text[:TOLD]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds; a date is read against the answer's own Date, so that no clock is needed."""
    value = headers.get("retry-after", "").strip()
    try:
        if millis := headers.get("retry-after-ms"):
            return _sane(float(millis) / 1000)
        if re.fullmatch(r"\d+(\.\d+)?", value):
            return _sane(float(value))
        until, now = parsedate_to_datetime(value), parsedate_to_datetime(headers.get("date", ""))
        return _sane((until - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _sane(seconds: float) -> float | None:
    return max(0.0, seconds) if seconds < 1e9 else None
