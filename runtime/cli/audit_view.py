"""A question as a person sees it: on a terminal, and as JSON. Everything in it is made visible."""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.cells import chop_cells
from rich.text import Text

from monastery.runtime.cli import audit_compare
from monastery.runtime.cli.output import seconds, size
from monastery.runtime.display import visible, visible_line
from monastery.runtime.errors import BadInput
from monastery.runtime.records import Item
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

_CASE_FIELDS = {"format", "item", "for", "goal", "kind", "step", "proposal", "digest", "reason"}
_CASE_FIELDS |= {"payload_base64", "payload_sha256", "rendering", "text", "rationale"}
_CASE_FIELDS |= {"evidence", "changes", "settings", "earlier", "desk", "alternatives"}
"""What has its own place on a page; whatever else an item holds is shown as it is."""
_MOST_CHANGES = 40
_REASONS = "What the agent says for it (unchecked)"


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


def payload(item: Item) -> bytes:
    """Return the exact bytes that the question is about; of one without a payload, its text."""
    encoded = item.body.get("payload_base64")
    if isinstance(encoded, str):
        return _decoded(encoded)
    return str(item.body.get("text", item.body.get("rendering", ""))).encode(errors="replace")


def evidence(item: Item) -> dict[str, bytes]:
    """Return the files that the agent attached, by name."""
    return {one["name"]: _decoded(one["base64"]) for one in item.body.get("evidence", [])}


def expires(item: Item) -> str:
    """Return how long the question stays open."""
    if item.deadline is None:
        return "never expires"
    left = (item.deadline - datetime.now(UTC)).total_seconds()
    return f"expires in {seconds(left)}" if left > 0 else "expired"


def page(item: Item, *, width: int | None, max_lines: int | None, reasons: bool = True) -> Text:
    """Return all that is to be seen of a question: the agent's own reasons come last.

    Args:
        item: The question.
        width: The terminal's [columns]; what the agent wrote is folded to it behind a bar, so that
            it cannot pass for what we write. None folds nothing.
        max_lines: At most so many lines of each text are shown, and the rest counted.
        reasons: Whether what the agent says for it is shown; not before a first vote.
    """
    body = item.body
    text = Text()
    text.append(f"{visible_line(item.id)}", style="bold")
    meant = f"for {visible_line(str(body['for']))}, " if "for" in body else ""
    text.append(f"  {item.purpose}, {meant}{expires(item)}\n", style="dim")
    text.append(f"{ASKED[item.purpose]}\n", style="italic")
    for title, content in _parts(item, max_lines, reasons=reasons):
        if title == _REASONS and not reasons:
            continue
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


def _parts(item: Item, max_lines: int | None, *, reasons: bool) -> Iterator[tuple[str, str]]:
    """Yield the parts of a page: title, and a text that is safe."""
    body = item.body

    def safe(content: str | bytes) -> str:
        return visible(
            content, max_lines=max_lines, max_columns=None if max_lines is None else 4000
        )

    if "goal" in body:
        yield "Goal", safe(str(body["goal"]))
    if body.get("earlier"):
        yield "The story so far", "\n".join(_earlier(step) for step in body["earlier"])
    if "reason" in body:
        yield "Why it is asked", safe(str(body["reason"]))
    if body.get("settings"):
        yield "Settings of this kind", safe(_as_json(body["settings"]))
    step = f"Step {body.get('step', '?')}, kind {visible_line(str(body.get('kind', '?')))}"
    rendering = body.get("rendering")
    if rendering is not None:
        yield f"{step}: what would be done", safe(str(rendering))
    if "text" in body:
        yield step, safe(str(body["text"]))
    if "payload_base64" in body:
        content = payload(item)
        digest = hashlib.sha256(content).hexdigest()
        about = f"{size(len(content))}, sha256 {digest[:16]}…"
        same = isinstance(rendering, str) and rendering.encode(errors="surrogatepass") == content
        yield (
            f"The exact bytes ({about})",
            "as above, byte for byte" if same else safe(content),
        )
    yield from audit_compare.parts(item, safe, reasons=reasons)
    if body.get("changes"):
        yield "Changed in the box", _changes(body["changes"])
    if body.get("evidence"):
        yield (
            "Evidence",
            "\n".join(
                f"{number}  {visible_line(name)} ({size(len(content))})"
                for number, (name, content) in enumerate(evidence(item).items(), 1)
            ),
        )
    for name in body.keys() - _CASE_FIELDS:
        yield visible_line(name), safe(_as_json(body[name]))
    if body.get("rationale"):
        yield _REASONS, safe(str(body["rationale"]))


def _earlier(step: Mapping[str, Any]) -> str:
    """Return an earlier step in one line."""
    told = f"{step.get('step')}  {step.get('kind')}  {step.get('status')}"
    if step.get("payload"):
        told += f"  {_headline(str(step['payload']))}"
    if step.get("outcome"):
        told += f"  → {_as_json(step['outcome'], indent=None)}"
    return visible_line(told, max_columns=300)


def _headline(text: str) -> str:
    first, _, rest = text.strip().partition("\n")
    return first[:120] + ("…" if rest or len(first) > 120 else "")


def _changes(changes: list[Mapping[str, Any]]) -> str:
    lines = []
    for change in changes[:_MOST_CHANGES]:
        length = change.get("size_bytes")
        lines.append(
            visible_line(f"{change.get('what')} {change.get('path')}")
            + (f" ({size(length)})" if isinstance(length, int) else "")
        )
    if len(changes) > _MOST_CHANGES:
        lines.append(f"‹… {len(changes) - _MOST_CHANGES:,} paths not shown›")
    return "\n".join(lines)


def _as_json(value: Any, indent: int | None = 2) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False, default=str)


def _decoded(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise BadInput("the item holds bytes that are not base64") from exc
