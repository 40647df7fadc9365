"""A run in figures, from its journal."""

import gc
from collections import Counter
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from monastery.runtime.cli import model_view
from monastery.runtime.cli.clock import Clock
from monastery.runtime.cli.output import seconds
from monastery.runtime.cli.telling import count
from monastery.runtime.journal import records
from monastery.runtime.rows import RunRow
from monastery.runtime.store import Store
from monastery.runtime.story import Story


@dataclass(frozen=True, slots=True)
class Told:
    """A run's story with the times of its segments."""

    row: RunRow
    story: Story
    clock: Clock


def read(store: Store, row: RunRow) -> Told:
    """Read a run's journal once, for its story and its times.

    A story is many objects without a cycle, and Python's collector would look for one among them
    again and again: a third of the time of `show`.
    """
    story, clock = Story(), Clock()
    gc.disable()
    try:
        for record in records(store, row.run):
            story.take(record)
            clock.take(record)
    finally:
        gc.freeze()
        gc.enable()
    return Told(store.run(row.run), story, clock)


def figures(told: Told) -> dict[str, Any]:
    """Return a run in figures, as JSON has them."""
    story, segments = told.story, told.story.segments
    scores = [one.scored.score for one in segments if one.scored is not None]
    rewards = [one.reward.value for one in segments if one.reward is not None]
    outcomes = Counter(one.completed.status for one in segments if one.completed is not None)
    return {
        "run": told.row.run,
        "project": told.row.project,
        "status": told.row.status,
        "success": None if story.ended is None else story.ended.success,
        "reason": _reason(told),
        "steps": outcomes.total(),
        "outcomes": dict(sorted(outcomes.items())),
        "refused": sum(len(one.refused) for one in segments),
        "audits": sum(one.drawn is not None and one.drawn.audited for one in segments),
        "unmeasured": sum(one.unmeasured is not None for one in segments),
        "mean_score": fmean(scores) if scores else None,
        "rewards": len(rewards),
        "reward_sum": sum(rewards),
        "model_calls": story.call_count,
        "model": model_view.used(call for one in segments for call in one.calls).as_dict(),
        "think_seconds": round(sum(told.clock.thought.values()), 6),
        "frozen_seconds": round(sum(told.clock.frozen.values()), 6),
    }


def lines(told: Told) -> list[str]:
    """Return a run in figures, in a few lines for a person."""
    all_of = figures(told)
    outcomes = ", ".join(f"{count} {status}" for status, count in all_of["outcomes"].items())
    refused = f"; {count(all_of['refused'], 'proposal')} refused" if all_of["refused"] else ""
    audits = f"{all_of['audits']} of {all_of['steps']}"
    if all_of["mean_score"] is not None:
        audits += f", mean score {all_of['mean_score']:.2f}"
    if all_of["unmeasured"]:
        audits += f", {all_of['unmeasured']} unmeasured"
    rewards = (
        f"{all_of['rewards']}, in sum {all_of['reward_sum']:.2f}" if all_of["rewards"] else "0"
    )
    thought, frozen = seconds(all_of["think_seconds"]), seconds(all_of["frozen_seconds"])
    model = model_view.used(call for one in told.story.segments for call in one.calls)
    return [
        f"steps     {all_of['steps']}{f' ({outcomes})' if outcomes else ''}{refused}",
        f"audits    {audits}",
        f"rewards   {rewards}",
        f"time      thinking {thought}, frozen {frozen}",
        *([f"model     {model.told()}"] if model.calls else []),
    ]


def _reason(told: Told) -> str | None:
    if told.story.ended is not None:
        return told.story.ended.reason
    last = told.story.stops[-1] if told.story.stops else None
    return getattr(last, "reason", None) if told.row.status == "interrupted" else None
