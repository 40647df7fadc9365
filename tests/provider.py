"""A model's provider on this machine: a real HTTP server that records all that reaches it."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Provider:
    """What the server was asked, and what it answers: the next of `says`, or what it usually does.

    Attributes:
        url: Its address.
        says: Answers to come: status, headers and body.
    """

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    says: list[tuple[int, dict[str, str], Any]] = field(default_factory=list)
    usually: Callable[[Asked], Any] = lambda asked: answer(asked)

    def reply(self, asked: Asked) -> tuple[int, dict[str, str], Any]:
        """Return the answer to a request."""
        self.asked.append(asked)
        return self.says.pop(0) if self.says else (200, {}, self.usually(asked))


def answer(asked: Asked) -> Any:
    """Return what a model says, in the form of the API: a text, or a call of the first tool."""
    request = asked.body
    tools = request.get("tools")
    if asked.path.endswith("/chat/completions"):
        message: dict[str, Any] = {"role": "assistant", "content": "heard", "refusal": None}
        if tools:
            named = tools[0].get("function") or tools[0]["custom"]
            function = {"name": named["name"], "arguments": '{"a": 1}'}
            called = {"id": "call_1", "type": "function", "function": function}
            message |= {"content": None, "tool_calls": [called]}
        end = "tool_calls" if tools else "stop"
        choice = {"index": 0, "message": message, "finish_reason": end, "logprobs": None}
        used = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        head = {"id": "chat_1", "object": "chat.completion", "created": 1, "model": "m-1"}
        return {**head, "choices": [choice], "usage": used}
    if asked.path.endswith("/responses"):
        part = {"type": "output_text", "text": "heard", "annotations": [], "logprobs": []}
        item: dict[str, Any] = {"type": "message", "id": "msg_1", "role": "assistant"}
        item |= {"status": "completed", "content": [part]}
        if tools:
            item = {"type": "function_call", "id": "fc_1", "call_id": "call_1"}
            item |= {"name": tools[0]["name"], "arguments": '{"a": 1}', "status": "completed"}
        head = {"id": "resp_1", "object": "response", "created_at": 1.0, "model": "m-1"}
        head |= {"status": "completed", "error": None, "incomplete_details": None}
        head |= {"instructions": None, "metadata": {}, "parallel_tool_calls": True}
        head |= {"temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0}
        used = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
        details = {"input_tokens_details": {"cached_tokens": 0}}
        details |= {"output_tokens_details": {"reasoning_tokens": 0}}
        return {**head, "output": [item], "usage": {**used, **details}}
    if asked.path.endswith("/count_tokens"):
        return {"input_tokens": 7}
    block: dict[str, Any] = {"type": "text", "text": "heard"}
    if tools:
        block = {"type": "tool_use", "id": "tu_1", "name": tools[0]["name"], "input": {"a": 1}}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m-1"}
    end = {"stop_reason": "tool_use" if tools else "end_turn", "stop_sequence": None}
    return {**head, "content": [block], **end, "usage": {"input_tokens": 7, "output_tokens": 3}}


@contextmanager
def provider() -> Iterator[Provider]:
    """Serve on loopback until the block ends."""
    told = Provider()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more, body = told.reply(Asked(self.path, headers, json.loads(data)))
            sent = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**more, "content-length": str(len(sent))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128  # who connects at once must not be turned away

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
