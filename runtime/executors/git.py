"""The kind ``git``: a commit message and a patch become one commit on one branch."""

import re
import shutil
from pathlib import Path
from typing import Annotated, ClassVar

import trio
from pydantic import Field

from monastery.runtime.errors import BadPayload, MonasteryError
from monastery.runtime.executors import git_binary, git_patch, payloads, showing
from monastery.runtime.executors.context import Context, resolve
from monastery.runtime.executors.git_repository import (
    Entry,
    GitFailed,
    Repository,
    checked_out,
    opened,
    query,
)
from monastery.runtime.project import StepSettings
from monastery.runtime.records import Outcome, Step

TRAILER = "Monastery-Step"
"""The line of the commit message that names the step: ``Monastery-Step: KEY``."""

_FORGED = re.compile(rf"^[^\S\n]*{TRAILER}\b", re.IGNORECASE | re.MULTILINE)
_MAX_TITLE_CHARS = 200
_ATTEMPTS = 5
_LIMIT_SECONDS = 300.0


class GitSettings(StepSettings):
    """Settings of the kind ``git``.

    Attributes:
        repository: The repository's folder, or a bare repository.
        branch: The branch that gets the commits. It must not be checked out anywhere.
        base: What the branch starts from when it does not exist; None is the repository's HEAD.
        author: Author and committer of every commit, ``Name <mail>``.
    """

    repository: Annotated[str, Field(min_length=1)]
    branch: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._/-]*$")] = "monastery"
    base: Annotated[str, Field(pattern=r"^[^-\s][^\s]*$")] | None = None
    author: Annotated[str, Field(pattern=r"^[^<>\s][^<>\n]* <[^<>\s]+>$")] = (
        "Monastery agent <agent@monastery.invalid>"
    )


class GitExecutor:
    """Commits patches, without a look at or a change to any working tree.

    The only effect is the move of the branch, which is atomic and happens only from the tip that
    was looked at; and the commit names its step. So the same step twice is one commit, and a step
    of unknown outcome is simply carried out again.
    """

    kind = "git"
    Settings: ClassVar[type[StepSettings]] = GitSettings

    def __init__(self, settings: GitSettings, context: Context) -> None:
        self._settings = settings
        self._folder = resolve(context.folder, settings.repository)

    @classmethod
    def faults(cls, settings: GitSettings, folder: Path) -> list[str]:
        """Return what is wrong with the repository, the branch or its base."""
        place = resolve(folder, settings.repository)
        if shutil.which("git") is None:
            return ["repository: git is not installed; install it"]
        if not place.is_dir():
            return [f"repository: {str(place)!r} is no folder; name one that exists"]
        try:
            query(place, "rev-parse", "--absolute-git-dir")
        except GitFailed as exc:
            return [
                f"repository: {str(place)!r} is no git repository ({exc}); run 'git init' there"
            ]
        return _branch_faults(settings, place)

    def check(self, payload: bytes) -> None:
        """Refuse what is not a commit message and a patch as ``git diff --binary`` prints it."""
        _read(payload)

    def render(self, payload: bytes) -> str:
        """Return the message, a summary file by file, and the patch."""
        message, patch, changes = _read(payload)
        return "\n".join(
            [
                f"Commit to {self._settings.branch}: {message.splitlines()[0]}",
                "",
                "Commit message:",
                *(f"    {line}" for line in message.split("\n")),
                "",
                f"Files, {len(changes)}:",
                *(line for change in changes for line in _summary(change)),
                "",
                "Patch:",
                patch.removesuffix("\n"),
            ]
        )

    async def execute(self, step: Step) -> Outcome:
        """Commit, or say why nothing was committed.

        An interrupt does not stop it halfway: it is over in a moment.

        Raises:
            MonasteryError: git took so long that nobody knows whether the branch moved.
        """
        message, patch, changes = _read(step.payload)
        try:
            with (
                trio.CancelScope(shield=True),
                trio.fail_after(_LIMIT_SECONDS),
                opened(self._folder) as repository,
            ):
                commit = await self._commit(repository, step, message, patch, changes)
        except (GitFailed, OSError) as exc:  # whatever broke, the branch did not move
            return Outcome("failed", {"reason": str(exc)})
        except trio.TooSlowError as exc:
            raise MonasteryError(
                f"git took more than {_LIMIT_SECONDS} s on step {step.key!r}; look at the "
                f"repository {str(self._folder)!r} and go on with the run"
            ) from exc
        content = {"commit": commit, "branch": self._settings.branch, "patch": patch}
        return Outcome("done", content)

    async def reconcile(self, step: Step) -> Outcome | None:
        """Find the step's commit, or carry the step out: see the class."""
        return await self.execute(step)

    async def _commit(
        self,
        repository: Repository,
        step: Step,
        message: str,
        patch: str,
        changes: tuple[git_patch.FileChange, ...],
    ) -> str:
        """Return the step's commit, found or made."""
        branch = self._settings.branch
        trailer = f"{TRAILER}: {step.key}"
        for _ in range(_ATTEMPTS):
            tip = await repository.tip(branch)
            found = await repository.find(tip, trailer) if tip is not None else None
            if found is not None:
                return found
            blocked = await repository.blocked(branch)
            if blocked is not None:
                raise GitFailed(blocked)
            parent = tip or await repository.commit_of(self._settings.base or "HEAD")
            tree = await _tree(repository, parent, patch, changes)
            text = f"{message}\n\n{trailer}\n"
            commit = await repository.write_commit(tree, parent, text, self._settings.author)
            if await repository.move(branch, commit, tip):
                return commit
        raise GitFailed(f"branch {branch!r} was moved by others {_ATTEMPTS} times; try again")


