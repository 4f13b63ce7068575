"""pydantic's errors in the operator's words. Pure."""

from __future__ import annotations

import re
import types
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from appliance.desk.config.file import ConfigFile
from appliance.desk.config.pieces import kind_of
from appliance.desk.config.values import Wrong, nearest, quote
from appliance.desk.config.yaml_lines import Key, Where

_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a group of keys",
    "model_type": "a group of keys",
    "model_attributes_type": "a group of keys",
}
# Words that YAML 1.1 took for true and false; here they are words.
_YES_NO = {"yes": "true", "on": "true", "no": "false", "off": "false"}
# Keys of earlier versions: (section, key) -> what became of it.
_GONE = {
    ("providers", "timeout_seconds"): "silence is acted on by `deadlines` now, of all or of a workload: "
    "take this line out",
}


def explain(error: ErrorDetails) -> tuple[Where, str, str]:
    """(where in the file, what is wrong, what would be right)."""
    kind = error["type"]
    where: Where = tuple(key for key in error["loc"] if key != "[key]")
    context = error.get("ctx", {})
    wrong = context.get("error")
    if isinstance(wrong, Wrong):
        return where, wrong.what, wrong.right
    if kind == "missing":
        return where, "is missing", _example(where)
    if kind == "extra_forbidden":
        return _unknown_key(where)
    if kind == "enum":
        return where, *_not_one_of(where, error["input"])
    if kind in _WANTED:
        return where, f"must be {_WANTED[kind]}, is {kind_of(error['input'])}", _hint(kind, error["input"])
    if kind == "too_short":
        return where, "is empty", "name at least one"
    if kind == "too_long":
        return where, f"names {context['actual_length']}", f"at most {context['max_length']}"
    if kind == "literal_error":
        return where, f"{quote(error['input'])} is not known", f"one of: {context['expected']}"
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = context.get("ge", context.get("le"))
        side = "at least" if kind == "greater_than_equal" else "at most"
        return where, f"{error['input']} is out of range", f"{side} {bound:.12g}"
    return where, error["msg"], ""


def _unknown_key(where: Where) -> tuple[Where, str, str]:
    key = str(where[-1])
    if gone := _GONE.get((str(where[0]), key)):
        return where, f"there is no key {quote(key)} any more", gone
    model = _model_at(where[:-1])
    known = list(model.model_fields) if model else []
    hint = nearest(key, known)
    elsewhere = "" if hint else _home_of(key)
    listed = f"(keys here: {', '.join(known)})"
    return (
        where,
        f"there is no key {quote(key)}",
        " ".join(part for part in (hint or elsewhere, listed) if part),
    )


def _home_of(key: str) -> str:
    """Where in the file a key of that name belongs, if only one section has it."""
    homes = [
        section
        for section, field in ConfigFile.model_fields.items()
        if (model := _as_model(field.annotation)) is not None and key in model.model_fields
    ]
    return f"it belongs under {homes[0]}:" if len(homes) == 1 else ""


def _not_one_of(where: Where, given: object) -> tuple[str, str]:
    model = _model_at(where[:-1])
    field = model.model_fields.get(str(where[-1])) if model else None
    kind = field.annotation if field else None
    options = [str(e.value) for e in kind] if isinstance(kind, type) and issubclass(kind, Enum) else []
    if not isinstance(given, str):
        return f"is {kind_of(given)}", f"one of: {', '.join(options)}"
    hint = nearest(given, options)
    listed = f"one of: {', '.join(options)}"
    return f"{quote(given)} is not known", f"{hint} ({listed})" if hint else listed


def _hint(kind: str, given: object) -> str:
    if kind == "bool_type" and isinstance(given, str) and given.lower() in _YES_NO:
        return f"write {_YES_NO[given.lower()]}"
    if kind == "string_type" and isinstance(given, bool | int | float):
        return "put it in quotes"
    if kind == "list_type" and isinstance(given, str):
        return 'like ["..."]'
    number = kind in ("int_type", "float_type")
    if number and isinstance(given, str) and re.sub("[_,.]", "", given).isdigit():
        return "digits only, without quotes"
    return ""


def _example(where: Where) -> str:
    model = _model_at(where[:-1])
    field = model.model_fields.get(str(where[-1])) if model else None
    return (field.description or "") if field else ""


def _model_at(where: Where) -> type[BaseModel] | None:
    """The section that stands at `where`, following keys of the two maps by their values' type."""
    here: Any = ConfigFile
    for key in where:
        here = _inside(here, key)
        if here is None:
            return None
    return _as_model(here)


def _inside(annotation: Any, key: Key) -> Any:
    model = _as_model(annotation)
    if model is not None:
        field = model.model_fields.get(str(key))
        return field.annotation if field else None
    if get_origin(annotation) is dict:
        return get_args(annotation)[1]
    return get_args(annotation)[0] if get_origin(annotation) is list else None


def _as_model(annotation: Any) -> type[BaseModel] | None:
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next((a for a in get_args(annotation) if a is not type(None)), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
