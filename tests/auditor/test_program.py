"""The helper for programs in Python, run by real interpreters."""

import shutil
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monastery.auditor import program
from monastery.auditor.command import CommandAuditor
from monastery.runtime.errors import AuditFailed
from monastery.runtime.records import Case, SegmentId, Shown

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


def compared_with(case: Case, *texts: bytes, live: int) -> Case:
    """Return the case among others, at a place."""
    others = [
        Shown(
            replace(case.proposal, segment=SegmentId(f"r.3+{n}"), payload=text),
            "r",
            {},
            (f"r.3+{n}",),
        )
        for n, text in enumerate(texts, 1)
    ]
    own = Shown(case.proposal, case.rendering, case.settings, (case.proposal.segment,))
    return replace(case, alternatives=(*others[:live], own, *others[live:]))


async def test_a_program_may_compare_all_proposals_of_a_moment(
    tmp_path: Path, case: Case, box: Any
) -> None:
    """It sees all by place and which is the one to decide on, and gives each a score."""
    source = """
        case = receive()
        scores = [len(one.payload) / 100 for one in case.alternatives]
        assert case.alternatives[case.live].payload == case.payload
        assert [one.same for one in case.alternatives] == [1, 1, 1]
        vote("approve", scores[case.live], scores=scores)
    """
    among = compared_with(case, b"x", b"yy", live=1)
    given = await auditor(tmp_path, IMPORT + textwrap.dedent(source)).judge(among, box)
    assert given.scores == (0.01, len(case.proposal.payload) / 100, 0.02)
    assert given.score == given.scores[1]


async def test_a_program_that_knows_nothing_of_alternatives_judges_the_live_one(
    tmp_path: Path, case: Case, box: Any
) -> None:
    """The case has all that it had; the vote says nothing of the others."""
    source = IMPORT + "case = receive(); assert case.payload[:4] == b'diff'; vote('reject', 0.25)"
    given = await auditor(tmp_path, source).judge(compared_with(case, b"x", live=0), box)
    assert (given.decision, given.score, given.scores) == ("reject", 0.25, ())


@pytest.mark.parametrize(
    ("scores", "told"),
    [("[0.5]", "1 scores for 2 alternatives"), ("[0.5, 0.4]", "0.4 at the same proposal's place")],
)
async def test_scores_that_do_not_fit_the_alternatives_fail_in_one_line(
    tmp_path: Path, case: Case, box: Any, scores: str, told: str
) -> None:
    """Too few, or another score for the live one than the vote's own: nothing is guessed."""
    source = f"{IMPORT}vote('approve', 0.5, scores={scores})"
    with pytest.raises(AuditFailed, match=told) as caught:
        await auditor(tmp_path, source).judge(compared_with(case, b"x", live=1), box)
    assert "\n" not in str(caught.value)
