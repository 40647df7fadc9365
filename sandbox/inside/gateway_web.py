"""The cached web over HTTP: what a request asks for. Pure. Lies beside `gateway.py` in the box.

    GET /web/search?q=WORDS&limit=N
    GET /web/get?url=URL&raw=1&links=1&offset=N&limit=N

The answer is the JSON object that `monastery_box` returns.
"""

from __future__ import annotations

import urllib.parse
from typing import Any

STATUS = {"not_found": 404, "not_text": 415, "bad_request": 400, "budget_exhausted": 429}


def asked(path: str, query: str) -> dict[str, Any]:
    """Return the fetch that a request means.

    Raises:
        ValueError: It means none.
    """
    given = dict(urllib.parse.parse_qsl(query, keep_blank_values=True, errors="strict"))
    names = {"/web/search": ("q", "search"), "/web/get": ("url", "get")}
    if path not in names:
        raise ValueError(
            f"nothing is served at GET {path[:80]!r}; there are /web/search and /web/get"
        )
    name, meant = names[path]
    if name not in given:
        raise ValueError(f"{path} needs ?{name}=")
    body: dict[str, Any] = {meant: given.pop(name)}
    for key, text in given.items():
        if key in ("limit", "offset"):
            body[key] = int(text)
        elif key in ("raw", "links"):
            body[key] = text not in ("", "0", "false")
        else:
            raise ValueError(f"{path} knows no {key[:40]!r}")
    return body


def status(answer: dict[str, Any]) -> int:
    """Return the HTTP status of an answer."""
    return STATUS.get(answer["error"]["type"], 502) if "error" in answer else 200
