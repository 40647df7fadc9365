"""One segment, and the step that ended it, for a reader: as a table's row, a block, or JSON."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from rich.text import Text

from monastery.runtime.cli import alternatives_view, fetch_view, model_view
from monastery.runtime.cli.output import seconds, size, when
from monastery.runtime.cli.rendering import NoDesk, executors, headline, rendering
from monastery.runtime.cli.summary import Told
from monastery.runtime.cli.telling import first_line, outcome
from monastery.runtime.content import ERASED
from monastery.runtime.display import visible, visible_line
from monastery.runtime.errors import MonasteryError
from monastery.runtime.events import BlobRef
from monastery.runtime.ports import Executor
from monastery.runtime.project_file import Loaded, parse
from monastery.runtime.recall import kept, kept_json
from monastery.runtime.store import Store
from monastery.runtime.story import SegmentStory

_STATUS_STYLES = {
    "done": "green",
    "failed": "red",
    "rejected": "yellow",
    "expired": "yellow",
    "unknown": "bold red",
    "running": "cyan",
    "interrupted": "yellow",
    "parked": "cyan",
}
_COLUMNS = ["#", "KIND", "PROPOSAL", "THOUGHT", "CALLS", "TOKENS", "COST"]
_COLUMNS += ["AUDIT", "GATE", "OUTCOME", "REWARD"]
_GAP = "  "
_RIGHT = {"#", "THOUGHT", "CALLS", "TOKENS", "COST", "REWARD"}
_IF_ANY = {"TOKENS", "COST"}
"""Columns that are left out when they are empty."""


class View:
    """A run's story with what is needed to show it."""

    def __init__(self, store: Store, told: Told, *, content: bool) -> None:
        self.store = store
        self.told = told
        self.content = content
        self.loaded = self._loaded()
        self.executors: Mapping[str, Executor] = (
            {} if self.loaded is None else executors(self.loaded, NoDesk())
        )

    def _loaded(self) -> Loaded | None:
        """Return the project as the journal recorded it, if this version can still read it."""
        started = self.told.story.started
        if started is None:
            return None
        try:
            source = self.store.blob(started.project_file.ref)
            return parse(source, self.told.row.project_path, on_disk=False)
        except MonasteryError:
            return None

    def blob(self, ref: BlobRef) -> bytes:
        """Return the bytes behind a name, or that they were erased."""
        return kept(self.store, ref.ref)

    def headline(self, one: SegmentStory) -> str:
        """Return the first line of what the segment proposed."""
        if one.proposal is None:
            return ""
        return visible_line(
            headline(self.executors, one.proposal.kind, self.blob(one.proposal.payload))
        )

    def outcome(self, one: SegmentStory) -> dict[str, Any]:
        """Return what the executor told of the step."""
        if one.completed is None:
            return {}
        content: dict[str, Any] = kept_json(self.store, one.completed.content.ref)
        return content


def heading(view: View) -> Text:
    """Return what is to be said of the whole run."""
    row, story = view.told.row, view.told.story
    text = Text()
    text.append(row.run, style="bold")
    text.append("  ")
    text.append(row.status, style=_STATUS_STYLES.get(row.status, ""))
    if story.ended is not None:
        text.append(f": {visible_line(story.ended.reason)}")
    goal = "" if view.loaded is None else visible_line(view.loaded.project.goal)
    began = when(row.started)
    if story.ended_at is not None:
        began += f", ended after {seconds((story.ended_at - row.started).total_seconds())}"
    parked = sum(stop.type == "run.parked" for stop in story.stops)
    if parked:
        began += f", parked {parked} times" if parked > 1 else ", parked once"
    resumed = sum(stop.type == "run.resumed" for stop in story.stops)
    if resumed:
        began += f", resumed {resumed} times" if resumed > 1 else ", resumed once"
    rows = [("project", f"{row.project} ({row.project_path})"), ("goal", goal), ("started", began)]
    if story.boxes:
        box = story.boxes[-1]
        digest = box.image_digest.removeprefix("sha256:")[:12]
        rows.append(("box", f"image {digest}, {box.engine_runtime}, frozen by {box.freezer}"))
    for item, posted in story.posted.items():
        rows.append(("waits", f"for a person ({posted.purpose}): monastery audit show {item}"))
    for name, value in rows:
        if value:
            text.append(f"\n{name:<10}", style="dim")
            text.append(value)
    return text.append("\n")


