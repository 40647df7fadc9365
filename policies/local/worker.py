"""The process in which a local model thinks: `python -m monastery.policies.local.worker`.

One JSON object a line: what it is to load comes as an argument, calls come in on standard input,
answers go out where standard output was; what libraries print goes to standard error. First it says
`ready` or `unfit`. It thinks about one call at a time, and between two tokens it hears whether that
was called off. When standard input ends, so does it, in the middle of a thought too.
"""

import os
import queue
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from monastery.policies.local.sampling import Sample, Sampled, Sampling


class Load(msgspec.Struct, frozen=True):
    """What is to be loaded, and how."""

    folder: str
    device: str
    dtype: str
    context_tokens: int | None


class Call(msgspec.Struct, frozen=True):
    """A conversation to go on with, or to count; without messages: that a call is called off."""

    number: int
    messages: list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] = []
    sampling: Sampling | None = None


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of a call: one of these, or nothing when it was called off.

    Attributes:
        context: How many tokens the model can be given; told with those of a prompt that are more.
    """

    number: int
    sampled: Sampled | None = None
    prompt_tokens: int | None = None
    context: int | None = None
    failed: str | None = None


class Ready(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether the model is loaded: why not, or nothing."""

    unfit: str | None = None


class Thinker:
    """A model with its tokenizer, and what its own settings say of sampling.

    Raises:
        Exception: It cannot be loaded; whatever the libraries say.
    """

    def __init__(self, load: Load) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        on_disk: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        device = load.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.tokenizer: Any = AutoTokenizer.from_pretrained(load.folder, **on_disk)
        model = AutoModelForCausalLM.from_pretrained(
            load.folder, dtype=load.dtype, use_safetensors=True, **on_disk
        )
        self.model: Any = model.to(device).eval()
        if not self.tokenizer.chat_template:
            raise ValueError("its tokenizer has no chat template")
        own = getattr(self.model.config, "max_position_embeddings", None)
        known = [size for size in (own, load.context_tokens) if size is not None]
        if not known:
            raise ValueError("it does not say how long its context is; set policy.context_tokens")
        self.context = min(known)
        self.defaults = self.model.generation_config
        self.ends = _ids(self.defaults.eos_token_id) | _ids(self.tokenizer.eos_token_id)

    def think(self, call: Call, is_wanted: Any) -> Reply:
        """Go on with a conversation, or count its tokens.

        Raises:
            CalledOff: It is not wanted any more.
            Exception: Whatever the libraries or the chat template say.
        """
        import torch

        from monastery.policies.local.generation import generate

        told = self.tokenizer.apply_chat_template(
            call.messages,
            tools=call.tools or None,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
        )
        prompt = [int(token) for token in told["input_ids"]]
        if call.sampling is None:
            return Reply(call.number, prompt_tokens=len(prompt))
        if len(prompt) >= self.context:
            return Reply(call.number, prompt_tokens=len(prompt), context=self.context)
        how = self._settled(call.sampling, self.context - len(prompt))
        samples = []
        draw = torch.Generator().manual_seed((how.seed or 0) & (1 << 63) - 1)
        for _ in range(how.samples):
            drawn = generate(
                self.model,
                prompt,
                max_tokens=how.max_tokens,
                temperature=how.temperature or 0.0,
                top_p=_first(how.top_p, 1.0),
                top_k=how.top_k or 0,
                draw=draw,
                ends=self.ends,
                is_over=self._stop(how.stop),
                is_wanted=is_wanted,
                top=how.top_logprobs,
            )
            samples.append(self._sample(drawn, how))
        return Reply(call.number, sampled=Sampled(prompt, how, samples))

    def _settled(self, asked: Sampling, room: int) -> Sampling:
        """Return how to draw, with nothing left open: what is not asked for is the model's own."""
        own = self.defaults
        temperature = asked.temperature
        if temperature is None:
            temperature = (1.0 if own.temperature is None else own.temperature) * bool(
                own.do_sample
            )
        return msgspec.structs.replace(
            asked,
            max_tokens=min(asked.max_tokens, room),
            temperature=float(temperature),
            top_p=float(_first(asked.top_p, own.top_p, 1.0)),
            top_k=int(_first(asked.top_k, own.top_k, 0)),
            seed=int.from_bytes(os.urandom(6), "big") if asked.seed is None else asked.seed,
        )

    def _stop(self, stops: Sequence[str]) -> Any:
        """Return whether the tokens so far hold a text that ends the answer."""
        longest = max((len(stop.encode()) for stop in stops), default=0)

        def is_over(ids: Sequence[int]) -> bool:
            # A token has at least a byte, but for the special ones; those few are allowed for.
            return bool(stops) and _first_stop(self._text(ids[-longest - 8 :]), stops) is not None

        return is_over

    def _sample(self, drawn: Any, how: Sampling) -> Sample:
        by_itself = drawn.ids[-1] in self.ends
        text = self._text(drawn.ids[:-1] if by_itself else drawn.ids)
        stop = _first_stop(text, how.stop)
        if stop is not None:
            text = text[: text.index(stop)]
        ended = "stopped" if stop is not None else "stop" if by_itself else "length"
        return Sample(
            ids=drawn.ids,
            logprobs=[round(one, 6) for one in drawn.logprobs],
            drawn_logprobs=[round(one, 6) for one in drawn.drawn_logprobs],
            tokens=[self._text([one]) for one in drawn.ids],
            top=[[(self._text([one]), round(of, 6)) for one, of in best] for best in drawn.top],
            text=text,
            ended=ended,
            stopped_by=stop,
        )

    def _text(self, ids: Sequence[int]) -> str:
        # Special tokens are kept: with some models the marks of a tool call are such.
        text = self.tokenizer.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return str(text)


