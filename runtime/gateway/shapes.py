"""What the shapes of all APIs are made of.

A shape is a strict model: it knows each of its fields, and an unknown one is refused. What is
passed on is written anew from the model, so nothing leaves that no field here stands for.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo


class Shape(BaseModel):
    """The base of every shape."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=()
    )


_DATA_URL = re.compile(r"data:(?:image/(?:png|jpeg|gif|webp));base64,[A-Za-z0-9+/]+={0,2}")


def _no_reference(schema: dict[str, Any]) -> dict[str, Any]:
    """Refuse a schema that points to one elsewhere, which a reader of it may fetch."""
    for name, value in _pairs(schema):
        if name in ("$ref", "$dynamicRef", "$schema", "$id") and isinstance(value, str):
            known = value.startswith(("https://json-schema.org/", "http://json-schema.org/"))
            if not (value.startswith("#") or (name == "$schema" and known)):
                raise ValueError(f"{name} points out of the schema; write it out instead")
    return schema


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key of nested JSON with its value; the reader of the stream bounds the depth."""
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from _pairs(inner)
    if isinstance(value, dict):
        yield from value.items()


def may_inline(value: Any, info: ValidationInfo) -> Any:
    """Let inline data pass if the project does."""
    if not (info.context or {}).get("inline_data"):
        raise ValueError("the project's policy takes no images or documents")
    return value


def _data_url(url: str, info: ValidationInfo) -> str:
    if not _DATA_URL.fullmatch(url):
        raise ValueError("the provider would fetch it; give the data as data:image/…;base64,…")
    may_inline(url, info)
    return url


def _nothing(value: Any) -> None:
    if value not in (None, [], ""):
        raise ValueError("it is not passed on; leave it out")


def _dropped(value: Any, info: ValidationInfo) -> None:
    if value is not None and info.context is not None and info.field_name is not None:
        info.context.setdefault("dropped", {})[info.field_name] = None


Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:|+/=-]{1,512}$")]
"""Names a call or an item that the model made; not a file or anything else that is kept outside."""

ToolName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]
Schema = Annotated[dict[str, Any], AfterValidator(_no_reference)]
"""A JSON schema that holds all of itself."""

DataUrl = Annotated[str, AfterValidator(_data_url)]
"""An image that is in the request itself."""

Base64 = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]+={0,2}$"), AfterValidator(may_inline)]
Nothing = Annotated[Any, AfterValidator(_nothing), Field(exclude=True)]
"""A field that clients send empty with every message that they give back."""

Dropped = Annotated[Any, AfterValidator(_dropped), Field(exclude=True)]
"""A field that agents always send and that changes no answer: dropped, and named in the record.

Only what does nothing for the agent may be dropped; where an agent would miss it, refuse it.
"""


class FunctionShape(Shape):
    """A function as it is described to the model, in both of OpenAI's APIs."""

    name: ToolName
    description: str | None = None
    parameters: Schema | None = None
    strict: bool | None = None


Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Temperature = Annotated[float, Field(ge=0.0, le=2.0)]
Tokens = Annotated[int, Field(ge=1, le=1 << 24)]
Effort = Annotated[str, Field(pattern=r"^(none|minimal|low|medium|high|xhigh|max)$")]
