"""TRL on an export, in a process of its own: `python -m tests.policies.trainers.trl_check …`.

Trains as a user does; then looks at TRL's loss: which outputs its gradient reaches, whether it is
the policy gradient of the rows, and what the boundary check says of it. Prints a JSON object.
"""

import json
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from monastery.policies.learners.boundary import TrainerSubject, check_boundary
from monastery.policies.learners.rehearsal import Kind, RehearsedStep
from monastery.policies.learners.watch import Watch
from monastery.runtime.credit import Answered, Asked, Context, Trainable, TrainingItem
from monastery.runtime.exports.rows import moment_rows
from monastery.runtime.exports.steps import step_object
from monastery.runtime.records import RunId, SegmentId


def hidden(model: Any, take: Any) -> Any:
    """Have `take` see, and replace, what the head makes logits of, position by position."""

    def hook(_: Any, __: Any, output: Any) -> Any:
        output.last_hidden_state = take(output.last_hidden_state)
        return output

    return model.base_model.register_forward_hook(hook)


def loss_of(trainer: Any, rows: list[dict[str, Any]]) -> Any:
    """Return TRL's loss of rows, as one batch of a training step."""
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    batch = trainer._generate_and_score_completions(rows)
    return trainer.compute_loss(trainer.model, batch), batch


def reach(trainer: Any, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return which positions' outputs a gradient reaches that should, and that should not."""
    seen = []

    def take(state: Any) -> Any:
        state.retain_grad()
        seen.append(state)
        return state

    handle = hidden(trainer.model, take)
    loss, batch = loss_of(trainer, rows)
    loss.backward()
    handle.remove()
    (state,) = seen
    width = batch["prompt_ids"].shape[1]
    mine = torch.zeros(state.shape[:2], dtype=torch.bool)
    for number, row in enumerate(rows):
        for place, sampled in enumerate(row["completion_mask"]):
            mine[number, width + place - 1] = bool(sampled)
    sizes = state.grad.abs().amax(-1)
    return {"inside": float(sizes[mine].max()), "outside": float(sizes[~mine].max())}


def gradient(trainer: Any, rows: list[dict[str, Any]], segments: int) -> float:
    """Return how far TRL's gradient is from the rows' policy gradient, as a share of its size."""
    model = trainer.model
    model.zero_grad()
    loss_of(trainer, rows)[0].backward()
    theirs = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    for row in rows:
        ids = torch.tensor([row["prompt_ids"] + row["completion_ids"]])
        logprobs = model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
        mask = torch.tensor(row["completion_mask"])
        ours = -row["advantage"] * (logprobs[-len(mask) :] * mask).sum() / segments
        ours.backward()
    pairs = list(zip(theirs, (p.grad for p in model.parameters()), strict=True))
    apart = sum(float((one - two).pow(2).sum()) for one, two in pairs)
    return (apart / sum(float(two.pow(2).sum()) for _, two in pairs)) ** 0.5


def items(run: Sequence[RehearsedStep]) -> list[TrainingItem]:
    """Return a rehearsed run as what a journal would tell of it: two calls a segment."""
    found, past = [], ()
    for number, step in enumerate(run):
        (one,) = step.moment.alternatives
        ids = tuple(one.inputs.tolist())
        assert one.logprobs is not None
        known = tuple(one.logprobs.tolist())
        asked = Asked(None, (*past, ids[0])), Asked(None, (*past, *ids[:3]))
        told = Answered(None, ids[1:2], known[:1]), Answered(None, ids[3:], known[2:-1])
        found.append(
            TrainingItem(
                RunId("run"),
                SegmentId(str(number)),
                number,
                str(number),
                Context((), asked),
                Trainable(told, proposal={}),
                one.earned,
            )
        )
        past = (*past, *ids)
    return found


def subject(trainer: Any, *, leak: bool) -> TrainerSubject:
    """Return TRL's loss on exported rows as what the boundary check plays runs to."""
    model = trainer.model

    def backward(run: Sequence[RehearsedStep], watch: Watch) -> None:
        rows = [step_object(row, None) for item in items(run) for row in moment_rows([item])]
        rows = [row for row in rows if row["advantage"] is not None]
        if not rows:
            return
        if leak:  # what GRPO does: a mean over the batch, which holds other steps
            mean = sum(row["advantage"] for row in rows) / len(rows)
            rows = [{**row, "advantage": row["advantage"] - mean} for row in rows]
        trainer._scale = len(rows) / len(run)
        width = max(len(row["prompt_ids"]) for row in rows)

        def take(state: Any) -> Any:
            parts = list(state)
            for number, row in enumerate(rows):
                places = [width + at - 1 for at, one in enumerate(row["completion_mask"]) if one]
                own = watch.output(int(row["segment_id"]), state[number, places])
                parts[number] = parts[number].index_put((torch.tensor(places),), own)
            return torch.stack(parts)

        for number in range(len(run)):
            if all(int(row["segment_id"]) != number for row in rows):
                watch.output(number, torch.zeros(()))  # not measured: it is in no row
        handle = hidden(model, take)
        loss_of(trainer, rows)[0].backward()
        handle.remove()

    return TrainerSubject(Kind(actions=100), model.parameters(), backward, strict=False)


def main() -> None:
    """Run all of it."""
    export, model, output = map(Path, sys.argv[1:])
    torch.set_num_threads(1)
    train = export / "train.py"
    sys.argv = [str(train), str(model), "--output", str(output), "--learning-rate", "1e-3"]
    sys.argv += ["--batch", "2", "--epochs", "2"]
    names = runpy.run_path(str(train))
    names["main"]()
    args = names["config"](str(output), use_cpu=True, per_device_train_batch_size=2)
    trainer = names["trainer"](str(model), args)
    rows = [json.loads(line) for line in (export / "rows.jsonl").read_text().splitlines()]
    segments = json.loads((export / "metadata.json").read_text())["segments"]
    told = {
        "reach": reach(trainer, rows),
        "apart": gradient(trainer, rows, segments),
    }
    with torch.no_grad():  # what it has by heart it would hardly learn from
        for parameter in trainer.model.parameters():
            parameter.normal_(0.0, 0.02)
    for name, leak in (("check", False), ("leak", True)):
        found = check_boundary(lambda leak=leak: subject(trainer, leak=leak))
        told[name] = {one.name: one.verdict for one in found}
    try:
        names["trainer"](str(model), names["config"](str(output), max_grad_norm=1.0))
    except ValueError as exc:
        told["refused"] = str(exc)
    sys.stdout.write("\n" + json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