def table(view: View, segments: Iterable[SegmentStory], width: int) -> Iterator[Text]:
    """Yield a heading and a line for each segment, `width` columns wide.

    The proposals take what is left. A table of rich's takes 20 times as long: ten seconds for a run
    of 10,000 steps.
    """
    told = [_row(view, one) for one in segments]
    columns = [
        (name, [Text(name, style="dim"), *cells])
        for name, *cells in zip(_COLUMNS, *told, strict=True)
        if name not in _IF_ANY or any(cells)
    ]
    names = [name for name, _ in columns]
    rows = list(zip(*(cells for _, cells in columns), strict=True))
    widths = [max(cell.cell_len for cell in cells) for _, cells in columns]
    proposal = names.index("PROPOSAL")
    others = sum(widths) - widths[proposal] + len(_GAP) * (len(widths) - 1)
    widths[proposal] = max(12, min(widths[proposal], width - others))
    for row in rows:
        line = Text(no_wrap=True)
        for name, cell, wide in zip(names, row, widths, strict=True):
            cell.truncate(wide, overflow="ellipsis")
            room = " " * (wide - cell.cell_len)
            line.append(_GAP if line else "")
            line.append(room if name in _RIGHT else "")
            line.append_text(cell)
            line.append(room if name not in _RIGHT else "")
        line.rstrip()
        yield line


def _row(view: View, one: SegmentStory) -> list[Text]:
    status = one.completed.status if one.completed is not None else _open(view, one)
    model = model_view.used(one.calls)
    return [
        Text(str(one.index)),
        Text(visible_line(one.proposal.kind) if one.proposal is not None else ""),
        Text(view.headline(one)),
        Text(seconds(view.told.clock.thought.get(one.id))),
        Text(str(model.calls) if model.calls else ""),
        Text(model.tokens),
        Text(model.money),
        Text(_audit(one)),
        Text(one.decision.verdict if one.decision is not None else ""),
        Text(status, style=_STATUS_STYLES.get(status, "dim")),
        Text(f"{one.reward.value:.2f}" if one.reward is not None else ""),
    ]


def block(view: View, one: SegmentStory) -> Text:
    """Return a segment in detail."""
    text = Text()
    kind = visible_line(one.proposal.kind) if one.proposal is not None else _open(view, one)
    text.append(f"{one.index}  {kind}  ", style="bold")
    text.append(view.headline(one))
    for name, value in _details(view, one):
        text.append(f"\n   {name:<10} ", style="dim")
        text.append(value.replace("\n", "\n" + " " * 14))
    return text.append("\n")


def _details(view: View, one: SegmentStory) -> Iterator[tuple[str, str]]:
    clock = view.told.clock
    if one.id in clock.thought:
        yield "thought", seconds(clock.thought[one.id])
    if one.calls:
        each = model_view.lines(one.calls) if view.content else ()
        yield "asked", "\n".join([model_view.used(one.calls).told(), *each])
    yield from fetch_view.details(one.fetches, view.blob, content=view.content)
    for refused in one.refused:
        yield "refused", visible_line(f"{refused.kind}: {first_line(refused.reason)}")
    if one.printed is not None:
        kept, seen = one.printed.text.size_bytes, one.printed.seen_bytes
        cut = f", of which {size(kept)} were kept" if kept < seen else ""
        shown = f"\n{visible(view.blob(one.printed.text)).rstrip()}" if view.content else ""
        yield "printed", f"{size(seen)}{cut}{shown}"
    if one.proposal is not None:
        yield from _proposed(view, one)
    yield from _judged(view, one)
    yield from _done(view, one)


def _proposed(view: View, one: SegmentStory) -> Iterator[tuple[str, str]]:
    proposal = one.proposal
    assert proposal is not None
    payload = f"{size(proposal.payload.size_bytes)}, content {proposal.payload.ref}"
    if view.content:
        content = view.blob(proposal.payload)
        payload += f"\n{visible(rendering(view.executors, proposal.kind, content))}"
        yield "payload", payload
        yield "rationale", visible(view.blob(proposal.rationale)) or "none"
    else:
        yield "payload", payload
    for evidence in proposal.evidence:
        shown = f"\n{visible(view.blob(evidence))}" if view.content else ""
        yield "evidence", f"{visible_line(evidence.name)}, {size(evidence.size_bytes)}{shown}"
    if proposal.changes:
        changed = [f"{change.what} {visible_line(change.path)}" for change in proposal.changes]
        most = len(changed) if view.content else 5
        more = [f"and {len(changed) - most} more"] if len(changed) > most else []
        yield "changed", "\n".join(changed[:most] + more)
    held = view.told.clock.frozen.get(one.id)
    yield (
        "frozen",
        f"in {seconds(proposal.freeze_seconds)}" + (f", for {seconds(held)}" if held else ""),
    )


