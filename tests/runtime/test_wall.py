"""The wall: what a box may say to its model's provider, against a real server that records it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monastery.policies.provider import ProviderPolicy
from monastery.runtime.project import AnthropicPolicySettings, OpenAIPolicySettings
from monastery.runtime.store import Store
from monastery.runtime.training import training_items
from tests.provider import Asked, Provider, provider
from tests.provider import answer as provided
from tests.runtime.world import Small

KEY = "sk-of-the-operator"
PIXEL = "iVBORw0KGgo="
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hé"}]}
RESPONSES: dict[str, Any] = {"model": "m", "input": "hé"}
MESSAGES: dict[str, Any] = {**CHAT, "max_tokens": 9}
BY_API = {"openai.chat": CHAT, "openai.responses": RESPONSES, "anthropic.messages": MESSAGES}
COUNT = {"anthropic.count_tokens": CHAT}
FORCED = {"store": False, "stream": False}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """A provider; the operator's key is in the environment."""
    monkeypatch.setenv("THE_KEY", KEY)
    with provider() as told:
        yield told


def settings(server: Provider, api: str, **more: Any) -> Any:
    """Return the settings of a policy that speaks the API, at this server."""
    kind, name = (
        (AnthropicPolicySettings, "anthropic")
        if api.startswith("anthropic")
        else (OpenAIPolicySettings, "openai")
    )
    return kind.model_validate({name: server.url, "models": ["m", "n"], "key": "THE_KEY", **more})


async def ask(home: Path, set_: Any, *bodies: Any) -> tuple[list[Any], list[Any]]:
    """Have an agent make these calls; return its answers, and the events."""
    heard: list[Any] = []

    async def agent(inside: Any) -> int:
        heard.extend([await inside.model(body) for body in bodies])
        return 0

    small = Small(home, agent, rate=0.0, extra={"policy": set_}, policy=ProviderPolicy(set_))
    await small.live(small.new())
    return heard, small.events("model.called")


