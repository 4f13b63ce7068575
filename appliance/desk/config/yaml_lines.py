"""YAML with the line of every value, and every mistake of form said at once. Pure.

The scalars are YAML 1.2's core schema: `no` is a word, `12:30` is a word, `010` is a word. Anchors,
aliases, tags and merge keys are refused: a file that says who may reach a node should say it once, plainly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

Key = str | int
Where = tuple[Key, ...]
Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]

MAX_DEPTH = 20
MAX_BYTES = 1_000_000
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\.[0-9]{1,17}")
_LITERALS: dict[str, bool | None] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}


@dataclass(frozen=True)
class Slip:
    """A mistake of form: the line it stands on (from 1), where it is in the file, what, and what is right."""

    line: int
    where: Where
    what: str
    right: str


@dataclass
class Document:
    """What the file says. `value` is what could be read, even where there are slips."""

    value: Value = None
    lines: dict[Where, int] = field(default_factory=dict)
    slips: list[Slip] = field(default_factory=list)

    def line(self, where: Where) -> int:
        """The line of `where`, or of the nearest thing above it that is in the file."""
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 1)


class _Stop(Exception):  # noqa: N818 - not an error: the reading ends here
    def __init__(self, slip: Slip) -> None:
        self.slip = slip


def read_yaml(content: bytes) -> Document:
    """Read one YAML document. Never raises: what cannot be read is a slip."""
    document = Document()
    try:
        text = _decode(content)
        events = _events(text)
        _Reader(document, events).read()
    except _Stop as stop:
        document.slips.append(stop.slip)
    return document


def _decode(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise _Stop(Slip(1, (), f"the file is larger than {MAX_BYTES} bytes", "is it the right file?"))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _Stop(Slip(line, (), "this is not UTF-8", "save the file as UTF-8")) from None
    # Windows' and old line ends would shift every line that is told.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if odd := re.search("[\x85\u2028\u2029]", text):
        line_number = text.count("\n", 0, odd.start()) + 1
        raise _Stop(Slip(line_number, (), "there is an unusual line break character", "remove it"))
    for number, each in enumerate(text.split("\n"), 1):
        if re.match(r" *\t[ \t]*[^\s#]", each):
            raise _Stop(Slip(number, (), "a tab stands in the indentation", "YAML indents with spaces only"))
    return text


def _events(text: str) -> Iterator[yaml.Event]:
    """PyYAML's events; its errors become slips that quote nothing of the file."""
    try:
        yield from yaml.parse(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _Stop(Slip(line, (), "there is a control character", "remove it")) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = min(mark.line, text.rstrip("\n").count("\n")) + 1 if mark else 1
        raise _Stop(Slip(line, (), f"this is not YAML: {_plain(error)}", _hint(error))) from None
    except (ValueError, RecursionError) as error:
        raise _Stop(Slip(1, (), f"this is not YAML: {type(error).__name__}", "")) from None


def _plain(error: yaml.MarkedYAMLError) -> str:
    """The parser's problem without the pieces of the file that it sometimes quotes (they may be keys)."""
    problem = error.problem or "it cannot be read"
    return re.sub(r"(found|alias|anchor|tag|directive|handle) ['\"].*", r"\1 something unexpected", problem)


def _hint(error: yaml.MarkedYAMLError) -> str:
    problem = f"{error.context or ''} {error.problem or ''}"
    if "mapping values are not allowed" in problem:
        return "is a line above not indented as it should be, or does a value with `: ` need quotes?"
    if "cannot start any token" in problem:
        return 'a value that begins with this character needs quotes ("...")'
    if "could not find expected ':'" in problem:
        return "is a colon or a space after it missing?"
    if "block" in problem:
        return "look at the indentation here and just above"
    return ""


def _line(event: yaml.Event) -> int:
    assert event.start_mark is not None  # the parser gives every event one
    return event.start_mark.line + 1


class _Reader:
    def __init__(self, document: Document, events: Iterator[yaml.Event]) -> None:
        self.document = document
        self.events = events

    def read(self) -> None:
        event = next(self.events)
        while isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
            event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            return
        self.document.value = self.value(event, ())
        next(self.events)  # the document's end
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            self.slip(event, (), "a second YAML document begins here", "keep one document a file")

    def slip(self, event: yaml.Event, where: Where, what: str, right: str) -> None:
        self.document.slips.append(Slip(_line(event), where, what, right))

    def value(self, event: yaml.Event, where: Where) -> Value:
        self.document.lines.setdefault(where, _line(event))
        if len(where) > MAX_DEPTH:
            raise _Stop(Slip(_line(event), where[:3], f"nested more than {MAX_DEPTH} deep", ""))
        if isinstance(event, yaml.AliasEvent):
            self.slip(event, where, "YAML aliases are not read here", "write the value out")
            return None
        if getattr(event, "anchor", None):
            self.slip(
                event, where, "YAML anchors are not read here", "write the value out where it is needed"
            )
        if getattr(event, "tag", None) not in (None, "!"):
            self.slip(event, where, "YAML tags are not read here", "write the plain value")
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(where)
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(where)
        assert isinstance(event, yaml.ScalarEvent)
        return scalar(event.value) if event.style is None else event.value

    def sequence(self, where: Where) -> list[Value]:
        items: list[Value] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.value(event, (*where, len(items))))
        return items

    def mapping(self, where: Where) -> dict[str, Value]:
        found: dict[str, Value] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            line = _line(event)
            if not isinstance(event, yaml.ScalarEvent):
                self.slip(event, where, "a key must be a plain word", "")
                self._skip(event)
                self._skip(next(self.events))
                continue
            key = event.value
            inner = (*where, key)
            if key in found:
                first = self.document.lines[inner]
                self.slip(event, inner, f"this key stands here twice (first on line {first})", "keep one")
                self._skip(next(self.events))
                continue
            if key == "<<" and event.style is None:
                self.slip(event, where, "YAML merge keys are not read here", "write the values out")
                self._skip(next(self.events))
                continue
            self.document.lines[inner] = line
            found[key] = self.value(next(self.events), inner)
        return found

    def _skip(self, event: yaml.Event) -> None:
        depth = 0
        while True:
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth == 0:
                return
            event = next(self.events)


def scalar(text: str) -> Value:
    """A plain scalar by the core schema of YAML 1.2 (section 10.3), no octal, hex or exponents."""
    if text in _LITERALS:
        return _LITERALS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