def _first(*values: Any) -> Any:
    """Return the first that is not None."""
    return next(value for value in values if value is not None)


def _first_stop(text: str, stops: Sequence[str]) -> str | None:
    """Return which of some texts comes first in a text."""
    found = [stop for stop in stops if stop in text]
    return min(found, key=text.index, default=None)


def _ids(ends: Any) -> set[int]:
    """Return the tokens that end an answer, as a model's settings have them."""
    if ends is None:
        return set()
    return set(ends) if isinstance(ends, list) else {ends}


class Inbox:
    """What comes in, read in a thread: so a call can be called off while it is thought about."""

    def __init__(self) -> None:
        self.calls = queue.SimpleQueue[Call]()
        self._off = set[int]()
        threading.Thread(target=self._read, daemon=True).start()

    def is_wanted(self, number: int) -> bool:
        """Whether a call was not called off."""
        return number not in self._off

    def _read(self) -> None:
        for line in sys.stdin.buffer:
            call = msgspec.json.decode(line, type=Call)
            if call.messages is None:
                self._off.add(call.number)
            else:
                self.calls.put(call)
        os._exit(0)  # whoever asked is gone; a thought in a library ends no other way


def main() -> None:
    """Load, then answer calls until nobody makes any."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what libraries print must not come between the answers
    inbox = Inbox()

    def say(message: Mapping[str, Any] | msgspec.Struct) -> None:
        out.write(msgspec.json.encode(message) + b"\n")

    try:
        thinker = Thinker(msgspec.json.decode(sys.argv[1], type=Load))
    except Exception as exc:  # noqa: BLE001 - whatever the libraries say of the files is told
        say(Ready(unfit=_line(exc)))
        return
    say(Ready())
    while True:
        call = inbox.calls.get()
        say(_reply(thinker, call, inbox))


def _reply(thinker: Thinker, call: Call, inbox: Inbox) -> Reply:
    from monastery.policies.local.generation import CalledOff

    try:
        return thinker.think(call, lambda: inbox.is_wanted(call.number))
    except CalledOff:
        return Reply(call.number)
    except Exception as exc:  # noqa: BLE001 - a call that breaks must not end those after it
        return Reply(call.number, failed=_line(exc))


def _line(exc: Exception) -> str:
    """Return an error in one line."""
    text = " ".join(str(exc).split())[:400]
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__


if __name__ == "__main__":
    main()
