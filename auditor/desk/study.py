"""What a researcher sees of auditors: both votes, agreement, persuasion, corrections. Pure.

Of settled steps alone: a researcher may be an auditor too, and must not read what others said of a
step on which they can still be asked.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from monastery.auditor import panel
from monastery.auditor.panel import Panel, examine
from monastery.auditor.persuasion import Pair, Persuasion, persuasion
from monastery.runtime.people import AuditedStep, Ballot, Told


@dataclass(frozen=True, slots=True)
class Study:
    """What is known of the auditors of some runs.

    Attributes:
        steps: The settled ones, the newest run first.
        hidden: How many audited steps are left out, because someone may still be asked.
        late: Ballots and corrections that came when they could not count any more.
    """

    runs: tuple[Told, ...]
    steps: tuple[AuditedStep, ...]
    hidden: int
    panel: Panel
    persuasion: tuple[Persuasion, ...]
    late: tuple[Ballot, ...]


def study(runs: Sequence[Told], known: Mapping[str, bool] | None = None) -> Study:
    """Return what the settled steps of some runs say about those who judged them.

    Args:
        runs: The runs, the newest first.
        known: Whether steps are good, by their segments, of those of which it is known.
    """
    every = [one for told in runs for one in told.judged]
    steps = tuple(one for one in every if one.settled)
    return Study(
        runs=tuple(runs),
        steps=steps,
        hidden=len(every) - len(steps),
        panel=examine(list(votes(steps)), known),
        persuasion=persuasion(pairs(steps)),
        late=tuple(cast for one in steps for cast in one.ballots if not cast.counts),
    )


def as_json(found: Study) -> dict[str, Any]:
    """Return what is known, but for the steps, as it is written in JSON."""
    return {
        "runs": [told.run for told in found.runs],
        **asdict(found.panel),
        "persuasion": [asdict(one) for one in found.persuasion],
        "late": [
            {"item": one.item, "by": one.person, "stage": one.stage, "at": one.at.isoformat()}
            | dict(one.body)
            for one in found.late
        ],
        "hidden": found.hidden,
    }


def votes(steps: Iterable[AuditedStep]) -> Iterable[panel.Ballot]:
    """Yield who said what of which step; of a panel, those who sat on it and not the panel."""
    for step in steps:
        panels = set(step.panels.values())
        for vote in step.votes:
            if vote.auditor not in panels:
                yield panel.Ballot(
                    step.segment, vote.auditor, vote.decision, vote.score, vote.seconds
                )
        for person, cast in _by_person(step).items():
            if cast[0].item in step.panels:
                first, last = cast[0].body, cast[-1].body
                seconds = sum(one.seconds for one in cast)
                yield panel.Ballot(step.segment, person, last["decision"], first["score"], seconds)


def pairs(steps: Iterable[AuditedStep]) -> Iterable[Pair]:
    """Yield the two votes of everyone who cast both; a correction in time counts for neither."""
    for step in steps:
        for person, cast in _by_person(step).items():
            said = {one.stage: (one.body["decision"], one.body["score"]) for one in cast}
            if "first" in said and "second" in said:
                yield Pair(step.segment, person, said["first"], said["second"])


def _by_person(step: AuditedStep) -> dict[str, list[Ballot]]:
    """Return the ballots that count, of each person; what was erased says nothing any more."""
    found: dict[str, list[Ballot]] = {}
    for cast in step.ballots:
        if cast.counts and "decision" in cast.body and "score" in cast.body:
            found.setdefault(cast.person, []).append(cast)
    return found
