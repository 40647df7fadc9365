"""Write an export: the files of one format, what they hold in numbers, and what to beware of."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from monastery.runtime.credit import TrainingItem
from monastery.runtime.errors import BadInput, Unfit
from monastery.runtime.exports.folder import read_lines, write_lines
from monastery.runtime.exports.notes import readme
from monastery.runtime.exports.preferences import preference_objects
from monastery.runtime.exports.replays import VERL_COLUMNS, prime_object, verl_object
from monastery.runtime.exports.steps import COLUMNS, step_object, write_parquet
from monastery.runtime.exports.tally import Tally, told_runs

Objects = Iterator[dict[str, Any]]


def write_export(
    to: str,
    folder: Path,
    items: Iterable[TrainingItem],
    tally: Tally,
    *,
    baseline: float = 0.0,
    solutions: Iterable[dict[str, Any]] = (),
    programs: Mapping[str, bytes] | None = None,
) -> None:
    """Write all files of an export into a folder.

    Args:
        to: A format: steps, trl, preferences, verl, prime-rl, prm800k.
        folder: Where to; empty.
        items: The segments of all runs, in order.
        tally: Knows the runs; is filled.
        baseline: What a score without alternatives is compared with.
        solutions: For prm800k, the runs' objects.
        programs: By name, what is laid beside the rows.

    Raises:
        BadInput: There is nothing in the runs that the format could hold.
        Unfit: It needs a library that is not installed.
    """
    _FORMATS[to](folder, items, tally, baseline, solutions)
    for name, content in (programs or {}).items():
        (folder / name).write_bytes(content)
    told = {"format": f"monastery.{to}.v1", "baseline": baseline} | tally.told()
    (folder / "metadata.json").write_text(json.dumps(told, indent=2) + "\n")
    files = sorted(one.name for one in folder.iterdir())
    (folder / "README.md").write_text(readme(to, files, tally.doubts()), encoding="utf-8")


def step_objects(items: Iterable[TrainingItem], tally: Tally, baseline: float) -> Objects:
    """Yield all rows, measured or not, with the columns of `steps`."""
    for row, _ in tally.rows(items, baseline):
        yield step_object(row, tally.version(row.version))


def _steps(folder: Path, items: Any, tally: Tally, baseline: float, _: Any) -> None:
    write_lines(folder / "steps.jsonl", step_objects(items, tally, baseline))
    tally.check_tokens("steps")
    try:
        write_parquet(folder / "steps.parquet", read_lines(folder / "steps.jsonl"), COLUMNS)
    except Unfit as exc:
        tally.notes.append(f"There is no steps.parquet: {exc}.")


def _trl(folder: Path, items: Any, tally: Tally, baseline: float, _: Any) -> None:
    rows = step_objects(items, tally, baseline)
    write_lines(folder / "rows.jsonl", (row for row in rows if row["advantage"] is not None))
    tally.check_tokens("trl")


def _verl(folder: Path, items: Any, tally: Tally, baseline: float, _: Any) -> None:
    def objects() -> Objects:
        for row, item in tally.rows(items, baseline):
            if row.advantage is not None:
                yield verl_object(row, item, tally.taught - 1, tally.version(row.version))

    write_parquet(folder / "train.parquet", objects(), VERL_COLUMNS)
    tally.check_tokens("verl")


def _prime_rl(folder: Path, items: Any, tally: Tally, baseline: float, _: Any) -> None:
    def objects() -> Objects:
        for row, _ in tally.rows(items, baseline):
            if row.advantage is not None and row.logprobs is not None:
                yield prime_object(row)

    write_lines(folder / "rows.jsonl", objects())
    tally.check_tokens("prime-rl")
    if tally.unweighted:
        raise BadInput(
            f"{told_runs(tally.runs)}: {tally.unweighted} of {tally.taught} rows have no recorded"
            " log-probabilities, and prime-rl needs them; export --to steps, or sample with"
            " policy.local"
        )


def _preferences(folder: Path, items: Any, tally: Tally, _: float, __: Any) -> None:
    path = folder / "preferences.jsonl"
    write_lines(path, preference_objects(tally.see(items)))
    if path.stat().st_size == 0:
        raise BadInput(
            f"{told_runs(tally.runs)}: no moment has two alternatives with different scores, so"
            " there is nothing to prefer; --to steps and --to prm800k hold single scores"
        )


def _prm800k(folder: Path, items: Any, tally: Tally, _: float, solutions: Any) -> None:
    write_lines(folder / "solutions.jsonl", solutions)


_FORMATS: dict[str, Callable[[Path, Any, Tally, float, Any], None]] = {
    "steps": _steps,
    "trl": _trl,
    "preferences": _preferences,
    "verl": _verl,
    "prime-rl": _prime_rl,
    "prm800k": _prm800k,
}
FORMATS = tuple(_FORMATS)
"""What `write_export` can write."""
