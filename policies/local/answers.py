"""What was sampled as the answers of the APIs."""

import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from monastery.policies.local.conversations import Asked
from monastery.policies.local.sampling import Sample, Sampled
from monastery.policies.local.tool_calls import Called, found

_FINISH = {"stop": "stop", "stopped": "stop", "length": "length"}
_STOP_REASON = {"stop": "end_turn", "stopped": "stop_sequence", "length": "max_tokens"}


def answer(api: str, model: str, asked: Asked, sampled: Sampled) -> dict[str, Any]:
    """Return the answer to a request, in the form of its API."""
    made = _chat if api == "openai.chat" else _message
    return made(model, asked, sampled)


def counted(tokens: int) -> dict[str, Any]:
    """Return the answer to a count of tokens."""
    return {"input_tokens": tokens}


def kept(sampled: Sampled) -> dict[str, Any]:
    """Return what is recorded for whoever trains the model, beside the answer."""
    how = sampled.sampling
    return {
        "prompt_ids": sampled.prompt_ids,
        "samples": [
            {"ids": one.ids, "logprobs": one.logprobs, "drawn_logprobs": one.drawn_logprobs}
            for one in sampled.samples
        ],
        **{name: getattr(how, name) for name in ("temperature", "top_p", "top_k", "seed")},
    }


def failure(api: str, why: str, *, code: str) -> dict[str, Any]:
    """Return the answer to a request that cannot be met, as the clients of its API expect it."""
    kind = "invalid_request_error"
    if api.startswith("anthropic"):
        told: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": why}}
    else:
        told = {"error": {"message": why, "type": kind, "param": None, "code": code}}
    return {"status": 400, "response": told}


def _said(asked: Asked, sample: Sample) -> tuple[str, list[Called]]:
    """Return the text and the calls of an answer; none is looked for where none was offered."""
    text, calls = found(sample.text) if asked.tools else (sample.text, [])
    return text, calls[:1] if asked.one_call else calls


def _chat(model: str, asked: Asked, sampled: Sampled) -> dict[str, Any]:
    went_in = len(sampled.prompt_ids)
    came_out = sum(len(sample.ids) for sample in sampled.samples)
    told = {"prompt_token_ids": sampled.prompt_ids} if asked.token_ids else {}
    return {
        **told,
        "id": _new("chatcmpl"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [_choice(index, asked, sample) for index, sample in enumerate(sampled.samples)],
        "usage": {
            "prompt_tokens": went_in,
            "completion_tokens": came_out,
            "total_tokens": went_in + came_out,
        },
    }


def _choice(index: int, asked: Asked, sample: Sample) -> dict[str, Any]:
    text, calls = _said(asked, sample)
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if calls:
        message["content"] = text or None
        message["tool_calls"] = [
            {
                "id": _new("call"),
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            }
            for call in calls
        ]
    logprobs = {"content": _logprobs(sample), "refusal": None} if asked.logprobs else None
    told = {"token_ids": sample.ids} if asked.token_ids else {}
    return {
        **told,
        "index": index,
        "message": message,
        "logprobs": logprobs,
        "finish_reason": "tool_calls" if calls else _FINISH[sample.ended],
    }


def _logprobs(sample: Sample) -> list[dict[str, Any]]:
    """Return the log-probabilities of the text; not of the token that ended it."""
    count = len(sample.ids) - (sample.ended == "stop")
    top = sample.top or [[] for _ in sample.ids]
    rows = zip(sample.tokens, sample.logprobs, top, strict=True)
    return [
        {**_told(token, logprob), "top_logprobs": [_told(*one) for one in best]}
        for token, logprob, best in list(rows)[:count]
    ]


def _told(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


def _message(model: str, asked: Asked, sampled: Sampled) -> dict[str, Any]:
    (sample,) = sampled.samples
    text, calls = _said(asked, sample)
    blocks: list[Mapping[str, Any]] = [{"type": "text", "text": text}] if text else []
    blocks += [
        {"type": "tool_use", "id": _new("toolu"), "name": call.name, "input": call.arguments}
        for call in calls
    ]
    return {
        "id": _new("msg"),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": blocks,
        "stop_reason": "tool_use" if calls else _STOP_REASON[sample.ended],
        "stop_sequence": sample.stopped_by,
        "usage": {"input_tokens": len(sampled.prompt_ids), "output_tokens": len(sample.ids)},
    }


def _new(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(12)}"
