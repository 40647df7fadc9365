"""`runs`, `show`, `verify` and `export`, on runs whose boxes were in memory."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from monastery.runtime.records import RunId
from monastery.sandbox.scripted import Agent, Inside
from tests.cli.conftest import MAIN, Cli, environment

Lived = Callable[[Agent], RunId]

HOSTILE = "\x1b[31mred \x1b]0;owned\x07 \u202eabc \x9b0m [bold]rich[/bold]"


async def steady(inside: Inside) -> int:
    """Plan, ask for what is not allowed, deliver, and be done."""
    inside.print(f"I think {HOSTILE}\n")
    await inside.propose("plan", f"{HOSTILE}\nsecond line".encode(), f"because {HOSTILE}")
    await inside.propose(f"no{HOSTILE}", b"x", "?")
    files = {"files": {"answer.txt": {"text": HOSTILE}}}
    await inside.propose("file", json.dumps(files).encode(), "asked for")
    return 0


@pytest.fixture
def run(lived: Lived) -> RunId:
    """A run that is over, with a hostile agent."""
    return lived(steady)


def test_runs_lists_what_there_is(cli: Cli, run: RunId) -> None:
    """Programs get objects, people get columns."""
    (told,) = cli("runs", "--json").json
    assert told["run"] == run
    assert (told["project"], told["status"], told["steps"]) == ("tiny", "done", 2)
    assert told["project_path"] == str(cli.folder / "project.yaml")
    head, line = cli("runs").out.splitlines()
    assert head.split() == ["RUN", "PROJECT", "STATUS", "STEPS", "STARTED"]
    assert line.split()[:4] == [run, "tiny", "done", "2"]


def test_steps_are_counted_from_the_end_of_a_long_journal(cli: Cli, lived: Lived) -> None:
    """A last segment with more events than are read at first does not hide the steps before it."""

    async def talkative(inside: Inside) -> int:
        await inside.propose("plan", b"one", "?")
        await inside.propose("plan", b"two", "?")
        for number in range(150):
            await inside.model({"n": number})
        return 0

    lived(talkative)
    assert cli("runs", "--json").json[0]["steps"] == 2


def test_show_tells_the_story_at_a_glance(cli: Cli, run: RunId) -> None:
    """A line for each step: kind, headline, audit, gate, outcome, reward."""
    out = cli("show", "last").out
    lines = out.splitlines()
    assert lines[0] == f"{run}  done: the agent is done"
    plan = next(line for line in lines if line.startswith("1  plan"))
    assert all(word in plan for word in ("never", "approve", "done"))
    file = next(line for line in lines if line.startswith("2  file"))
    assert all(word in file for word in ("answer.txt", "0.75, p=1", "approve", "done", "0.75"))
    assert "steps     2 (2 done); 1 proposal refused" in lines
    assert "audits    1 of 2, mean score 0.75" in lines


def _unsafe(text: str) -> set[str]:
    return {char for char in text if char not in "\n\t" and not char.isprintable()}


@pytest.mark.parametrize("more", [(), ("--content",), ("--segment", "2"), ("--json", "--content")])
def test_no_escape_of_a_box_or_an_auditor_reaches_the_terminal(
    cli: Cli, run: RunId, more: tuple[str, ...]
) -> None:
    """Payloads, kinds, rationales, transcripts, notes and goals are made visible, not obeyed."""
    ran = cli("show", run, *more)
    assert ran.code == 0
    assert not _unsafe(ran.out)
    if "--json" in more:
        payload = ran.json["segments"][0]["proposal"]["payload"]
        assert payload["text"].startswith(HOSTILE)
    else:
        assert "‹U+001B›" in ran.out
        assert "[bold]rich[/bold]" in ran.out or more == ("--segment", "2")


def test_on_a_terminal_all_escapes_are_our_own(cli: Cli, run: RunId) -> None:
    """Colours are ours; nothing else that a terminal obeys is written."""
    told = on_a_terminal(cli, "show", run, "--content")
    assert "‹U+001B›" in told
    for sequence in told.split("\x1b")[1:]:
        assert sequence[0] == "["
        assert sequence[1:].split("m")[0].replace(";", "").isdecimal()


def test_show_keeps_contents_back_until_they_are_asked_for(cli: Cli, run: RunId) -> None:
    """Metadata and first lines are enough for a glance."""
    plain, full = cli("show", run), cli("show", run, "--content")
    for content in ("second line", "because", "I think"):
        assert content not in plain.out
        assert content in full.out
    as_json = cli("show", run, "--json").json
    assert "text" not in as_json["segments"][0]["proposal"]["payload"]
    first = cli("show", run, "--json", "--content", "--segment", "1").json["segments"]
    assert [one["index"] for one in first] == [1]
    assert first[0]["proposal"]["payload"]["text"] == f"{HOSTILE}\nsecond line"


def test_a_segment_that_is_not_there_is_bad_input(cli: Cli, run: RunId) -> None:
    """The message says which there are."""
    ran = cli("show", run, "--segment", "9")
    assert ran.code == 2
    assert "it has 1 to 3" in ran.err


def test_show_works_when_the_project_has_gone(cli: Cli, run: RunId, project: Path) -> None:
    """A run is told from its journal alone."""
    for path in (project, project.parent / "judge.py", project.parent / "agent.py"):
        path.unlink()
    assert "answer.txt" in cli("show", run).out


def test_a_table_keeps_to_the_terminal(cli: Cli, run: RunId) -> None:
    """Long headlines are cut, so that each step stays one line."""
    lines = on_a_terminal(cli, "show", run, columns=90).splitlines()
    step = next(line for line in lines if "file" in line and "approve" in line)
    assert step.rstrip().endswith("0.75")


def test_verify_gives_separate_verdicts(cli: Cli, run: RunId) -> None:
    """A whole record holds in every respect."""
    ran = cli("verify", run, "--json")
    assert ran.code == 0
    names = [
        "integrity",
        "completeness",
        "draws",
        "boundary",
        "alternatives",
        "outcome order",
        "waits",
        "checkpoint",
    ]
    assert [one["name"] for one in ran.json["findings"]] == names
    assert all(one["verdict"] is True for one in ran.json["findings"])
    assert cli("verify", run).out.count(" holds ") == len(names)


def test_verify_notices_an_edit_and_exits_with_1(cli: Cli, run: RunId) -> None:
    """An edited event fails, and the exit code says so to scripts."""
    db = apsw.Connection(str(cli.folder / ".monastery" / "monastery.sqlite3"))
    db.execute(
        "UPDATE events SET body = CAST(replace(CAST(body AS TEXT), '0.75', '0.95') AS BLOB)"
        " WHERE seq = (SELECT max(seq) FROM events WHERE CAST(body AS TEXT) LIKE '%reward.issued%')"
    )
    db.close()
    ran = cli("verify", run)
    assert ran.code == 1
    assert "integrity" in ran.out
    assert "FAILS" in ran.out


def test_a_checkpoint_file_that_is_none_is_bad_input(cli: Cli, run: RunId) -> None:
    """A wrong file is never taken for a missing checkpoint."""
    ran = cli("verify", run, "--checkpoint", "project.yaml")
    assert ran.code == 2
    assert "project.yaml" in ran.err


def test_export_writes_a_line_for_each_segment(cli: Cli, run: RunId) -> None:
    """The same lines go to stdout and to a file, in order."""
    ran = cli("export", run, "--to", "jsonl")
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert [line["index"] for line in lines] == [1, 2, 3]
    assert [line["reward"] for line in lines] == [None, 0.75, None]
    assert cli("export", run, "--to", "jsonl", "--output", "x.jsonl").out == ""
    assert (cli.folder / "x.jsonl").read_text() == ran.out


def test_an_export_that_fails_leaves_what_was_there(cli: Cli, run: RunId) -> None:
    """A file is replaced whole or not at all, and nothing partial stays beside it."""
    (cli.folder / "kept").mkdir()
    (cli.folder / "kept" / "x.jsonl").write_text("before")
    db = apsw.Connection(str(cli.folder / ".monastery" / "monastery.sqlite3"))
    db.execute("DELETE FROM blobs WHERE CAST(content AS TEXT) LIKE '%second line%'")
    db.close()
    ran = cli("export", run, "--to", "jsonl", "--output", "kept/x.jsonl")
    assert ran.code == 1
    assert (cli.folder / "kept" / "x.jsonl").read_text() == "before"
    assert [path.name for path in (cli.folder / "kept").iterdir()] == ["x.jsonl"]
    assert cli("export", run, "--to", "jsonl", "--output", "gone/x.jsonl").code == 2


def on_a_terminal(cli: Cli, *args: str, columns: int = 120) -> str:
    """Return what a command writes when its stdout is a terminal."""
    ours, theirs = pty.openpty()
    env = environment(COLUMNS=str(columns), TERM="xterm-256color")
    process = subprocess.Popen([*MAIN, *args], cwd=cli.folder, stdout=theirs, env=env)
    os.close(theirs)
    told = b""
    with os.fdopen(ours, "rb", buffering=0) as screen:
        while True:
            try:
                piece = screen.read(1 << 16)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            told += piece
    assert process.wait() == 0
    return told.decode().replace("\r\n", "\n")


def test_erased_contents_are_told_to_be_erased(cli: Cli, run: RunId) -> None:
    """show, export, verify and audit show go on, and say it where the content was."""
    refused = cli("erase", run, "--segment", "1")
    assert refused.code == 2
    assert "which cannot be undone; to do it, add --yes" in refused.err
    payload = cli("show", run, "--json").json["segments"][0]["proposal"]["payload"]["ref"]
    ran = cli("erase", run, "--segment", "1", "--yes", "--json")
    assert ran.code == 0
    assert payload in ran.json["erased"]
    assert ran.json["bare"] == 0
    told = cli("show", run, "--content").out
    assert "[erased]" in told
    assert "look around" not in told
    first, second, _ = cli("show", run, "--content", "--json").json["segments"]
    assert first["proposal"]["payload"]["erased"] is True
    assert first["outcome"]["content"] == {"erased": True}
    assert "answer.txt" in second["proposal"]["payload"]["text"]
    verified = cli("verify", run, "--json")
    assert verified.code == 0
    assert [one["verdict"] for one in verified.json["findings"]].count(True) == 7
    lines = [json.loads(line) for line in cli("export", run, "--to", "journal").out.splitlines()]
    assert {"content": payload, "erased": True} in lines
    segment = json.loads(cli("export", run, "--to", "jsonl").out.splitlines()[0])
    assert segment["trainable"]["proposal"]["payload"] == {"erased": True}
    again = cli("erase", run, payload[:20], "--yes")
    assert again.code == 0
    assert "nothing to erase; 3 contents were erased before" in again.out


def test_erase_needs_one_thing_to_erase(cli: Cli, run: RunId) -> None:
    """None or two of the ways to say it are bad input."""
    for args in ((), ("abc", "--segment", "1"), ("--segment", "1", "--matching", "secret")):
        ran = cli("erase", run, *args)
        assert ran.code == 2
        assert "say what to erase" in ran.err


def test_words_left_in_an_event_make_exit_code_1(cli: Cli, run: RunId) -> None:
    """The judge's note is in the event itself: what could be erased was, and the rest is told."""
    ran = cli("erase", run, "--matching", "-", "--yes", stdin=b"good \x1b[31mred\n")
    assert ran.code == 1
    assert "left in the words of events" in ran.err


