"""`monastery audit list`, `show`, `score` and `answer`: real processes over a real store."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from monastery.runtime.records import Item
from tests.cli.questions import RUN, Questions, question
from tests.desk.test_api import SHEET, STEP

MONASTERY = [sys.executable, "-m", "monastery.runtime.cli.main"]


@pytest.fixture
def questions(tmp_path: Path) -> Questions:
    """A home with a run that asks nothing yet."""
    return Questions(tmp_path / "home")


def audit(
    questions: Questions, *words: str, code: int = 0, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run the command and check its exit code."""
    ended = subprocess.run(
        [*MONASTERY, "audit", *words],
        input=stdin,
        capture_output=True,
        check=False,
        env={**os.environ, "MONASTERY_HOME": str(questions.home)},
    )
    assert ended.returncode == code, ended.stderr.decode()
    if code == 2:
        assert ended.stderr.decode().count("\n") == 1, ended.stderr.decode()
    return ended


def told(questions: Questions, *words: str) -> Any:
    """Run the command with --json and return what it says."""
    return json.loads(audit(questions, *words, "--json").stdout)


def open_items(questions: Questions) -> list[str]:
    """Return the ids of what waits."""
    return [one["item"] for one in told(questions, "list")]


def test_list_shows_what_waits(questions: Questions) -> None:
    """Open questions are listed, the oldest first; --all lists the others too, with their state."""
    items = [questions.put(question(step=step)) for step in (3, 1, 2, 4, 5)]
    late = questions.put(question("ask", step=9, expires_seconds=-1.0))
    questions.close(items[1], "withdrawn")
    audit(questions, "score", items[2].id, "--decision", "approve", "--score", "1")
    assert open_items(questions) == [items[0].id, items[3].id, items[4].id]
    states = {one["item"]: one["state"] for one in told(questions, "list", "--all")}
    assert list(states.values()) == ["open", "withdrawn", "answered", "open", "open", "expired"]
    assert states[late.id] == "expired"
    assert told(questions, "list", "--run", RUN[:8])[0]["purpose"] == "audit"
    text = audit(questions, "list").stdout.decode()
    assert text.startswith("ITEM")
    assert items[0].id in text


def test_list_of_nothing(questions: Questions) -> None:
    """Nothing waiting is said in words and is an empty list in JSON."""
    assert audit(questions, "list").stdout == b"nothing waits for an answer\n"
    assert told(questions, "list") == []


def test_show_makes_everything_visible(questions: Questions) -> None:
    """What the agent wrote, in any field, reaches the terminal without a character that acts."""
    evil = "\x1b]0;owned\x07\u202e\u200b\r"
    item = question(
        payload=f"ls{evil}".encode(),
        rationale=f"why{evil}",
        goal=f"goal{evil}",
        kind=f"kind{evil}",
        evidence=[{"name": f"name{evil}", "base64": "AAE="}],
        changes=[{"path": f"path{evil}", "what": "added", "size_bytes": 1}],
        earlier=[
            {"step": 1, "kind": evil, "status": "done", "payload": evil, "outcome": {evil: 1}}
        ],
        settings={evil: evil},
    )
    questions.put(item)
    for words in (["show", item.id], ["show", item.id, "--full"], ["list"]):
        shown = audit(questions, *words).stdout.decode()
        assert not set("\x1b\x07\r\u202e\u200b") & set(shown)
        assert "‹U+001B›" in shown
    shown = audit(questions, "show", item.id).stdout.decode()
    for part in ("ls‹", "goal‹", "kind‹", "name‹", "path‹"):
        assert part in shown


def test_show_puts_the_agents_words_behind_a_bar(questions: Questions) -> None:
    """A payload cannot pass for a heading of ours, and the agent's reasons come last."""
    title = "What the agent says for it (unchecked)"
    item = questions.put(question("gate", payload=f"ls\n{title}\nfine".encode()))
    shown = audit(questions, "show", item.id).stdout.decode()
    assert shown.count("because it is late") == 1
    lines = shown.splitlines()
    assert [line for line in lines if title in line] == [f"│ {title}", title]
    assert lines.index("│ because it is late") > lines.index("│ fine")


