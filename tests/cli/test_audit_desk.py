"""The desk, with keys from a list and a clock that only the test moves."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.text import Text

from monastery.runtime.cli.audit_desk import BLIND_SECONDS, Desk
from monastery.runtime.cli.audit_seat import sitting
from monastery.runtime.errors import BadInput
from monastery.runtime.people import Person
from monastery.runtime.records import Answer, Item
from tests.cli.questions import Questions, compared_question, question

Typed = str | tuple[float, str] | Callable[[], None]
"""A key after a second, or after so many seconds; or something that happens meanwhile."""


@dataclass
class FakeTerminal:
    """Gives keys and lines from lists, and keeps what is shown."""

    typed: list[Typed]
    lines: list[str | None] = field(default_factory=list)
    edited: bytes | None = None
    width: int = 100
    clock: float = 0.0
    shown: list[str] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)

    def now(self) -> float:
        """Return the test's time."""
        return self.clock

    def clear(self) -> None:
        """Begin a page."""
        self.shown.append("-- page --")

    def show(self, text: Text | str) -> None:
        """Keep it."""
        self.shown.append(text.plain if isinstance(text, Text) else text)

    def page(self, text: Text) -> None:
        """Keep it as a pager's."""
        self.shown.append("-- pager --\n" + text.plain)

    def key(self, timeout_seconds: float) -> str | None:
        """Return the next key of the list."""
        assert self.typed, "the desk wants more keys:\n" + "\n".join(self.shown)
        match self.typed.pop(0):
            case (float(after), str(key)):
                self.clock += after
                return key
            case str(key):
                self.clock += 1.0
                return key
            case happens:
                assert callable(happens)
                happens()
                self.clock += timeout_seconds
                return None

    def line(self, prompt: str) -> str | None:
        """Return the next line of the list."""
        self.prompts.append(prompt)
        return self.lines.pop(0)

    def edit(self, content: bytes) -> bytes | None:
        """Return what the test set."""
        return self.edited

    @property
    def text(self) -> str:
        """All that was shown."""
        return "\n".join(self.shown)


@pytest.fixture
def questions(tmp_path: Path) -> Questions:
    """A home with a run that asks nothing yet."""
    return Questions(tmp_path / "home")


def _desk(questions: Questions, terminal: "FakeTerminal", by: str, *, wait: bool = False) -> None:
    with sitting(questions.home, by) as seat:
        Desk(seat, terminal, wait=wait).sit()


def sit(
    questions: Questions,
    *typed: Typed,
    lines: list[str | None] | None = None,
    edited: bytes | None = None,
    wait: bool = False,
    by: str = "alice",
) -> FakeTerminal:
    """Let a person sit down, type all of this, and stand up."""
    terminal = FakeTerminal(list(typed), lines or [], edited)
    _desk(questions, terminal, by, wait=wait)
    assert terminal.typed == [], "not all keys were read"
    assert terminal.lines == [], "not all lines were read"
    return terminal


def test_one_after_the_other(questions: Questions) -> None:
    """The oldest question is shown first; after its answer comes the next, until none is left."""
    first, second = questions.put(question(step=1)), questions.put(question(step=2))
    terminal = sit(questions, "a", "r", lines=["0.9", "", "0.1", "no tests"])
    assert questions.said(first) == {
        "decision": "approve",
        "score": 0.9,
        "note": "",
        "digest": first.body["digest"],
    }
    answer = questions.answer(second)
    assert answer is not None
    assert (answer["decision"], answer["note"]) == ("reject", "no tests")
    assert terminal.text.index(first.id) < terminal.text.index(second.id)
    assert "1 more waits after this" in terminal.text
    assert f"{first.id}: approve was sent" in terminal.text
    assert terminal.shown[-1] == "nothing more waits for an answer"


@pytest.mark.parametrize(
    ("key", "decision"), [("a", "approve"), ("r", "reject"), ("e", "escalate"), ("t", "terminate")]
)
def test_keys_decide(questions: Questions, key: str, decision: str) -> None:
    """Each key gives its decision, signed by who sits there."""
    item = questions.put(question())
    sit(questions, key, lines=["1", ""])
    found = questions.store.answered(item.id)
    assert found is not None
    assert (found.by, found.body["decision"]) == ("alice", decision)


def test_no_key_counts_too_early(questions: Questions) -> None:
    """Within the first half second after a question appears no key does anything, for each anew."""
    first, second = questions.put(question(step=1)), questions.put(question(step=2))
    early = BLIND_SECONDS - 0.01
    sit(
        questions,
        *((0.1, "a"), (0.1, "q"), (early - 0.2, "t")),
        *((0.02, "r"), (early, "a"), (0.02, "s")),
        lines=["0.5", ""],
    )
    answer = questions.answer(first)
    assert answer is not None
    assert answer["decision"] == "reject"
    assert questions.answer(second) is None


def test_a_decision_can_be_taken_back(questions: Questions) -> None:
    """An empty score, or the end of input at any prompt, sends nothing and asks again."""
    item = questions.put(question())
    terminal = sit(questions, "a", "a", "a", "q", lines=["", None, "0.5", None])
    assert questions.answer(item) is None
    assert terminal.text.count("nothing was sent") == 3


