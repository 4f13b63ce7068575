"""What the API's error codes mean to the operator. Pure.

Codes and their details: docs.hetzner.cloud, "Errors", and each operation's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from appliance.contract.trouble import CloudTrouble
from appliance.desk.model import ServerType

# The API says that it did nothing, for now: the same request may be sent again.
REFUSED_FOR_NOW = frozenset({"rate_limit_exceeded", "locked", "conflict"})
# Something in between failed: what was asked may have happened or not.
UNCLEAR = frozenset({"unavailable", "bad_gateway", "timeout", "server_error", "500", "502", "503", "504"})
# A delete that comes before the cloud has let go of the object's last user.
STILL_IN_USE = frozenset({"resource_in_use", "must_be_unassigned", "primary_ip_assigned"})

TOKEN_PAGE = "console.hetzner.cloud, your project, Security, API tokens (Read & Write)"  # noqa: S105
STATUS_PAGE = "https://status.hetzner.com"

_FIXES = {
    "unauthorized": f"make a token at {TOKEN_PAGE} and set HCLOUD_TOKEN; a lab's: `appliance lab env`",
    "forbidden": f"the token may be read-only: make one that may write at {TOKEN_PAGE}",
    "token_readonly": f"make a token that may write at {TOKEN_PAGE}",
    "rate_limit_exceeded": "3600 requests an hour are allowed a project: wait a few minutes, run it again",
    "locked": "another action runs on it: wait until it has finished, run the command again",
    "conflict": "something else changed it at the same time: run the command again",
    "protected": "delete protection is on: switch it off in the console, if it may go",
    "maintenance": f"see {STATUS_PAGE} and run the command again afterwards",
    "resource_limit_exceeded": "ask for more at console.hetzner.cloud, Limits, or delete what is unused",
    "placement_error": "the placement group found no free host: try again later or another location",
    "invalid_input": "correct appliance.yaml; appliance check tells more",
    "uniqueness_error": "rename or delete the other one, or choose another name in appliance.yaml",
    "not_found": "it was deleted meanwhile: run the command again",
    "not_implemented": "the lab does not serve this call: use Hetzner for it",
}
_UNCLEAR_FIX = f"see {STATUS_PAGE}; run the same command again, it carries on where it stopped"
_NO_WAY_FIX = (
    "see that this machine reaches it and that HCLOUD_ENDPOINT, if set, is right; "
    "then run the same command again, it carries on where it stopped"
)
_NO_LAB_FIX = (
    "`appliance lab status` tells how the lab is, `appliance lab up` repairs it; then run this again"
)
_OTHER_FIX = (
    f"run the command again; if it stays so, see {STATUS_PAGE} (HCLOUD_ENDPOINT, if set, must be right)"
)


class ApiRefusal(CloudTrouble):
    """The API answered with an error; `api_code` is its word for it."""

    def __init__(self, what: str, *, why: str, fix: str, api_code: str) -> None:
        super().__init__(what, why=why, fix=fix)
        self.api_code = api_code


class Unanswered(CloudTrouble):
    """No answer, or none that says whether it happened."""


class NameTaken(CloudTrouble):
    """Something that is not ours has the name."""


def refusal(doing: str, code: int | str, message: str, details: object) -> ApiRefusal:
    """`doing` as in "create server x"."""
    word = str(code)
    why = f"{message or 'no message'} ({word})"
    extra = _details(word, details if isinstance(details, Mapping) else {})
    if extra:
        why += f": {extra}"
    fix = _FIXES.get(word, _UNCLEAR_FIX if word in UNCLEAR else _OTHER_FIX)
    return ApiRefusal(f"The cloud refused to {doing}", why=why, fix=fix, api_code=word)


def _details(code: str, details: Mapping[str, Any]) -> str:
    if code == "resource_limit_exceeded":
        names = ", ".join(str(limit.get("name")) for limit in details.get("limits") or [])
        return f"limit {names}" if names else ""
    fields = []
    for entry in details.get("fields") or []:
        said = "; ".join(str(m) for m in entry.get("messages") or [])
        fields.append(f"{entry.get('name')}: {said}" if said else str(entry.get("name")))
    return ", ".join(fields)


def unanswered(doing: str, why: str) -> Unanswered:
    return Unanswered(f"The cloud gave no clear answer to: {doing}", why=why, fix=_UNCLEAR_FIX)


def unreachable(doing: str, why: str, *, this_machine: bool) -> Unanswered:
    """Nobody took the call. On `this_machine` only a lab can be meant."""
    return Unanswered(
        f"The cloud could not be reached to {doing}",
        why=why,
        fix=_NO_LAB_FIX if this_machine else _NO_WAY_FIX,
    )


def no_api(doing: str, endpoint: str) -> CloudTrouble:
    """A collection that every Hetzner API has is not there."""
    return CloudTrouble(
        f"{endpoint} is no API endpoint",
        why=f"there is nothing to {doing}",
        fix="correct HCLOUD_ENDPOINT: it ends with /v1, as in https://api.hetzner.cloud/v1; or unset it",
    )


def name_taken(kind: str, name: str) -> NameTaken:
    return NameTaken(
        f"There is a {kind} named {name} that this appliance did not make",
        why="it does not carry the appliance's label, so it is neither used nor touched",
        fix=_FIXES["uniqueness_error"],
    )


def sold_out(server_type: str, location: str, why: str, types: Iterable[ServerType]) -> ApiRefusal:
    """Says where else `server_type` is to be had, and what else `location` has."""
    known = list(types)
    architecture = next((kind.architecture for kind in known if kind.name == server_type), None)
    places = [
        place.name
        for kind in known
        if kind.name == server_type
        for place in kind.locations
        if place.available and not place.deprecated and place.name != location
    ]
    others = [
        kind.name
        for kind in known
        if kind.name != server_type
        and kind.architecture == architecture
        and any(p.name == location and p.available and not p.deprecated for p in kind.locations)
    ]
    fix = (
        f"{server_type} is available in {', '.join(places)}"
        if places
        else f"no location has {server_type} now"
    )
    if others:
        fix += f"; {location} has {', '.join(sorted(others))}"
    return ApiRefusal(
        f"{server_type} is sold out in {location}",
        why=why,
        fix=f"{fix}; change appliance.yaml, or try again later",
        api_code="resource_unavailable",
    )
