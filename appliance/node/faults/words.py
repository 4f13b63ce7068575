"""Errors as the vendors word them, by API. The shapes are their API references'; pure."""

from __future__ import annotations

import json
from typing import Any

from appliance.contract.router_policy import Api

QUOTA = "quota"
CONTEXT = "context"
BAD_REQUEST = "bad request"

# status or reason -> (type, code, message)
_OPENAI: dict[int | str, tuple[str, str | None, str]] = {
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    402: ("billing_error", "billing_hard_limit_reached", "Billing hard limit has been reached."),
    403: ("invalid_request_error", "unsupported_country_region_territory", "Access is not allowed."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached on requests per min."),
    503: ("server_error", None, "The engine is currently overloaded, please try again later."),
    QUOTA: (
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    CONTEXT: (
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.",
    ),
    BAD_REQUEST: ("invalid_request_error", None, "Invalid value for 'temperature': it must be a number."),
}
_ANTHROPIC: dict[int | str, tuple[str, str]] = {
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "There is an issue with your billing or payment information."),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "model: not found"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit."),
    504: ("timeout_error", "The request timed out."),
    529: ("overloaded_error", "Overloaded"),
    QUOTA: ("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
    CONTEXT: ("invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"),
    BAD_REQUEST: ("invalid_request_error", "temperature: Input should be a valid number"),
}
_STATUS = {CONTEXT: 400, BAD_REQUEST: 400}


def status_of(api: Api, reason: int | str) -> int:
    """OpenAI says 429 to a spent account, Anthropic 400."""
    if isinstance(reason, int):
        return reason
    return _STATUS.get(reason) or (400 if api is Api.ANTHROPIC else 429)


def error(api: Api, reason: int | str) -> dict[str, Any]:
    if api is Api.ANTHROPIC:
        kind, message = _ANTHROPIC.get(reason, ("api_error", "Internal server error"))
        return {"type": "error", "error": {"type": kind, "message": message}}
    default = ("server_error", None, "The server had an error while processing your request.")
    kind, code, message = _OPENAI.get(reason, default)
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def error_event(api: Api, reason: int | str) -> bytes:
    """The error inside of a stream."""
    data = json.dumps(error(api, reason)).encode()
    return (b"event: error\n" if api is Api.ANTHROPIC else b"") + b"data: " + data + b"\n\n"
