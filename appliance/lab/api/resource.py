"""The one mechanism behind all resources: list, get, update, delete, create and actions.

A resource file says what is particular to it; routes, paging, filters, labels, uniqueness, locks and
the reading of bodies are here.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from appliance.lab.api.core import Lab, Performer, Ref
from appliance.lab.api.errors import ApiError, invalid, not_found, not_unique
from appliance.lab.api.labels import check_labels, parse_selector
from appliance.lab.api.paging import read_page, sort
from appliance.lab.api.views import action_view
from appliance.lab.records import Action, Record, State

LAB = web.AppKey("lab", Lab)

R = TypeVar("R", bound=Record)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Answer = tuple[int, dict[str, Any] | None]  # status and body


class Body(BaseModel):
    """A request body. Unknown fields are passed over, as the real API does."""


class NoBody(Body):
    pass


class Rename(Body):
    """PUT of most resources."""

    name: str | None = None
    labels: dict[str, str] | None = None


class Protect(Body):
    delete: bool | None = None


@dataclass(frozen=True)
class Operation(Generic[R]):
    """An action of one object: `do(lab, object, body)`."""

    do: Callable[[Lab, R, Any], Answer]
    body: type[Body] = NoBody
    locks: bool = True  # refused (423) while another action holds the object


@dataclass(frozen=True)
class Resource(Generic[R]):
    singular: str  # "ssh_key"
    plural: str  # "ssh_keys", also the path
    table: Callable[[State], dict[int, R]]
    view: Callable[[Lab, R], dict[str, Any]]
    create: tuple[Callable[[Lab, Any], Answer], type[Body]] | None = None
    update: type[Rename] | None = Rename
    updated: Callable[[Lab, R, Any], None] = lambda lab, record, body: None
    delete: Callable[[Lab, R], Answer] | None = None
    sorts: tuple[str, ...] = ("id", "name", "created")
    filters: Mapping[str, Callable[[R, list[str]], bool]] = field(default_factory=dict)
    protects: bool = False  # has change_protection against deletion
    busy: str = "locked"  # the code of a refusal while another action holds the object
    operations: Mapping[str, Operation[R]] = field(default_factory=dict)
    performers: Mapping[str, Performer] = field(default_factory=dict)
    has_actions: bool = True

    def routes(self) -> list[web.RouteDef]:
        base, one = f"/v1/{self.plural}", f"/v1/{self.plural}/{{id:\\d+}}"
        found = [web.get(base, self._list), web.get(one, self._get)]
        if self.create:
            found.append(web.post(base, self._create))
        if self.update:
            found.append(web.put(one, self._update))
        if self.delete:
            found.append(web.delete(one, self._delete))
        if self.has_actions:
            found += [
                web.get(f"{base}/actions", self._all_actions),
                web.get(f"{base}/actions/{{action_id:\\d+}}", self._action),
                web.get(f"{one}/actions", self._actions),
                web.get(f"{one}/actions/{{action_id:\\d+}}", self._action),
            ]
        operations = dict(self.operations)
        if self.protects:
            operations["change_protection"] = Operation(self._protect, Protect)
        found += [web.post(f"{one}/actions/{n}", self._operation(o)) for n, o in operations.items()]
        return found

    def find(self, lab: Lab, id: int) -> R:  # noqa: A002 - the API's word
        """Raises not_found."""
        record = self.table(lab.state).get(id)
        if record is None:
            raise not_found(self.singular, id)
        return record

    def check_name(self, lab: Lab, name: str | None, but: int | None = None) -> None:
        """Names are unique within a kind."""
        if name is not None and not name.strip():
            raise invalid("name", "name must not be empty")
        if name and any(r.name == name and r.id != but for r in self.table(lab.state).values()):
            raise not_unique(self.singular, "name")

    def answer(self, lab: Lab, record: R, status: int = 200, **more: Any) -> Answer:
        return status, {self.singular: self.view(lab, record), **more}

    # Handlers

    async def _list(self, request: web.Request) -> web.Response:
        lab, query = request.app[LAB], request.query
        records = list(self.table(lab.state).values())
        if "name" in query:
            records = [r for r in records if r.name == query["name"]]
        if "label_selector" in query:
            fits = parse_selector(query["label_selector"])
            records = [r for r in records if fits(r.labels)]
        for name, keep in self.filters.items():
            if values := query.getall(name, []):
                records = [r for r in records if keep(r, values)]
        records = sort(records, query.getall("sort", []), self.sorts)
        return paged(request, self.plural, records, lambda r: self.view(lab, r))

    async def _get(self, request: web.Request) -> web.Response:
        lab = request.app[LAB]
        return reply(self.answer(lab, self._asked(request)))

    async def _create(self, request: web.Request) -> web.Response:
        assert self.create is not None
        make, body_type = self.create
        body = await read(request, body_type)
        check_labels(getattr(body, "labels", None) or {})
        lab = request.app[LAB]
        self.check_name(lab, getattr(body, "name", None))
        return reply(make(lab, body))

    async def _update(self, request: web.Request) -> web.Response:
        assert self.update is not None
        lab, record = request.app[LAB], self._asked(request)
        body = await read(request, self.update)
        if body.name is not None:
            self.check_name(lab, body.name, but=record.id)
            record.name = body.name
        if body.labels is not None:
            check_labels(body.labels)
            record.labels = body.labels
        self.updated(lab, record, body)
        return reply(self.answer(lab, record))

    async def _delete(self, request: web.Request) -> web.Response:
        assert self.delete is not None
        lab, record = request.app[LAB], self._asked(request)
        if record.protected:
            raise ApiError("protected", f"{self.singular} is delete protected")
        lab.refuse_if_locked((self.singular, record.id), self.busy)
        return reply(self.delete(lab, record))

    def _operation(self, operation: Operation[R]) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            body = await read(request, operation.body)
            lab, record = request.app[LAB], self._asked(request)
            if operation.locks:
                lab.refuse_if_locked((self.singular, record.id), self.busy)
            return reply(operation.do(lab, record, body))

        return handle

    async def _all_actions(self, request: web.Request) -> web.Response:
        return list_actions(request, lambda a: any(kind == self.singular for kind, _ in a.resources))

    async def _actions(self, request: web.Request) -> web.Response:
        ref = (self.singular, self._asked(request).id)
        return list_actions(request, lambda a: ref in a.resources)

    async def _action(self, request: web.Request) -> web.Response:
        action = request.app[LAB].state.actions.get(int(request.match_info["action_id"]))
        wanted = request.match_info.get("id")
        if action is None or not any(
            kind == self.singular and wanted in (None, str(i)) for kind, i in action.resources
        ):
            raise not_found("action", request.match_info["action_id"])
        return reply((200, {"action": action_view(action)}))

    def _protect(self, lab: Lab, record: R, body: Protect) -> Answer:
        if body.delete is not None:
            record.protected = body.delete
        return done(lab, "change_protection", (self.singular, record.id))

    def _asked(self, request: web.Request) -> R:
        return self.find(request.app[LAB], int(request.match_info["id"]))


def paged(
    request: web.Request, key: str, items: list[Any], view: Callable[[Any], dict[str, Any]]
) -> web.Response:
    page = read_page(request.query, len(items))
    body = {key: [view(i) for i in page.cut(items)], "meta": page.meta()}
    return web.json_response(body, headers={"Link": page.link(request.url)})


def list_actions(request: web.Request, keep: Callable[[Action], bool]) -> web.Response:
    query = request.query
    wanted = {int(i) for i in query.getall("id", []) if i.isdigit()}
    states = query.getall("status", [])
    found = [
        a
        for a in request.app[LAB].state.actions.values()
        if not a.hidden and keep(a) and (not wanted or a.id in wanted) and (not states or a.status in states)
    ]
    sorts = ("id", "command", "status", "started", "finished")
    return paged(request, "actions", sort(found, query.getall("sort", []), sorts), action_view)


def begun(action: Action) -> Answer:
    """The answer of an operation whose work is under way."""
    return 201, {"action": action_view(action)}


def done(lab: Lab, command: str, *refs: Ref) -> Answer:
    """The answer of an action that was done at once."""
    return begun(lab.finished(command, *refs))


def reply(answer: Answer) -> web.Response:
    status, body = answer
    if body is None:
        return web.Response(status=status)
    return web.json_response(body, status=status)


B = TypeVar("B", bound=Body)


async def read(request: web.Request, body_type: type[B]) -> B:
    """The body as `body_type`. Raises json_error or invalid_input with the fields."""
    text = await request.text()
    try:
        data = json.loads(text) if text.strip() else {}
    except ValueError as e:
        raise ApiError("json_error", "failed to parse the request body as JSON") from e
    if not isinstance(data, dict):
        raise ApiError("json_error", "the request body must be a JSON object")
    try:
        return body_type.model_validate(data)
    except ValidationError as e:
        fields: dict[str, list[str]] = {}
        for error in e.errors():
            name = ".".join(str(part) for part in error["loc"]) or "body"
            fields.setdefault(name, []).append(error["msg"])
        raise invalid(fields) from e