def test_the_key_is_printed_and_checks_the_checkpoints(cli: Cli, run: RunId) -> None:
    """The line can be given as it is or in a file; another key does not fit."""
    line = cli("key").out.strip()
    assert cli("key", "--json").json["key"] == line
    (cli.folder / "kept.pub").write_text(line + "\n")
    for given in (line, "kept.pub"):
        assert cli("verify", run, "--key", given).code == 0
    other = "monastery-00000000+" + line.split("+", 1)[1]
    assert cli("verify", run, "--key", other).code == 2
    assert "no public key in" in cli("verify", run, "--key", "gone.pub").err


def test_a_proof_is_printed_and_checked_without_us(cli: Cli, run: RunId) -> None:
    """One event, proved by the command line, checked by the script alone."""
    script = Path(__file__).parents[2] / "scripts" / "verify.py"
    (cli.folder / "proof.json").write_text(cli("verify", run, "--prove", "4").out)
    done = subprocess.run(
        [sys.executable, "-I", str(script), "--proof", str(cli.folder / "proof.json")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "event 4 is among the first" in done.stdout) == (0, True)
    assert cli("verify", run, "--prove", "4000").code == 2


def test_only_a_journal_is_exported_without_content(cli: Cli, run: RunId) -> None:
    """With events and proofs, and nobody's words."""
    out = cli("export", run, "--to", "journal", "--without-content").out
    assert "look around" not in out
    assert '"consistency"' in out
    assert cli("export", run, "--to", "jsonl", "--without-content").code == 2