@pytest.mark.parametrize("api", [*BY_API, *COUNT])
async def test_a_plain_request_leaves_as_it_is_and_with_no_header_of_the_agents(
    tmp_path: Path, server: Provider, api: str
) -> None:
    """It reaches the provider with the operator's key, and the answer comes back and is counted."""
    request = {**BY_API, **COUNT}[api]
    answers, calls = await ask(tmp_path, settings(server, api), {"api": api, "request": request})
    (asked,), (answer,), (call,) = server.asked, answers, calls
    assert asked.body == (request | FORCED if api == "openai.responses" else request)
    key = "x-api-key" if api.startswith("anthropic") else "authorization"
    assert KEY in asked.headers[key]
    known = {"host", "content-type", "content-length", "accept", "anthropic-version", key}
    assert set(asked.headers) <= known
    assert answer["status"] == 200
    assert (call.api, call.model, call.status, call.refused) == (api, "m", 200, None)
    if api not in COUNT:
        assert (call.tokens_in, call.tokens_out) == (7, 3)
    assert KEY.encode() not in b"".join(path.read_bytes() for path in _files(tmp_path))


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _said(**message: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", **message}]}


def _part(part: dict[str, Any]) -> dict[str, Any]:
    return _said(content=[part])


def _item(item: dict[str, Any]) -> dict[str, Any]:
    return {"input": [item]}


def _input_part(part: dict[str, Any]) -> dict[str, Any]:
    return _item({"role": "user", "content": [part]})


FUNCTION = {"name": "f", "parameters": {"$ref": "https://example.org/s.json"}}
FAR_SCHEMA = {"type": "object", "properties": {"a": {"anyOf": [{"$ref": "http://x/y"}]}}}
REFUSED: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "openai.chat": [
        ("model", {"model": "another"}),
        ("store", {"store": True}),
        ("unknown", {"brand_new_field": 1}),
        ("web search", {"web_search_options": {}}),
        ("hosted tool", {"tools": [{"type": "web_search_preview"}]}),
        ("custom headers", {"extra_headers": {"x": "y"}}),
        ("endpoint", {"base_url": "http://example.org"}),
        ("prediction", {"prediction": {"type": "content", "content": "x"}}),
        ("audio out", {"modalities": ["audio"], "audio": {"voice": "a", "format": "wav"}}),
        ("image URL", _part({"type": "image_url", "image_url": {"url": "https://x.org/a.png"}})),
        ("ftp URL", _part({"type": "image_url", "image_url": {"url": "ftp://x.org/a.png"}})),
        (
            "svg",
            _part({"type": "image_url", "image_url": {"url": "data:image/svg+xml;base64,AA=="}}),
        ),
        (
            "inline, not allowed",
            _part({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}),
        ),
        ("file id", _part({"type": "file", "file": {"file_id": "file-1"}})),
        ("audio id", {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}),
        ("unknown in a message", _said(content="x", weight=1)),
        ("far schema", {"tools": [{"type": "function", "function": FUNCTION}]}),
        ("stream", {"stream": True}),
        ("a number as text", {"temperature": "1"}),
        ("a text as a flag", {"return_token_ids": "free text"}),
        ("tokens as a prompt", {"prompt_token_ids": [1, 2]}),
    ],
    "openai.responses": [
        ("model", {"model": "another"}),
        ("previous response", {"previous_response_id": "resp_1"}),
        ("conversation", {"conversation": "conv_1"}),
        ("kept prompt", {"prompt": {"id": "pmpt_1"}}),
        ("background", {"background": True}),
        ("store", {"store": True}),
        ("unknown", {"brand_new_field": 1}),
        ("include", {"include": ["file_search_call.results"]}),
        (
            "hosted in a namespace",
            {"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "web_search"}]}]},
        ),
        ("item of another time", _item({"type": "item_reference", "id": "msg_1"})),
        ("computer", _item({"type": "computer_call_output", "call_id": "c", "output": {}})),
        ("approval", _item({"type": "mcp_approval_response", "approve": True})),
        ("image URL", _input_part({"type": "input_image", "image_url": "https://x.org/a.png"})),
        ("image id", _input_part({"type": "input_image", "file_id": "file-1"})),
        ("file URL", _input_part({"type": "input_file", "file_url": "https://x.org/a.pdf"})),
        ("file id", _input_part({"type": "input_file", "file_id": "file-1"})),
        *(
            (f"tool {kind}", {"tools": [{"type": kind, **more}]})
            for kind, more in {
                "web_search": {},
                "web_search_preview": {},
                "file_search": {"vector_store_ids": ["vs_1"]},
                "code_interpreter": {"container": {"type": "auto"}},
                "computer_use_preview": {"environment": "browser"},
                "mcp": {"server_label": "x", "server_url": "https://x.org"},
                "image_generation": {},
                "local_shell": {},
            }.items()
        ),
        ("tool choice", {"tool_choice": {"type": "mcp", "server_label": "x"}}),
        ("far schema", {"tools": [{"type": "function", "name": "f", "parameters": FAR_SCHEMA}]}),
    ],
    "anthropic.messages": [
        ("model", {"model": "another"}),
        ("unknown", {"brand_new_field": 1}),
        ("MCP", {"mcp_servers": [{"type": "url", "url": "https://x.org", "name": "x"}]}),
        ("container", {"container": "container_1"}),
        ("context", {"context_management": {"edits": []}}),
        *(
            (f"tool {kind}", {"tools": [{"type": kind, "name": name}]})
            for kind, name in {
                "web_search_20250305": "web_search",
                "web_fetch_20250910": "web_fetch",
                "code_execution_20250522": "code_execution",
                "computer_20250124": "computer",
                "bash_20250124": "bash",
                "text_editor_20250728": "str_replace_based_edit_tool",
                "mcp_toolset": "x",
            }.items()
        ),
        ("far schema", {"tools": [{"name": "f", "input_schema": FAR_SCHEMA}]}),
        ("far form", {"output_config": {"format": {"type": "json_schema", "schema": FAR_SCHEMA}}}),
        ("unknown output", {"output_config": {"effort": "low", "deliver_to": "x"}}),
        (
            "image URL",
            _part({"type": "image", "source": {"type": "url", "url": "https://x.org/a.png"}}),
        ),
        ("image id", _part({"type": "image", "source": {"type": "file", "file_id": "file_1"}})),
        (
            "document URL",
            _part({"type": "document", "source": {"type": "url", "url": "https://x.org/a"}}),
        ),
        (
            "inline, not allowed",
            _part(
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
                }
            ),
        ),
        ("upload", _part({"type": "container_upload", "file_id": "file_1"})),
        ("server tool", _part({"type": "server_tool_use", "id": "x", "name": "y", "input": {}})),
    ],
}
CASES = [(api, name, more) for api, cases in REFUSED.items() for name, more in cases]


@pytest.mark.parametrize(
    ("api", "name", "more"), CASES, ids=[f"{api}: {name}" for api, name, _ in CASES]
)
async def test_what_would_act_or_carry_out_is_refused_and_nothing_leaves(
    tmp_path: Path, server: Provider, api: str, name: str, more: dict[str, Any]
) -> None:
    """400 in the API's own form, recorded with its reason; the provider never hears of it."""
    body = {"api": api, "request": {**BY_API[api], **more}}
    good = {"api": api, "request": BY_API[api]}
    set_ = settings(server, api, inline_data=not name.startswith("inline"))
    (refused, passed), (call, _) = await ask(tmp_path, set_, body, good)
    assert refused["status"] == 400
    error = refused["response"]["error"]
    assert error["type"] == "invalid_request_error"
    assert call.refused == error["message"]
    assert (refused["response"].get("type") == "error") == api.startswith("anthropic")
    assert passed["status"] == 200
    assert len(server.asked) == 1  # the good one, so the way there was open


