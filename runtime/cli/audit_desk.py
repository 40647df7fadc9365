"""The desk: one question after the other, answered by keys. No answer slips out by accident.

Keys count only when the question has been on the screen for half a second, so that what was typed
for the one before cannot decide on this one. A decision still asks for a score, or a word, before
it is sent.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from monastery.auditor.desk import ballots
from monastery.runtime.cli import audit_answers, audit_view
from monastery.runtime.cli.audit_terminal import Terminal
from monastery.runtime.cli.output import size
from monastery.runtime.display import uninspectable, visible, visible_line
from monastery.runtime.errors import BadInput
from monastery.runtime.people import Ballot, Stage, question_of
from monastery.runtime.records import Answer, Item, ItemId
from monastery.runtime.store import Store

if TYPE_CHECKING:
    from monastery.runtime.cli.audit_dig import Digs

BLIND_SECONDS = 0.5
"""How long after a question appears keys do not count."""
_LOOK_SECONDS = 0.5
"""How often the desk looks for new questions, and whether the one shown is still open."""
_PAGE_LINES = 200
_DECIDE = {"a": "approve", "m": "modify", "r": "reject", "e": "escalate", "t": "terminate"}
_REPORT = {"d": "done", "f": "failed"}
_ALWAYS = {"v": "view all", "s": "skip", "q": "quit", "?": "help"}
_MEANS = {
    "keep": "vote as before",
    "approve": "carry the step out as it is",
    "modify": "carry out other bytes instead: $EDITOR opens, or name a file",
    "reject": "do not carry it out; the agent goes on",
    "escalate": "leave the decision to another person; your score still counts",
    "terminate": "do not carry it out, and end the run",
    "done": "it was done",
    "failed": "it was not done, or failed",
    "write": "write the answer",
    "dig": "a shell in a copy of the frozen box, recorded and thrown away",
    "view all": "everything, unshortened, in a pager",
    "skip": "leave it for later",
    "quit": "leave; what you answered is kept, the rest stays open",
    "help": "this",
}


@dataclass
class Desk:
    """One sitting of one person.

    Attributes:
        answered: What this person has answered, in order.
    """

    store: Store
    terminal: Terminal
    by: str
    wait: bool = False
    run: str | None = None
    digs: "Digs | None" = None
    answered: list[Answer] = field(default_factory=list)
    _first: Ballot | None = None
    _shown_at: float = 0.0
    _skipped: set[ItemId] = field(default_factory=set)
    _news: str = ""

    def sit(self) -> None:
        """Answer questions until none is left, or, if the desk waits, until the person leaves."""
        waiting = False
        while True:
            items = self._open()
            if items:
                waiting = False
                if not self._take(items[0], more=len(items) - 1):
                    return
                continue
            self._tell_news()
            if not self.wait:
                self.terminal.show(self._goodbye())
                return
            if not waiting:
                self.terminal.show("waiting for questions; q quits")
                waiting = True
            if self.terminal.key(_LOOK_SECONDS) == "q":
                return

    def _open(self) -> list[Item]:
        return [
            one.item
            for one in self.store.items(run=self.run)
            if one.item.id not in self._skipped and audit_view.state(self.store, one) == "open"
        ]

    def _goodbye(self) -> str:
        left = f"; skipped: {len(self._skipped)}" if self._skipped else ""
        return f"nothing {'more ' if self.answered else ''}waits for an answer{left}"

    def _take(self, item: Item, *, more: int) -> bool:
        """Show a question until it is dealt with; False when the person leaves."""
        self._first = None
        self._show(item, more)
        while True:
            keys = self._keys(item)
            key = self.terminal.key(_LOOK_SECONDS)
            gone = self._gone(item)
            if gone:
                self._news = gone
                return True
            if not key or self.terminal.now() - self._shown_at < BLIND_SECONDS:
                continue
            match keys.get(key):
                case None:
                    dealt_with = self._look(item, key)
                case "quit":
                    return False
                case "skip":
                    self._skipped.add(item.id)
                    return True
                case "help":
                    self._say(_help(item, keys))
                    dealt_with = False
                case "view all":
                    self.terminal.page(self._page(item, None))
                    dealt_with = False
                case "dig":
                    assert self.digs is not None, "the key is there where there are digs"
                    self._say(self.digs.open(item, voted=self._first is not None))
                    dealt_with = False
                case word:
                    dealt_with = self._answer(item, word)
            if dealt_with:
                return True
            self.terminal.show(_prompt(item, self._keys(item)))

    def _show(self, item: Item, more: int) -> None:
        self.terminal.clear()
        self._tell_news()
        self.terminal.show(self._page(item, _PAGE_LINES))
        if more:
            self.terminal.show(f"{more} more {'wait' if more > 1 else 'waits'} after this")
        if _staged(item):
            self.terminal.show("first vote: on the step alone; then its reasons, and another vote")
        self.terminal.show(_prompt(item, self._keys(item)))
        self._shown_at = self.terminal.now()

    def _page(self, item: Item, max_lines: int | None) -> Text:
        """Return the question; what the agent says for it is left out of a blind vote."""
        knows = not _staged(item) or self._first is not None
        width = self.terminal.width
        return audit_view.page(item, width=width, max_lines=max_lines, reasons=knows)

    def _keys(self, item: Item) -> dict[str, str]:
        """Return what each key means for this question now."""
        more = {"k": "keep"} if self._first is not None else {}
        if self.digs is not None and self._may_dig(item):
            more["x"] = "dig"
        return more | _keys(item)

    def _may_dig(self, item: Item) -> bool:
        """Whether a copy of the box may be opened now."""
        knows = self._first is not None or item.purpose == "gate"
        may = question_of(item).dig
        return may == "always" or (may == "second" and knows)

    def _look(self, item: Item, key: str) -> bool:
        """Show the piece of evidence with this number, or say that the key means nothing."""
        files = list(audit_view.evidence(item).items())
        if key.isascii() and key.isdigit() and 1 <= int(key) <= len(files):
            name, content = files[int(key) - 1]
            self._say(f"evidence {visible_line(name)}, {size(len(content))}:")
            self.terminal.show(audit_view.behind_bar(visible(content), self.terminal.width))
        else:
            self._say(f"{visible_line(key)!r} means nothing here; ? helps")
        return False

    def _answer(self, item: Item, word: str) -> bool:
        """Ask for what belongs to the answer and send it; False when the person thinks again."""
        try:
            if item.purpose in audit_answers.DECISIONS:
                body = self._decision(item, word)
            else:
                body = self._report(item, word)
            if body is None:
                self._say("nothing was sent")
                return False
            answer = audit_answers.signed(item, self.by, body)
        except BadInput as exc:
            self._say(f"nothing was sent: {exc}")
            return False
        ballot = self._ballot(item, answer)
        if _staged(item) and self._first is None:
            self._see_reasons(item, ballot)
            return False
        digs = self.digs.of(item.id) if self.digs is not None else []
        cast = [ballot] if self._first is None else [self._first, ballot]
        if len(cast) > 1 or digs:
            answer = ballots.answer(item, cast, at=answer.at, due=None, digs=digs)
        try:
            self.store.answer(answer)
        except BadInput as exc:
            self._news = f"your answer came too late and does not count: {exc}"
            return True
        self.answered.append(answer)
        self._news = f"{item.id}: {word} was sent"
        return True

    def _ballot(self, item: Item, answer: Answer) -> Ballot:
        said = {name: value for name, value in answer.body.items() if name != "digest"}
        seconds = self.terminal.now() - self._shown_at
        stage: Stage = "first" if self._first is None else "second"
        return Ballot(item.id, answer.by, stage, "terminal", answer.at, seconds, said)

    def _see_reasons(self, item: Item, ballot: Ballot) -> None:
        """Keep the first vote, and show what the agent says for its step."""
        self._first = ballot
        reasons = visible(str(item.body.get("rationale", "")), max_lines=_PAGE_LINES)
        self._say("your first vote is kept; this is what the agent says for it (unchecked):")
        self.terminal.show(audit_view.behind_bar(reasons or "nothing", self.terminal.width))
        self._say(
            "second vote: its decision counts at the gate, the first one's score is the reward"
        )
        self._shown_at = self.terminal.now()

    def _decision(self, item: Item, decided: str) -> dict[str, object] | None:
        if decided == "keep":
            assert self._first is not None, "the key is there after a first vote"
            return dict(self._first.body) | {"digest": item.body.get("digest")}
        modified = None
        if decided == "modify":
            modified = self._modified(audit_view.payload(item))
            if modified is None:
                return None
        score = None
        if item.purpose == "audit":
            score = self._score()
            if score is None:
                return None
        elif self._declined(f"{decided}: sure? y, or anything else to think again: "):
            return None
        note = self.terminal.line("note, if any: ")
        if note is None:
            return None
        return audit_answers.decision(item, decided, score=score, note=note, modified=modified)

    def _report(self, item: Item, word: str) -> dict[str, object] | None:
        asked = "your answer" if item.purpose == "ask" else "what came of it"
        content = self.terminal.line(f"{asked} (empty: $EDITOR): ")
        if content == "":
            edited = self.terminal.edit(b"")
            content = None if edited is None else edited.decode(errors="replace").strip()
        if not content:
            return None
        return audit_answers.report(item, None if word == "write" else word, content)

    def _modified(self, payload: bytes) -> bytes | None:
        """Return other bytes to use, after the person has seen them; None for none."""
        modified = self.terminal.edit(payload)
        if modified is None:
            name = self.terminal.line("file with the bytes to use instead (empty: none): ")
            if not name:
                return None
            try:
                modified = Path(name).expanduser().read_bytes()
            except OSError as exc:
                raise BadInput(f"cannot read {name!r}: {exc.strerror}") from exc
        if modified == payload:
            raise BadInput("the bytes are as they were; approve says that")
        digest = uninspectable(modified, view_bytes=0).rpartition(" ")[2]
        self._say(f"to be used instead: {size(len(modified))}, sha256 {digest[:16]}…")
        self.terminal.show(audit_view.behind_bar(visible(modified), self.terminal.width))
        return modified

    def _score(self) -> float | None:
        prompt = "score, 0 (unreasonable) to 1 (reasonable); empty to think again: "
        while typed := self.terminal.line(prompt):
            try:
                score = float(typed)
            except ValueError:
                score = math.nan
            if 0.0 <= score <= 1.0:
                return score
            self._say(f"{visible_line(typed)!r} is no score; write 0 to 1, say 0.8")
        return None

    def _declined(self, question: str) -> bool:
        return (self.terminal.line(question) or "").strip().lower() not in ("y", "yes")

    def _gone(self, item: Item) -> str | None:
        """Say in one line why the question is no longer open, if it is not."""
        now = audit_view.state(self.store, self.store.item(item.id))
        if now == "open":
            return None
        answer = self.store.answered(item.id)
        by = f" by {visible_line(answer.by)}" if now == "answered" and answer is not None else ""
        return f"{item.id} was {now}{by} meanwhile; on to the next"

    def _tell_news(self) -> None:
        """Tell what became of the question before, on the new page."""
        if self._news:
            self._say(self._news)
            self._news = ""

    def _say(self, text: str) -> None:
        self.terminal.show(text)


def _keys(item: Item) -> dict[str, str]:
    """Return what each key means for this question."""
    if item.purpose in audit_answers.DECISIONS:
        allowed = audit_answers.DECISIONS[item.purpose]
        keys = {key: word for key, word in _DECIDE.items() if word in allowed}
    elif item.purpose == "ask":
        keys = {"w": "write"}
    else:
        keys = _REPORT
    return {**keys, **_ALWAYS}


def _staged(item: Item) -> bool:
    """Whether two votes are wanted, the first of them blind."""
    return item.purpose == "audit" and question_of(item).two_votes


def _prompt(item: Item, keys: dict[str, str]) -> str:
    told = "  ".join(f"{key} {word}" for key, word in keys.items())
    return f"\n{told}" + ("  1… evidence" if item.body.get("evidence") else "")


def _help(item: Item, keys: dict[str, str]) -> str:
    lines = [f"  {key}  {word}: {_MEANS[word]}" for key, word in keys.items()]
    if item.body.get("evidence"):
        lines.append("  1…  show a piece of evidence")
    return "\n".join(lines)
