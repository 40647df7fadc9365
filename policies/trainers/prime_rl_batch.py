"""Hand recorded think segments to a prime-rl trainer: `python batch.py OUTPUT_DIR [--step N]`.

prime-rl's trainer reads batches that its orchestrator writes, and computes no advantage of its own.
This writes `rollouts/step_N/rollouts.bin` under a run's folder as the orchestrator would, with the
classes of the prime-rl that is installed: fields are filled in by name, as they change with its
versions, and what it wants and a row has not is refused. Needs prime-rl with the file system
transport (`transport.type = "filesystem"`).
"""

import argparse
import json
from pathlib import Path
from typing import Any

import msgspec
from prime_rl.transport.types import TrainingBatch, TrainingSample

HERE = Path(__file__).parent


def sample(row: dict[str, Any]) -> TrainingSample:
    """Return a row as the installed prime-rl's sample.

    Raises:
        SystemExit: It wants what a row has not, or holds it otherwise.
    """
    fields = msgspec.structs.fields(TrainingSample)
    missing = [one.name for one in fields if one.required and one.name not in row]
    if missing:
        raise SystemExit(f"this prime-rl wants {', '.join(missing)}, which the rows have not")
    made = TrainingSample(**{one.name: row[one.name] for one in fields if one.name in row})
    try:
        msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=TrainingSample)
    except msgspec.ValidationError as exc:
        raise SystemExit(f"this prime-rl holds samples otherwise than the rows: {exc}") from exc
    return made


def main() -> None:
    """Write one batch of all rows."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("output", type=Path, help="the run's folder, in the trainer's output folder")
    asked.add_argument("--step", type=int, default=0, help="which of the trainer's steps it is for")
    given = asked.parse_args()
    with (HERE / "rows.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    named = {one.name for one in msgspec.structs.fields(TrainingBatch)}
    told = {"examples": [sample(row) for row in rows], "step": given.step}
    if "temperature" in named:
        known = json.loads((HERE / "metadata.json").read_text())
        told["temperature"] = known["temperature"] or 1.0  # logits are divided by it
    folder = given.output / "rollouts" / f"step_{given.step}"
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "rollouts.bin.tmp"
    partial.write_bytes(msgspec.msgpack.encode(TrainingBatch(**told)))
    partial.rename(folder / "rollouts.bin")
    print(f"{len(rows)} rows for step {given.step} in {folder / 'rollouts.bin'}")


if __name__ == "__main__":
    main()
