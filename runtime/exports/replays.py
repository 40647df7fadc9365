"""Step rows in the shapes of verl and of prime-rl.

verl's `RLHFDataset` reads parquet with `prompt` (messages), `data_source`, `ability`,
`reward_model` and `extra_info`, and passes other columns on
(https://verl.readthedocs.io/en/latest/preparation/prepare_data.html and
`verl/utils/dataset/rl_dataset.py` of verl 0.9.1, whose `RLHFDataset` and `collate_fn` read such a
file in November 2026). The columns of `steps` stand beside these.

prime-rl's trainer takes `TrainingSample`s (`src/prime_rl/transport/types.py`, read in November
2026). Its fields changed over time: once `prompt_ids`, `completion_ids` and one `advantage`, lately
one list of `token_ids` with `mask`, `logprobs`, `temperatures` and `advantages` for each token. A
row has all of them, by name.
"""

from typing import Any

from monastery.runtime.credit import TrainingItem
from monastery.runtime.exports.messages import asked_messages, plain
from monastery.runtime.exports.rows import StepRow
from monastery.runtime.exports.steps import COLUMNS, step_object

VERL_COLUMNS = {
    "data_source": "string",
    "prompt": "messages",
    "ability": "string",
    "reward_model": "labels",
    "extra_info": "index",
    **COLUMNS,
}


def verl_object(row: StepRow, item: TrainingItem, number: int, version: int | None) -> Any:
    """Return a row as verl reads it.

    Args:
        row: A row that has an advantage.
        item: Its segment.
        number: Of the row in the file.
        version: The number of the policy that answered.
    """
    return {
        "data_source": "monastery",
        "prompt": plain(asked_messages(item.context.asked[row.call].request)),
        "ability": "agent",
        "reward_model": {"style": "recorded", "ground_truth": ""},
        "extra_info": {"index": number},
        **step_object(row, version),
    }


def prime_object(row: StepRow) -> dict[str, Any]:
    """Return a row, which has an advantage and log-probabilities, as prime-rl's samples have it.

    Its temperature is 1 where none is recorded, or is 0: the trainer divides by it.
    """
    assert row.advantage is not None
    assert row.logprobs is not None
    at = row.temperature or 1.0
    before = len(row.prompt_ids)
    mask = [bool(one) for one in row.completion_mask]
    credit = [row.advantage if one else 0.0 for one in mask]
    return {
        "token_ids": [*row.prompt_ids, *row.completion_ids],
        "mask": [False] * before + mask,
        "logprobs": [0.0] * before + list(row.logprobs),
        "temperatures": [at] * (before + len(mask)),
        "env_name": "monastery",
        "advantages": [0.0] * before + credit,
        "prompt_ids": list(row.prompt_ids),
        "prompt_mask": [False] * before,
        "completion_ids": list(row.completion_ids),
        "completion_mask": mask,
        "completion_logprobs": list(row.logprobs),
        "completion_temperatures": [at] * len(mask),
        "advantage": row.advantage,
        "reward": row.reward,
    }
