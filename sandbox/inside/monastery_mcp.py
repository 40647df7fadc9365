"""The `monastery-mcp` command of the box: an MCP server over stdio.

    {"mcpServers": {"monastery": {"command": "monastery-mcp"}}}

Speaks the Model Context Protocol's stateless revision (2026-07-28), in which each request says its
version, and those with a handshake (2024-11-05 to 2025-11-25): a client opens as it knows how.
Offers tools and nothing else (`mcp_tools`). Each call has a thread, since a step may take days, and
meanwhile others are answered; a client that asks for progress hears every few seconds that it is
not forgotten.

The guest writes it to /run/monastery/bin/monastery-mcp with the interpreter's path above it. It
needs no environment: clients start their servers with next to none.
"""

# pathlib would make every start later by the time of its import:
# ruff: noqa: PTH118, PTH120

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
sys.dont_write_bytecode = True
os.environ.setdefault("MONASTERY_SOCKET", os.path.join(HERE, "..", "agent.sock"))

import mcp_tools  # type: ignore[import-not-found]  # noqa: E402 - found beside this file only

STATELESS = "2026-07-28"
HANDSHAKES = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"]
ME = {"name": "monastery", "version": "1"}
PROGRESS_SECONDS = 5.0
META = "io.modelcontextprotocol/"
PARSE, REQUEST, METHOD, PARAMS, INTERNAL = -32700, -32600, -32601, -32602, -32603
UNSUPPORTED = -32022


class Fault(Exception):
    """A request that cannot be answered: the protocol's code, and why."""

    def __init__(self, code: int, why: str, data: Any = None) -> None:
        super().__init__(why)
        self.code, self.data = code, data


