"""Count what a local policy recorded anew, by other means: `python -m tests.policies.recount`.

Standard input holds a JSON object: `folder`, and `calls` as they were recorded. For each answer the
whole text goes through the model at once, without a cache, and the draw's probabilities are taken
from that in plain Python. Printed is the largest difference of each kind of log-probability.
"""

import json
import math
import sys
from typing import Any


def drawn(logprobs: list[float], token: int, call: dict[str, Any]) -> float:
    """Return the log-probability of a token in a draw."""
    if call["temperature"] == 0:
        assert token == max(range(len(logprobs)), key=logprobs.__getitem__), "not the most probable"
        return 0.0
    weights = {one: math.exp(of / call["temperature"]) for one, of in enumerate(logprobs)}
    best = sorted(weights, key=weights.__getitem__, reverse=True)
    if call["top_k"]:
        best = best[: call["top_k"]]
    enough, kept = call["top_p"] * sum(weights[one] for one in best), 0.0
    allowed = []
    for one in best:
        if kept >= enough:
            break
        allowed.append(one)
        kept += weights[one]
    assert token in allowed, "it could not be drawn"
    return math.log(weights[token] / sum(weights[one] for one in allowed))


def main() -> None:
    """Count."""
    import torch
    from transformers import AutoModelForCausalLM

    told = json.load(sys.stdin)
    model: Any = AutoModelForCausalLM.from_pretrained(told["folder"]).eval()
    worst, worst_drawn = 0.0, 0.0
    for call in told["calls"]:
        prompt = call["prompt_ids"]
        for sample in call["samples"]:
            with torch.inference_mode():
                logits = model(torch.tensor([prompt + sample["ids"]]), use_cache=False).logits[0]
            rows = logits.float().log_softmax(-1)[len(prompt) - 1 : -1].tolist()
            given = zip(
                sample["ids"], rows, sample["logprobs"], sample["drawn_logprobs"], strict=True
            )
            for token, row, logprob, drawn_logprob in given:
                worst = max(worst, abs(row[token] - logprob))
                worst_drawn = max(worst_drawn, abs(drawn(row, token, call) - drawn_logprob))
    print(json.dumps({"logprobs": worst, "drawn_logprobs": worst_drawn}))


if __name__ == "__main__":
    main()
