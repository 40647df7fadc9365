"""Train with TRL on recorded think segments: `python train.py MODEL --output FOLDER`.

`rows.jsonl` beside this file holds the rows, `metadata.json` how many segments they stand for. The
trainer is TRL's GRPOTrainer with its own loss; nothing is generated, and no advantage is computed
from other rows. It overrides `_generate_and_score_completions`, as `rollout_func` is experimental
(TRL 1.16) and has its rewards grouped and broadcast. Needs: pip install trl (tried with 1.16).
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoTokenizer, Trainer
from trl import GRPOConfig, GRPOTrainer

HERE = Path(__file__).parent

BOUNDARY = {
    "loss_type": "dr_grpo",  # a sum over tokens, divided by constants
    "max_completion_length": 1,  # the constant; nothing is generated
    "importance_sampling_level": "token",  # a ratio for each token, not for a sequence
    "max_grad_norm": 0.0,  # no clipping: it would scale one step's gradient by another's reward
    "steps_per_generation": 1,  # each batch of rows is read as it comes
    "num_iterations": 1,
    "top_entropy_quantile": 1.0,  # no choice of tokens by what other rows hold
    "off_policy_mask_threshold": None,
}
"""What the boundary rests on; the trainer refuses anything else."""


class RecordedTrainer(GRPOTrainer):
    """GRPO's loss on recorded rows, each with the advantage that it was exported with.

    Args:
        scale: What advantages are multiplied with: rows for each segment, so that the mean over
            rows is the mean over all segments, measured or not.
    """

    def __init__(self, *args: Any, scale: float = 1.0, **more: Any) -> None:
        super().__init__(*args, reward_funcs=_never, **more)
        self._scale = scale
        for name, value in BOUNDARY.items():
            if getattr(self.args, name) != value:
                told = getattr(self.args, name)
                raise ValueError(f"{name} is {told!r}: the boundary rests on {value!r}")

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        return Trainer._get_train_sampler(self, dataset)  # GRPO's repeats each row

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        def padded(name: str, side: str, kind: Any = torch.long) -> Any:
            rows = [torch.tensor(row[name], dtype=kind) for row in inputs]
            fill = self._tokenizer.pad_token_id if name.endswith("_ids") else 0
            lengths = [torch.ones(len(row), dtype=torch.long) for row in rows]
            values = pad_sequence(rows, True, fill, side), pad_sequence(lengths, True, 0, side)
            return [one.to(self.accelerator.device) for one in values]

        prompt_ids, prompt_mask = padded("prompt_ids", "left")
        completion_ids, completion_mask = padded("completion_ids", "right")
        sampled, _ = padded("completion_mask", "right")
        advantages = torch.tensor([row["advantage"] * self._scale for row in inputs])
        batch = {
            "prompt_ids": prompt_ids,  # [B, P]
            "prompt_mask": prompt_mask,
            "completion_ids": completion_ids,  # [B, C]
            "completion_mask": completion_mask,
            "tool_mask": sampled,  # 1: the policy drew it; the loss looks at nothing else
            "advantages": advantages.to(prompt_ids.device),  # [B]
            "num_items_in_batch": sampled.sum(),
        }
        if all(row["logprobs"] is not None for row in inputs):
            batch["old_per_token_logps"], _ = padded("logprobs", "right", torch.float32)
        return batch


def _never(**_: Any) -> list[float]:
    raise AssertionError("recorded rows have been scored already")


def config(output: str, **more: Any) -> GRPOConfig:
    """Return a configuration that keeps the boundary; `more` are any others of TRL's settings."""
    told = json.loads((HERE / "metadata.json").read_text())
    batch = more.pop("per_device_train_batch_size", 8)
    accelerated = torch.accelerator.is_available()
    given = {
        "output_dir": output,
        "per_device_train_batch_size": batch,
        "num_generations": batch if batch > 1 else 2,  # only counted: nothing is generated
        "temperature": told["temperature"] or 1.0,  # logits are divided by it, as in the draw
        "learning_rate": 1e-6,
        "num_train_epochs": 1,
        "beta": 0.0,
        "scale_rewards": "none",
        "report_to": "none",
        "use_cpu": not accelerated,
        "bf16": accelerated,
        "logging_steps": 1,
    }
    return GRPOConfig(**{**BOUNDARY, **given, **more})


def trainer(model: str, args: GRPOConfig, **more: Any) -> RecordedTrainer:
    """Return a trainer of a model, a name or a folder, on the rows beside this file.

    `more` is what else GRPOTrainer takes, such as `peft_config`.
    """
    told = json.loads((HERE / "metadata.json").read_text())
    return RecordedTrainer(
        model,
        args=args,
        train_dataset=Dataset.from_json(str(HERE / "rows.jsonl")),
        processing_class=AutoTokenizer.from_pretrained(model),
        scale=told["rows_with_advantage"] / told["segments"],
        **more,
    )


def main() -> None:
    """Train, and save the model."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("model", help="the model that was sampled from: its folder or name")
    asked.add_argument("--output", required=True, help="folder for the trained model")
    asked.add_argument("--epochs", type=float, default=1)
    asked.add_argument("--learning-rate", type=float, default=1e-6)
    asked.add_argument("--batch", type=int, default=8, help="rows of an update on each device")
    given = asked.parse_args()
    args = config(
        given.output,
        num_train_epochs=given.epochs,
        learning_rate=given.learning_rate,
        per_device_train_batch_size=given.batch,
    )
    learner = trainer(given.model, args)
    learner.train()
    learner.save_model()


if __name__ == "__main__":
    main()
