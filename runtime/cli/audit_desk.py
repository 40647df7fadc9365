"""The desk: one question after the other, answered by keys. No answer slips out by accident.

Keys count only when the question has been on the screen for half a second, so that what was typed
for the one before cannot decide on this one. A decision still asks for a score, or a word, before
it is sent.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from monastery.auditor.desk.rules import COUNTED, Refused
from monastery.auditor.desk.views import Sheet, StepView
from monastery.runtime.cli import audit_answers, audit_compare, audit_view
from monastery.runtime.cli.audit_seat import Seat
from monastery.runtime.cli.audit_terminal import Terminal
from monastery.runtime.cli.output import size
from monastery.runtime.display import uninspectable, visible, visible_line
from monastery.runtime.errors import BadInput
from monastery.runtime.people import Question
from monastery.runtime.records import Answer, ItemId

if TYPE_CHECKING:
    from monastery.runtime.cli.audit_dig import Digs

BLIND_SECONDS = 0.5
"""How long after a question appears keys do not count."""
_LOOK_SECONDS = 0.5
"""How often the desk looks for new questions, and whether the one shown is still open."""
_PAGE_LINES = 200
_SECOND = "second vote: its decision counts at the gate, the first one's score is the reward"
_DECIDE = {"a": "approve", "m": "modify", "r": "reject", "e": "escalate", "t": "terminate"}
_REPORT = {"d": "done", "f": "failed"}
_ALWAYS = {"v": "view all", "s": "skip", "q": "quit", "?": "help"}
_MEANS = {
    "keep": "vote as before",
    "compare": "judge each of the proposals",
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

    seat: Seat
    terminal: Terminal
    wait: bool = False
    run: str | None = None
    digs: "Digs | None" = None
    answered: list[Answer] = field(default_factory=list)
    _shown_at: float = 0.0
    _skipped: set[ItemId] = field(default_factory=set)
    _news: str = ""

    def sit(self) -> None:
        """Answer questions until none is left, or, if the desk waits, until the person leaves."""
        waiting = False
        while True:
            offered = self._offered()
            if offered:
                waiting = False
                if not self._take(offered[0], more=len(offered) - 1):
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

    def _offered(self) -> list[Question]:
        return [one for one in self.seat.offered(self.run) if one.item not in self._skipped]

    def _goodbye(self) -> str:
        left = f"; skipped: {len(self._skipped)}" if self._skipped else ""
        return f"nothing {'more ' if self.answered else ''}waits for an answer{left}"

    def _take(self, question: Question, *, more: int) -> bool:
        """Show a question until it is dealt with; False when the person leaves."""
        sheet = self.seat.show(question.item)
        if isinstance(sheet, Refused):  # someone was quicker
            self._news = f"{question.item}: {sheet.text}"
            return True
        self._show(sheet, more)
        while True:
            keys = self._keys(sheet)
            key = self.terminal.key(_LOOK_SECONDS)
            gone = self.seat.gone(question.item)
            if gone is not None:
                self._news = f"{question.item}: {gone.text} On to the next."
                return True
            if not key or self.terminal.now() - self._shown_at < BLIND_SECONDS:
                continue
            match keys.get(key):
                case None:
                    self._look(sheet.step, key)
                case "quit" | "skip" as word:
                    self.seat.leave(question.item)
                    self._skipped.add(question.item)
                    return word == "skip"
                case "help":
                    self._say(_help(sheet.step, keys))
                case "view all":
                    self.terminal.page(self._page(sheet, None))
                case "dig":
                    assert self.digs is not None, "the key is there where there are digs"
                    shown, voted = self.seat.book.shown(question.item), sheet.stage == "second"
                    self._say(self.digs.open(shown, voted=voted))
                case word:
                    after = self._answer(question, sheet, word)
                    if after is None:
                        return True
                    sheet = after
            self.terminal.show(_prompt(sheet.step, self._keys(sheet)))

    def _show(self, sheet: Sheet, more: int) -> None:
        self.terminal.clear()
        self._tell_news()
        self.terminal.show(self._page(sheet, _PAGE_LINES))
        if more:
            self.terminal.show(f"{more} more {'wait' if more > 1 else 'waits'} after this")
        if not sheet.last:
            self._say("first vote: on the step alone; then its reasons, and another vote")
        elif sheet.stage == "second":
            self._say(_SECOND)
        self.terminal.show(_prompt(sheet.step, self._keys(sheet)))
        self._shown_at = self.terminal.now()

    def _page(self, sheet: Sheet, max_lines: int | None) -> Text:
        width = self.terminal.width
        return audit_view.page(sheet.step, sheet.reasons, width=width, max_lines=max_lines)

    def _keys(self, sheet: Sheet) -> dict[str, str]:
        """Return what each key means for this question now."""
        more = {"x": "dig"} if self.digs is not None and sheet.dig else {}
        return more | _keys(sheet)

    def _look(self, step: StepView, key: str) -> None:
        """Show the piece of evidence with this number, or say that the key means nothing."""
        if key.isascii() and key.isdigit() and 1 <= int(key) <= len(step.evidence):
            file = step.evidence[int(key) - 1]
            self._say(f"evidence {visible_line(file.name)}, {size(len(file.content))}:")
            shown = visible(file.content)
            self.terminal.show(audit_view.behind_bar(shown, self.terminal.width))
        else:
            self._say(f"{visible_line(key)!r} means nothing here; ? helps")

    def _answer(self, question: Question, sheet: Sheet, word: str) -> Sheet | None:
        """Ask for what belongs to the answer and send it; None when the question is dealt with.

        Returns:
            What is before the person then: the same when they think again, else the reasons too.
        """
        try:
            if question.purpose in audit_answers.DECISIONS:
                said = self._decision(question, sheet, word)
            else:
                said = self._report(question, word)
        except BadInput as exc:
            self._say(f"nothing was sent: {exc}")
            return sheet
        if said is None:
            self._say("nothing was sent")
            return sheet
        voted = self.seat.say(question.item, said, stage=sheet.stage)
        if isinstance(voted, Refused):
            self._news = f"your answer to {question.item} does not count: {voted.text}"
            return None
        if voted.final:
            given = self.seat.book.answer_of(question.item)
            if given is not None:
                self.answered.append(given)
            told = self.seat.gone(question.item)
            self._news = f"{question.item}: {word} was sent"
            if told is not None and told != COUNTED:
                self._news += f". {told.text}"
            return None
        return self._see_reasons(question)

    def _see_reasons(self, question: Question) -> Sheet | None:
        """Show what the agent says for its step, after the first vote."""
        sheet = self.seat.show(question.item)
        if isinstance(sheet, Refused):
            self._news = f"{question.item}: {sheet.text}"
            return None
        self._say("your first vote is kept; this is what the agent says for it")
        self.terminal.show(audit_view.why(sheet.reasons, self.terminal.width, _PAGE_LINES))
        self._say(_SECOND)
        self._shown_at = self.terminal.now()
        return sheet

    def _decision(self, question: Question, sheet: Sheet, decided: str) -> dict[str, Any] | None:
        if decided == "keep":
            assert sheet.mine is not None, "the key is there after a first vote"
            return dict(sheet.mine.body)
        if decided == "compare":
            given = audit_compare.judged(self.terminal, len(sheet.step.alternatives))
            note = None if given is None else self.terminal.line("note, if any: ")
            if given is None or note is None:
                return None
            return audit_answers.compared(given, note=note)
        modified = None
        if decided == "modify":
            modified = self._modified(audit_view.payload(sheet.step))
            if modified is None:
                return None
        score = None
        if question.purpose == "audit":
            score = self._score()
            if score is None:
                return None
        elif self._declined(f"{decided}: sure? y, or anything else to think again: "):
            return None
        note = self.terminal.line("note, if any: ")
        if note is None:
            return None
        return audit_answers.decision(question, decided, score=score, note=note, modified=modified)

    def _report(self, question: Question, word: str) -> dict[str, Any] | None:
        asked = "your answer" if question.purpose == "ask" else "what came of it"
        content = self.terminal.line(f"{asked} (empty: $EDITOR): ")
        if content == "":
            edited = self.terminal.edit(b"")
            content = None if edited is None else edited.decode(errors="replace").strip()
        if not content:
            return None
        return audit_answers.report(question, None if word == "write" else word, content)

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

    def _tell_news(self) -> None:
        """Tell what became of the question before, on the new page."""
        if self._news:
            self._say(self._news)
            self._news = ""

    def _say(self, text: str) -> None:
        self.terminal.show(text)


def _keys(sheet: Sheet) -> dict[str, str]:
    """Return what each key means for this question now."""
    purpose = sheet.step.purpose
    if sheet.step.alternatives:
        keys = {"c": "compare"}
    elif purpose in audit_answers.DECISIONS:
        allowed = audit_answers.DECISIONS[purpose]
        keys = {key: word for key, word in _DECIDE.items() if word in allowed}
    elif purpose == "ask":
        keys = {"w": "write"}
    else:
        keys = _REPORT
    return ({"k": "keep"} if sheet.stage == "second" else {}) | keys | _ALWAYS


def _prompt(step: StepView, keys: dict[str, str]) -> str:
    told = "  ".join(f"{key} {word}" for key, word in keys.items())
    return f"\n{told}" + ("  1… evidence" if step.evidence else "")


def _help(step: StepView, keys: dict[str, str]) -> str:
    lines = [f"  {key}  {word}: {_MEANS[word]}" for key, word in keys.items()]
    if step.evidence:
        lines.append("  1…  show a piece of evidence")
    return "\n".join(lines)