def test_show_says_when_bytes_differ_from_rendering(questions: Questions) -> None:
    """The exact bytes are shown beside a rendering that is not the same, and else said to be."""
    same = questions.put(question(step=1))
    assert b"as above, byte for byte" in audit(questions, "show", same.id).stdout
    other = questions.put(question(step=2, payload=b"rm -rf x", rendering="runs ls"))
    shown = audit(questions, "show", other.id).stdout
    assert b"rm -rf x" in shown
    assert b"as above" not in shown
    binary = questions.put(question(step=3, payload=b"\xff\x00"))
    assert b"uninspectable: 2 bytes" in audit(questions, "show", binary.id).stdout


def test_show_limits_unless_full(questions: Questions) -> None:
    """A long payload is shortened with a notice; --full shows all."""
    item = questions.put(question(payload=b"line\n" * 2000 + b"\xc3\xa9nd"))
    assert "‹… 1,601 lines not shown›" in audit(questions, "show", item.id).stdout.decode()
    assert audit(questions, "show", item.id, "--full").stdout.decode().count("│ line\n") == 2000


def test_show_raw_is_exact(questions: Questions) -> None:
    """--raw writes exactly the payload's, or the evidence's, bytes."""
    payload = bytes(range(256))
    item = questions.put(question(payload=payload))
    assert audit(questions, "show", item.id, "--raw").stdout == payload
    evidence = ["--evidence", "log.txt"]
    assert audit(questions, "show", item.id, *evidence, "--raw").stdout == b"all green"
    assert audit(questions, "show", item.id, *evidence).stdout == b"all green\n"
    found = told(questions, "show", item.id, *evidence)
    assert found == {"name": "log.txt", "base64": base64.b64encode(b"all green").decode()}
    wrong = audit(questions, "show", item.id, "--evidence", "x\x1b", code=2)
    assert b"it has 'log.txt'" in wrong.stderr
    assert b"\x1b" not in wrong.stderr
    audit(questions, "show", item.id, "--raw", "--json", code=2)


def test_show_json_holds_what_the_desk_shows(questions: Questions) -> None:
    """The fields of the desk's JSON form, in ASCII, so that nothing in it acts on a terminal."""
    item = questions.put(question(goal="\u202e\x1b"))
    ended = audit(questions, "show", item.id, "--json")
    assert ended.stdout.isascii()
    told = json.loads(ended.stdout)
    assert told.keys() == {"item", "state"} | SHEET
    assert told["step"].keys() == STEP
    assert (told["item"], told["state"], told["stage"]) == (item.id, "open", "first")
    assert told["step"]["goal"] == "\u202e\x1b"
    audit(questions, "score", item.id, "--decision", "approve", "--score", "1")
    closed = json.loads(audit(questions, "show", item.id, "--json").stdout)
    assert closed["state"] == "answered"
    assert closed["step"] == told["step"]


HIDDEN = ("because it is late", "THOUGHTS", "secret-model-9", "RISKY", "BOBS-NOTE", "planted")


def test_the_first_vote_is_blind_and_the_second_is_not(questions: Questions) -> None:
    """Nothing that blinding hides is in any answer before it, then the reasons are; both count."""
    hidden = {"model": HIDDEN[2], "risk": "RISKY", "planted": True, "votes": ["BOBS-NOTE"]}
    item = questions.put(question(desk={}, **hidden))
    vote = ["score", item.id, "--by", "judge", "--decision"]
    early = [
        audit(questions, *words, "--by", "judge", code=code)
        for code, *words in (
            (0, "show", item.id),
            (0, "show", item.id, "--json"),
            (0, "show", item.id, "--full"),
            (0, "next", "--json"),
            (2, "show", item.id, "--reasons"),
            (2, *vote[:2], "--stage", "second", "--decision", "approve", "--score", "1"),
        )
    ]
    early.append(audit(questions, "list", "--json"))
    early.append(audit(questions, *vote, "reject", "--score", "0.25", "--json"))
    for one in early:
        for word in HIDDEN:
            assert word.encode() not in one.stdout + one.stderr, (one.args, word)
    first = json.loads(early[-1].stdout)
    assert (first["final"], first["stage"], first["again"]) == (False, "first", False)
    assert questions.answer(item) is None
    reasons = told(questions, "show", item.id, "--reasons", "--by", "judge")
    assert reasons == {
        "rationale": HIDDEN[0],
        "rationales": [],
        "printed_base64": "",
        "printed_bytes": 0,
    }
    assert HIDDEN[0].encode() in audit(questions, "show", item.id, "--by", "judge").stdout
    assert b"another tab" in audit(questions, *vote, "approve", "--score", "1", code=2).stderr
    second = [*vote, "approve", "--score", "0.9", "--stage", "second", "--slip", "mine", "--json"]
    finals = [json.loads(audit(questions, *second).stdout) for _ in range(2)]
    assert [(one["final"], one["again"]) for one in finals] == [(True, False), (True, True)]
    body = questions.answer(item)
    assert body is not None
    assert (body["decision"], body["score"]) == ("approve", 0.25)
    assert [one["score"] for one in body["desk"]["ballots"]] == [0.25, 0.9]