class Server:
    """Answers one client."""

    def __init__(self) -> None:
        self.negotiated = ""
        self.tools = mcp_tools.Tools()
        self.writing = threading.Lock()
        self.lock = threading.Lock()
        self.open: set[tuple[type, Any]] = set()
        self.cancelled: set[tuple[type, Any]] = set()

    def serve(self) -> None:
        """Answer until the client hangs up."""
        for line in sys.stdin.buffer:
            if line.strip():
                self.hear(line)

    def hear(self, line: bytes) -> None:
        """Take one line; what may last is answered in a thread of its own."""
        try:
            message = json.loads(line.decode())
        except (ValueError, RecursionError):
            self.say(failed(None, Fault(PARSE, "a line is not JSON")))
            return
        if isinstance(message, list):
            threading.Thread(target=self.answer_batch, args=(message,), daemon=True).start()
        elif isinstance(message, dict) and message.get("method") == "tools/call":
            self.begin(message)
            threading.Thread(target=self.answer_call, args=(message,), daemon=True).start()
        else:
            self.say(self.answered(message))

    def say(self, message: Any) -> None:
        """Write one message, unless there is none."""
        if message:
            with self.writing:
                sys.stdout.buffer.write(json.dumps(message).encode() + b"\n")
                sys.stdout.buffer.flush()

    def answer_batch(self, messages: list[Any]) -> None:
        """Answer several requests in one, which one revision has."""
        if self.negotiated != "2025-03-26" or not messages:
            why = "a batch is no request in this version of the protocol"
            self.say(failed(None, Fault(REQUEST, why)))
        else:
            self.say([told for told in map(self.answered, messages) if told])

    def answer_call(self, message: dict[str, Any]) -> None:
        """Answer a tool's call, unless its client does not want to hear it any more."""
        told = self.answered(message)
        with self.lock:
            key = key_of(message.get("id"))
            self.open.discard(key)
            unwanted = key in self.cancelled
            self.cancelled.discard(key)
        if not unwanted:
            self.say(told)
        elif told is not None and "result" in told:
            self.tools.keep_unheard(message["params"], told["result"])

    def begin(self, message: dict[str, Any]) -> None:
        """Note that a call is open, before anything can cancel it."""
        with self.lock:
            self.open.add(key_of(message.get("id")))

    def answered(self, message: Any) -> dict[str, Any] | None:
        """Return the response to a message; notifications and responses have none."""
        number = message.get("id") if isinstance(message, dict) else None
        try:
            if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
                raise Fault(REQUEST, "a message must be a JSON-RPC 2.0 object")
            if "method" not in message and ("result" in message or "error" in message):
                return None  # nothing is ever asked of the client
            if not isinstance(message.get("method"), str):
                raise Fault(REQUEST, "a request must name its method")
            params = message.get("params", {})
            if not isinstance(params, dict):
                raise Fault(PARAMS, "params must be an object")
            if "id" not in message:
                self.notified(message["method"], params)
                return None
            if type(number) not in (int, str):
                number = None
                raise Fault(REQUEST, "an id must be a string or an integer")
            return {"jsonrpc": "2.0", "id": number, "result": self.result(message, params)}
        except Fault as fault:
            return failed(number if type(number) in (int, str) else None, fault)
        except Exception as error:  # noqa: BLE001 - the client is told, and the others live on
            return failed(number, Fault(INTERNAL, f"the server broke: {type(error).__name__}"))

    def notified(self, method: str, params: dict[str, Any]) -> None:
        """Take a notification; the only one that matters ends a wait."""
        if method == "notifications/cancelled":
            with self.lock:
                key = key_of(params.get("requestId"))
                if key in self.open:
                    self.cancelled.add(key)

    def result(self, message: dict[str, Any], params: dict[str, Any]) -> Any:
        """Return the result of a request, as its version of the protocol has it."""
        method, version = message["method"], self.version_of(params)
        if method == "initialize" and version != STATELESS:
            return self.initialized(params)
        if method == "ping" and version != STATELESS:
            return {}
        if not version:
            raise Fault(REQUEST, "initialize first, or name a protocol version in _meta")
        if method == "server/discover" and version == STATELESS:
            found = {"supportedVersions": [STATELESS], "capabilities": {"tools": {}}}
            found["instructions"] = mcp_tools.INSTRUCTIONS
            return self.completed(found, version, cached=True)
        if method == "tools/list":
            if params.get("cursor") is not None:
                raise Fault(PARAMS, "there is no such cursor: all tools are on one page")
            return self.completed({"tools": self.tools.listed(version)}, version, cached=True)
        if method == "tools/call":
            return self.completed(self.called(params, version), version)
        raise Fault(METHOD, f"there is no method {method[:80]!r}")

    def version_of(self, params: dict[str, Any]) -> str:
        """Return which version a request is of; nothing before a handshake."""
        meta = params.get("_meta", {})
        if not isinstance(meta, dict):
            raise Fault(PARAMS, "_meta must be an object")
        if META + "protocolVersion" not in meta:
            return self.negotiated
        version = meta[META + "protocolVersion"]
        if version != STATELESS:
            data = {"supported": [STATELESS], "requested": version}
            raise Fault(UNSUPPORTED, "Unsupported protocol version", data)
        if not isinstance(meta.get(META + "clientCapabilities"), dict):
            raise Fault(PARAMS, f"_meta lacks {META}clientCapabilities")
        return STATELESS

    def initialized(self, params: dict[str, Any]) -> dict[str, Any]:
        """Agree on a version: the client's, or the newest that has a handshake."""
        asked = params.get("protocolVersion")
        if not isinstance(asked, str):
            raise Fault(PARAMS, "initialize needs a protocolVersion")
        self.negotiated = asked if asked in HANDSHAKES else HANDSHAKES[0]
        told = {"protocolVersion": self.negotiated, "capabilities": {"tools": {}}}
        return {**told, "serverInfo": ME, "instructions": mcp_tools.INSTRUCTIONS}

    def completed(self, result: dict[str, Any], version: str, *, cached: bool = False) -> Any:
        """Add what the stateless revision wants of every result."""
        if version != STATELESS:
            return result
        more = {"ttlMs": 3_600_000, "cacheScope": "private"} if cached else {}
        return {"resultType": "complete", **result, **more, "_meta": {META + "serverInfo": ME}}

    def called(self, params: dict[str, Any], version: str) -> dict[str, Any]:
        """Call a tool, and tell a client that wants to know that it goes on."""
        name, arguments = params.get("name"), params.get("arguments", {})
        if not isinstance(name, str) or name not in self.tools.names:
            raise Fault(PARAMS, f"Unknown tool: {str(name)[:80]}")
        if not isinstance(arguments, dict):
            raise Fault(PARAMS, "arguments must be an object")
        over = threading.Event()
        token = params.get("_meta", {}).get("progressToken")
        if type(token) in (int, str):
            asked = (token, over, version)
            threading.Thread(target=self.tell_progress, args=asked, daemon=True).start()
        try:
            result: dict[str, Any] = self.tools.call(name, arguments, version)
        finally:
            over.set()
        return result

    def tell_progress(self, token: int | str, over: threading.Event, version: str) -> None:
        """Say every few seconds that a call is under way."""
        told = 0
        while not over.wait(PROGRESS_SECONDS):
            told += 1
            params = {"progressToken": token, "progress": told}
            if version != "2024-11-05":
                params["message"] = "waiting for what comes of it"
            self.say({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})


def failed(number: Any, fault: Fault) -> dict[str, Any]:
    """Return an error's response."""
    error: dict[str, Any] = {"code": fault.code, "message": str(fault)}
    if fault.data is not None:
        error["data"] = fault.data
    return {"jsonrpc": "2.0", "id": number, "error": error}


def key_of(number: Any) -> tuple[type, Any]:
    """Return what tells two ids apart: 1 and "1" are two."""
    return type(number), number if isinstance(number, int | str) else None


if __name__ == "__main__":
    Server().serve()
