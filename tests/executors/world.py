"""What the executors' tests share: a desk with answers ready, and real repositories."""

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monastery.runtime.ports import Executor
from monastery.runtime.records import Answer, Item, ItemId, Step

Make = Callable[..., Executor]
"""Makes the executor of a kind from settings as a project file has them."""

Steps = Callable[..., Step]
"""Makes a step from a kind and a payload."""

Faults = Callable[..., list[str]]
"""Says what a kind finds wrong with settings on this machine."""


@dataclass
class ScriptedDesk:
    """A desk whose answers are ready, by item; one that is not there has expired."""

    answers: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    asked: list[Item] = field(default_factory=list)

    async def ask(self, item: Item) -> Answer | None:
        self.asked.append(item)
        body = self.answers.get(item.id)
        return None if body is None else Answer(ItemId(item.id), "ada", datetime.now(UTC), body)

    async def withdraw(self, prefix: str) -> None:
        raise AssertionError(f"an executor withdrew {prefix!r}; that is the loop's to do")


@dataclass
class Repo:
    """A real repository, asked through git as its owner would."""

    path: Path

    def git(self, *names: str, stdin: bytes = b"", check: bool = True) -> str:
        return self.raw(*names, stdin=stdin, check=check).decode("utf-8", "surrogateescape")

    def raw(self, *names: str, stdin: bytes = b"", check: bool = True) -> bytes:
        argv = ["git", "-c", "user.name=Owner", "-c", "user.email=owner@example.invalid", *names]
        done = subprocess.run(argv, cwd=self.path, input=stdin, capture_output=True, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def write(self, path: str, content: str | bytes) -> None:
        target = self.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit_all(self, message: str = "work") -> str:
        self.git("add", "-A")
        self.git("commit", "-qm", message)
        return self.git("rev-parse", "HEAD").strip()

    def patch(self, *options: str) -> bytes:
        """Return what the working tree changes, as a patch, and put the tree back."""
        self.git("add", "-A")
        patch = self.raw("diff", "--cached", "--binary", *options)
        self.git("reset", "-q", "--hard")
        return patch

    def shown(self, path: str, revision: str = "monastery") -> bytes:
        return self.raw("cat-file", "blob", f"{revision}:{path}")

    def paths(self, revision: str = "monastery") -> list[str]:
        return self.git("ls-tree", "-r", "--name-only", revision).splitlines()

    def count(self, revision: str = "monastery") -> int:
        return int(self.git("rev-list", "--count", revision))


def new_repo(path: Path) -> Repo:
    """Make a repository with two files in one commit on ``main``."""
    path.mkdir(parents=True)
    repo = Repo(path)
    repo.git("init", "-q", "-b", "main")
    repo.write("a.txt", "one\ntwo\nthree\n")
    repo.write("src/b.py", "print('b')\n")
    repo.commit_all("first")
    return repo