def test_what_one_has_before_them_waits_for_no_other(questions: Questions) -> None:
    """A program takes the next, another gets none and is refused; what is skipped is for others."""
    item = questions.put(question())
    assert told(questions, "next", "--by", "ada")["item"] == item.id
    assert told(questions, "next", "--by", "bob") == {"item": None}
    assert b"someone else has it" in audit(questions, "show", item.id, "--by", "bob").stdout
    assert told(questions, "next", "--run", RUN, "--by", "ada")["item"] == item.id
    audit(questions, "skip", item.id, "--reason", " ", "--by", "ada", code=2)
    audit(questions, "skip", item.id, "--reason", "mine", "--by", "ada")
    assert told(questions, "next", "--by", "ada") == {"item": None}
    assert told(questions, "next", "--by", "bob")["item"] == item.id


def test_ids_may_be_shortened(questions: Questions) -> None:
    """The beginning of only one open id is enough; of several it is refused."""
    first, second = questions.put(question(step=1)), questions.put(question(step=2))
    assert told(questions, "show", first.id[:-3])["item"] == first.id
    assert b"begins 2 open items" in audit(questions, "show", RUN, code=2).stderr
    assert b"no item 'nothing'" in audit(questions, "show", "nothing", code=2).stderr
    # An id that begins another one still means itself.
    longer = Item(
        id=type(first.id)(first.id + ".bob"),
        run=RUN,
        purpose="audit",
        created=first.created,
        deadline=None,
        body={},
    )
    questions.put(longer)
    assert told(questions, "show", first.id)["item"] == first.id
    assert told(questions, "show", second.id)["item"] == second.id


def test_score_becomes_an_answer(questions: Questions, tmp_path: Path) -> None:
    """A vote holds decision, score, note, other bytes, and the digest of what was shown."""
    item = questions.put(question(step=7))
    file = tmp_path / "payload"
    file.write_bytes(b"\xffother")
    words = ["--decision", "modify", "--score", "0.5", "--note", "so", "--payload", str(file)]
    given = told(questions, "score", item.id, *words, "--by", "alice")
    assert (given["item"], given["by"]) == (item.id, "alice")
    assert questions.said(item) == {
        "decision": "modify",
        "score": 0.5,
        "note": "so",
        "modified_base64": base64.b64encode(b"\xffother").decode(),
        "digest": f"{7:064x}",
    }


def test_payload_from_stdin(questions: Questions) -> None:
    """Other bytes can come from standard input."""
    item = questions.put(question())
    words = ["--decision", "modify", "--score", "1", "--payload", "-"]
    audit(questions, "score", item.id, *words, stdin=b"\x00\xff")
    answer = questions.answer(item)
    assert answer is not None
    assert base64.b64decode(answer["modified_base64"]) == b"\x00\xff"


def test_gate_wants_no_score(questions: Questions) -> None:
    """At a gate a decision alone is given; a score, or passing it on again, is refused."""
    item = questions.put(question("gate"))
    audit(questions, "score", item.id, "--decision", "approve", "--score", "1", code=2)
    audit(questions, "score", item.id, "--decision", "escalate", code=2)
    audit(questions, "score", item.id, "--decision", "approve", "--note", "go")
    assert questions.said(item) == {
        "decision": "approve",
        "note": "go",
        "digest": f"{1:064x}",
    }


