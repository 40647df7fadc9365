"""From the fields of a form to what someone said. What is wrong with it, the rules say."""

import base64
from collections.abc import Mapping
from typing import Any

from monastery.auditor.desk.ballots import Given
from monastery.runtime.project import MOST_ALTERNATIVES


def given(fields: Mapping[str, str], purpose: str) -> Given:
    """Return the ballot in a form; what is missing stays missing."""
    said: dict[str, Any] = {}
    if purpose == "audit" and fields.get("places", "").isdecimal():
        return Given(_stage(fields), fields.get("slip", "")[:64], _compared(fields))
    if purpose in ("audit", "gate"):
        if fields.get("decision"):
            said["decision"] = fields["decision"]
        # What the agent may be told in set words is a line of the note of its own.
        note = "\n".join(filter(None, (fields.get("told"), _lines(fields.get("note", "")))))
        if note:
            said["note"] = note
        if fields.get("decision") == "modify":
            said["modified_base64"] = base64.b64encode(_bytes(fields)).decode()
        if purpose == "audit" and fields.get("score"):
            said["score"] = _number(fields["score"])
    else:
        if purpose != "ask" and fields.get("status"):
            said["status"] = fields["status"]
        said["content"] = _lines(fields.get("content", ""))
    return Given(_stage(fields), fields.get("slip", "")[:64], said)


def _stage(fields: Mapping[str, str]) -> Any:
    return "second" if fields.get("stage") == "second" else "first"


def _compared(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return what is said to each of several proposals; what is missing stays missing."""
    given: list[dict[str, Any]] = []
    for place in range(1, min(int(fields["places"][:3]), MOST_ALTERNATIVES) + 1):
        one: dict[str, Any] = {}
        if fields.get(f"decision-{place}"):
            one["decision"] = fields[f"decision-{place}"]
        if fields.get(f"score-{place}"):
            one["score"] = _number(fields[f"score-{place}"])
        given.append(one)
    told = "\n".join(filter(None, (fields.get("told"), _lines(fields.get("note", "")))))
    return {"alternatives": given} | ({"note": told} if told else {})


def _number(text: str) -> float | str:
    """Return the number in a text; a text that has none is left to the rules to refuse."""
    try:
        return float(text)
    except ValueError:
        return text[:40]


def _lines(text: str) -> str:
    """Return text with the line breaks that were typed: forms send two characters for one."""
    return text.replace("\r\n", "\n")


def _bytes(fields: Mapping[str, str]) -> bytes:
    return _lines(fields.get("modified", "")).encode(errors="surrogatepass")
