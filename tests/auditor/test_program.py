"""The helper for programs in Python, run by real interpreters."""

import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from monastery.auditor import program
from monastery.auditor.command import CommandAuditor
from monastery.runtime.errors import AuditFailed
from monastery.runtime.records import Case

IMPORT = "from monastery.auditor.program import Refused, fork, receive, vote\n"


def auditor(folder: Path, source: str, *flags: str) -> CommandAuditor:
    """Return an auditor that runs this source."""
    (folder / "judge.py").write_text(textwrap.dedent(source))
    return CommandAuditor("robot", [sys.executable, *flags, "judge.py"], 20.0, folder)


async def test_all_of_it(tmp_path: Path, case: Case, box: Any) -> None:
    """A program can read the case, run, write and read in the fork, be refused, and vote."""
    source = IMPORT + textwrap.dedent(
        """
        case = receive()
        assert case.payload.endswith(b"\\xff") and case.kind == "git" and case.step == 3
        assert case.evidence == {"log.txt": b"\\x00\\x01"}
        print("this goes to standard error")
        fork.write("/work/new.txt", b"\\x00new")
        assert fork.read("/work/new.txt") == b"\\x00new"
        result = fork.run(["cat"], stdin=b"through", timeout_seconds=5)
        assert result == (0, False, b"through", b"", False), result
        try:
            fork.run(["no-such"])
        except Refused as exc:
            vote("modify", 0.25, note=str(exc), modified=case.payload[:4])
        """
    )
    vote = await auditor(tmp_path, source).judge(case, box)
    assert (vote.decision, vote.score, vote.modified) == ("modify", 0.25, b"diff")
    assert vote.note == "no command 'no-such' in this box"
    assert box.files == {"/work/a.txt": b"alpha"}


async def test_copied_helper_needs_nothing(tmp_path: Path, case: Case, box: Any) -> None:
    """A copy of the file works where monastery is not installed: standard library only."""
    shutil.copy(program.__file__, tmp_path / "helper.py")
    source = """
        import subprocess, sys
        sys.path.insert(0, ".")
        from helper import fork, receive, vote
        assert not any("site-packages" in path for path in sys.path)
        receive()
        print("noise")
        subprocess.run(["echo", "noise"])
        assert fork.run(["pwd"]).stdout == b"/work"
        vote("approve", 1)
    """
    vote = await auditor(tmp_path, source, "-I", "-S").judge(case, box)
    assert vote.score == 1.0


async def test_vote_without_receive(tmp_path: Path, case: Case, box: Any) -> None:
    """A program may vote without looking at the case."""
    vote = await auditor(tmp_path, IMPORT + "vote('reject', 0.0)").judge(case, box)
    assert vote.decision == "reject"


async def test_children_cannot_speak_for_it(tmp_path: Path, case: Case, box: Any) -> None:
    """What a program's own children print is not taken for its answer."""
    source = IMPORT + (
        "import subprocess; receive()\n"
        "subprocess.run(['echo', '{\"vote\": {}}']); vote('approve', 1)"
    )
    assert (await auditor(tmp_path, source).judge(case, box)).decision == "approve"


async def test_exception_is_no_vote(tmp_path: Path, case: Case, box: Any) -> None:
    """A program that breaks has not voted, and its error is told."""
    with pytest.raises(AuditFailed, match=r"exit code 1 and no vote.*KeyError: 'x'"):
        await auditor(tmp_path, IMPORT + "receive().fields['x']").judge(case, box)


def test_examples_are_the_same() -> None:
    """The page and the docstring show the same program."""
    assert _block("python") == textwrap.dedent(_docstring_example()).strip()


async def test_example_in_docstring(tmp_path: Path, case: Case, box: Any) -> None:
    """The example in the module's docstring is a whole program; here git is not in the box."""
    with pytest.raises(AuditFailed, match="Refused: no command 'git'"):
        await auditor(tmp_path, _docstring_example()).judge(case, box)


async def test_smallest_program_in_the_page(tmp_path: Path, case: Case, box: Any) -> None:
    """The smallest auditor of the page is one."""
    script = tmp_path / "judge.sh"
    script.write_text(_block("sh"))
    script.chmod(0o755)
    vote = await CommandAuditor("shell", [str(script)], 20.0, tmp_path).judge(case, box)
    assert vote.score == 1.0


def _block(language: str) -> str:
    page = (Path(__file__).parents[2] / "docs" / "auditing.md").read_text()
    return page.split(f"```{language}\n", 1)[1].split("```", 1)[0].strip()


def _docstring_example() -> str:
    assert program.__doc__ is not None
    return program.__doc__.split("votes:\n", 1)[1].split("`vote` ends", 1)[0]
