"""What a program in the box can ask of the world outside; there is no other way out.

    from monastery_box import history, model, propose, web_get, web_search

    reply = model({"messages": [...]})
    outcome = propose("email", payload, "why this is the right step now")
    if outcome["status"] == "done": ...

`propose` returns when the step is over. Between the call and its return the whole box is frozen.
"""

# pathlib would make every call later by the time of its import:
# ruff: noqa: PTH123

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
from collections.abc import Mapping
from typing import Any


class Refused(Exception):
    """The request was not even taken: too large, or another proposal is open."""


def propose(
    kind: str,
    payload: bytes | str,
    rationale: str,
    evidence: Mapping[str, bytes] | None = None,
) -> dict[str, Any]:
    """Propose a step and wait for its outcome.

    Args:
        kind: One of the project's step kinds.
        payload: The exact bytes that would be used; text is encoded as UTF-8.
        rationale: Why this is a reasonable step. The auditor reads it.
        evidence: Files that let the auditor check it: a name and the bytes of each.

    Returns:
        The keys `status` ("done", "rejected", "expired", "failed" or "unknown"), `kind`, `step`,
        `content` and `feedback`.

    Raises:
        Refused: It was not taken, and the text says why.
    """
    files = dict(evidence or {})
    head = {"what": "propose", "kind": kind, "rationale": rationale, "names": list(files)}
    data = payload.encode() if isinstance(payload, str) else bytes(payload)
    return _ask(head, [data, *(bytes(content) for content in files.values())])


def model(body: Mapping[str, Any]) -> dict[str, Any]:
    """Call the policy, the model that thinks, and return its answer.

    Raises:
        Refused: It was not taken, and the text says why.
    """
    return _ask({"what": "model"}, [json.dumps(body, allow_nan=False).encode()])


def web_search(words: str, limit: int = 10) -> dict[str, Any]:
    """Search the cached web.

    Returns:
        `results`, each with `url`, `title` and `excerpt`, and how many `matches` there are in all;
        or `error` with `type` and `message`.

    Raises:
        Refused: It was not taken, and the text says why: there is no cached web, say.
    """
    return _web({"search": words, "limit": limit})


def web_get(
    url: str, *, raw: bool = False, links: bool = False, offset: int = 0, limit: int | None = None
) -> dict[str, Any]:
    """Read a page of the cached web.

    Args:
        url: As a search gives it, or as the web has it.
        raw: Whether it comes as it is, in `base64`, and not as `text`.
        links: Whether the text has its links, as ``[words](url)``.
        offset: Where to begin, in characters or, raw, in bytes.
        limit: How much to give at most.

    Returns:
        `url`, `title`, `type`, `text` or `base64`, the whole `size`, and `next`, the offset at
        which it goes on, None at its end; or `error` with `type` ("not_found",
        "not_text" …) and `message`.

    Raises:
        Refused: As above.
    """
    asked = {"get": url, "raw": raw, "links": links, "offset": offset}
    return _web(asked if limit is None else dict(asked, limit=limit))


def _web(asked: dict[str, Any]) -> dict[str, Any]:
    return _ask({"what": "web"}, [json.dumps(asked).encode()])


def history() -> list[Any]:
    """Return the steps of this run that were over when this program was started."""
    with open(os.environ["MONASTERY_HISTORY"], encoding="utf-8") as file:
        found: list[Any] = json.load(file)
    return found


def read(path: str) -> bytes:
    """Return a file's bytes."""
    with open(path, "rb") as file:
        return file.read()


def wrapped(paths: list[str]) -> bytes:
    """Return the payload of a step of kind `file` that hands these files over."""
    files = {path: {"base64": base64.b64encode(read(path)).decode()} for path in paths}
    return json.dumps({"files": files}).encode()


def _ask(head: dict[str, Any], blobs: list[bytes]) -> dict[str, Any]:
    """Send one request to the guest and wait for the answer."""
    head["sizes"] = [len(blob) for blob in blobs]
    path = os.environ.get("MONASTERY_SOCKET", "/run/monastery/agent.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(path)
        parts = []
        # Refused before all was sent? Then the answer says why.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(json.dumps(head).encode() + b"\n" + b"".join(blobs))
        with contextlib.suppress(ConnectionResetError):
            while part := sock.recv(1 << 16):
                parts.append(part)
    if not parts:
        raise Refused("the box has no room for another request now")
    reply = json.loads(b"".join(parts))
    if "error" in reply:
        raise Refused(reply["error"])
    body: dict[str, Any] = reply["ok"]
    return body
