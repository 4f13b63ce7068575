"""What a vendor was asked and what it says to that, apart from any vendor's wire format."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

HEARD = 300  # characters of the user's last words that come back


class BadAsk(Exception):  # noqa: N818 - the word of the house
    """The request's body is not what the vendor's API takes: a 400 with these words."""


@dataclass(frozen=True)
class Tool:
    name: str
    schema: Mapping[str, Any]  # JSON schema of its arguments


@dataclass(frozen=True)
class Ask:
    model: str
    heard: str  # the user's last words, whole
    words: int  # in all messages together: what this vendor counts as prompt tokens
    before: tuple[str, ...] = ()  # the user's earlier words
    stream: bool = False
    usage: bool = False  # usage wanted at the end of the stream
    limit: int | None = None  # tokens of the answer
    tool: Tool | None = None  # the tool that the request forces


@dataclass(frozen=True)
class Answer:
    pieces: tuple[str, ...]  # tokens; joined they are the text, or a tool call's arguments as JSON
    cut: bool  # the limit ended it
    tool: Tool | None = None
    words: int = 0

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True)
class Part:
    """A piece of the answer's body. Faults strike between parts."""

    stage: str  # opening (no content yet) | content | closing
    data: bytes


@dataclass(frozen=True)
class Refusal:
    """An error: `reason` picks the vendor's own words, `status` alone does where there is no reason."""

    status: int
    reason: str = ""  # key-missing | key-wrong | quota | context | url | model | body
    detail: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class Dialect(Protocol):
    """A vendor's wire format."""

    def read(self, body: Mapping[str, Any]) -> Ask:
        """Raises BadAsk."""

    def whole(self, number: int, ask: Ask, answer: Answer) -> dict[str, Any]: ...

    def events(self, number: int, ask: Ask, answer: Answer) -> list[Part]: ...

    def error(self, refusal: Refusal) -> dict[str, Any]: ...

    def error_event(self, refusal: Refusal) -> bytes: ...

    def models(self, names: Sequence[str]) -> dict[str, Any]: ...


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def answer_to(vendor: str, ask: Ask) -> Answer:
    """Always the same answer to the same words: "alpha/model heard: ..." or the forced tool's arguments."""
    heard = ask.heard if len(ask.heard) <= HEARD else f"{ask.heard[:HEARD]}… [{digest(ask.heard)}]"
    said = f"{vendor}/{ask.model} heard: {heard}"
    if ask.tool:
        said = json.dumps(instance(ask.tool.schema, said), ensure_ascii=False)
    pieces = tuple(re.findall(r"\s*\S+|\s+\Z", said))
    cut = ask.limit is not None and len(pieces) > ask.limit
    return Answer(pieces[: ask.limit] if cut else pieces, cut, ask.tool, ask.words)


def instance(schema: Mapping[str, Any], said: str, depth: int = 8) -> Any:
    """The least value that fits `schema`; strings say `said`."""
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    kinds = schema.get("type", "object" if "properties" in schema else "string")
    kind = kinds[0] if isinstance(kinds, list) and kinds else kinds
    if kind == "object":
        required = schema.get("required", []) if depth else []
        properties = schema.get("properties", {})
        return {name: instance(properties.get(name, {}), said, depth - 1) for name in required}
    if kind == "array":
        least = min(int(schema.get("minItems", 0)), 16) if depth else 0
        return [instance(schema.get("items", {}), said, depth - 1) for _ in range(least)]
    plain: dict[str, Any] = {"integer": 1, "number": 1.0, "boolean": True, "null": None}
    return plain.get(str(kind), said)


def text_of(content: object) -> str:
    """The text in a message's content: a string or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "\n".join(part for part in parts if isinstance(part, str))
    return ""


def common(body: Mapping[str, Any]) -> tuple[str, str, tuple[str, ...], int]:
    """(model, the user's last words, the earlier ones, words in all) of a body. Raises BadAsk."""
    model, messages = body.get("model"), body.get("messages")
    if not isinstance(model, str) or not model:
        raise BadAsk("you must provide a model parameter")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise BadAsk("messages: a list of at least one message is required")
    texts = [(message.get("role"), text_of(message.get("content"))) for message in messages]
    users = [text for role, text in texts if role == "user"]
    words = sum(len(text.split()) for _, text in texts) + len(text_of(body.get("system")).split())
    return model, (users or [""])[-1], tuple(users[:-1]), words


def limit_of(body: Mapping[str, Any], *names: str) -> int | None:
    """The first of the named token limits that is set. Raises BadAsk."""
    for name in names:
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise BadAsk(f"{name}: must be an integer above 0")
        return value
    return None
