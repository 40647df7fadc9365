"""From the fields of a form to what someone said. What is wrong with it, the rules say."""

import base64
from collections.abc import Mapping
from typing import Any

from monastery.auditor.desk.ballots import Given


def given(fields: Mapping[str, str], purpose: str) -> Given:
    """Return the ballot in a form; what is missing stays missing."""
    said: dict[str, Any] = {}
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
    stage: Any = "second" if fields.get("stage") == "second" else "first"
    return Given(stage, fields.get("slip", "")[:64], said)


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
