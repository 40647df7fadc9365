"""The tools that `monastery-mcp` offers, and what they do: all of it through `monastery_box`."""

# pathlib would make every start later by the time of its import:
# ruff: noqa: PTH118, PTH120, PTH123

from __future__ import annotations

import json
import os
import threading
from typing import Any

import monastery_box  # type: ignore[import-not-found] # lies beside this file

INSTRUCTIONS = (
    "You work in a box without a network. What is to happen outside it, you propose as a step, one"
    " at a time; each may be audited, and comes back with what came of it. While a step is judged"
    " and carried out the whole box stands still, perhaps for hours: that is no failure."
)
TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
LIST = {"type": "array", "items": TEXT}
OUTCOME = {
    "type": "object",
    "properties": {
        "status": {"type": "string", "enum": ["done", "rejected", "expired", "failed", "unknown"]},
        "kind": TEXT,
        "step": {"type": ["integer", "null"]},
        "content": {"type": "object"},
        "feedback": {"type": ["string", "null"]},
    },
    "required": ["status", "kind", "step", "content", "feedback"],
}
WEB = ("web_search", "web_get")
JSON_TYPES = {"string": str, "integer": int, "boolean": bool, "array": list}


class Wrong(Exception):
    """A call that cannot be made; the model is told why, and may mend it."""


class Tools:
    """What is offered in this box."""

    def __init__(self) -> None:
        here = os.path.dirname(os.path.realpath(__file__))
        with open(os.path.join(here, "offers.json")) as file:
            offers = json.load(file)
        kinds = offers["steps"]
        self.all = described(kinds)
        if kinds and "ask" not in kinds:
            del self.all["ask"]
        if not offers["web"]:
            for name in WEB:
                del self.all[name]
        self.names = set(self.all)
        self.lock = threading.Lock()
        self.unheard: list[str] = []

    def listed(self, version: str) -> list[dict[str, Any]]:
        """Return the tools, with the fields that this version of the protocol has."""
        late = {"annotations": "2025-03-26", "title": "2025-06-18", "outputSchema": "2025-06-18"}
        return [
            {"name": name, **{k: v for k, v in tool.items() if version >= late.get(k, "")}}
            for name, tool in self.all.items()
        ]

    def call(self, name: str, arguments: dict[str, Any], version: str) -> dict[str, Any]:
        """Call a tool; what goes wrong is a result too, for the model to read."""
        try:
            check(arguments, self.all[name]["inputSchema"])
            told = getattr(self, name)(**arguments)
        except (Wrong, monastery_box.Refused, OSError, ValueError) as error:
            return {"content": [{"type": "text", "text": str(error)}], "isError": True}
        if "error" in told:
            return {
                "content": [{"type": "text", "text": told["error"]["message"]}],
                "isError": True,
            }
        content = [{"type": "text", "text": told.get("text") or json.dumps(told)}]
        if name not in WEB:
            content += [{"type": "text", "text": text} for text in self.take_unheard()]
        result: dict[str, Any] = {"content": content, "isError": False}
        return result if version < "2025-06-18" else {**result, "structuredContent": told}

    def keep_unheard(self, params: dict[str, Any], result: dict[str, Any]) -> None:
        """Keep what came of a step whose client gave up waiting; it was taken all the same."""
        if params.get("name") not in WEB and not result.get("isError"):
            text = result["content"][0]["text"]
            with self.lock:
                self.unheard.append(f"A step that you did not wait for ended so: {text}")

    def take_unheard(self) -> list[str]:
        """Return what was kept, and keep it no longer."""
        with self.lock:
            kept, self.unheard = self.unheard, []
        return kept

    def propose_step(
        self,
        kind: str,
        rationale: str,
        payload: str | None = None,
        payload_file: str | None = None,
        files: list[str] | None = None,
        evidence: list[str] | None = None,
    ) -> Any:
        """Propose a step, and wait for what comes of it."""
        given = [one for one in (payload, payload_file, files or None) if one is not None]
        if len(given) != 1:
            raise Wrong("give one of payload, payload_file and files")
        if files and kind != "file":
            raise Wrong("only a step of kind `file` takes files; give a payload")
        if files:
            content: Any = monastery_box.wrapped(files)
        else:
            content = payload if payload_file is None else monastery_box.read(payload_file)
        shown = {path: monastery_box.read(path) for path in evidence or []}
        return monastery_box.propose(kind, content, rationale, shown)

    def ask(self, question: str, why: str = "I need an answer to go on.") -> Any:
        """Put a question to a person, and wait for the answer."""
        return monastery_box.propose("ask", question, why)

    def web_search(self, words: str, limit: int = 10) -> Any:
        """Search the cached web."""
        return monastery_box.web_search(words, limit)

    def web_get(
        self, url: str, offset: int = 0, limit: int | None = None, links: bool = False
    ) -> Any:
        """Read a page of the cached web."""
        return monastery_box.web_get(url, offset=offset, limit=limit, links=links)


