"""Several proposals for one moment on a terminal: shown in turn, then what is said to each."""

import math
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from monastery.auditor.desk.views import StepView
from monastery.runtime.cli.output import size
from monastery.runtime.display import visible_line

DECISIONS = {"a": "approve", "r": "reject", "e": "escalate", "t": "terminate"}
"""What can be decided of one of several proposals: no other bytes, which nobody would compare."""

Safe = Callable[[str | bytes], str]


class Lines(Protocol):
    """What of a terminal is needed here."""

    def line(self, prompt: str) -> str | None:
        """Return a line that the person typed; None when they leave."""
        ...

    def show(self, text: str) -> None:
        """Show a text."""
        ...


def parts(step: StepView, safe: Safe) -> Iterator[tuple[str, str]]:
    """Yield what is to be seen of each proposal: title, and a text that is safe.

    Args:
        step: The question.
        safe: Makes an agent's text safe to show.
    """
    for place, one in enumerate(step.alternatives, 1):
        same = f", which {one.same} tries came to" if one.same > 1 else ""
        name = f"Proposal {place} of {len(step.alternatives)}"
        yield f"{name}, kind {visible_line(one.kind)}{same}", safe(one.rendering)
        about = [f"{each.what} {each.path}" for each in one.changes]
        about += [f"evidence {each.name} ({size(len(each.content))})" for each in one.evidence]
        if about:
            yield f"{name}: changed in its box, and attached", "\n".join(map(visible_line, about))


def judged(terminal: Lines, count: int) -> list[dict[str, Any]] | None:
    """Ask for a decision and a score on each proposal; None when the person thinks again."""
    given: list[dict[str, Any]] = []
    while len(given) < count:
        prompt = f"proposal {len(given) + 1}: a, r, e or t and its score, say a 0.8; empty to think"
        typed = terminal.line(f"{prompt} again: ")
        if not typed:
            return None
        one = _said(typed)
        if one is None:
            terminal.show(f"{visible_line(typed)!r} is no decision and score; write, say, r 0.1")
        else:
            given.append(one)
    return given


def _said(typed: str) -> dict[str, Any] | None:
    word, _, number = typed.strip().partition(" ")
    try:
        score = float(number)
    except ValueError:
        return None
    decision = DECISIONS.get(word, word)
    if decision not in DECISIONS.values() or math.isnan(score) or not 0.0 <= score <= 1.0:
        return None
    return {"decision": decision, "score": score}