def _judged(view: View, one: SegmentStory) -> Iterator[tuple[str, str]]:
    if one.drawn is not None:
        drawn = "audited" if one.drawn.audited else "not audited"
        yield "drawn", f"{drawn}: u={one.drawn.u:.4f}, p={one.drawn.probability:g}"
    yield from alternatives_view.details(one, view.blob, content=view.content)
    for vote in one.votes:
        note = visible(vote.note if view.content else first_line(vote.note))
        head = f"{visible_line(vote.auditor)}: {vote.score:.2f}, {vote.decision}"
        yield "vote", f"{head} in {seconds(vote.seconds)}" + (f"\n{note}" if note else "")
    if one.unmeasured is not None:
        yield "unmeasured", visible_line(first_line(one.unmeasured.reason))
    if one.scored is not None:
        yield "score", f"{one.scored.score:.2f}, {one.scored.decision}"
    if one.reward is not None:
        reward = one.reward
        yield "reward", f"{reward.value:.2f} = {reward.score:.2f} / {reward.probability:g}"
    if one.decision is not None:
        feedback = one.decision.feedback
        told = f"\n{visible(feedback)}" if feedback and view.content else ""
        yield "gate", f"{one.decision.verdict} by {visible_line(one.decision.by)}{told}"


def _done(view: View, one: SegmentStory) -> Iterator[tuple[str, str]]:
    if one.unresolved is not None:
        yield "unresolved", visible_line(first_line(one.unresolved.reason))
    if one.completed is not None:
        told = view.outcome(one)
        if view.content:
            shown = visible(json.dumps(told, indent=2, ensure_ascii=False)) if told else ""
            yield "outcome", f"{one.completed.status}, {one.completed.how}\n{shown}".rstrip()
        else:
            yield "outcome", visible_line(outcome(one.completed.status, told))


def as_dict(view: View, one: SegmentStory) -> dict[str, Any]:
    """Return a segment as JSON has it; contents only where they are asked for."""
    proposal, clock = one.proposal, view.told.clock
    out: dict[str, Any] = {
        "segment": one.id,
        "index": one.index,
        "boundary": one.boundary,
        "think_seconds": clock.thought.get(one.id),
        "frozen_seconds": clock.frozen.get(one.id),
        "model_calls": len(one.calls),
        "fetches": [
            {
                "request": _content(view, fetch.request),
                "response": _content(view, fetch.response),
                "seconds": fetch.seconds,
                "refused": fetch.refused,
            }
            for fetch in one.fetches
        ],
        "model": model_view.used(one.calls).as_dict(),
        "calls": model_view.as_dicts(one.calls),
        "printed": _content(view, one.printed.text if one.printed else None),
        "refused": [{"kind": each.kind, "reason": each.reason} for each in one.refused],
        "proposal": None,
        "draw": _dump(one.drawn, "u", "probability", "audited"),
        "alternatives": alternatives_view.as_dicts(one, partial(_content, view)),
        "votes": [
            _dump(vote, "auditor", "decision", "score", "note", "seen", "seconds")
            for vote in one.votes
        ],
        "score": one.scored.score if one.scored is not None else None,
        "unmeasured": one.unmeasured.reason if one.unmeasured is not None else None,
        "reward": _dump(one.reward, "value", "score", "probability", "weight", "boundary", "seen"),
        "gate": _dump(one.decision, "verdict", "by", "feedback"),
        "outcome": None,
    }
    if proposal is not None:
        out["proposal"] = {
            "kind": proposal.kind,
            "headline": view.headline(one),
            "digest": proposal.digest,
            "payload": _content(view, proposal.payload),
            "rationale": _content(view, proposal.rationale),
            "evidence": [{"name": e.name, **_content(view, e)} for e in proposal.evidence],
            "changes": [change.model_dump() for change in proposal.changes],
            "freeze_seconds": proposal.freeze_seconds,
        }
    if one.completed is not None:
        out["outcome"] = {"status": one.completed.status, "how": one.completed.how}
        if view.content:
            out["outcome"]["content"] = view.outcome(one)
    return out


def _content(view: View, ref: BlobRef | None) -> Any:
    """Return a blob's name, and its content where that is asked for: as text, or else as base64."""
    if ref is None:
        return None
    named: dict[str, Any] = {"ref": ref.ref, "size_bytes": ref.size_bytes}
    if view.content:
        content = view.blob(ref)
        if content == ERASED:
            return named | {"erased": True}
        try:
            named["text"] = content.decode()
        except UnicodeDecodeError:
            named["base64"] = base64.b64encode(content).decode()
    return named


def _dump(event: Any, *fields: str) -> Any:
    return None if event is None else event.model_dump(include=set(fields))


def _audit(one: SegmentStory) -> str:
    if one.drawn is None:
        return ""
    drawn = f"p={one.drawn.probability:g}"
    if not one.drawn.audited:
        return f"no, {drawn}" if one.drawn.probability else "never"
    if one.unmeasured is not None:
        return f"unmeasured, {drawn}"
    if one.scored is None:
        return f"waits, {drawn}"
    return f"{one.scored.score:.2f}, {drawn}"


def _open(view: View, one: SegmentStory) -> str:
    """Return where a segment stands that is not over."""
    if view.told.story.ended is not None and one.started_step is None:
        return "the end" if one.proposal is None else "dropped"
    if one.unresolved is not None:
        return "unknown"
    if one.started_step is not None:
        return "under way"
    return "thinking" if one.proposal is None else "judged" if one.decision else "frozen"
