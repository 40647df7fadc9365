"""Process labels: a run as a solution with labelled steps, in the form of PRM800K.

One object a run, with the fields of https://github.com/openai/prm800k (its README, read in November
2026): `label.steps[].completions[]` are the alternatives of a step, each with `text` and `rating`,
-1, 0 or 1. A score from 0 to 1 is rounded to one of these, and stands beside it as `score`, with
the audit's `probability`. What was not measured has rating null. A step's text is its proposal, as
that alone was scored, and what the agent thought was not.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from monastery.runtime.credit import TrainingItem
from monastery.runtime.exports.rows import by_moment


def run_object(
    items: Iterable[TrainingItem], *, goal: str, done: bool, at: datetime | None
) -> dict[str, Any]:
    """Return a run as one labelled solution.

    Args:
        items: Its segments in order.
        goal: What the run was for.
        done: Whether it ended with success.
        at: When it ended, None if it has not.
    """
    steps = [step for moment in by_moment(items) if (step := _step(moment))["completions"]]
    return {
        "labeler": "monastery",
        "timestamp": None if at is None else at.isoformat(),
        "generation": None,
        "is_quality_control_question": False,
        "is_initial_screening_question": False,
        "question": {
            "problem": goal,
            "ground_truth_solution": None,
            "ground_truth_answer": None,
            "pre_generated_steps": None,
            "pre_generated_answer": None,
            "pre_generated_verifier_score": None,
        },
        "label": {
            "steps": steps,
            "total_time": None,
            "finish_reason": "solution" if done else "give_up",
        },
    }


def _step(moment: list[TrainingItem]) -> dict[str, Any]:
    proposing = [item for item in moment if item.trainable.proposal is not None]
    live = [number for number, item in enumerate(proposing) if item.live]
    return {
        "completions": [_completion(item) for item in proposing],
        "human_completion": None,
        "chosen_completion": live[0] if live else None,
    }


def _completion(item: TrainingItem) -> dict[str, Any]:
    return {
        "text": _text(item.trainable.proposal),
        "rating": rating(item.earned.score),
        "flagged": None,
        "score": item.earned.score,
        "probability": item.earned.probability,
    }


def rating(score: float | None) -> int | None:
    """Return the nearest of -1, 0 and 1 to a score from 0 to 1; None where there is none."""
    return None if score is None else round(2 * score - 1)


def _text(proposal: Any) -> str:
    payload = proposal["payload"]
    told = payload.get("text", payload.get("base64", "[erased]"))
    return f"{proposal['kind']}: {proposal['rationale']}\n\n{told}"
