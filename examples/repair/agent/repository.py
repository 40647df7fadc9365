"""The repository in the box: clean at the start, changed only by whole, committed patches."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

SETTINGS = [
    "safe.directory=*",
    "user.name=Repair agent",
    "user.email=repair@example.org",
    "commit.gpgSign=false",
    "core.hooksPath=/dev/null",
    "core.quotePath=true",
    "diff.noprefix=false",
    "diff.mnemonicPrefix=false",
    "color.ui=never",
]


class GitError(Exception):
    """Git could not do what was asked."""


class Repository:
    """A git working tree."""

    def __init__(self, folder: Path) -> None:
        """Find the top of the working tree that holds a folder.

        Raises:
            GitError: when there is none, or it has no commit yet.
        """
        self.root = folder
        self.root = Path(self.git("rev-parse", "--show-toplevel").rstrip("\n"))
        self.git("rev-parse", "--verify", "HEAD^{commit}")

    def git(self, *arguments: str, given: str | None = None, **variables: str) -> str:
        """Run git and return what it prints.

        Raises:
            GitError: with the last line that git said.
        """
        settings = [part for setting in SETTINGS for part in ("-c", setting)]
        done = subprocess.run(
            ["git", *settings, "-C", str(self.root), *arguments],
            input=None if given is None else given.encode("utf-8", "surrogateescape"),
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            check=False,
            env={**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", **variables},
        )
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines() or [
                "no reason given"
            ]
            raise GitError(f"git {arguments[0]}: {said[-1]}")
        return done.stdout.decode("utf-8", "surrogateescape")

    def clean(self) -> bool:
        """Put aside with ``git stash`` what is not committed; return whether there was anything."""
        if not self.git("status", "--porcelain").strip():
            return False
        try:
            self.git("stash", "push", "--include-untracked", "--message", "put aside by repair")
        except GitError:
            self.git("reset", "--hard", "--quiet")
        return True

    def head(self) -> str:
        """Return the commit that is checked out."""
        return self.git("rev-parse", "HEAD").strip()

    def diff(self, tree: Path, path: str) -> str:
        """Return, as ``git diff`` prints it, how a file of another tree differs from HEAD."""
        with tempfile.TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
            self.git("read-tree", "HEAD", **index)
            place = [f"--git-dir={self.git('rev-parse', '--absolute-git-dir').strip()}"]
            place.append(f"--work-tree={tree}")
            return self.git(*place, "-C", str(tree), "diff", "HEAD", "--", path, **index)

    def applies(self, patch: str, reverse: bool = False) -> bool:
        """Return whether a patch could be applied (or taken back)."""
        try:
            self.git("apply", "--check", *["--reverse"] * reverse, "-", given=patch)
        except GitError:
            return False
        return True

    def commit(self, patch: str, message: str) -> str:
        """Apply a patch, commit it, and return the commit."""
        self.git("apply", "--index", "-", given=patch)
        self.git("commit", "--quiet", "--no-verify", "--file=-", given=message)
        return self.head()