def test_scores_are_checked(questions: Questions) -> None:
    """What is no score from 0 to 1 is asked for again."""
    item = questions.put(question())
    terminal = sit(questions, "a", lines=["2", "nan", "-1", "high\x1b", "0.25", ""])
    answer = questions.answer(item)
    assert answer is not None
    assert answer["score"] == 0.25
    assert terminal.text.count("is no score") == 4
    assert "\x1b" not in terminal.text


def test_modify_with_an_editor(questions: Questions) -> None:
    """Edited bytes are shown before they are voted for; unchanged ones are no modification."""
    item = questions.put(question())
    terminal = sit(questions, "m", lines=["0.5", ""], edited=b"echo bye\x1b\n")
    answer = questions.answer(item)
    assert answer is not None
    assert answer["modified_base64"] == "ZWNobyBieWUbCg=="
    assert "│ echo bye‹U+001B›" in terminal.text
    other = questions.put(question(step=2))
    terminal = sit(questions, "m", "q", edited=b"echo hello\n")
    assert "as they were" in terminal.text
    assert questions.answer(other) is None


def test_modify_with_a_file(questions: Questions, tmp_path: Path) -> None:
    """Without an editor a file is asked for; one that cannot be read sends nothing."""
    item = questions.put(question())
    (tmp_path / "new").write_bytes(b"\xff")
    lines = ["", str(tmp_path / "gone"), str(tmp_path / "new"), "1", ""]
    terminal = sit(questions, "m", "m", "m", lines=list(lines))
    answer = questions.answer(item)
    assert answer is not None
    assert answer["modified_base64"] == "/w=="
    assert "cannot read" in terminal.text


def test_gate_asks_for_a_word_more(questions: Questions) -> None:
    """A gate has no score; a decision is confirmed, and cannot be passed on."""
    item = questions.put(question("gate"))
    terminal = sit(questions, "e", "a", "a", lines=["n", "y", "go"])
    assert questions.said(item) == {
        "decision": "approve",
        "note": "go",
        "digest": item.body["digest"],
    }
    assert "'e' means nothing here" in terminal.text


def test_deeds_and_questions(questions: Questions) -> None:
    """Deeds are done or failed with a report; questions are answered; steps are resolved."""
    human, ask = questions.put(question("human")), questions.put(question("ask"))
    resolve = questions.put(question("resolve", expires_seconds=None))
    terminal = sit(questions, "d", "w", "f", lines=["rang it", "blue", "it was not"])
    assert questions.said(human) == {"status": "done", "content": "rang it"}
    assert questions.said(ask) == {"content": "blue"}
    assert questions.said(resolve) == {"status": "failed", "content": "it was not"}
    assert "please ring the bell" in terminal.text
    assert "never expires" in terminal.text


def test_skipping_leaves_it_open(questions: Questions) -> None:
    """A skipped question stays open and is not shown again in this sitting."""
    item = questions.put(question())
    terminal = sit(questions, "s")
    assert questions.answer(item) is None
    assert terminal.shown[-1] == "nothing waits for an answer; skipped: 1"


def test_help_evidence_and_all(questions: Questions) -> None:
    """Help, evidence by number, and all of it in a pager leave the question as it is."""
    item = questions.put(question(payload=b"x\n" * 3000))
    terminal = sit(questions, "?", "1", "2", "v", "z", "q")
    assert "escalate: leave the decision to another person" in terminal.text
    assert "│ all green" in terminal.text
    assert "'2' means nothing here" in terminal.text
    page = next(text for text in terminal.shown if text.startswith("-- pager --"))
    assert page.count("│ x\n") == 3000
    assert questions.answer(item) is None


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("expired", "Its time is up"),
        ("withdrawn", "It was withdrawn"),
        ("answered", "It has its answer already"),
    ],
)
def test_gone_meanwhile(questions: Questions, state: str, why: str) -> None:
    """A question that ends while it is shown is left with one clear line, and the next is shown."""
    item, second = questions.put(question(step=1)), questions.put(question(step=2))
    terminal = sit(questions, lambda: questions.close(item, state), "q")  # type: ignore[arg-type]
    assert f"{item.id}: {why}" in terminal.text
    assert second.id in terminal.text
    assert questions.answer(item) is None


def test_answered_by_another_meanwhile(questions: Questions) -> None:
    """An answer that came another way first stands; ours is kept, and told not to count."""
    item = questions.put(question())
    terminal = FakeTerminal(["a"], ["1", ""])
    took = terminal.line

    def line(prompt: str) -> str | None:
        if questions.answer(item) is None:
            body = {"decision": "reject", "score": 0.0}
            questions.store.answer(Answer(item.id, "bob", datetime.now(UTC), body))
        return took(prompt)

    terminal.line = line  # type: ignore[method-assign]
    _desk(questions, terminal, "alice")
    assert f"your answer to {item.id} does not count: It has its answer already" in terminal.text
    found = questions.store.answered(item.id)
    assert found is not None
    assert found.by == "bob"
    with sitting(questions.home, "alice") as seat:
        (ballot,) = seat.book.ballots(item.id, "alice")
        assert (ballot.body["decision"], ballot.counts) == ("approve", False)


