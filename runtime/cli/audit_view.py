"""A question as a person sees it on a terminal. Everything in it is made visible.

A page is made of a `StepView` and, once they may be known, `Reasons`, as in a browser.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from rich.cells import chop_cells
from rich.text import Text

from monastery.auditor.desk.views import Earlier, Reasons, StepView
from monastery.runtime.cli import audit_compare
from monastery.runtime.cli.output import seconds, size
from monastery.runtime.display import visible, visible_line
from monastery.runtime.errors import BadInput
from monastery.runtime.rows import StoredItem
from monastery.runtime.store import Store

ASKED = {
    "audit": "How reasonable is this step? Judge the proposal, not what may come of it.",
    "gate": "May this step be carried out? That is for you to decide.",
    "human": "The agent asks a person to do this, and to say what came of it.",
    "ask": "The agent asks a person.",
    "resolve": "Nobody knows whether this step was done. Find out, and say.",
}
"""What each purpose wants of the person."""

_MOST_CHANGES = 40
_REASONS = "What the agent says for it (unchecked)"
_PRINTED = "What it printed while it thought"


def state(store: Store, stored: StoredItem) -> str:
    """Return where a question stands, also when its run has not taken notice yet."""
    if stored.state == "open":
        if store.answered(stored.item.id) is not None:
            return "answered"
        if stored.item.deadline is not None and datetime.now(UTC) > stored.item.deadline:
            return "expired"
    return stored.state


def find(store: Store, named: str) -> StoredItem:
    """Return the question that a person means: its id, or the beginning of only one open id.

    Raises:
        BadInput: There is none, or there are several.
    """
    begun = [one for one in store.items() if named and one.item.id.startswith(named)]
    exact = [one for one in begun if one.item.id == named]
    if len(begun) > 1 and not exact:
        raise BadInput(f"{named!r} begins {len(begun)} open items; write more of the id")
    return begun[0] if len(begun) == 1 else store.item(named)


def line(stored: StoredItem, now: str) -> dict[str, Any]:
    """Return a question in a few words, as JSON."""
    item = stored.item
    return {
        "item": item.id,
        "run": item.run,
        "purpose": item.purpose,
        "for": item.body.get("for"),
        "kind": item.body.get("kind"),
        "step": item.body.get("step"),
        "state": now,
        "created": item.created,
        "deadline": item.deadline,
    }


def payload(step: StepView) -> bytes:
    """Return the exact bytes that the question is about; of one without a payload, its text."""
    return step.rendering.encode(errors="replace") if step.payload is None else step.payload


def as_json(shown: Any) -> dict[str, Any]:
    """Return a sheet, a step or reasons as JSON: the same fields as the desk's JSON form has."""
    from monastery.auditor.web.api import plain  # its server's libraries take a while to load

    return plain(shown)


def expires(deadline: datetime | None) -> str:
    """Return how long the question stays open."""
    if deadline is None:
        return "never expires"
    left = (deadline - datetime.now(UTC)).total_seconds()
    return f"expires in {seconds(left)}" if left > 0 else "expired"


def page(
    step: StepView, reasons: Reasons | None, *, width: int | None, max_lines: int | None
) -> Text:
    """Return all that is to be seen of a question: the agent's own reasons come last.

    Args:
        step: The question.
        reasons: What the agent says for it, when it may be known.
        width: The terminal's [columns]; what the agent wrote is folded to it behind a bar, so that
            it cannot pass for what we write. None folds nothing.
        max_lines: At most so many lines of each text are shown, and the rest counted.
    """
    text = Text()
    text.append(f"{visible_line(step.item)}", style="bold")
    text.append(f"  {step.purpose}, {expires(step.deadline)}\n", style="dim")
    text.append(f"{ASKED[step.purpose]}\n", style="italic")
    return text + _titled(_parts(step, max_lines), width) + why(reasons, width, max_lines)