@pytest.mark.parametrize(
    "words",
    [
        ["--decision", "approve"],
        ["--decision", "approve", "--score", "1.1"],
        ["--decision", "approve", "--score", "-0.1"],
        ["--decision", "approve", "--score", "nan"],
        ["--decision", "approve", "--score", "inf"],
        ["--decision", "allow", "--score", "1"],
        ["--decision", "modify", "--score", "1"],
        ["--decision", "approve", "--score", "1", "--payload", "/dev/null"],
        ["--decision", "modify", "--score", "1", "--payload", "/no/such/file"],
        ["--decision", "approve", "--score", "1", "--by", " "],
        ["--decision", "approve", "--score", "1", "--note", "x" * 100_001],
    ],
)
def test_bad_votes_are_refused(questions: Questions, words: list[str]) -> None:
    """What is no vote is refused in one line, and the item stays open."""
    item = questions.put(question())
    audit(questions, "score", item.id, *words, code=2)
    assert questions.answer(item) is None
    assert questions.store.item(item.id).state == "open"


def test_notes_must_be_text(questions: Questions) -> None:
    """A note that is not UTF-8 is refused instead of being changed."""
    item = questions.put(question())
    words = ["--decision", "approve", "--score", "1", "--note", os.fsdecode(b"\xff")]
    assert b"not UTF-8" in audit(questions, "score", item.id, *words, code=2).stderr


@pytest.mark.parametrize(
    ("purpose", "words", "body"),
    [
        ("human", ["--status", "done", "--content", "rang"], {"status": "done", "content": "rang"}),
        ("human", ["--status", "failed", "--content", ""], {"status": "failed", "content": ""}),
        ("resolve", ["--status", "done", "--content", "x"], {"status": "done", "content": "x"}),
        ("ask", ["--content", "blue"], {"content": "blue"}),
        ("ask", ["--content", "blue", "--status", "done"], {"content": "blue"}),
    ],
)
def test_other_questions_are_answered(
    questions: Questions, purpose: Any, words: list[str], body: dict[str, str]
) -> None:
    """Deeds, questions and steps of unknown outcome get exactly the body that their asker reads."""
    item = questions.put(question(purpose))
    audit(questions, "answer", item.id, *words)
    assert questions.said(item) == body


@pytest.mark.parametrize(
    ("purpose", "words"),
    [
        ("human", ["answer", "--content", "x"]),
        ("human", ["answer", "--content", "x", "--status", "maybe"]),
        ("human", ["score", "--decision", "approve", "--score", "1"]),
        ("ask", ["answer", "--content", "x", "--status", "failed"]),
        ("ask", ["answer", "--content", " "]),
        ("audit", ["answer", "--content", "x", "--status", "done"]),
    ],
)
def test_wrong_answers_are_refused(questions: Questions, purpose: Any, words: list[str]) -> None:
    """An answer of another kind than the question wants is refused, and the item stays open."""
    item = questions.put(question(purpose))
    audit(questions, words[0], item.id, *words[1:], code=2)
    assert questions.answer(item) is None


def test_nothing_counts_twice(questions: Questions) -> None:
    """The first answer counts; a second, or one that is too late, is refused in one clear line."""
    vote = ["--decision", "reject", "--score", "0"]
    item = questions.put(question(step=1))
    audit(questions, "score", item.id, "--decision", "approve", "--score", "1", "--by", "alice")
    assert b"It has its answer already" in audit(questions, "score", item.id, *vote, code=2).stderr
    late = questions.put(question(step=2, expires_seconds=-1.0))
    assert b"Its time is up" in audit(questions, "score", late.id, *vote, code=2).stderr
    gone = questions.put(question(step=3))
    questions.close(gone, "withdrawn")
    assert b"It was withdrawn" in audit(questions, "score", gone.id, *vote, code=2).stderr
    answer = questions.answer(item)
    assert answer is not None
    assert answer["decision"] == "approve"


def test_desk_needs_a_terminal(questions: Questions) -> None:
    """Without a terminal the desk says what to use instead, and reads nothing as a key."""
    questions.put(question())
    assert b"needs a terminal" in audit(questions, code=2, stdin=b"a1\n\n").stderr
    assert len(open_items(questions)) == 1


def test_options_before_the_command_are_not_lost(questions: Questions) -> None:
    """An option in the wrong place is refused, not silently ignored."""
    assert b"after the command" in audit(questions, "--home", "/x", "list", code=2).stderr


def test_no_home(tmp_path: Path) -> None:
    """A home without runs is bad input, and is not made."""
    ended = subprocess.run(
        [*MONASTERY, "audit", "list", "--home", str(tmp_path / "none")],
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 2
    assert not (tmp_path / "none").exists()
