"""Programs that audit as they should: real processes, a fork in memory."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from monastery.auditor.command import CommandAuditor
from monastery.runtime.errors import AuditFailed
from monastery.runtime.records import Case, Vote
from tests.auditor.programs import VOTE_LINE, Programs


async def test_case_reaches_program(programs: Programs, case: Case, box: Any) -> None:
    """The program's one line of input holds all that the case shows, bytes in base64."""
    source = """
    line = sys.stdin.readline()
    with open("seen.json", "w") as file: file.write(line)
    vote()
    """
    vote = await programs.auditor(source).judge(case, box)
    assert vote == Vote("robot", "approve", 0.75, "fine")
    seen = json.loads((programs.folder / "seen.json").read_text())["case"]
    assert base64.b64decode(seen["payload_base64"]) == case.proposal.payload
    assert seen["rationale"] == "the parser loses a line"
    assert seen["earlier"][0]["outcome"] == {"said": "main"}
    assert seen["earlier"][1]["outcome"] is None
    assert seen["digest"] == case.digest
    assert box.forks == 0


async def test_requests_are_served_in_one_fork(programs: Programs, case: Case, box: Any) -> None:
    """Requests of all three kinds are answered from one fork, opened once and closed at the end."""
    source = """
    sys.stdin.readline()
    content = base64.b64encode(b"beta").decode()
    answers = [
        ask({"run": ["cat"], "stdin_base64": content}),
        ask({"run": ["pwd"], "cwd": "/work/x", "timeout_seconds": 5, "max_output_bytes": 3}),
        ask({"write": "/work/b.txt", "content_base64": content, "mode": 420}),
        ask({"read": "/work/b.txt"}),
        ask({"read": "/work/a.txt", "max_bytes": 100}),
    ]
    with open("answers.json", "w") as file: json.dump(answers, file)
    vote()
    """
    await programs.auditor(source).judge(case, box)
    ran, cut, wrote, read, original = json.loads((programs.folder / "answers.json").read_text())
    beta = base64.b64encode(b"beta").decode()
    assert ran["result"] == {
        "exit_code": 0,
        "timed_out": False,
        "stdout_base64": beta,
        "stderr_base64": "",
        "truncated": False,
    }
    assert cut["result"]["truncated"]
    assert wrote == {"result": {}}
    assert read == {"result": {"content_base64": beta}}
    assert base64.b64decode(original["result"]["content_base64"]) == b"alpha"
    assert (box.forks, box.open_forks) == (1, 0)
    assert "/work/b.txt" not in box.files


async def test_refusals_are_answers(programs: Programs, case: Case, box: Any) -> None:
    """What the fork refuses is told in one line, and the audit goes on."""
    source = """
    sys.stdin.readline()
    errors = [ask(m)["error"] for m in ({"run": ["rm"]}, {"read": "/x"}, {"run": ["die"]})]
    vote(note="|".join(errors))
    """
    vote = await programs.auditor(source).judge(case, box)
    assert vote.note == ("no command 'rm' in this box|no file '/x'|the fork died of its memory")


async def test_no_fork_is_no_measurement(programs: Programs, case: Case, box: Any) -> None:
    """A fork that cannot be opened fails the audit, whatever the program would make of it."""
    box.no_forks = True
    source = 'sys.stdin.readline(); ask({"run": ["pwd"]}); vote()'
    with pytest.raises(AuditFailed, match="fork of the box: no engine answers"):
        await programs.auditor(source).judge(case, box)


async def test_plain_program_needs_no_input(programs: Programs, case: Case, box: Any) -> None:
    """A program that reads nothing and votes at length counts, however big the case is."""
    big = replace(case, rendering="x" * (8 << 20))
    vote = await programs.auditor("vote(note='x' * 100_000)").judge(big, box)
    assert len(vote.note) == 100_000


async def test_closed_input_is_no_fault(programs: Programs, case: Case, box: Any) -> None:
    """A program that closes its input and later votes counts: we get no broken pipe."""
    big = replace(case, rendering="x" * (8 << 20))
    source = """
    os.close(0)
    say({"run": ["pwd"]})
    vote()
    """
    vote = await programs.auditor(source).judge(big, box)
    assert vote.score == 0.75


async def test_last_line_needs_no_newline(programs: Programs, case: Case, box: Any) -> None:
    """A vote without its newline counts: `printf` and `echo -n` are common."""
    source = f"sys.stdout.write({VOTE_LINE!r})"
    assert (await programs.auditor(source).judge(case, box)).score == 0.75


async def test_shell_script_from_folder(programs: Programs, case: Case, box: Any) -> None:
    """A program may be any executable, named relative to the project's folder."""
    script = programs.folder / "judge.sh"
    script.write_text(f"#!/bin/sh\necho '{VOTE_LINE}'\n")
    script.chmod(0o755)
    vote = await CommandAuditor("shell", ["./judge.sh"], 20.0, programs.folder).judge(case, box)
    assert vote == Vote("shell", "approve", 0.75, "fine")


async def test_environment_holds_no_secret(
    programs: Programs, case: Case, box: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of our environment the program learns PATH, HOME and LANG; no descriptor of ours leaks."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    source = """
    del os.environ["PATH"], os.environ["HOME"], os.environ["LANG"]
    os.environ.pop("LC_CTYPE", None)  # Python sets it itself
    descriptors = sorted(map(int, os.listdir("/proc/self/fd")))
    vote(note=json.dumps([dict(os.environ), descriptors, os.getcwd()]))
    """
    vote = await programs.auditor(source).judge(case, box)
    environment, descriptors, folder = json.loads(vote.note)
    assert environment == {}
    assert descriptors[:3] == [0, 1, 2]
    assert len(descriptors) == 4  # the fourth lists the others
    assert folder == str(programs.folder)


async def test_broken_pipe_kills_as_usual(programs: Programs, case: Case, box: Any) -> None:
    """The program does not inherit that Python ignores SIGPIPE."""
    result = programs.folder / "status"
    script = f"grep SigIgn /proc/self/status > {result}; echo '{VOTE_LINE}'"
    await CommandAuditor("sh", ["sh", "-c", script], 20.0, programs.folder).judge(case, box)
    ignored = int(result.read_text().split()[1], 16)
    assert not ignored & (1 << (13 - 1))


async def test_missing_program(programs: Programs, case: Case, box: Any) -> None:
    """A program that does not exist fails the audit and names itself."""
    auditor = CommandAuditor("robot", ["./nothing.sh"], 20.0, programs.folder)
    with pytest.raises(AuditFailed, match=r"cannot start './nothing.sh': No such file"):
        await auditor.judge(case, box)


async def test_missing_folder(programs: Programs, case: Case, box: Any) -> None:
    """A folder that does not exist fails the audit and is named; no descriptor leaks."""
    auditor = CommandAuditor("robot", ["true"], 20.0, programs.folder / "gone")
    before = _descriptors()
    with pytest.raises(AuditFailed, match="gone"):
        await auditor.judge(case, box)
    assert _descriptors() == before


async def test_descriptors_are_closed(programs: Programs, case: Case, box: Any) -> None:
    """An audit leaves no descriptor open, whether it measured or not."""
    await programs.auditor("vote()").judge(case, box)
    before = _descriptors()
    for source in ("vote()", "pass", "print(1)", "time.sleep(600)"):
        with trio.move_on_after(0.5):
            try:
                await programs.auditor(source).judge(case, box)
            except AuditFailed:
                continue
    assert _descriptors() == before


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
