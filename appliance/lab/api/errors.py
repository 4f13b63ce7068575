"""Refusals in the API's own words. Codes and statuses: docs.hetzner.cloud, "Errors"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

STATUS = {
    "json_error": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "maintenance": 403,
    "resource_limit_exceeded": 403,
    "not_found": 404,
    "firewall_resource_not_found": 404,
    "method_not_allowed": 405,
    "uniqueness_error": 409,
    "conflict": 409,
    "deprecated_api_endpoint": 410,
    "resource_unavailable": 412,
    "primary_ip_version_mismatch": 412,
    "locked": 423,
    "protected": 423,
    "rate_limit_exceeded": 429,
    "server_error": 500,
    "not_implemented": 501,
    "bad_gateway": 502,
    "unavailable": 503,
    "timeout": 504,
}


class ApiError(Exception):
    """Answered as the error envelope. Codes that STATUS does not name are 422."""

    def __init__(
        self, code: str, message: str, *, details: Mapping[str, Any] | None = None, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details
        self.status = status or STATUS.get(code, 422)

    def body(self) -> dict[str, Any]:
        return {"error": {"code": self.code, "message": self.message, "details": self.details}}


def invalid(fields: Mapping[str, Sequence[str]] | str, message: str = "") -> ApiError:
    """invalid_input for one field (name, message) or several."""
    if isinstance(fields, str):
        fields = {fields: [message]}
    names = ", ".join(f"'{name}'" for name in fields)
    return ApiError(
        "invalid_input",
        f"invalid input in field{'s' if len(fields) > 1 else ''} {names}",
        details={"fields": [{"name": n, "messages": list(m)} for n, m in fields.items()]},
    )


def not_found(kind: str, id_or_name: int | str) -> ApiError:
    return ApiError("not_found", f"{kind} with ID '{id_or_name}' not found")


def not_unique(kind: str, field: str) -> ApiError:
    return ApiError(
        "uniqueness_error",
        f"{kind.replace('_', ' ')} {field} is already used",
        details={"fields": [{"name": field}]},
    )


def beyond_the_lab(what: str) -> ApiError:
    """The real API can do it and the lab cannot: never a plain "not found"."""
    return ApiError("not_implemented", f"{what} exists at Hetzner, but this lab does not serve it")
