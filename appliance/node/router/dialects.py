"""How a provider's API is asked and read, so that the rest only knows chat completions. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from appliance.contract.router_policy import Api, Provider, Target
from appliance.node.router import anthropic
from appliance.node.router.classify import Cause, Failed
from appliance.node.router.content import check_whole, read_object
from appliance.node.router.sse import Event


@dataclass(frozen=True)
class Ask:
    """What a client asked: a chat completion's body, and the workload that its model named."""

    workload: str
    body: Mapping[str, Any]
    created: int  # Unix time

    @property
    def stream(self) -> bool:
        return self.body.get("stream") is True

    @property
    def usage(self) -> bool:
        options = self.body.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True


@dataclass(frozen=True)
class Question:
    """One POST to a provider. Its headers hold the key: never shown."""

    url: str
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Question({self.url})"


class Reader(Protocol):
    def events(self, event: Event) -> list[bytes]:
        """An event of the provider's stream as data of a chat completion's events. Failed."""


def question(ask: Ask, provider: Provider, target: Target, key: str) -> Question:
    """Failed: the provider's API cannot carry what is asked."""
    common = {"Content-Type": "application/json", "User-Agent": "appliance-router"}
    # Uncompressed: events must come as they are made.
    common |= {
        "Accept-Encoding": "identity",
        "Accept": "text/event-stream" if ask.stream else "application/json",
    }
    if provider.api is Api.ANTHROPIC:
        body = anthropic.to_request(ask.body, target.model, target.max_tokens)
        own = {"x-api-key": key, "anthropic-version": anthropic.VERSION}
        return Question(f"{provider.base_url}/messages", common | own, _dump(body))
    own = {"Authorization": f"Bearer {key}"}
    return Question(
        f"{provider.base_url}/chat/completions", common | own, _dump({**ask.body, "model": target.model})
    )


def _dump(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body).encode()


def whole(ask: Ask, api: Api, body: bytes) -> bytes:
    """A 200's body as a chat completion. Failed: it is none."""
    value = read_object(body)
    if api is Api.ANTHROPIC:
        if value.get("type") != "message":
            raise Failed(Cause.MALFORMED)
        value = anthropic.to_answer(value, ask.created)
        body = json.dumps(value).encode()
    check_whole(value)
    return body


def reader(ask: Ask, api: Api) -> Reader:
    return _Messages(ask) if api is Api.ANTHROPIC else _Completions()


class _Completions:
    def events(self, event: Event) -> list[bytes]:
        if event.name == "error":  # some vendors name it only here
            read_object(event.data)
            raise Failed(Cause.ERROR_IN_BAND)
        return [event.data]


class _Messages:
    def __init__(self, ask: Ask) -> None:
        self._translator = anthropic.StreamTranslator(ask.created, ask.usage)

    def events(self, event: Event) -> list[bytes]:
        return self._translator.feed(event.data)
