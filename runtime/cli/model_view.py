"""What a segment's model calls came to, for a reader: as a table's cells, as lines, or JSON."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from monastery.runtime.cli.output import seconds, size
from monastery.runtime.cli.telling import count
from monastery.runtime.display import visible_line
from monastery.runtime.events import ModelCalled


@dataclass(frozen=True, slots=True)
class Used:
    """Some model calls together.

    Attributes:
        refused: How many never left.
        cancelled: Of how many nobody waited for the answer.
        tokens_in, tokens_out, cost: Of the calls of which they are known; None when of none.
        reckoned: Whether a part of that is reckoned, and not told by the provider.
        logprobs: Of how many tokens the record holds log-probabilities.
    """

    calls: int
    refused: int
    cancelled: int
    tokens_in: int | None
    tokens_out: int | None
    cost: float | None
    reckoned: bool
    logprobs: int

    @property
    def tokens(self) -> str:
        """Return the tokens of both ways for a table's cell."""
        known = [number for number in (self.tokens_in, self.tokens_out) if number is not None]
        return f"{self._about}{sum(known):,}" if known else ""

    @property
    def money(self) -> str:
        """Return the cost for a table's cell."""
        return "" if self.cost is None else f"{self._about}{self.cost:.4g}"

    @property
    def _about(self) -> str:
        return "~" if self.reckoned else ""

    def told(self) -> str:
        """Return all of it in one line."""
        parts = [count(self.calls, "model call")]
        if self.refused:
            parts.append(f"{self.refused} refused")
        if self.cancelled:
            parts.append(f"{self.cancelled} cancelled")
        if self.tokens_in is not None or self.tokens_out is not None:
            about = self._about
            parts.append(f"{about}{self.tokens_in or 0:,} tokens in")
            parts.append(f"{about}{self.tokens_out or 0:,} tokens out")
        if self.cost is not None:
            parts.append(f"cost {self.money}")
        if self.logprobs:
            parts.append(f"log-probabilities of {count(self.logprobs, 'token')}")
        return ", ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {name: getattr(self, name) for name in self.__slots__}


def used(calls: Iterable[ModelCalled]) -> Used:
    """Return what some calls came to."""
    calls = list(calls)
    ins = [call.tokens_in for call in calls if call.tokens_in is not None]
    outs = [call.tokens_out for call in calls if call.tokens_out is not None]
    costs = [call.cost for call in calls if call.cost is not None]
    return Used(
        calls=len(calls),
        refused=sum(_is_refused(call) for call in calls),
        cancelled=sum(call.cancelled for call in calls),
        tokens_in=sum(ins) if ins else None,
        tokens_out=sum(outs) if outs else None,
        cost=sum(costs) if costs else None,
        reckoned=any(call.reckoned for call in calls),
        logprobs=sum(call.logprobs or 0 for call in calls),
    )


def _is_refused(call: ModelCalled) -> bool:
    """Whether a call was kept in; which models there are is answered here, and no refusal."""
    return call.refused is not None and call.api != "models"


def lines(calls: Iterable[ModelCalled]) -> Iterator[str]:
    """Yield a safe line for each call."""
    for call in calls:
        one = used([call])
        parts = [call.api or call.policy, call.model or "", str(call.status or "")]
        if call.refused is not None:
            parts.append(f"refused: {call.refused}" if _is_refused(call) else call.refused)
        if call.cancelled:
            parts.append("cancelled")
        told = one.told().partition(", ")[2] if call.refused is None and not call.cancelled else ""
        parts += [told, f"in {seconds(call.seconds)}"]
        sizes = f"{size(call.request.size_bytes)} out, {size(call.response.size_bytes)} back"
        names = f"request {call.request.ref[:12]}, response {call.response.ref[:12]}"
        if call.sampled is not None:
            names += f", sampled {call.sampled.ref[:12]}"
        line = ", ".join(part for part in [*parts, sizes, names] if part)
        yield visible_line(line, max_columns=None)


def as_dicts(calls: Iterable[ModelCalled]) -> list[dict[str, Any]]:
    """Return each call as JSON has it, contents by name."""
    return [call.model_dump(exclude={"type", "segment"}) for call in calls]