@pytest.mark.parametrize("body", [
    {"messages": []},
    {"api": "openai.images", "request": {}},
    {"api": ["openai.chat"], "request": {}},
    {"api": "openai.chat", "request": CHAT, "url": "http://example.org"},
    {"api": "openai.chat", "request": [CHAT]},
    {"api": "anthropic.messages", "request": MESSAGES},
    {"api": "models", "request": {"a": "free text"}},
])  # fmt: skip
async def test_a_call_of_no_api_that_the_policy_speaks_is_refused(
    tmp_path: Path, server: Provider, body: dict[str, Any]
) -> None:
    """The agent's process writes the call itself if it likes; the wall does not trust its form."""
    (answer,), (call,) = await ask(tmp_path, settings(server, "openai.chat"), body)
    assert (answer["status"], server.asked) == (400, [])
    assert call.refused


@pytest.mark.parametrize(
    ("api", "more"),
    [
        (
            "openai.chat",
            _part({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}),
        ),
        (
            "openai.responses",
            _input_part({"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}),
        ),
        (
            "anthropic.messages",
            _part(
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
                }
            ),
        ),
    ],
)
async def test_inline_data_leaves_if_the_project_says_so(
    tmp_path: Path, server: Provider, api: str, more: dict[str, Any]
) -> None:
    """The bytes are in the record like all the rest of the request."""
    body = {"api": api, "request": {**BY_API[api], **more}}
    (answer,), _ = await ask(tmp_path, settings(server, api, inline_data=True), body)
    assert answer["status"] == 200
    assert PIXEL in str(server.asked[0].body)


DROPPED: dict[str, dict[str, Any]] = {
    "openai.chat": {
        "user": "free text",
        "metadata": {"a": "free text"},
        "service_tier": "priority",
        "prompt_cache_key": "free text",
        "prompt_cache_retention": "24h",
        "safety_identifier": "free text",
    },
    "openai.responses": {
        "user": "free text",
        "metadata": {"a": "free text"},
        "client_metadata": {"a": "free text"},
        "service_tier": "priority",
        "prompt_cache_key": "free text",
        "prompt_cache_retention": "24h",
        "safety_identifier": "free text",
    },
    "anthropic.messages": {"metadata": {"user_id": "free text"}, "service_tier": "auto"},
}


@pytest.mark.parametrize("api", DROPPED)
async def test_what_agents_always_send_and_nobody_needs_stays_here(
    tmp_path: Path, server: Provider, api: str
) -> None:
    """The call is made without it, and the record names it; what is sent empty is no matter."""
    request = BY_API[api] | DROPPED[api]
    body = {"api": api, "request": request}
    empty = {"api": api, "request": BY_API[api] | dict.fromkeys(DROPPED[api])}
    answers, calls = await ask(tmp_path, settings(server, api), body, empty)
    assert [answer["status"] for answer in answers] == [200, 200]
    for asked in server.asked:
        assert asked.body == BY_API[api] | (FORCED if "responses" in api else {})
    assert "free text" not in str(server.asked)
    assert sorted(calls[0].dropped) == sorted(DROPPED[api])
    assert calls[1].dropped == []


async def test_what_a_client_adds_to_a_message_of_the_model_stays_here(
    tmp_path: Path, server: Provider
) -> None:
    """As its own notes are, which it sends back with the message."""
    said = {"role": "assistant", "content": "x", "provider_specific_fields": {"a": "free text"}}
    request = {**CHAT, "messages": [*CHAT["messages"], said]}
    body = {"api": "openai.chat", "request": request}
    (answer,), (call,) = await ask(tmp_path, settings(server, "openai.chat"), body)
    assert answer["status"] == 200
    assert server.asked[0].body["messages"][1] == {"role": "assistant", "content": "x"}
    assert call.dropped == ["provider_specific_fields"]


CUSTOM = {"name": "f", "description": "d"}
LARK = {"syntax": "lark", "definition": "start: /a+/"}
PLAIN = {"name": "f", "parameters": {"type": "object"}}


@pytest.mark.parametrize(
    ("api", "more"),
    [
        (
            "openai.chat",
            {
                "tools": [
                    {"type": "custom", "custom": CUSTOM},
                    {
                        "type": "custom",
                        "custom": CUSTOM | {"format": {"type": "grammar", "grammar": LARK}},
                    },
                ],
                "messages": [
                    *CHAT["messages"],
                    {
                        "role": "assistant",
                        "tool_calls": [
                            {"id": "c", "type": "custom", "custom": {"name": "f", "input": "aa"}}
                        ],
                    },
                    {"role": "tool", "tool_call_id": "c", "content": "done"},
                ],
            },
        ),
        (
            "openai.responses",
            {
                "tools": [
                    {"type": "custom", **CUSTOM, "format": {"type": "text"}},
                    {"type": "custom", **CUSTOM, "format": {"type": "grammar", **LARK}},
                ],
                "input": [
                    {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "aa"},
                    {"type": "custom_tool_call_output", "call_id": "c", "output": "done"},
                ],
            },
        ),
        (
            "openai.responses",
            {
                "tools": [
                    {
                        "type": "namespace",
                        "name": "mcp__x",
                        "tools": [{"type": "function", **PLAIN}],
                    }
                ],
                "input": [
                    {
                        "type": "function_call",
                        "call_id": "c",
                        "namespace": "mcp__x",
                        "name": "f",
                        "arguments": "{}",
                    },
                    {"type": "function_call_output", "call_id": "c", "output": "done"},
                ],
            },
        ),
    ],
)
async def test_the_agents_own_tools_pass_in_every_form(
    tmp_path: Path, server: Provider, api: str, more: dict[str, Any]
) -> None:
    """Tools that get a text, tools in a namespace: with each call and its result, word for word."""
    body = {"api": api, "request": {**BY_API[api], **more}}
    (answer,), _ = await ask(tmp_path, settings(server, api), body)
    assert answer["status"] == 200, answer
    for name, value in more.items():
        assert server.asked[0].body[name] == value


async def test_effort_and_form_of_an_answer_pass(tmp_path: Path, server: Provider) -> None:
    """What coding agents set by default, and what says that the answer is JSON."""
    form = {"type": "json_schema", "schema": {"type": "object"}}
    output = {"effort": "high", "format": form}
    request = {**MESSAGES, "output_config": output, "thinking": {"type": "adaptive"}}
    body = {"api": "anthropic.messages", "request": request}
    (answer,), _ = await ask(tmp_path, settings(server, "anthropic.messages"), body)
    assert answer["status"] == 200, answer
    assert server.asked[0].body == request


async def test_a_server_that_tells_its_tokens_is_asked_for_them_and_they_are_recorded(
    tmp_path: Path, server: Provider
) -> None:
    """As vLLM is asked and answers; what a learner is given of the run has them."""

    def tell(asked: Asked) -> Any:
        told = provided(asked)
        rows = [{"token": "he", "logprob": -0.5}, {"token": "ard", "logprob": -1.5}]
        told["choices"][0] |= {"token_ids": [7, 9], "logprobs": {"content": rows}}
        return {**told, "prompt_token_ids": [1, 5]}

    server.usually = tell
    wanted = {"return_token_ids": True, "logprobs": True, "temperature": 1.0, "top_p": 1.0}
    body = {"api": "openai.chat", "request": CHAT | wanted}
    (answer,), (call,) = await ask(tmp_path, settings(server, "openai.chat"), body)
    assert server.asked[0].body == CHAT | wanted
    assert answer["response"]["choices"][0]["token_ids"] == [7, 9]
    assert call.dropped == []
    with Store.open(tmp_path) as store:
        (item,) = [one for row in store.runs() for one in training_items(store, row.run)]
    (asked,), (told,) = item.context.asked, item.trainable.answers
    assert (asked.prompt_ids, told.token_ids) == ((1, 5), (7, 9))
    assert (told.logprobs, told.temperature) == ((-0.5, -1.5), 1.0)


async def test_a_conversation_with_tools_is_passed_on_whole(
    tmp_path: Path, server: Provider
) -> None:
    """What clients send back to the model, with the empty fields that they add, still passes."""
    function = {"name": "f", "arguments": "{}"}
    said = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    said |= {"audio": None, "function_call": None}
    said |= {"tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "42"}
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/a", "default": None}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    request = {**CHAT, "messages": [*CHAT["messages"], said, result], "tools": [tool]}
    request |= {"temperature": 0.5, "tool_choice": "auto", "max_tokens": 5, "seed": 1}
    body = {"api": "openai.chat", "request": request}
    (answer,), _ = await ask(tmp_path, settings(server, "openai.chat"), body)
    assert answer["status"] == 200, answer
    left = server.asked[0].body
    assert left["tools"] == [tool]  # schemas are not tidied: their nulls mean something
    assert left["messages"][1]["tool_calls"] == said["tool_calls"]
    assert "annotations" not in left["messages"][1]