def check(arguments: dict[str, Any], schema: dict[str, Any]) -> None:
    """Refuse arguments that are not as the tool's schema wants them."""
    known = schema["properties"]
    for name in schema["required"]:
        if name not in arguments:
            raise Wrong(f"{name} is missing")
    for name, value in arguments.items():
        if name not in known:
            raise Wrong(f"{name[:80]!r} is no argument; there are {', '.join(known)}")
        wanted = known[name]["type"]
        is_right = isinstance(value, JSON_TYPES[wanted])
        if wanted == "integer":
            is_right = type(value) is int
        if wanted == "array":
            is_right = is_right and all(isinstance(one, str) for one in value)
        if not is_right:
            raise Wrong(f"{name} must be {'a list of strings' if wanted == 'array' else wanted}")


def taking(required: list[str], **properties: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object with these fields and no others."""
    whole = {"type": "object", "properties": properties, "required": required}
    return {**whole, "additionalProperties": False}


def told(base: dict[str, Any], text: str) -> dict[str, Any]:
    """Return a field's schema with what it means."""
    return {**base, "description": text}


def described(kinds: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return all tools by name, in the order in which they are listed.

    Args:
        kinds: The kinds of steps that may be proposed, each with what a payload of it is.
    """
    allowed = f"allowed here: {', '.join(kinds)}" if kinds else "one of the project's step kinds"
    payloads = "\n".join(f"- {kind}: {payload}" for kind, payload in kinds.items())
    payloads = f"\nWhat each kind takes:\n{payloads}" if kinds else ""
    acts = {"readOnlyHint": False, "destructiveHint": True, "openWorldHint": True}
    asks = {"readOnlyHint": False, "destructiveHint": False, "openWorldHint": True}
    reads = {"readOnlyHint": True, "openWorldHint": False}
    return {
        "propose_step": {
            "title": "Propose a step",
            "description": "Propose a step in the outside world, and wait for what comes of it."
            f" Give one of payload, payload_file and files.{payloads}",
            "inputSchema": taking(
                ["kind", "rationale"],
                kind=told(TEXT, allowed),
                rationale=told(TEXT, "why this is a reasonable step; auditors read it"),
                payload=told(TEXT, "the exact text to use: a patch, a plan, a JSON object …"),
                payload_file=told(TEXT, "a file in the box that holds the payload"),
                files=told(LIST, "with kind `file`: the files to hand over"),
                evidence=told(LIST, "files in the box that let the auditor check it"),
            ),
            "outputSchema": OUTCOME,
            "annotations": acts,
        },
        "ask": {
            "title": "Ask a person",
            "description": "Put a question to the person whose project this is, and wait for the"
            " answer, which is in content.answer.",
            "inputSchema": taking(
                ["question"],
                question=told(TEXT, "the question, with all that one must know to answer it"),
                why=told(TEXT, "why it must be asked; auditors read it"),
            ),
            "outputSchema": OUTCOME,
            "annotations": asks,
        },
        "web_search": {
            "title": "Search the cached web",
            "description": "Find pages in this project's copy of the web.",
            "inputSchema": taking(
                ["words"], words=told(TEXT, "what they hold"), limit=told(NUMBER, "1 to 50; 10")
            ),
            "annotations": reads,
        },
        "web_get": {
            "title": "Read the cached web",
            "description": "Read a page of this project's copy of the web as text.",
            "inputSchema": taking(
                ["url"],
                url=told(TEXT, "as a search gives it, or as the web has it"),
                offset=told(NUMBER, "where to begin, in characters"),
                limit=told(NUMBER, "how many characters at most; 20000"),
                links=told({"type": "boolean"}, "whether to write links, as [words](url)"),
            ),
            "annotations": reads,
        },
    }
