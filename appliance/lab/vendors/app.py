"""A fake vendor of models as an aiohttp application: key check, answers, records, faults."""

from __future__ import annotations

import dataclasses
import hmac
import json
import time
from collections import Counter, deque
from fnmatch import fnmatchcase
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from appliance.lab.vendors.answers import Ask, BadAsk, Dialect, Part, Refusal, answer_to, digest
from appliance.lab.vendors.anthropic import Anthropic
from appliance.lab.vendors.faults import FAULTS, whole_parts
from appliance.lab.vendors.openai import OpenAI
from appliance.lab.vendors.visit import Order, Record, Standing, Visit, json_answer

KEPT = 500  # requests remembered
KEPT_BEFORE = 20  # of a request's earlier words
BODY = 33 * 1024 * 1024  # bytes a request may have
HEARD = 80  # characters of the user's words that a record keeps


class Vendor:
    """The state of one vendor: the keys it takes, the requests it saw, the faults in force."""

    def __init__(self, name: str, key: str) -> None:
        self.name = name
        self._keys = [key]
        self._records: deque[Record] = deque(maxlen=KEPT)
        self._counts: Counter[str] = Counter()
        self._standing: list[Standing] = []
        self._dialects: dict[str, Dialect] = {"openai": OpenAI(), "anthropic": Anthropic()}

    @property
    def models(self) -> list[str]:
        """What it lists. It answers to any other model's name as well."""
        return [f"{self.name}-large", f"{self.name}-small"]

    # --- the vendor's own API

    async def serve(self, request: web.Request) -> web.StreamResponse:
        record = self._enter(request)
        try:
            response = await self._answer(request, record)
        except ConnectionResetError:
            record.outcome = "client left"
            return web.Response()
        finally:
            record.seconds = round(time.time() - record.at, 3)
            if record.outcome == "running":  # cancelled: the client left, or the lab went down
                record.outcome = "client left"
        sent = response.prepared or record.outcome in ("refused", "answered")
        record.status = response.status if sent else 0
        return response

    def _enter(self, request: web.Request) -> Record:
        anthropic = request.path == "/v1/messages" or "anthropic-version" in request.headers
        asked = (request.method, request.path)
        self._counts[" ".join(asked) if asked in (*_ASKS, _MODELS) else "other"] += 1
        record = Record(
            number=sum(self._counts.values()),
            at=time.time(),
            method=request.method,
            path=request.path[:120],
            vendor_api="anthropic" if anthropic else "openai",
            agent=request.headers.get("User-Agent", "")[:80],
        )
        self._records.append(record)
        return record

    async def _answer(self, request: web.Request, record: Record) -> web.StreamResponse:
        dialect = self._dialects[record.vendor_api]
        prepared = self._key_trouble(request, record) or await self._prepare(request, dialect, record)
        if isinstance(prepared, Refusal):
            record.outcome = "refused"
            return json_answer(dialect.error(prepared), prepared.status, prepared.headers, record.number)
        ask, parts = prepared
        standing = self._struck(record)
        visit = Visit(request, dialect, ask, parts, record, standing or Standing(Order(fault=""), None))
        if standing:
            record.fault = standing.order.fault
            response = await FAULTS[record.fault](visit)
        else:
            response = await visit.begin()
            await visit.send(response, parts)
        if record.outcome == "running":
            record.outcome = "client left" if visit.gone else "answered"
        return response

    async def _prepare(
        self, request: web.Request, dialect: Dialect, record: Record
    ) -> tuple[Ask | None, list[Part]] | Refusal:
        """What was asked and the healthy answer's body, in parts."""
        if (request.method, request.path) == _MODELS:
            return None, whole_parts(json.dumps(dialect.models(self.models)).encode())
        if (request.method, request.path) not in _ASKS:
            return Refusal(404, "url")
        try:
            raw = await request.read()
            record.size = len(raw)
            ask = dialect.read(_json(raw))
        except web.HTTPRequestEntityTooLarge:
            return Refusal(413)
        except BadAsk as bad:
            return Refusal(400, "body", str(bad))
        record.model, record.stream = ask.model[:120], ask.stream
        record.heard, record.heard_digest = ask.heard[:HEARD], digest(ask.heard)
        record.before = [words[:HEARD] for words in ask.before[-KEPT_BEFORE:]]
        answer = answer_to(self.name, ask)
        if ask.stream:
            return ask, dialect.events(record.number, ask, answer)
        return ask, whole_parts(json.dumps(dialect.whole(record.number, ask, answer)).encode())

    def _key_trouble(self, request: web.Request, record: Record) -> Refusal | None:
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        own = request.headers.get("x-api-key", "")
        given = (own or bearer) if record.vendor_api == "anthropic" else bearer
        if not given:
            return Refusal(401, "key-missing")
        sent = given.encode("utf-8", "surrogateescape")
        if not any(hmac.compare_digest(sent, key.encode()) for key in self._keys):
            return Refusal(401, "key-wrong")
        return None

    def _struck(self, record: Record) -> Standing | None:
        for standing in self._standing:
            if standing.strikes(record.path, record.model, record.stream):
                if standing.left is not None:
                    standing.left -= 1
                return standing
        return None

    # --- the lab's own

    def heal(self) -> None:
        for standing in self._standing:
            standing.healed.set()
        self._standing = []

    async def put_fault(self, request: web.Request) -> web.Response:
        """One order or a list of them; they replace those in force, the first that matches strikes."""
        try:
            given = json.loads(await request.read())
            orders = [
                Order.model_validate(order) for order in (given if isinstance(given, list) else [given])
            ]
        except (ValueError, ValidationError) as error:
            return web.json_response({"error": str(error)}, status=400)
        unknown = sorted({order.fault for order in orders} - FAULTS.keys())
        if unknown:
            text = f"unknown fault {', '.join(unknown)}: there are {', '.join(sorted(FAULTS))}"
            return web.json_response({"error": text}, status=400)
        self.heal()
        self._standing = [Standing(order, order.count) for order in orders]
        return self._faults()

    async def get_fault(self, _: web.Request) -> web.Response:
        return self._faults()

    async def delete_fault(self, _: web.Request) -> web.Response:
        self.heal()
        return self._faults()

    def _faults(self) -> web.Response:
        standing = [{**s.order.model_dump(), "left": s.left} for s in self._standing if s.left != 0]
        return web.json_response({"standing": standing, "faults": sorted(FAULTS)})

    async def put_keys(self, request: web.Request) -> web.Response:
        """{"keys": [...]} replaces those it takes, as at a rotation; told is only how many they are."""
        try:
            self._keys = _KEYS.validate_python(_json(await request.read()).get("keys"))
        except (BadAsk, ValidationError):
            return web.json_response({"error": "wanted: keys, a list of text"}, status=400)
        return web.json_response({"keys": len(self._keys)})

    async def requests(self, request: web.Request) -> web.Response:
        """The last requests, newest last; ?path= and ?model= are globs."""
        path, model = request.query.get("path", "*"), request.query.get("model", "*")
        last = [
            dataclasses.asdict(r)
            for r in self._records
            if fnmatchcase(r.path, path) and fnmatchcase(r.model, model)
        ]
        total = sum(self._counts.values())
        return web.json_response(
            {"vendor": self.name, "count": total, "counts": dict(self._counts), "last": last}
        )


_KEYS = TypeAdapter(list[str])
_MODELS = ("GET", "/v1/models")
_ASKS = {("POST", "/v1/chat/completions"), ("POST", "/v1/messages")}


def _json(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError:
        raise BadAsk("We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict):
        raise BadAsk("The body must be a JSON object.")
    return body


def vendor_app(name: str, key: str) -> web.Application:
    """The vendor `name`, who takes `key` until told of others.

    It speaks below /v1; /_lab is for tests and drills.
    """
    vendor = Vendor(name, key)
    app = web.Application(client_max_size=BODY)
    app.router.add_put("/_lab/fault", vendor.put_fault)
    app.router.add_get("/_lab/fault", vendor.get_fault)
    app.router.add_delete("/_lab/fault", vendor.delete_fault)
    app.router.add_put("/_lab/keys", vendor.put_keys)
    app.router.add_get("/_lab/requests", vendor.requests)
    app.router.add_route("*", "/{path:.*}", vendor.serve)

    async def release(_: web.Application) -> None:
        vendor.heal()  # nothing that hangs holds up the end

    app.on_shutdown.append(release)
    return app
