"""One repository, changed by git itself, and never through its working tree or index.

Every command runs with an environment made from nothing: no hooks, no configuration of the machine
or the user, no prompts, no pager, an empty working tree and an index of its own. A commit is built
aside and appears by one atomic move of a branch from the tip that was looked at.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from monastery.runtime.errors import MonasteryError

_CONFIG = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.fsync=all",  # what is told as done is on the disk
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "apply.ignoreWhitespace=no",
    "apply.whitespace=nowarn",
    "i18n.commitEncoding=UTF-8",
    "i18n.logOutputEncoding=UTF-8",
    "safe.directory=*",  # the project file names the repository; that is its owner's trust
)
_ENVIRONMENT = {
    "LC_ALL": "C",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
}
_REASON_CHARS = 2000


class GitFailed(MonasteryError):
    """A git command did not succeed; the text is what git said, in one line."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One path that differs between two trees; the mode is ``000000`` where there is no file."""

    path: str
    old_mode: str
    new_mode: str


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository and the folder that stands in for its working tree while one step is done.

    Attributes:
        git_dir: The repository's own folder, absolute.
        scratch: A folder that holds the index of this step and an empty working tree.
    """

    git_dir: Path
    scratch: Path

    async def tip(self, branch: str) -> str | None:
        """Return the commit that a branch is at, or None when there is no such branch."""
        reference = f"refs/heads/{branch}"
        found = await self._try("rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}")
        return _text(found) if found.returncode == 0 else None

    async def commit_of(self, revision: str) -> str:
        """Return the commit that a revision names."""
        return _text(await self._git("rev-parse", "--verify", f"{revision}^{{commit}}"))

    async def blocked(self, branch: str) -> str | None:
        """Return why a branch must not be moved, or None."""
        reference = f"refs/heads/{branch}"
        alias = await self._try("symbolic-ref", "--quiet", reference)
        if alias.returncode == 0:
            return f"branch {branch!r} is only another name of {_text(alias)!r}"
        listing = _text(await self._git("worktree", "list", "--porcelain"))
        return checked_out(listing, branch)

    async def find(self, tip: str, line: str) -> str | None:
        """Return the newest commit up to `tip` whose message has exactly this line."""
        found = await self._git(
            "log",
            "--fixed-strings",
            f"--grep={line}",
            "--no-show-signature",
            "-z",
            "--format=%H%n%B",
            tip,
        )
        for entry in found.stdout.decode("utf-8", "replace").split("\0"):
            commit, _, message = entry.partition("\n")
            if line in message.split("\n"):
                return commit
        return None

    async def blob(self, commit: str, path: str) -> bytes:
        """Return a file's bytes in a commit."""
        return (await self._git("cat-file", "blob", f"{commit}:{path}")).stdout

    async def apply(self, commit: str, patch: str) -> str:
        """Return the tree that a patch makes of a commit's.

        Raises:
            GitFailed: The patch does not apply.
        """
        await self._git("read-tree", commit)
        await self._git("apply", "--cached", "--whitespace=nowarn", "-", stdin=patch.encode())
        return _text(await self._git("write-tree"))

    async def compare(self, commit: str, tree: str) -> list[Entry]:
        """Return every path in which a tree differs from a commit's, sorted by path."""
        raw = await self._git("diff-tree", "-r", "-z", "--no-renames", "--raw", commit, tree)
        fields = raw.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]
        heads = (head.removeprefix(":").split(" ") for head in fields[::2])
        return [
            Entry(path, head[0], head[1]) for head, path in zip(heads, fields[1::2], strict=True)
        ]

    async def write_commit(self, tree: str, parent: str, message: str, author: str) -> str:
        """Return a new commit that no branch holds yet."""
        name, _, mail = author.partition(" <")
        identity = {
            f"GIT_{role}_{what}": value
            for role in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", name), ("EMAIL", mail.removesuffix(">")))
        }
        return _text(
            await self._git(
                "commit-tree", tree, "-p", parent, stdin=message.encode(), more=identity
            )
        )

    async def move(self, branch: str, new: str, old: str | None) -> bool:
        """Move a branch to a commit if it still is where it was; None means it did not exist.

        Returns:
            False when somebody else moved it meanwhile.

        Raises:
            GitFailed: It could not be moved, and was not.
        """
        names = ("update-ref", "-m", "monastery: step", f"refs/heads/{branch}", new, old or "")
        moved = await self._try(
            *names, more={"GIT_COMMITTER_NAME": "m", "GIT_COMMITTER_EMAIL": "m"}
        )
        if moved.returncode == 0:
            return True
        now = await self.tip(branch)
        if now == old:
            raise GitFailed(_reason(moved))
        return now == new

    async def _git(
        self, *names: str, stdin: bytes = b"", more: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[bytes]":
        done = await self._try(*names, stdin=stdin, more=more)
        if done.returncode != 0:
            raise GitFailed(_reason(done))
        return done

    async def _try(
        self, *names: str, stdin: bytes = b"", more: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[bytes]":
        here = {
            "GIT_DIR": str(self.git_dir),
            "GIT_INDEX_FILE": str(self.scratch / "index"),
            "GIT_WORK_TREE": str(self.scratch / "tree"),
        }
        try:
            return await trio.run_process(
                _argv(*names),
                stdin=stdin,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                cwd=self.scratch / "tree",
                env=_environment() | here | dict(more or {}),
                start_new_session=True,  # an interrupt at the terminal is not meant for git
            )
        except OSError as exc:
            raise GitFailed(f"git could not be started: {exc}") from exc


@contextmanager
def opened(folder: Path) -> Iterator[Repository]:
    """Open the repository at a folder, with a scratch folder that is removed afterwards.

    Raises:
        GitFailed: There is no repository.
    """
    git_dir = Path(query(folder, "rev-parse", "--absolute-git-dir"))
    with tempfile.TemporaryDirectory("", "monastery-git-", ignore_cleanup_errors=True) as scratch:
        (Path(scratch) / "tree").mkdir()
        yield Repository(git_dir, Path(scratch))


def query(folder: Path, *names: str) -> str:
    """Return what a short git command says about the repository at a folder, never above it.

    Raises:
        GitFailed: git says no, or cannot be started.
    """
    env = _environment() | {"GIT_CEILING_DIRECTORIES": str(folder.parent)}
    try:
        done = subprocess.run(
            _argv(*names), cwd=folder, env=env, capture_output=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise GitFailed(f"git could not be asked: {exc}") from exc
    if done.returncode != 0:
        raise GitFailed(_reason(done))
    return _text(done)


def checked_out(listing: str, branch: str) -> str | None:
    """Return where a branch is checked out, from ``git worktree list --porcelain``, or None."""
    folder = ""
    for line in listing.split("\n"):
        if line.startswith("worktree "):
            folder = line.removeprefix("worktree ")
        if line == f"branch refs/heads/{branch}":
            return f"branch {branch!r} is checked out in {folder!r}; switch that to another branch"
    return None


def _argv(*names: str) -> list[str]:
    settings = [part for setting in _CONFIG for part in ("-c", setting)]
    return ["git", *settings, *names]


def _environment() -> dict[str, str]:
    return _ENVIRONMENT | {"PATH": os.environ.get("PATH", os.defpath)}


def _text(done: "subprocess.CompletedProcess[bytes]") -> str:
    return done.stdout.decode("utf-8", "surrogateescape").removesuffix("\n")


def _reason(done: "subprocess.CompletedProcess[bytes]") -> str:
    said = done.stderr.decode("utf-8", "backslashreplace").split("\n")
    text = "; ".join(line.strip() for line in said if line.strip())
    return text[:_REASON_CHARS] or f"git ended with {done.returncode} and said nothing"
