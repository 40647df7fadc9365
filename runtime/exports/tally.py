"""The tally: what an export holds and what it leaves out, told beside it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from monastery.runtime.credit import TrainingItem
from monastery.runtime.errors import BadInput
from monastery.runtime.exports.rows import StepRow, by_moment, has_tokens, moment_rows

Told = tuple[StepRow, TrainingItem]
"""A row, and the segment that it is a stretch of."""

_ANSWERS = "prompt_token_ids, token_ids and logprobs"


@dataclass(slots=True)
class Tally:
    """What was counted while an export was written.

    Attributes:
        segments: That ended in a proposal, audited or not: sums are divided by these.
        measured: Of them, those that have a score.
        wordless: Measured, and left out: not all of their tokens are known.
        written: Rows, with and without an advantage.
        taught: Of them, those that have an advantage.
        greedy: Of these, those in which the most probable tokens were taken and none was drawn.
        unweighted: Of these, those without recorded log-probabilities.
        versions: The policies that answered, in the order in which they are numbered.
        temperatures: At which was sampled, as far as recorded.
        notes: What else is to be told.
    """

    runs: list[str] = field(default_factory=list)
    segments: int = 0
    measured: int = 0
    wordless: int = 0
    written: int = 0
    taught: int = 0
    greedy: int = 0
    unweighted: int = 0
    versions: list[str] = field(default_factory=list)
    temperatures: set[float] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def see(self, items: Iterable[TrainingItem]) -> Iterator[TrainingItem]:
        """Count segments on their way."""
        for item in items:
            self.segments += item.trainable.proposal is not None
            self.measured += item.earned.score is not None
            yield item

    def rows(self, items: Iterable[TrainingItem], baseline: float) -> Iterator[Told]:
        """Yield the rows of all segments in order, each with its segment, counted."""
        for moment in by_moment(self.see(items)):
            named = {str(item.segment): item for item in moment}
            for item in moment:
                self.wordless += item.earned.score is not None and not has_tokens(item)
            for row in moment_rows(moment, baseline):
                self._count(row)
                yield row, named[row.segment]

    def _count(self, row: StepRow) -> None:
        self.written += 1
        if row.version is not None and row.version not in self.versions:
            self.versions.append(row.version)
        if row.advantage is None:
            return
        self.taught += 1
        self.unweighted += row.logprobs is None
        self.greedy += row.logprobs is not None and not any(row.logprobs)
        if row.temperature is not None:
            self.temperatures.add(row.temperature)

    def version(self, name: str | None) -> int | None:
        """Return the number of a policy, by the order of appearance; None where it did not say."""
        return None if name is None else self.versions.index(name)

    @property
    def temperature(self) -> float:
        """At which all was sampled, as far as is known; 1 where it is not or differs."""
        return next(iter(self.temperatures)) if len(self.temperatures) == 1 else 1.0

    def told(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "runs": self.runs,
            "segments": self.segments,
            "measured_segments": self.measured,
            "measured_segments_without_tokens": self.wordless,
            "rows": self.written,
            "rows_with_advantage": self.taught,
            "policy_versions": self.versions,
            "temperature": self.temperature,
            "temperatures": sorted(self.temperatures),
        }

    def check_tokens(self, to: str) -> None:
        """Raise when there is no row, or for a trainer none with an advantage.

        Raises:
            BadInput: No segment was measured, or of none the tokens are known.
        """
        if self.taught or (to == "steps" and self.written):
            return
        runs = told_runs(self.runs)
        if to != "steps" and not self.measured:
            raise BadInput(
                f"{runs}: none of {self.segments} steps has a score, so --to {to} has nothing to"
                " train with; --to jsonl and --to steps hold unscored ones too"
            )
        which = "steps" if to == "steps" else "scored steps"
        raise BadInput(
            f"{runs}: of none of the {which} are the tokens recorded, and --to {to} needs them: use"
            f" policy.local, or a policy that answers with {_ANSWERS}; jsonl, preferences and"
            " prm800k do without"
        )

    def doubts(self) -> list[str]:
        """Return what whoever trains should know, a sentence each."""
        found = [*self.notes]
        if self.wordless:
            found.append(
                f"{self.wordless} of {self.measured} scored steps are left out: not all of their"
                " tokens are recorded, or they were erased."
            )
        if self.greedy:
            found.append(
                f"{self.greedy} of {self.taught} rows took the most probable token each time"
                " (temperature 0): what was not drawn has no policy gradient."
            )
        if len(self.temperatures) > 1:
            told = ", ".join(f"{one:g}" for one in sorted(self.temperatures))
            found.append(f"Rows were sampled at different temperatures: {told}.")
        if self.unweighted:
            found.append(
                f"{self.unweighted} of {self.taught} rows have no log-probabilities: a trainer"
                " takes its own policy for the one that sampled them."
            )
        return found


def told_runs(runs: Sequence[str]) -> str:
    """Return the names of runs for a message."""
    return f"run {runs[0]}" if len(runs) == 1 else f"{len(runs)} runs"