def test_what_one_has_before_them_no_other_is_shown(questions: Questions) -> None:
    """Until it is put back, by a skip or by leaving."""
    item = questions.put(question())

    def bob() -> None:
        assert "nothing waits for an answer" in sit(questions, by="bob").text

    sit(questions, bob, "q")
    assert item.id in sit(questions, "q", by="bob").text


def test_waiting_for_new_questions(questions: Questions) -> None:
    """With --wait the desk goes on when a new question comes, and q leaves."""
    late: list[Item] = []
    terminal = sit(
        questions,
        lambda: None,
        lambda: late.append(questions.put(question())),
        "a",
        "q",
        lines=["1", ""],
        wait=True,
    )
    assert questions.answer(late[0]) is not None
    assert terminal.text.count("waiting for questions") == 2


def test_folded_lines_stay_behind_the_bar(questions: Questions) -> None:
    """However long a line is, no part of it stands where our own words stand."""
    wide = "漢" * 300 + "." * 300 + "What the agent says for it (unchecked)"
    questions.put(question(payload=wide.encode()))
    terminal = sit(questions, "q")
    page = terminal.shown[1]
    assert "." * 9 in page
    for line in page.splitlines():
        assert line[:2] in ("│ ", "┆ ") or ("." * 9 not in line and "unchecked" not in line)


def test_two_votes_the_first_without_the_agents_reasons(questions: Questions) -> None:
    """Neither the page nor the pager shows them before it; both votes are in the answer."""
    item = questions.put(question(desk={"two_votes": True}))
    seen: list[str] = []

    def look() -> None:
        seen.append(terminal.text)

    terminal = FakeTerminal(["v", look, "r", look, (0.3, "a"), "a"], ["0.2", "no", "0.9", "well"])
    _desk(questions, terminal, "alice")
    blind, knowing = seen
    assert "-- pager --" in blind
    assert "because it is late" not in blind
    assert "because it is late" in knowing
    body = questions.answer(item)
    assert body is not None
    assert (body["decision"], body["score"], body["note"]) == ("approve", 0.2, "well")
    told = [(one["stage"], one["decision"], one["score"]) for one in body["desk"]["ballots"]]
    assert told == [("first", "reject", 0.2), ("second", "approve", 0.9)]


def test_a_vote_may_stay_as_it_was_and_one_vote_alone_sends_nothing(questions: Questions) -> None:
    """One key votes as before; who leaves after the first vote has not answered."""
    left, kept = (questions.put(question(step=step, desk={})) for step in (1, 2))
    sit(questions, "a", "s", "e", "k", lines=["1", "", "0.5", "why"])
    assert questions.answer(left) is None
    body = questions.answer(kept)
    assert body is not None
    assert (body["decision"], body["score"], body["note"]) == ("escalate", 0.5, "why")
    assert len(body["desk"]["ballots"]) == 2


def test_proposals_are_compared_one_after_the_other(questions: Questions) -> None:
    """No reasons before the first vote; its scores stay, and the second's decisions count."""
    item = questions.put(compared_question())
    lines: list[str | None] = ["a 2", "r 0.1", "r 0.5", "r 0.9", "", "a 1", "reject 1", "a 1", ""]
    terminal = sit(questions, "c", "c", lines=lines)
    assert "is no decision and score" in terminal.text
    first = terminal.text.partition("your first vote is kept")[0]
    assert "Proposal 3 of 3, kind command" in first
    assert "because of" not in first
    assert terminal.text.count("because of ") == 3
    given = questions.answer(item)
    assert given is not None
    assert given["alternatives"] == [
        {"decision": "approve", "score": 0.1},
        {"decision": "reject", "score": 0.5},
        {"decision": "approve", "score": 0.9},
    ]


def test_a_first_vote_is_kept_for_another_sitting(questions: Questions) -> None:
    """Who comes back has the reasons before them, and the second vote alone to give."""
    item = questions.put(question(desk={}))
    sit(questions, "r", "q", lines=["0.1", ""])
    terminal = sit(questions, "a", lines=["0.9", ""])
    assert "because it is late" in terminal.shown[1]
    body = questions.answer(item)
    assert body is not None
    assert (body["decision"], body["score"]) == ("approve", 0.1)


def test_an_account_says_what_its_name_may(questions: Questions) -> None:
    """Who may not vote is offered nothing; a name without an account may do everything."""
    item = questions.put(question())
    with sitting(questions.home, "mira") as seat, seat.book.turn():
        seat.book.put_person(Person("mira", frozenset({"runner"}), datetime.now(UTC)))
    assert "nothing waits" in sit(questions, by="mira").text
    assert item.id in sit(questions, "q", by="nobody").text
    with sitting(questions.home, "mira") as seat, seat.book.turn():
        left = Person("mira", frozenset(), datetime.now(UTC), left=datetime.now(UTC))
        seat.book.put_person(left)
    with pytest.raises(BadInput, match="has left"):
        sit(questions, by="mira")
