"""Payloads as they come from the box: bytes, then text or JSON, with nothing left to guess."""

import base64
import binascii
import json
from collections import Counter
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from monastery.runtime.errors import BadPayload

MAX_TEXT_BYTES = 64 << 10
"""The most that a person is asked to read in one question."""


class Strict(BaseModel):
    """The base of JSON payloads: no unknown field, no value of another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


AnyStrict = TypeVar("AnyStrict", bound=Strict)


def decode(payload: bytes) -> str:
    """Return the payload as text.

    Raises:
        BadPayload: It is not UTF-8, or holds a NUL.
    """
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise BadPayload(f"the payload is not UTF-8: byte {exc.start} is wrong") from exc
    if "\0" in text:
        raise BadPayload(f"the payload holds a NUL at character {text.index(chr(0))}; leave it out")
    return text


def prose(payload: bytes) -> str:
    """Return a text that a person is meant to read, without the white space around it.

    Raises:
        BadPayload: It is not text, is blank, or longer than a person should be asked to read.
    """
    if len(payload) > MAX_TEXT_BYTES:
        raise BadPayload(f"the text has {len(payload)} bytes, allowed are {MAX_TEXT_BYTES}")
    text = decode(payload).strip()
    if not text:
        raise BadPayload("the text is empty; say what a person should do or answer")
    return text


def parse(payload: bytes, shape: type[AnyStrict]) -> AnyStrict:
    """Return a JSON payload as the shape it must have.

    Raises:
        BadPayload: It is not JSON, names a key twice, or has another shape.
    """
    text = decode(payload)
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_constant)
    except RecursionError as exc:
        raise BadPayload("the payload is nested too deeply") from exc
    except ValueError as exc:
        raise BadPayload(f"the payload is not JSON: {exc}") from exc
    try:
        return shape.model_validate(value)
    except ValidationError as exc:
        raise BadPayload(f"the payload has not the shape it must have: {faults_of(exc)}") from exc


def content(name: str, text: str | None, encoded: str | None) -> bytes:
    """Return the bytes of a file that a payload gives as text or in base 64.

    Raises:
        BadPayload: It gives neither or both, half a surrogate pair, or what is not base 64.
    """
    if (text is None) == (encoded is None):
        raise BadPayload(f"{name!r} needs either 'text' or 'base64'")
    try:
        if text is not None:
            return text.encode("utf-8")
        return base64.b64decode(encoded or "", validate=True)
    except UnicodeEncodeError as exc:
        raise BadPayload(f"the text of {name!r} holds half a surrogate pair") from exc
    except (binascii.Error, ValueError) as exc:
        raise BadPayload(f"{name!r} is not base 64: {exc}") from exc


def faults_of(error: ValidationError) -> str:
    """Return the first three faults that pydantic found, in one line."""
    faults = [
        f"{'.'.join(map(str, fault['loc'])) or 'top'}: {fault['msg']}" for fault in error.errors()
    ]
    more = [f"and {len(faults) - 3} more"] if len(faults) > 3 else []
    return " ".join("; ".join(faults[:3] + more).split())


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object's fields; two fields of one name could be read in two ways."""
    twice = [key for key, times in Counter(key for key, _ in pairs).items() if times > 1]
    if twice:
        raise BadPayload(f"the payload names {twice[0]!r} twice in one object; name it once")
    return dict(pairs)


def _refuse_constant(name: str) -> NoReturn:
    raise BadPayload(f"{name} is not JSON; leave it out")