def why(reasons: Reasons | None, width: int | None, max_lines: int | None) -> Text:
    """Return what the agent says for its step, and what it printed; nothing of None."""
    parts = []
    if reasons is not None and reasons.rationales:
        parts = [
            (f"Proposal {place}: {_REASONS[0].lower()}{_REASONS[1:]}", _safe(one, max_lines))
            for place, one in enumerate(reasons.rationales, 1)
        ]
    elif reasons is not None:
        parts.append((_REASONS, _safe(reasons.rationale, max_lines) or "nothing"))
        cut = reasons.printed_bytes - len(reasons.printed)
        kept = f" ({size(len(reasons.printed))} kept of {size(reasons.printed_bytes)})"
        printed = _safe(reasons.printed, max_lines) or "nothing"
        parts.append((_PRINTED + (kept if cut else ""), printed))
    return _titled(parts, width)


def _titled(parts: Iterable[tuple[str, str]], width: int | None) -> Text:
    text = Text()
    for title, content in parts:
        text.append(f"\n{title}\n", style="bold cyan")
        text.append_text(behind_bar(content, width))
    return text


def behind_bar(content: str, width: int | None) -> Text:
    """Return a safe text with a bar before each line, folded lines too."""
    text = Text()
    for whole in content.split("\n"):
        flat = whole.expandtabs(8)
        folded = chop_cells(flat, max(8, width - 2)) if width is not None else [flat]
        for number, piece in enumerate(folded or [""]):
            text.append("┆ " if number else "│ ", style="dim")
            text.append(piece + "\n")
    text.highlight_regex("‹[^›]*›", "bold yellow")
    return text


def _safe(content: str | bytes, max_lines: int | None) -> str:
    return visible(content, max_lines=max_lines, max_columns=None if max_lines is None else 4000)


def _parts(step: StepView, max_lines: int | None) -> Iterator[tuple[str, str]]:
    """Yield the parts of a page: title, and a text that is safe."""
    if step.goal:
        yield "Goal", _safe(step.goal, max_lines)
    if step.earlier:
        yield "The story so far", "\n".join(map(_earlier, step.earlier))
    if step.reason:
        yield "Why it is asked", _safe(step.reason, max_lines)
    if step.settings:
        yield "Settings of this kind", _safe(_as_json(step.settings), max_lines)
    named = f"Step {'?' if step.step is None else step.step}, kind {visible_line(step.kind or '?')}"
    content = step.payload
    if not step.alternatives:
        titled = named + (": what would be done" if content is not None else "")
        yield titled, _safe(step.rendering, max_lines)
    if content is not None:
        digest = hashlib.sha256(content).hexdigest()
        same = step.rendering.encode(errors="surrogatepass") == content
        yield (
            f"The exact bytes ({size(len(content))}, sha256 {digest[:16]}…)",
            "as above, byte for byte" if same else _safe(content, max_lines),
        )
    yield from audit_compare.parts(step, lambda content: _safe(content, max_lines))
    if step.changes:
        yield "Changed in the box", _changes(step)
    if step.evidence:
        yield (
            "Evidence",
            "\n".join(
                f"{number}  {visible_line(file.name)} ({size(len(file.content))})"
                for number, file in enumerate(step.evidence, 1)
            ),
        )
    if step.canned:
        yield (
            "What the agent may be told, as a line of the note",
            "\n".join(visible_line(line) for line in step.canned),
        )


def _earlier(step: Earlier) -> str:
    """Return an earlier step in one line."""
    told = f"{step.step}  {step.kind}  {step.status}"
    if step.payload:
        told += f"  {_headline(step.payload)}"
    if step.outcome:
        told += f"  → {_as_json(step.outcome, indent=None)}"
    return visible_line(told, max_columns=300)


def _headline(text: str) -> str:
    first, _, rest = text.strip().partition("\n")
    return first[:120] + ("…" if rest or len(first) > 120 else "")


def _changes(step: StepView) -> str:
    lines = [
        visible_line(f"{change.what} {change.path}")
        + ("" if change.size_bytes is None else f" ({size(change.size_bytes)})")
        for change in step.changes[:_MOST_CHANGES]
    ]
    if len(step.changes) > _MOST_CHANGES:
        lines.append(f"‹… {len(step.changes) - _MOST_CHANGES:,} paths not shown›")
    return "\n".join(lines)


def _as_json(value: Any, indent: int | None = 2) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False, default=str)
