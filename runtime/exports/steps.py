"""Step rows as objects and as parquet: the columns that every trainer can be fed from.

    episode_id str, step_index i32, group_id str, prompt_ids list<i32>, completion_ids list<i32>,
    completion_mask list<i8>, logprobs list<f32>, reward f32, advantage f32, policy_version i32

and one more, `segment_id`: a segment whose history begins anew within it has several rows, and
alternatives share a group, so that nothing else would say which rows are of one segment. What is
not known is null, never 0.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from monastery.runtime.errors import Unfit
from monastery.runtime.exports.rows import StepRow

_BATCH = 1024
"""Rows of a row group: a reader can take a large file piece by piece, and so can we."""

COLUMNS = {
    "episode_id": "string",
    "step_index": "int32",
    "group_id": "string",
    "prompt_ids": "list<int32>",
    "completion_ids": "list<int32>",
    "completion_mask": "list<int8>",
    "logprobs": "list<float>",
    "reward": "float",
    "advantage": "float",
    "policy_version": "int32",
    "segment_id": "string",
}
"""Name and type of each column, as Arrow spells types."""


def step_object(row: StepRow, version: int | None) -> dict[str, Any]:
    """Return a row as a JSON object with these columns.

    Args:
        row: The row.
        version: The number of the policy that answered.
    """
    return {
        "episode_id": row.episode,
        "step_index": row.step,
        "group_id": row.group,
        "prompt_ids": list(row.prompt_ids),
        "completion_ids": list(row.completion_ids),
        "completion_mask": list(row.completion_mask),
        "logprobs": None if row.logprobs is None else list(row.logprobs),
        "reward": row.reward,
        "advantage": row.advantage,
        "policy_version": version,
        "segment_id": row.segment,
    }


def write_parquet(path: Path, objects: Iterable[dict[str, Any]], columns: dict[str, str]) -> None:
    """Write objects as parquet, zstd-compressed.

    Args:
        path: The file.
        objects: Rows; each has all columns.
        columns: Name and Arrow type of each. `messages` is a list of `role` and `content`.

    Raises:
        Unfit: pyarrow is not installed.
    """
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as exc:
        why = "parquet needs pyarrow; pip install 'monastery[export]'"
        raise Unfit(why) from exc
    types = {
        "string": arrow.string(),
        "int32": arrow.int32(),
        "float": arrow.float32(),
        "list<int8>": arrow.list_(arrow.int8()),
        "list<int32>": arrow.list_(arrow.int32()),
        "list<float>": arrow.list_(arrow.float32()),
        "messages": arrow.list_(
            arrow.struct([("role", arrow.string()), ("content", arrow.string())])
        ),
        "labels": arrow.struct([("style", arrow.string()), ("ground_truth", arrow.string())]),
        "index": arrow.struct([("index", arrow.int32())]),
    }
    schema = arrow.schema([(name, types[kind]) for name, kind in columns.items()])
    batch: list[dict[str, Any]] = []
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for one in objects:
            batch.append(one)
            if len(batch) == _BATCH:
                writer.write_table(arrow.Table.from_pylist(batch, schema))
                batch.clear()
        writer.write_table(arrow.Table.from_pylist(batch, schema))