def _read(payload: bytes) -> tuple[str, str, tuple[git_patch.FileChange, ...]]:
    """Return message, patch, and what the patch does."""
    text = payloads.decode(payload)
    start = 0 if text.startswith(git_patch.TITLE) else text.find("\n" + git_patch.TITLE) + 1
    if start == 0:
        missing = "message before the patch" if text.startswith(git_patch.TITLE) else "patch"
        raise BadPayload(
            f"the payload has no {missing}; send a message, then what 'git diff --binary' prints"
        )
    message = text[:start].rstrip()
    title = message.split("\n")[0]
    if not title.strip():
        raise BadPayload("the commit message is empty, or its first line is; begin with its title")
    if len(title) > _MAX_TITLE_CHARS:
        raise BadPayload(
            f"the message's first line has {len(title)} characters, allowed {_MAX_TITLE_CHARS}"
        )
    if len(message.encode()) > payloads.MAX_TEXT_BYTES:
        raise BadPayload(f"the message is longer than {payloads.MAX_TEXT_BYTES} bytes")
    if any((ord(char) < 32 and char not in "\n\t") or ord(char) == 127 for char in message):
        raise BadPayload("the commit message holds a control character; leave it out")
    if _FORGED.search(message):
        raise BadPayload(f"the commit message holds a {TRAILER} line; the runtime writes that")
    return message, text[start:], git_patch.parse(text[start:])


async def _tree(
    repository: Repository,
    parent: str,
    patch: str,
    changes: tuple[git_patch.FileChange, ...],
) -> str:
    """Return the patched tree, after a comparison of what git did with what the patch says."""
    for change in changes:
        delta = change.binary
        if isinstance(delta, git_binary.Delta):
            new = delta.lay_on(await repository.blob(parent, change.old or change.new or ""))
            if new is None or git_binary.object_name(new, len(change.new_name)) != change.new_name:
                raise GitFailed(f"the binary delta of {change.new!r} was made for another file")
    tree = await repository.apply(parent, patch)
    expected: dict[str, tuple[bool, str | None]] = {}
    for change in changes:
        if change.old is not None and change.old != change.new:
            expected[change.old] = (False, None)
        if change.new is not None:
            expected[change.new] = (True, change.mode)
    found = await repository.compare(parent, tree)
    differing = sorted({entry.path for entry in found} ^ expected.keys())
    if differing:
        raise GitFailed(f"the patch does not do what it says to {differing[0]!r}; nothing was done")
    for entry in found:
        _agree(entry, *expected[entry.path])
    return tree


def _agree(entry: Entry, there: bool, mode: str | None) -> None:
    """Refuse a changed path that is no plain file, or is not of the mode that the patch says."""
    plain = {entry.old_mode, entry.new_mode} <= {"000000", "100644", "100755"}
    kept = entry.new_mode in {entry.old_mode, "000000"} or entry.old_mode == "000000"
    right = entry.new_mode == mode if mode is not None else kept
    if not plain or not right or there != (entry.new_mode != "000000"):
        raise GitFailed(
            f"{entry.path!r} would go from mode {entry.old_mode} to {entry.new_mode}, which the "
            "patch does not say or no step may do; nothing was done"
        )


def _summary(change: git_patch.FileChange) -> list[str]:
    """Return a line on one file, and the decoded bytes of a binary one."""
    if change.old is None:
        what = f"new       {change.new}"
    elif change.new is None:
        what = f"deleted   {change.old}"
    elif change.old != change.new:
        what = f"renamed   {change.old} -> {change.new}"
    else:
        what = f"modified  {change.new}"
    mode = f", mode {change.mode}" if change.mode else ""
    binary = change.binary
    if binary is None or change.new is None:
        return [f"  {what}  +{change.added} -{change.removed}{mode}"]
    if isinstance(binary, git_binary.Literal):
        size, digest = len(binary.content), showing.sha256(binary.content)
        head = f"  {what}  binary, {size} bytes, sha256 {digest}{mode}:"
        return [head, showing.show(binary.content, "      | ")]
    lines = [f"  {what}  binary, {binary.new_bytes} bytes from {binary.old_bytes}{mode}:"]
    for piece in binary.pieces:
        if isinstance(piece, git_binary.Copy):
            lines.append(f"      old bytes {piece.start} to {piece.end}, then")
        else:
            lines += [f"      {len(piece)} new bytes, then", showing.show(piece, "      | ")]
    return [*lines, "      the end"]


def _branch_faults(settings: GitSettings, place: Path) -> list[str]:
    try:
        query(place, "check-ref-format", f"refs/heads/{settings.branch}")
    except GitFailed:
        return [f"branch: {settings.branch!r} is no branch name to git; choose another"]
    blocked = checked_out(query(place, "worktree", "list", "--porcelain"), settings.branch)
    if blocked is not None:
        return [f"branch: {blocked}, or name another one here"]
    base = settings.base or "HEAD"
    try:
        query(place, "rev-parse", "--verify", "--quiet", f"refs/heads/{settings.branch}^{{commit}}")
    except GitFailed:
        try:
            query(place, "rev-parse", "--verify", f"{base}^{{commit}}")
        except GitFailed:
            return [f"base: {base!r} is no commit there; commit something, or name another base"]
    return []
