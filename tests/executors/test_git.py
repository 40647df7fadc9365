"""The kind ``git`` on real repositories: one step is one commit, and nothing else moves."""

import base64
import random
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from monastery.runtime.errors import BadPayload
from tests.executors.world import Faults, Make, Repo, Steps

LARGE = b"\0" + base64.b64encode(random.Random(7).randbytes(30_000))
"""Binary to git because of its NUL, hard to compress, and legible in pieces."""

MESSAGE = b"Mend the sum\n\nIt was off by one.\n\n"


def tree_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return every file under a folder with its mode and bytes."""
    found = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        content = path.read_bytes() if stat.S_ISREG(mode) else b""
        found[str(path.relative_to(folder))] = (mode, content)
    return found


def working_tree(repo: Repo) -> dict[str, tuple[int, bytes]]:
    """Return what its owner works with: the files outside ``.git``, and the index."""
    return {
        path: found for path, found in tree_of(repo.path).items() if not path.startswith(".git")
    } | {"index": (0, (repo.path / ".git" / "index").read_bytes())}


def change(repo: Repo) -> bytes:
    """Return a patch that changes a line of ``a.txt``."""
    repo.write("a.txt", "one\n2\nthree\n")
    return repo.patch()


async def test_patch_becomes_one_commit(repo: Repo, make: Make, step: Steps) -> None:
    """A step is one commit on a new branch, by the author of the settings, with the trailer."""
    patch = change(repo)
    outcome = await make("git", repository="repo").execute(step("git", MESSAGE + patch))
    assert outcome.status == "done"
    assert outcome.content == {
        "commit": repo.git("rev-parse", "monastery").strip(),
        "branch": "monastery",
        "patch": patch.decode(),
    }
    assert repo.shown("a.txt") == b"one\n2\nthree\n"
    assert repo.count() == 2
    shown = repo.git("log", "-1", "--format=%an <%ae>|%cn|%B", "monastery")
    assert shown == (
        "Monastery agent <agent@monastery.invalid>|Monastery agent|"
        "Mend the sum\n\nIt was off by one.\n\nMonastery-Step: r.1\n\n"
    )


async def test_working_tree_and_index_stay(repo: Repo, make: Make, step: Steps) -> None:
    """Neither the working tree nor the index changes, whatever lies uncommitted in them."""
    patch = change(repo)
    repo.write("a.txt", "the owner is at work here\n")
    repo.write("new.txt", "untracked\n")
    repo.git("add", "a.txt")
    before = working_tree(repo)
    outcome = await make("git", repository="repo").execute(step("git", MESSAGE + patch))
    assert outcome.status == "done"
    assert working_tree(repo) == before
    assert repo.git("rev-parse", "--abbrev-ref", "HEAD").strip() == "main"
    assert repo.count("main") == 1


async def test_steps_pile_up_on_the_branch(repo: Repo, make: Make, step: Steps) -> None:
    """Later steps continue the branch, not HEAD."""
    executor = make("git", repository="repo")
    await executor.execute(step("git", MESSAGE + change(repo)))
    repo.git("checkout", "-q", "--detach", "monastery")
    repo.write("c.txt", "c\n")
    patch = repo.patch()
    repo.git("checkout", "-q", "main")
    outcome = await executor.execute(step("git", b"Second\n" + patch, 2))
    assert outcome.status == "done"
    assert repo.paths() == ["a.txt", "c.txt", "src/b.py"]
    assert repo.count() == 3


async def test_base_names_where_the_branch_starts(repo: Repo, make: Make, step: Steps) -> None:
    """With a base the branch starts there, not at HEAD."""
    first = repo.git("rev-parse", "HEAD").strip()
    repo.write("later.txt", "later\n")
    repo.commit_all()
    patch = change(repo)
    await make("git", repository="repo", base=first, branch="agent/x").execute(
        step("git", MESSAGE + patch)
    )
    assert repo.paths("agent/x") == ["a.txt", "src/b.py"]


async def test_same_step_twice_is_one_commit(repo: Repo, make: Make, step: Steps) -> None:
    """Executing again after a crash finds the commit; so does looking."""
    executor = make("git", repository="repo")
    one = step("git", MESSAGE + change(repo))
    first = await executor.execute(one)
    assert await executor.execute(one) == first
    assert await executor.reconcile(one) == first
    assert repo.count() == 2


async def test_reconcile_carries_out_what_was_not(repo: Repo, make: Make, step: Steps) -> None:
    """A step of which the branch has no commit was not done, and is done then."""
    executor = make("git", repository="repo")
    outcome = await executor.reconcile(step("git", MESSAGE + change(repo)))
    assert outcome is not None
    assert outcome.status == "done"
    assert repo.count() == 2


async def test_commit_is_found_below_later_ones(repo: Repo, make: Make, step: Steps) -> None:
    """The commit is found when the owner committed on top of it, and merged it elsewhere."""
    executor = make("git", repository="repo")
    one = step("git", MESSAGE + change(repo))
    first = await executor.execute(one)
    repo.git("merge", "-q", "monastery")
    repo.write("top.txt", "top\n")
    repo.commit_all()
    repo.git("branch", "-f", "monastery", "main")
    assert await executor.reconcile(one) == first
    assert repo.count() == 3


async def test_key_that_begins_another_is_another(repo: Repo, make: Make, step: Steps) -> None:
    """The commit of step r.12 is not taken for that of step r.1."""
    executor = make("git", repository="repo")
    await executor.execute(step("git", MESSAGE + change(repo), 12))
    repo.git("checkout", "-q", "--detach", "monastery")
    repo.write("c.txt", "c\n")
    patch = repo.patch()
    assert (await executor.execute(step("git", b"x\n" + patch, 1))).status == "done"
    assert repo.count() == 3


@pytest.mark.parametrize("rounds", [8])
async def test_concurrent_steps_all_arrive(
    repo: Repo, make: Make, step: Steps, rounds: int
) -> None:
    """Steps at the same moment lose no commit: the branch moves only from the tip looked at."""
    patches = []
    for number in range(rounds):
        repo.write(f"n{number}.txt", f"{number}\n")
        patches.append(repo.patch())
    executor = make("git", repository="repo")
    outcomes = []

    async def one(number: int) -> None:
        outcomes.append(await executor.execute(step("git", b"n\n" + patches[number], number)))

    for pair in range(0, rounds, 2):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one, pair)
            nursery.start_soon(one, pair + 1)
    assert {outcome.status for outcome in outcomes} == {"done"}
    assert repo.count() == 1 + rounds


async def test_patch_that_does_not_apply_fails(repo: Repo, make: Make, step: Steps) -> None:
    """A patch for other content fails with git's reason in one line, and no branch appears."""
    patch = change(repo)
    repo.write("a.txt", "other\n")
    repo.commit_all()
    outcome = await make("git", repository="repo").execute(step("git", MESSAGE + patch))
    assert outcome.status == "failed"
    assert "patch does not apply" in outcome.content["reason"]
    assert "\n" not in outcome.content["reason"]
    assert repo.git("branch", "--list", "monastery") == ""


