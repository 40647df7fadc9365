"""A tiny model of a real architecture, made on the spot: `python -m tests.tiny_model FOLDER`.

No weights can be had here, so they are drawn at random from a configuration, and then trained on
the processor for some seconds until the model has a few conversations by heart. What it says of
them, tool calls too, comes out of the real sampling of a real model. It looks at the last
`WINDOW` tokens alone (a sliding window in each of its layers), so that what stands before, such as
an agent's long system prompt, changes nothing; of what it has not learned it says what it happens
to say.

Tools are called in the Hermes form, the conversation is written in ChatML.
"""

import json
import sys
from pathlib import Path
from random import Random
from typing import Any

WINDOW = 48
CONTEXT = 16_384
_ROUNDS = 50
_STEPS = 20

_PROPOSE = {
    "name": "propose",
    "arguments": {"kind": "plan", "rationale": "A plan comes first.", "payload": "count, then add"},
}
_FINISH = {"name": "finish", "arguments": {"reached": True, "why": "The plan stands."}}
_ADD = {"name": "add", "arguments": {"a": 2, "b": 3}}


def called(call: dict[str, Any]) -> str:
    """Return a tool call as the model writes it."""
    return f"<tool_call>\n{json.dumps(call)}\n</tool_call>"


LEARNED = (
    # What a prompt ends with (the last message, its role before it), and what is answered.
    ("user", "Say hello.", "Hello, world!"),
    ("user", "What is 2 and 3?", called(_ADD)),
    ("tool", "5", "It is 5."),
    # The built-in agent: how its conversation begins, and how the outcome of its step ends.
    ("user", "(none yet)\n\nGo on.", called(_PROPOSE)),
    ("tool", '"feedback": "", "data": {}}', called(_FINISH)),
)

ENDLESS = ("user", "Do go on.", " and on" * 50)
"""What it says to this has no end."""

TEMPLATE = """\
{%- macro begin(role) -%}{{ '<|im_start|>' + role + '\n' }}{%- endmacro -%}
{%- macro end() -%}{{ '<|im_end|>\n' }}{%- endmacro -%}
{%- if tools or (messages and messages[0].role == 'system') -%}
    {{- begin('system') -}}
    {%- if messages[0].role == 'system' -%}{{- messages[0].content -}}{%- endif -%}
    {%- if tools -%}
        {{- '\n# Tools\n' -}}
        {%- for tool in tools -%}{{- tool | tojson + '\n' -}}{%- endfor -%}
    {%- endif -%}
    {{- end() -}}
{%- endif -%}
{%- for message in messages if message.role != 'system' -%}
    {%- if message.role == 'tool' -%}
        {{- begin('user') + '<tool_response>\n' + message.content + '\n</tool_response>' -}}
    {%- else -%}
        {{- begin(message.role) + (message.content or '') -}}
        {%- for call in message.tool_calls or [] -%}
            {%- set told = {'name': call.function.name, 'arguments': call.function.arguments} -%}
            {{- '<tool_call>\n' + told | tojson + '\n</tool_call>' -}}
        {%- endfor -%}
    {%- endif -%}
    {{- end() -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- begin('assistant') -}}{%- endif -%}
"""

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def make(folder: Path, *, learned: bool = True) -> None:
    """Write a model to a folder, with its tokenizer and its chat template.

    Args:
        folder: Where to; made if it is not there.
        learned: Whether it is trained; else its weights stay as they were drawn.

    Raises:
        RuntimeError: It did not learn its conversations.
    """
    import torch
    from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

    torch.set_num_threads(1)  # the tensors are too small for more
    torch.manual_seed(1)
    tokenizer = _tokenizer()
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=CONTEXT,
        use_sliding_window=True,
        sliding_window=WINDOW,
        layer_types=["sliding_attention"] * 2,
        tie_word_embeddings=True,
        eos_token_id=end,
        pad_token_id=tokenizer.convert_tokens_to_ids("<|endoftext|>"),
    )
    model = Qwen3ForCausalLM(config)
    if learned:
        _train(model, tokenizer)
    # Greedy unless a request says otherwise.
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=end)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tokenizer() -> Any:
    """Return a byte-level tokenizer that was made from the few texts which there are."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [text for _, last, answer in (*LEARNED, ENDLESS) for text in (last, answer)]
    inner.train_from_iterator([*texts, TEMPLATE, __doc__ or ""], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=TEMPLATE,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def _ids(tokenizer: Any, role: str, text: str) -> list[int]:
    """Return the end of a prompt whose last message is this."""
    messages = [{"role": role, "content": text}]
    told = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    # From the middle of the message on, for what it begins with differs.
    beginning = "<|im_start|>user\n" + ("<tool_response>\n" if role == "tool" else "")
    short = told.removeprefix(beginning) if len(text) > 20 else told
    return list(tokenizer(short, add_special_tokens=False)["input_ids"])


def _train(model: Any, tokenizer: Any) -> None:
    """Train until each answer is the most probable one, whatever stands before its prompt."""
    import torch

    pairs = [
        (
            _ids(tokenizer, role, last),
            tokenizer(answer + "<|im_end|>", add_special_tokens=False)["input_ids"],
        )
        for role, last, answer in LEARNED
    ]
    role, last, answer = ENDLESS
    pairs.append((_ids(tokenizer, role, last), tokenizer(answer)["input_ids"]))
    draw = Random(2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model.train()
    for _ in range(_ROUNDS):
        for _ in range(_STEPS):
            batch, labels = _batch(pairs, len(tokenizer), draw)
            loss = model(input_ids=batch, labels=labels).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        if loss.item() < 0.001:
            break
    else:
        raise RuntimeError(f"the tiny model did not learn: its loss is still {loss.item():.4f}")
    model.eval()


def _batch(pairs: Any, words: int, draw: Random) -> tuple[Any, Any]:
    """Return every conversation behind others and some noise, and which tokens are learned."""
    import torch

    length = max(len(prompt) + len(answer) for prompt, answer in pairs) + WINDOW
    rows, labels = [], []
    for prompt, answer in pairs:
        row = [*prompt, *answer]
        while len(row) < length:
            before, said = draw.choice(pairs)
            noise = draw.choices(range(words), k=draw.randrange(WINDOW))
            row = [*draw.choice(([*before, *said], noise)), *row]
        rows.append(row[-length:])
        labels.append([-100] * (length - len(answer)) + list(answer))
    return torch.tensor(rows), torch.tensor(labels)


if __name__ == "__main__":
    make(Path(sys.argv[1]), learned="--random" not in sys.argv[2:])
