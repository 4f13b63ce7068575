"""What the sections of appliance.yaml are made of: text that is parsed, secrets, paths. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from appliance.desk.config import values
from appliance.desk.settings import SecretRef


def text(parse: object) -> BeforeValidator:
    """Run `parse` on text only; another type is its own mistake."""

    def validate(value: object) -> object:
        if not isinstance(value, str):
            raise values.Wrong(
                f"must be text, is {kind_of(value)}", "put it in quotes" if _is_scalar(value) else ""
            )
        assert callable(parse)
        return parse(value)

    return BeforeValidator(validate)


def _is_scalar(value: object) -> bool:
    return isinstance(value, bool | int | float)


def kind_of(value: object) -> str:
    """The type of a YAML value in the operator's words."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "a group of keys"


def schema(kind: str = "string", **more: object) -> WithJsonSchema:
    return WithJsonSchema({"type": kind} | more)


Word = Annotated[str, text(values.word)]
Secret = Annotated[
    SecretRef, text(values.secret_ref), schema(pattern="^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$")
]
FilePath = Annotated[str, text(values.path)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)