@pytest.mark.parametrize("where", ["here", "linked"])
async def test_checked_out_branch_is_refused(
    repo: Repo, make: Make, step: Steps, tmp_path: Path, where: str
) -> None:
    """A branch that is checked out is not moved under its owner's hands."""
    patch = change(repo)
    if where == "here":
        repo.git("checkout", "-q", "-b", "monastery")
    else:
        repo.git("worktree", "add", "-q", "-b", "monastery", str(tmp_path / "linked"))
    outcome = await make("git", repository="repo").execute(step("git", MESSAGE + patch))
    assert outcome.status == "failed"
    assert "checked out" in outcome.content["reason"]
    assert repo.count() == 1


async def test_branch_that_is_an_alias_is_refused(repo: Repo, make: Make, step: Steps) -> None:
    """A symbolic branch would move another branch: refused."""
    patch = change(repo)
    repo.git("branch", "other")
    repo.git("symbolic-ref", "refs/heads/monastery", "refs/heads/other")
    outcome = await make("git", repository="repo").execute(step("git", MESSAGE + patch))
    assert outcome.status == "failed"
    assert repo.count("other") == 1


async def test_locked_branch_fails_and_does_not_move(repo: Repo, make: Make, step: Steps) -> None:
    """A lock that a crashed git left is told; nothing was done, so the step failed."""
    executor = make("git", repository="repo")
    repo.git("branch", "monastery")
    lock = repo.path / ".git/refs/heads/monastery.lock"
    one = step("git", MESSAGE + change(repo))
    lock.touch()
    outcome = await executor.execute(one)
    assert outcome.status == "failed"
    assert "lock" in outcome.content["reason"]
    assert repo.count() == 1
    lock.unlink()
    assert (await executor.execute(one)).status == "done"


