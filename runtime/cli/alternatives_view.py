"""A segment's alternatives for a reader: lines of `monastery show`, and JSON."""

from collections.abc import Callable, Iterator
from typing import Any

from monastery.runtime.cli import model_view
from monastery.runtime.cli.output import size
from monastery.runtime.display import visible, visible_line
from monastery.runtime.events import BlobRef
from monastery.runtime.story import AlternativeStory, SegmentStory

Blob = Callable[[BlobRef], bytes]


def details(one: SegmentStory, blob: Blob, *, content: bool) -> Iterator[tuple[str, str]]:
    """Yield a name and a text for each rollout, and where the live one stood among them.

    Args:
        one: The segment.
        blob: Returns the bytes behind a name.
        content: Whether contents are shown.
    """
    for name, told in one.alternatives.items():
        yield "rollout", _line(name.rpartition(".")[2], told, blob, content=content)
    if one.ordered is not None and len(one.ordered.order) > 1:
        count, live = len(one.ordered.order), _place(one)
        yield "compared", f"{count} proposals; the live one was shown in place {live}"
    elif one.ordered is not None:
        made = len(one.ordered.order[0])
        how = "no rollout came to another proposal" if made > 1 else "no rollout came to a proposal"
        yield "compared", f"nothing: {how}"


def _line(name: str, told: AlternativeStory, blob: Blob, *, content: bool) -> str:
    if told.ended is not None:
        return f"{name}: absent, {visible_line(told.ended.reason)}"
    if told.proposal is None:
        return f"{name}: not over"
    proposal = told.proposal
    line = f"{name}: {visible_line(proposal.kind)}, {size(proposal.payload.size_bytes)}"
    if told.calls:
        line += f", {model_view.used(told.calls).told()}"
    if told.reward is not None:
        line += f", reward {told.reward.value:.2f} = {told.reward.score:.2f}"
        line += f" / {told.reward.probability:g}"
    else:
        line += ", no reward"
    return f"{line}\n{visible(blob(proposal.payload))}" if content else line


def _place(one: SegmentStory) -> int:
    assert one.ordered is not None
    return [one.id in names for names in one.ordered.order].index(True) + 1


def as_dicts(one: SegmentStory, content: Callable[[BlobRef | None], Any]) -> dict[str, Any] | None:
    """Return a segment's alternatives as JSON has them; None where there are none.

    Args:
        one: The segment.
        content: Returns a blob's name, with its content where that is asked for.
    """
    if not one.alternatives:
        return None
    return {
        "order": None if one.ordered is None else one.ordered.order,
        "rollouts": [
            {
                "alternative": name,
                "ended": None if told.ended is None else told.ended.reason,
                "kind": None if told.proposal is None else told.proposal.kind,
                "payload": content(told.proposal.payload if told.proposal else None),
                "rationale": content(told.proposal.rationale if told.proposal else None),
                "printed": content(told.proposal.printed if told.proposal else None),
                "model_calls": len(told.calls),
                "score": None if told.reward is None else told.reward.score,
                "reward": None if told.reward is None else told.reward.value,
            }
            for name, told in one.alternatives.items()
        ],
    }