async def test_no_hook_and_no_filter_runs(
    repo: Repo, make: Make, step: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither hooks nor fsmonitor nor configuration in the environment runs a program."""
    seen = tmp_path / "seen"
    for hook in ["pre-commit", "commit-msg", "post-commit", "reference-transaction", "post-index"]:
        script = repo.path / ".git/hooks" / hook
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"#!/bin/sh\ntouch {seen}\n")
        script.chmod(0o755)
    patch = change(repo)
    seen.unlink(missing_ok=True)
    repo.git("config", "core.fsmonitor", f"touch {seen};")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", "/nowhere/objects")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.hooksPath")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(repo.path / ".git/hooks"))
    outcome = await make("git", repository="repo").execute(step("git", MESSAGE + patch))
    assert outcome.status == "done"
    assert not seen.exists()


async def test_bare_repository_works(repo: Repo, make: Make, step: Steps, tmp_path: Path) -> None:
    """A bare repository has no working tree and takes commits all the same."""
    patch = change(repo)
    repo.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    outcome = await make("git", repository="bare.git").execute(step("git", MESSAGE + patch))
    assert outcome.status == "done"


async def test_sha256_repository_works(make: Make, step: Steps, tmp_path: Path, repo: Repo) -> None:
    """The longer hashes are as good, for binary files too."""
    other = Repo(tmp_path / "long")
    other.path.mkdir()
    other.git("init", "-q", "-b", "main", "--object-format=sha256")
    other.write("x.bin", bytes(range(256)))
    other.commit_all()
    other.write("y.bin", bytes(reversed(range(256))))
    patch = other.patch()
    outcome = await make("git", repository="long").execute(step("git", MESSAGE + patch))
    assert outcome.status == "done"
    assert other.shown("y.bin") == bytes(reversed(range(256)))


async def test_interrupt_waits_for_the_commit(repo: Repo, make: Make, step: Steps) -> None:
    """A cancelled step is carried out to its end, not left halfway."""
    executor = make("git", repository="repo")
    one = step("git", MESSAGE + change(repo))
    with trio.CancelScope() as scope:
        scope.cancel()
        await executor.execute(one)
    assert repo.count() == 2


def test_scratch_is_removed_and_no_lock_left(
    repo: Repo, make: Make, step: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a step nothing is left in the temporary folder or locked in the repository."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    patch = change(repo)
    trio.run(make("git", repository="repo").execute, step("git", MESSAGE + patch))
    assert list(scratch.iterdir()) == []
    assert not list(repo.path.rglob("*.lock"))


def write_program(repo: Repo) -> None:
    """Make a file that can be executed."""
    repo.write("run.sh", "true\n")
    (repo.path / "run.sh").chmod(0o755)


KINDS_OF_CHANGE: dict[str, Callable[[Repo], Any]] = {
    "new": lambda repo: repo.write("new/deep file.txt", "x\n"),
    "empty": lambda repo: repo.write("empty", ""),
    "deleted": lambda repo: (repo.path / "a.txt").unlink(),
    "renamed": lambda repo: (repo.path / "a.txt").rename(repo.path / "moved.txt"),
    "mode": lambda repo: (repo.path / "a.txt").chmod(0o755),
    "program": write_program,
    "umlaut": lambda repo: repo.write("sch\u00f6n/\u65e5\u672c.txt", "x\n"),
    "quote": lambda repo: repo.write('say "hi" now.txt', "x\n"),
    "crlf": lambda repo: repo.write("a.txt", "one\r\ntwo\r\nthree\r\n"),
    "no newline": lambda repo: repo.write("a.txt", "one\ntwo\nthree"),
    "newline again": lambda repo: repo.write("odd.txt", "x"),
    "looks like a patch": lambda repo: repo.write(
        "a.txt", "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"
    ),
    "minus signs": lambda repo: repo.write("a.txt", "-- a/b\n++ b/c\n\\ No newline\n"),
    "binary": lambda repo: repo.write("i.bin", bytes(range(256)) * 9),
    "huge line": lambda repo: repo.write("long.txt", "x" * 3_000_000 + "\n"),
    "odd line ends": lambda repo: repo.write("u.txt", "a\x0bb\x0cc\x1cd\x85e\u2028f\rg\n"),
    "blank lines": lambda repo: repo.write("a.txt", "\n\n\none\n\n"),
}


@pytest.mark.parametrize("options", [[], ["-c", "core.quotePath=false"]], ids=["quoted", "plain"])
@pytest.mark.parametrize("kind", KINDS_OF_CHANGE)
async def test_what_git_prints_is_taken(
    repo: Repo, make: Make, step: Steps, kind: str, options: list[str]
) -> None:
    """Whatever kind of change git prints as a patch, the commit holds exactly that change."""
    KINDS_OF_CHANGE[kind](repo)
    repo.git("add", "-A")
    wanted = repo.git("write-tree").strip()
    patch = repo.raw(*options, "diff", "--cached", "--binary")
    repo.git("reset", "-q", "--hard")
    executor = make("git", repository="repo")
    executor.check(MESSAGE + patch)
    outcome = await executor.execute(step("git", MESSAGE + patch))
    assert outcome.status == "done", outcome
    assert repo.git("rev-parse", "monastery^{tree}").strip() == wanted


async def test_binary_delta_is_taken(repo: Repo, make: Make, step: Steps) -> None:
    """A small change of a large binary file comes as a delta, and is shown piece by piece."""
    content = bytearray(LARGE)
    repo.write("i.bin", bytes(content))
    repo.commit_all()
    content[100:110] = b"HelloWorld"
    repo.write("i.bin", bytes(content))
    patch = repo.patch()
    assert b"\ndelta " in patch
    executor = make("git", repository="repo")
    assert "HelloWorld" in executor.render(MESSAGE + patch)
    outcome = await executor.execute(step("git", MESSAGE + patch))
    assert outcome.status == "done", outcome
    assert repo.shown("i.bin") == bytes(content)


def test_render_shows_message_summary_and_patch(repo: Repo, make: Make) -> None:
    """The reader sees the message, each file with its counts, and the patch as it is."""
    patch = change(repo)
    shown = make("git", repository="repo").render(MESSAGE + patch)
    assert "    Mend the sum\n    \n    It was off by one.\n" in shown
    assert "  modified  a.txt  +1 -1\n" in shown
    assert shown.endswith(patch.decode().removesuffix("\n"))


def test_render_decodes_binary_files(repo: Repo, make: Make) -> None:
    """Text that is sent as a binary file is shown as text all the same."""
    repo.write(".gitattributes", "*.py binary\n")
    repo.write("hidden.py", "import os\nos.system('evil')\n")
    patch = repo.patch()
    assert b"evil" not in patch
    assert "      | os.system('evil')" in make("git", repository="repo").render(MESSAGE + patch)


async def test_known_object_does_not_replace_the_shown_bytes(
    repo: Repo, make: Make, step: Steps
) -> None:
    """An ``index`` line cannot make git take an object of the repository for the bytes shown."""
    repo.write("secret.bin", b"\0the owner's secret")
    repo.commit_all()
    secret = repo.git("rev-parse", "HEAD:secret.bin").strip()
    repo.write("x.bin", b"\0harmless")
    patch = repo.patch()
    own = patch.split(b"..")[1].split(b"\n")[0]
    forged = patch.replace(own, secret.encode())
    with pytest.raises(BadPayload, match="its 'index' says"):
        make("git", repository="repo").check(MESSAGE + forged)


async def test_known_object_does_not_replace_a_delta(repo: Repo, make: Make, step: Steps) -> None:
    """The same for a delta, which only the old bytes can tell."""
    content = bytearray(LARGE)
    repo.write("i.bin", bytes(content))
    repo.write("secret.bin", b"\0the owner's secret")
    repo.commit_all()
    secret = repo.git("rev-parse", "HEAD:secret.bin").strip()
    content[5:9] = b"1234"
    repo.write("i.bin", bytes(content))
    patch = repo.patch()
    own = patch.split(b"..")[1].split(b" ")[0]
    forged = patch.replace(own, secret.encode())
    executor = make("git", repository="repo")
    executor.check(MESSAGE + forged)
    outcome = await executor.execute(step("git", MESSAGE + forged))
    assert outcome.status == "failed"
    assert "delta" in outcome.content["reason"]


async def test_symlink_of_the_repository_is_not_rewritten(
    repo: Repo, make: Make, step: Steps
) -> None:
    """A patch without a mode that changes where a symbolic link points is refused."""
    (repo.path / "link").symlink_to("a.txt")
    repo.commit_all()
    patch = (
        b"diff --git a/link b/link\n--- a/link\n+++ b/link\n@@ -1 +1 @@\n-a.txt\n"
        b"\\ No newline at end of file\n+/etc/passwd\n\\ No newline at end of file\n"
    )
    executor = make("git", repository="repo")
    executor.check(MESSAGE + patch)
    outcome = await executor.execute(step("git", MESSAGE + patch))
    assert outcome.status == "failed"
    assert "120000" in outcome.content["reason"]


async def test_nothing_is_written_through_a_symlink(
    repo: Repo, make: Make, step: Steps, tmp_path: Path
) -> None:
    """A new file below a symbolic link of the repository is not made."""
    (repo.path / "out").symlink_to(tmp_path)
    repo.commit_all()
    patch = (
        b"diff --git a/out/x b/out/x\nnew file mode 100644\n--- /dev/null\n+++ b/out/x\n"
        b"@@ -0,0 +1 @@\n+x\n"
    )
    outcome = await make("git", repository="repo").execute(step("git", MESSAGE + patch))
    assert outcome.status == "failed"
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "hunk",
    [
        b"@@ -1,3 +1,3 @@\n one\n two\n three\n",
        b"@@ -1,3 +1,3 @@\n one\n-two\n+two\n three\n",
    ],
)
async def test_patch_that_changes_nothing_fails(
    repo: Repo, make: Make, step: Steps, hunk: bytes
) -> None:
    """A hunk without a change makes no empty commit."""
    patch = b"diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n" + hunk
    outcome = await make("git", repository="repo").execute(step("git", MESSAGE + patch))
    assert outcome.status == "failed"
    assert repo.git("branch", "--list", "monastery") == ""


def test_faults_name_field_and_mend(repo: Repo, faults: Faults, tmp_path: Path) -> None:
    """Settings that cannot work here are told in one line each, with the field first."""
    (tmp_path / "plain").mkdir()
    (tmp_path / "empty").mkdir()
    Repo(tmp_path / "empty").git("init", "-q")
    assert faults("git", repository="repo") == []
    for settings, field, words in [
        ({"repository": "nowhere"}, "repository", "no folder"),
        ({"repository": "plain"}, "repository", "no git repository"),
        ({"repository": "repo/src"}, "repository", "no git repository"),
        ({"repository": "empty"}, "base", "commit something"),
        ({"repository": "repo", "branch": "main"}, "branch", "checked out"),
        ({"repository": "repo", "branch": "a..b"}, "branch", "no branch name"),
        ({"repository": "repo", "base": "nowhere"}, "base", "no commit"),
    ]:
        (fault,) = faults("git", **settings)
        assert fault.startswith(f"{field}: "), fault
        assert words in fault
        assert "\n" not in fault


@pytest.mark.parametrize(
    "settings",
    [
        {"repository": ""},
        {"repository": "r", "branch": "-x"},
        {"repository": "r", "base": "--all"},
        {"repository": "r", "author": "Nobody"},
        {"repository": "r", "author": "A <a@b>\nX <c@d>"},
        {"repository": "r", "colour": "red"},
        {},
    ],
)
def test_settings_are_strict(make: Make, settings: dict[str, Any]) -> None:
    """Settings that are no such thing, or that could be options of git, are faults."""
    with pytest.raises(ValueError, match="validation error"):
        make("git", **settings)
